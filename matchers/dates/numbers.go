package dates

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// digit returns the value of the decimal digit, of any script as Python's \d
// and int take it, in front of text and its length; 0 where there is none.
func digit(text []byte) (value, size int) {
	if len(text) == 0 {
		return 0, 0
	}
	if c := text[0]; c < utf8.RuneSelf {
		if '0' <= c && c <= '9' {
			return int(c - '0'), 1
		}
		return 0, 0
	}
	r, size := utf8.DecodeRune(text)
	if !unicode.Is(unicode.Nd, r) {
		return 0, 0
	}
	// Digits come in runs of ten that begin with zero; the ranges of the
	// table consist of whole runs.
	for _, x := range unicode.Nd.R16 {
		if lo, hi := rune(x.Lo), rune(x.Hi); lo <= r && r <= hi {
			return int(r-lo) % 10, size
		}
	}
	for _, x := range unicode.Nd.R32 {
		if lo, hi := rune(x.Lo), rune(x.Hi); lo <= r && r <= hi {
			return int(r-lo) % 10, size
		}
	}
	return 0, 0
}

// maxInteger bounds what integer returns: more than any part of a date may be.
const maxInteger = 100_000_000

// integer reads a whole number as Python's int does: blanks around it, a sign,
// underscores between digits. What is larger than maxInteger becomes it.
func integer(text []byte) (n int, ok bool) {
	text = bytes.TrimFunc(text, isSpace)
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		text = text[1:]
	}
	for afterDigit := false; len(text) > 0; {
		if text[0] == '_' && afterDigit && len(text) > 1 {
			text, afterDigit = text[1:], false
			continue
		}
		d, size := digit(text)
		if size == 0 {
			return 0, false
		}
		n = min(n*10+d, maxInteger)
		text, afterDigit, ok = text[size:], true, true
	}
	if negative {
		n = -n
	}
	return n, ok
}

// isSpace is Python's str.isspace.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f
}

// runeSize returns the length of the character in front of text as Python
// decodes UTF-8: a sequence that is invalid becomes one character for each
// longest part that could have begun a valid one.
func runeSize(text []byte) int {
	if len(text) == 0 || text[0] < utf8.RuneSelf {
		return min(len(text), 1)
	}
	if r, size := utf8.DecodeRune(text); r != utf8.RuneError || size > 1 {
		return size
	}
	// The second byte decides whether more may follow; it is narrower than
	// 80–bf for four lead bytes (Unicode, table 3-7).
	lo, hi, need := byte(0x80), byte(0xbf), 0
	switch lead := text[0]; {
	case lead == 0xe0:
		lo, need = 0xa0, 3
	case lead == 0xed:
		hi, need = 0x9f, 3
	case 0xe1 <= lead && lead <= 0xef:
		need = 3
	case lead == 0xf0:
		lo, need = 0x90, 4
	case lead == 0xf4:
		hi, need = 0x8f, 4
	case 0xf1 <= lead && lead <= 0xf3:
		need = 4
	}
	size := 1
	for size < need && size < len(text) && lo <= text[size] && text[size] <= hi {
		size++
		lo, hi = 0x80, 0xbf
	}
	return size
}

// runeCount returns the number of characters of text.
func runeCount(text []byte) int {
	n := 0
	for at := 0; at < len(text); n++ {
		at += runeSize(text[at:])
	}
	return n
}

// runeOffset returns where the character of number n begins; the text's length
// where there are not so many.
func runeOffset(text []byte, n int) int {
	at := 0
	for ; n > 0 && at < len(text); n-- {
		at += runeSize(text[at:])
	}
	return at
}
