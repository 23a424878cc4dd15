package dates

// A cursor reads the parts of a date from ASCII text. Every method moves it
// over what it has read. The first that does not find its part sets answer to
// noMatch, or to unsure where a character beyond ASCII decides, and returns
// false; the last sets it to match.
//
// The expressions leave nothing to choose: each part is followed by a character
// that it cannot contain itself, or by the end of a word. Where one does
// backtrack, over the fraction, the zone or the year at the end, the methods
// for these say how.
type cursor struct {
	text    []byte
	at      int
	decades uint16
	answer  verdict
}

// peek returns the byte that is n behind the cursor; 0, which is no part of a
// date, behind the end.
func (c *cursor) peek(n int) byte {
	if i := c.at + n; i < len(c.text) {
		return c.text[i]
	}
	return 0
}

// fail ends the reading at a byte that does not fit.
func (c *cursor) fail(b byte) bool {
	c.answer = noMatch
	if b >= 0x80 {
		c.answer = unsure
	}
	return false
}

// byte reads one character.
func (c *cursor) byte(want byte) bool {
	if b := c.peek(0); b != want {
		return c.fail(b)
	}
	c.at++
	return true
}

// year reads %ExY.
func (c *cursor) year(f *fields) bool {
	if c.peek(0) != '2' {
		return c.fail(c.peek(0))
	}
	if c.peek(1) != '0' {
		return c.fail(c.peek(1))
	}
	d := c.peek(2)
	if !isDigit(d) || c.decades>>(d-'0')&1 == 0 {
		return c.fail(d)
	}
	y := c.peek(3)
	if !isDigit(y) {
		return c.fail(y)
	}
	f.year = 2000 + int32(d-'0')*10 + int32(y-'0')
	f.known |= knowsYear
	c.at += 4
	return true
}

// number reads one digit, or two whose number is at most top and whose first
// digit, where there are two, is at most first.
func (c *cursor) number(to *int32, first byte, top int32) bool {
	d := c.peek(0)
	if !isDigit(d) {
		return c.fail(d)
	}
	n := int32(d - '0')
	c.at++
	if e := c.peek(0); isDigit(e) {
		if n = n*10 + int32(e-'0'); d > first || n > top {
			return c.fail(e)
		}
		c.at++
	} else if e >= 0x80 {
		return c.fail(e)
	}
	*to = n
	return true
}

// month reads %m.
func (c *cursor) month(f *fields) bool {
	f.known |= knowsMonth
	d := c.peek(0)
	if !c.number(&f.month, '1', 12) {
		return false
	}
	if f.month == 0 {
		return c.fail(d)
	}
	return true
}

// day reads %d; the blank in front of a single digit belongs to it.
func (c *cursor) day(f *fields) bool {
	f.known |= knowsDay
	d := c.peek(0)
	if d == ' ' {
		e := c.peek(1)
		if e < '1' || e > '9' {
			return c.fail(e)
		}
		f.day = int32(e - '0')
		c.at += 2
		return true
	}
	if !c.number(&f.day, '3', 31) {
		return false
	}
	if f.day == 0 {
		return c.fail(d)
	}
	return true
}

// clock reads hours, minutes and seconds; the hours' first digit is at most 2
// and they are at most topHour.
func (c *cursor) clock(f *fields, topHour int32) bool {
	return c.number(&f.hour, '2', topHour) && c.byte(':') &&
		c.number(&f.minute, '5', 59) && c.byte(':') &&
		c.number(&f.second, '6', 61)
}

// names of months and days as three lower-case letters in one number.
const (
	jan = 'j'<<16 | 'a'<<8 | 'n'
	feb = 'f'<<16 | 'e'<<8 | 'b'
	mar = 'm'<<16 | 'a'<<8 | 'r'
	apr = 'a'<<16 | 'p'<<8 | 'r'
	may = 'm'<<16 | 'a'<<8 | 'y'
	jun = 'j'<<16 | 'u'<<8 | 'n'
	jul = 'j'<<16 | 'u'<<8 | 'l'
	aug = 'a'<<16 | 'u'<<8 | 'g'
	sep = 's'<<16 | 'e'<<8 | 'p'
	oct = 'o'<<16 | 'c'<<8 | 't'
	nov = 'n'<<16 | 'o'<<8 | 'v'
	dec = 'd'<<16 | 'e'<<8 | 'c'

	mon = 'm'<<16 | 'o'<<8 | 'n'
	tue = 't'<<16 | 'u'<<8 | 'e'
	wed = 'w'<<16 | 'e'<<8 | 'd'
	thu = 't'<<16 | 'h'<<8 | 'u'
	fri = 'f'<<16 | 'r'<<8 | 'i'
	sat = 's'<<16 | 'a'<<8 | 't'
	sun = 's'<<16 | 'u'<<8 | 'n'
)

// letters returns the three bytes at the cursor in lower case, as one number.
func (c *cursor) letters() uint32 {
	if len(c.text)-c.at < 3 {
		return 0
	}
	b := c.text[c.at : c.at+3]
	return uint32(b[0]|0x20)<<16 | uint32(b[1]|0x20)<<8 | uint32(b[2]|0x20)
}

// failLetters fails at the first of the three bytes that is not ASCII.
func (c *cursor) failLetters() bool {
	return c.fail(c.peek(0) | c.peek(1)&0x80 | c.peek(2)&0x80)
}

// monthName reads %b.
func (c *cursor) monthName(f *fields) bool {
	n := shortMonth(c.letters())
	if n == 0 {
		return c.failLetters()
	}
	f.month = n
	f.known |= knowsMonth
	c.at += 3
	return true
}

// shortMonth returns the number of a month by its letters; 0 for none.
func shortMonth(letters uint32) int32 {
	switch letters {
	case jan:
		return 1
	case feb:
		return 2
	case mar:
		return 3
	case apr:
		return 4
	case may:
		return 5
	case jun:
		return 6
	case jul:
		return 7
	case aug:
		return 8
	case sep:
		return 9
	case oct:
		return 10
	case nov:
		return 11
	case dec:
		return 12
	}
	return 0
}

// shortDay returns the number of a day of the week, from 0, Monday, by its
// letters; -1 for none.
func shortDay(letters uint32) int32 {
	switch letters {
	case mon:
		return 0
	case tue:
		return 1
	case wed:
		return 2
	case thu:
		return 3
	case fri:
		return 4
	case sat:
		return 5
	case sun:
		return 6
	}
	return -1
}
