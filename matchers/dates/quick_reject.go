package dates

import "bytes"

// reject says noMatch where it is quickly seen that the form is not in what is
// viewed, else unsure.
func (q *quick) reject(v *view) verdict {
	could := true
	switch q.place {
	case anywhere:
		could = !v.isASCII() || q.somewhere(v)
	case afterMarks:
		could = q.couldAfterMarks(v.text)
	case atBegin:
		could = q.could(v.text)
	case afterOpened, inBrackets:
		could = q.could(v.text[bytes.IndexByte(v.text, '[')+1:])
	}
	if could {
		return unsure
	}
	return noMatch
}

// couldAfterMarks tries behind none, one and two characters that are no word.
func (q *quick) couldAfterMarks(text []byte) bool {
	for range 2 {
		if q.could(text) {
			return true
		}
		if len(text) == 0 || isWord(text[0]) {
			return false
		}
		text = text[1:]
	}
	return q.could(text)
}

// could reports whether the form may begin the text. It never says no to what
// does; a character beyond ASCII may be anything.
func (q *quick) could(text []byte) bool {
	const longest = 16
	if head := text[:min(len(text), longest)]; asciiPrefix(head) < len(head) {
		return true
	}
	c := cursor{text: text}
	switch q.form {
	case formNumeric:
		return isDatePart(c.peek(0)) && (isSeparator(c.peek(1)) || isSeparator(c.peek(2)))
	case formClock:
		return isDigit(c.peek(0)) && (c.peek(1) == ':' || c.peek(2) == ':')
	case formAngle:
		return c.peek(0) == '<'
	case formMySQL:
		return allDigits(text, 6) && c.peek(6) == ' '
	case formTomcat:
		return shortMonth(c.letters()) != 0 && (c.peek(5) == ',' || c.peek(6) == ',')
	case formASSP:
		return shortMonth(c.letters()) != 0 && c.peek(3) == '-'
	case formCompact:
		return allDigits(text, 8)
	case formZoned:
		return couldBeZoned(text)
	}
	return c.peek(0) == '@'
}

// couldBeZoned reports whether the text may begin with a name of a day or
// month, or with one behind a zone of at most 6 characters.
func couldBeZoned(text []byte) bool {
	c := cursor{text: text}
	if isName(c.letters()) && c.peek(3) == ' ' {
		return true
	}
	for c.peek(0) != ' ' {
		if c.at++; c.at > 6 {
			return false
		}
	}
	c.at++
	return isName(c.letters()) && c.peek(3) == ' '
}

// isName reports whether the letters are those of a day or a month.
func isName(letters uint32) bool { return shortDay(letters) >= 0 || shortMonth(letters) != 0 }

func isSeparator(c byte) bool { return c == '-' || c == '/' }

// isDatePart reports whether %d or %m may have the character.
func isDatePart(c byte) bool { return isDigit(c) || c == ' ' }

// allDigits reports whether the text begins with n digits.
func allDigits(text []byte, n int) bool {
	if len(text) < n {
		return false
	}
	for _, c := range text[:n] {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

// somewhere is could for every offset of an ASCII text.
func (q *quick) somewhere(v *view) bool {
	switch q.form {
	case formTAI64N:
		return bytes.IndexByte(v.text[v.at:], '@') >= 0
	case formCompact:
		return hasCompact(v.text[v.at:])
	}
	i := v.firstClock()
	if q.form == formTomcat {
		return i >= 0 && bytes.Contains(v.text[v.at:], []byte(", 20"))
	}
	for ; i >= 0; i = nextClock(v.text, i+1) {
		if q.couldEnd(v.text[v.at:i]) {
			return true
		}
	}
	return false
}

// couldEnd reports whether the text, up to a colon behind hours, may end with
// the form's begin.
func (q *quick) couldEnd(text []byte) bool {
	switch q.form {
	case formNumeric:
		return couldEndNumeric(text)
	case formMySQL:
		return couldEndMySQL(text)
	case formZoned:
		return couldEndSyslog(text)
	}
	return true
}

// hasCompact reports whether the text has eight digits of which the first are
// those of a year.
func hasCompact(text []byte) bool {
	for {
		n := bytes.Index(text, []byte("20"))
		if n < 0 {
			return false
		}
		if text = text[n:]; allDigits(text, 8) {
			return true
		}
		text = text[1:]
	}
}

// couldEndNumeric reports whether the text, up to a colon behind hours, has
// one or two blanks or a colon before these, and before that a year of two or
// four digits, a separator and a digit.
func couldEndNumeric(text []byte) bool {
	for behind := 2; behind <= 4; behind++ { // the gap and the hours
		for digits := 2; digits <= 4; digits += 2 {
			if q := len(text) - behind - digits - 1; q > 0 &&
				isSeparator(text[q]) && isDigit(text[q-1]) && allDigits(text[q+1:], digits) {
				return true
			}
		}
	}
	return false
}

// couldEndMySQL reports whether the text, up to a colon behind hours, has six
// digits and a blank before these.
func couldEndMySQL(text []byte) bool {
	for hour := 1; hour <= 2; hour++ {
		for blanks := 1; blanks <= 2; blanks++ {
			end := len(text) - hour - blanks
			if end >= 6 && text[end] == ' ' && allDigits(text[end-6:], 6) {
				return true
			}
		}
	}
	return false
}

// couldEndSyslog reports whether the text, up to a colon behind hours, has a
// month's name and a day before these.
func couldEndSyslog(text []byte) bool {
	for p := max(0, len(text)-10); p <= len(text)-7; p++ {
		c := cursor{text: text, at: p}
		if shortMonth(c.letters()) != 0 && text[p+3] == ' ' {
			return true
		}
	}
	return false
}
