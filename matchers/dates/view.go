package dates

import "bytes"

// A view is a text in which templates are searched, from the offset at on, and
// what the hand-written ones have seen of it so far, so that each need not
// look again.
type view struct {
	text      []byte
	at        int
	wholeList bool // many templates will look

	seen  uint8 // what of the following is known
	ascii bool  // the text, from the character before at on, is ASCII
	first first
	clock int // the offset of the first colon between hours and minutes; -1 for none
}

const (
	seenASCII = 1 << iota
	seenFirst
	seenClock
)

// first says what the text begins with, or with behind one or two characters
// that are no word.
type first uint8

const (
	firstDigit first = 1 << iota
	firstBlank
	firstName // of a day or a month
	firstLetter
	firstAngle
	firstAt
	firstSign
	anyFirst first = 0xff
)

// firsts are what each form may begin with.
var firsts = [...]first{
	formISO:      firstDigit,
	formISOTight: firstDigit,
	formSyslog:   firstName,
	formAsctime:  firstName,
	formAccess:   firstDigit | firstBlank,
	formEpoch:    firstDigit,
	formNumeric:  firstDigit | firstBlank,
	formClock:    firstDigit,
	formAngle:    firstAngle,
	formMySQL:    firstDigit,
	formTomcat:   firstName,
	formASSP:     firstName,
	formCompact:  firstDigit,
	formZoned:    firstName | firstLetter | firstSign,
	formTAI64N:   firstAt,
}

// isASCII reports whether the text is ASCII where it is searched.
func (v *view) isASCII() bool {
	if v.seen&seenASCII == 0 {
		v.seen |= seenASCII
		rest := v.text[max(0, v.at-1):]
		v.ascii = asciiPrefix(rest) == len(rest)
	}
	return v.ascii
}

// begins returns what the text begins with; everything where a character there
// is not ASCII.
func (v *view) begins() first {
	if v.seen&seenFirst != 0 {
		return v.first
	}
	v.seen |= seenFirst
	const looked = 5 // two marks and three letters
	if head := v.text[:min(len(v.text), looked)]; asciiPrefix(head) < len(head) {
		v.first = anyFirst
		return v.first
	}
	for c := (cursor{text: v.text}); c.at <= 2; c.at++ {
		b := c.peek(0)
		switch {
		case isDigit(b):
			v.first |= firstDigit
		case b == ' ':
			v.first |= firstBlank
		case b == '<':
			v.first |= firstAngle
		case b == '@':
			v.first |= firstAt
		case b == '+' || b == '-':
			v.first |= firstSign
		case isName(c.letters()):
			v.first |= firstName
		case isWord(b):
			v.first |= firstLetter
		}
		if isWord(b) {
			break
		}
	}
	return v.first
}

// firstClock returns the offset of the first colon that may stand between
// hours and minutes; -1 for none.
func (v *view) firstClock() int {
	if v.seen&seenClock == 0 {
		v.seen |= seenClock
		v.clock = nextClock(v.text, v.at)
	}
	return v.clock
}

// nextClock returns the offset, from i on, of the next colon that may stand
// between hours and minutes: between two digits, with another colon behind the
// minutes; -1 for none.
func nextClock(text []byte, i int) int {
	for ; i < len(text); i++ {
		n := bytes.IndexByte(text[i:], ':')
		if n < 0 {
			break
		}
		if i += n; i > 0 && i+3 < len(text) && isDigit(text[i-1]) && isDigit(text[i+1]) &&
			(text[i+2] == ':' || text[i+3] == ':') {
			return i
		}
	}
	return -1
}

// marks returns how many characters that are no word begin the text, two at
// most; not sure where one is not ASCII.
func marks(text []byte) (n int, sure bool) {
	for n < 2 && n < len(text) && !isWord(text[n]) {
		if text[n] >= 0x80 {
			return 0, false
		}
		n++
	}
	return n, true
}

// isWord reports whether an ASCII character is \w.
func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isBlank reports whether an ASCII character is \s.
func isBlank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' || 0x1c <= c && c <= 0x1f }
