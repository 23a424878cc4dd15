package dates

import "bytes"

// tail says what may follow the seconds, or their fraction, of a date.
type tail uint8

const (
	blanksZone tail = iota // blanks and a zone
	blankZone              // one blank and a zone, in letters of any case
	blankYear              // one blank and a year
	noTail
)

// iso reads %ExY-%m-%d, T or one or two blanks (tight: one), %H:%M:%S, a
// fraction and a zone.
func (c *cursor) iso(f *fields, tight bool) {
	if !c.year(f) {
		return
	}
	separator := c.peek(0)
	if separator != '-' && separator != '/' && separator != '.' {
		c.fail(separator)
		return
	}
	c.at++
	if !c.month(f) || !c.byte(separator) || !c.day(f) {
		return
	}
	switch c.peek(0) {
	case 'T':
		c.at++
	case ' ':
		if c.at++; c.peek(0) == ' ' && !tight {
			c.at++
		}
	default:
		c.fail(c.peek(0))
		return
	}
	if c.clock(f, 23) {
		c.end(f, blanksZone, c.peek(0) == ',')
	}
}

// asctime reads a day's name or not, %b %d, %k:%M:%S, a fraction and a year;
// the year is behind the day (yearFirst) or, or not, at the end.
func (c *cursor) asctime(f *fields, yearFirst bool) {
	if n := shortDay(c.letters()); n >= 0 {
		c.at += 3
		f.weekday = n
		f.known |= knowsWeekday
		if !c.byte(' ') {
			return
		}
	}
	if !c.monthName(f) || !c.byte(' ') || !c.day(f) || !c.byte(' ') {
		return
	}
	if yearFirst && (!c.year(f) || !c.byte(' ')) {
		return
	}
	if c.peek(0) == ' ' {
		c.at++
	}
	if !c.clock(f, 29) {
		return
	}
	if yearFirst {
		c.end(f, noTail, false)
		return
	}
	c.end(f, blankYear, false)
}

// access reads %d/%b/%ExY, a blank, a colon or nothing, %H:%M:%S, a fraction
// and a zone.
func (c *cursor) access(f *fields) {
	if !c.day(f) {
		return
	}
	separator := c.peek(0)
	if separator != '-' && separator != '/' {
		c.fail(separator)
		return
	}
	c.at++
	if !c.monthName(f) || !c.byte(separator) || !c.year(f) {
		return
	}
	if b := c.peek(0); b == ' ' || b == ':' {
		c.at++
	}
	if c.clock(f, 23) {
		c.end(f, blankZone, false)
	}
}

// epoch reads 10 or 11 digits that end a word and, where they end one too, a
// point and 3 to 6 more. (What the expression looks ahead for behind [ and
// audit( it can do without, and so does not ask for.)
func (c *cursor) epoch(f *fields) {
	for count := 0; ; count++ {
		d := c.peek(0)
		if !isDigit(d) {
			if count < 10 || isWord(d) || d >= 0x80 {
				c.fail(d)
				return
			}
			break
		}
		if count == 11 {
			c.answer = noMatch
			return
		}
		f.epoch = f.epoch*10 + int64(d-'0')
		c.at++
	}
	f.epoch = min(f.epoch, maxSecond)
	c.answer = match
	if c.peek(0) != '.' {
		return
	}
	nanos, count := c.digits()
	if next := c.peek(1 + count); next >= 0x80 {
		c.answer = unsure
	} else if 3 <= count && count <= 6 && !isWord(next) {
		f.nanos = nanos
		c.at += 1 + count
	}
}

// end reads what follows the seconds: a point (or a comma) and one to six
// digits, or not; the tail, or not; and there a word must end. Where the digits
// are followed by neither, the date ends before the point, as it does for the
// expression when it backtracks.
func (c *cursor) end(f *fields, t tail, comma bool) {
	point := c.peek(0)
	if point != '.' && !comma {
		c.endTail(f, t)
		return
	}
	seconds := c.at
	if nanos, count := c.digits(); 1 <= count && count <= 6 {
		c.at += 1 + count
		f.nanos = nanos
		if c.endTail(f, t); c.answer != noMatch {
			return
		}
		f.nanos = 0
	}
	c.at = seconds
	c.answer = match
}

// digits reads the digits behind the byte at the cursor, up to seven of them.
// They are ASCII for every expression but that of epoch.
func (c *cursor) digits() (nanos int32, count int) {
	for unit := int32(100_000_000); count < 7; count++ {
		d := c.peek(1 + count)
		if !isDigit(d) {
			break
		}
		nanos += int32(d-'0') * unit
		unit /= 10
	}
	return nanos, count
}

// endTail reads the tail, if it is there and a word ends behind it, or else
// asks that one ends here.
func (c *cursor) endTail(f *fields, t tail) {
	found := false
	switch t {
	case blanksZone:
		n := 0
		for isBlank(c.peek(n)) {
			n++
		}
		found = c.zone(f, n, false)
	case blankZone:
		found = c.peek(0) == ' ' && c.zone(f, 1, true)
	case blankYear:
		found = c.peek(0) == ' ' && c.lastYear(f)
	}
	if found || c.answer != open {
		return
	}
	if b := c.peek(0); isWord(b) || b >= 0x80 {
		c.fail(b)
		return
	}
	c.answer = match
}

// lastYear reads a blank, %ExY and the end of a word. Where there is none it
// leaves the cursor; where that depends on more than ASCII it is unsure.
func (c *cursor) lastYear(f *fields) bool {
	y := cursor{text: c.text, at: c.at + 1, decades: c.decades}
	var year fields
	ok := y.year(&year)
	if b := y.peek(0); ok && (isWord(b) || b >= 0x80) {
		ok = y.fail(b)
	}
	if !ok {
		if y.answer == unsure {
			c.answer = unsure
		}
		return false
	}
	f.year = year.year
	f.known |= knowsYear
	c.at = y.at
	c.answer = match
	return true
}

// zone reads %z, n bytes behind the cursor, and the end of a word; fold says
// that its letters may be small. Where there is none it leaves the cursor;
// where that depends on more than ASCII it is unsure.
func (c *cursor) zone(f *fields, n int, fold bool) bool {
	size := 0
	switch b := c.peek(n); {
	case b >= 0x80:
		c.answer = unsure
		return false
	case b == '+' || b == '-':
		size = c.zoneOffset(n)
	case b == 'Z' || fold && b == 'z':
		size = c.wordEnd(n, 1)
	default:
		if i := c.at + n; i+3 <= len(c.text) && isZoneName(c.text[i:i+3], fold) {
			size = c.wordEnd(n, 3)
		}
	}
	if size == 0 {
		return false
	}
	c.at += n
	if b := c.peek(0); b == '+' || b == '-' {
		minutes := c.twoDigits(1) * 60
		if size > 3 {
			minutes += c.twoDigits(size - 2)
		}
		if b == '-' {
			minutes = -minutes
		}
		f.zone = minutes
		f.known |= knowsZone
	} else if f.set('z', c.text[c.at:c.at+size]); f.status != valid {
		*f = fields{status: f.status}
	}
	c.at += size
	c.answer = match
	return true
}

// twoDigits returns the number that the two digits n behind the cursor are.
func (c *cursor) twoDigits(n int) int32 {
	return int32(c.peek(n)-'0')*10 + int32(c.peek(n+1)-'0')
}

// isZoneName reports whether the letters are UTC or GMT.
func isZoneName(letters []byte, fold bool) bool {
	if fold {
		return equalFold(letters, "utc") || equalFold(letters, "gmt")
	}
	return bytes.Equal(letters, []byte("UTC")) || bytes.Equal(letters, []byte("GMT"))
}

// wordEnd returns size if a word ends that many bytes behind n, else 0; unsure
// where the byte there is not ASCII.
func (c *cursor) wordEnd(n, size int) int {
	b := c.peek(n + size)
	if b >= 0x80 {
		c.answer = unsure
	}
	if isWord(b) || b >= 0x80 {
		return 0
	}
	return size
}

// zoneOffset returns the length of the offset n bytes behind the cursor: of
// +hhmm or +hh:mm, or of +hh where the minutes are none or no word ends behind
// them; 0 for none.
func (c *cursor) zoneOffset(n int) int {
	tens, ones := c.peek(n+1), c.peek(n+2)
	if tens != '0' && tens != '1' || !isDigit(ones) {
		if ones >= 0x80 && (tens == '0' || tens == '1') {
			c.answer = unsure
		}
		return 0
	}
	colon := 0
	if c.peek(n+3) == ':' {
		colon = 1
	}
	a, b := c.peek(n+3+colon), c.peek(n+4+colon)
	if a >= 0x80 || isDigit(a) && b >= 0x80 {
		c.answer = unsure
		return 0
	}
	if isDigit(a) && isDigit(b) {
		if size := c.wordEnd(n, 5+colon); size > 0 || c.answer == unsure {
			return size
		}
	}
	return c.wordEnd(n, 3)
}
