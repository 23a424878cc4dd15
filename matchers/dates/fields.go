package dates

import (
	"errors"
	"strings"
)

// groupKeys are the names of the groups whose text has a meaning.
const groupKeys = "YymBbdHIpMSfAawjUWzZ"

// A group is a named group of a template.
type group struct {
	key    byte
	number int
}

// status says whether a date is one.
type status uint8

const (
	valid   status = iota
	invalid        // fail2ban finds no date in it and goes on with the line
	fatal          // fail2ban fails on it and drops the line
)

// known says which parts of a date were given.
type known uint8

const (
	knowsYear known = 1 << iota
	knowsMonth
	knowsDay
	knowsZone
	knowsYearday
	knowsWeek
	knowsWeekday
)

// fields are the parts of a date as they were captured. Numbers may be out of
// range; the value half finds out.
type fields struct {
	known      known
	status     status
	mondayWeek bool // weeks begin on Monday (%W), not on Sunday (%U)
	year       int32
	month      int32
	day        int32
	hour       int32
	minute     int32
	second     int32
	nanos      int32 // the fraction of the second
	zone       int32 // minutes east of UTC
	yearday    int32 // from 1
	week       int32
	weekday    int32 // from 0, Monday
	epoch      int64 // seconds since 1970, where the text was that
}

// read captures the parts of a date from the groups of a match.
func (t *template) read(line []byte, spans []int32) (f fields) {
	text := func(number int) []byte {
		if s := spans[2*number]; s >= 0 {
			return line[s:spans[2*number+1]]
		}
		return nil
	}
	switch t.kind {
	case tai64nKind:
		return readTAI64N(text(1))
	case epochKind, longEpochKind:
		if spans[2*t.value] < 0 {
			return fields{status: fatal}
		}
		return readEpoch(text(t.value), t.kind == longEpochKind)
	}
	half := []byte(nil)
	hasHalf := false
	for _, g := range t.groups {
		if g.key == 'p' {
			half, hasHalf = text(g.number), true
		}
	}
	for _, g := range t.groups {
		if spans[2*g.number] < 0 {
			continue
		}
		if f.set(g.key, text(g.number)); f.status != valid {
			return fields{status: f.status}
		}
		if g.key == 'I' {
			if hasHalf && half == nil {
				return fields{status: fatal}
			}
			f.hour = hour24(f.hour, half)
		}
	}
	return f
}

// set reads the text of one group.
func (f *fields) set(key byte, text []byte) {
	switch key {
	case 'Y':
		f.number(&f.year, knowsYear, text)
	case 'y':
		if f.number(&f.year, knowsYear, text); f.year <= 2000 {
			f.year += 2000
		}
	case 'm':
		f.number(&f.month, knowsMonth, text)
	case 'B', 'b':
		f.name(&f.month, knowsMonth, monthNumber(text, key == 'B'))
	case 'd':
		f.number(&f.day, knowsDay, text)
	case 'H', 'I':
		f.number(&f.hour, 0, text)
	case 'M':
		f.number(&f.minute, 0, text)
	case 'S':
		f.number(&f.second, 0, text)
	case 'f':
		f.nanos = fraction(text)
	case 'A', 'a':
		f.name(&f.weekday, knowsWeekday, weekdayNumber(text, key == 'A'))
	case 'w':
		f.number(&f.weekday, knowsWeekday, text)
		if f.weekday--; f.weekday < 0 {
			f.weekday = 6
		}
	case 'j':
		f.number(&f.yearday, knowsYearday, text)
	case 'U', 'W':
		f.mondayWeek = key == 'W'
		f.number(&f.week, knowsWeek, text)
	case 'z', 'Z':
		minutes, err := parseZone(text)
		f.zone = int32(minutes)
		f.known |= knowsZone
		if errors.Is(err, errAbbreviation) {
			f.status = fatal
		} else if err != nil {
			f.status = invalid
		}
	}
}

// number stores the number that text is.
func (f *fields) number(to *int32, k known, text []byte) {
	n, ok := integer(text)
	if !ok {
		f.status = invalid
	}
	*to = int32(n)
	f.known |= k
}

// name stores the number of a name, negative for none.
func (f *fields) name(to *int32, k known, n int) {
	if n < 0 {
		f.status = invalid
	}
	*to = int32(n)
	f.known |= k
}

// hour24 converts an hour of the 12-hour clock. Hours above 12 stay what they
// are, or go beyond the day.
func hour24(hour int32, half []byte) int32 {
	switch {
	case equalFold(half, "pm"):
		if hour != 12 {
			return hour + 12
		}
	case len(half) == 0 || equalFold(half, "am"):
		if hour == 12 {
			return 0
		}
	}
	return hour
}

// equalFold compares text with lower-case ASCII letters. (It is not
// bytes.EqualFold: that takes ſ for s, which Python's lower does not.)
func equalFold(text []byte, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// longMonths and longDays are the names of the C locale.
var (
	longMonths = [...]string{"january", "february", "march", "april", "may", "june", "july",
		"august", "september", "october", "november", "december"}
	longDays = [...]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
)

// monthNumber returns the number, from 1, of a month's name; -1 for none.
func monthNumber(text []byte, long bool) int {
	for i, name := range longMonths {
		if !long {
			name = name[:3]
		}
		if equalFold(text, name) {
			return i + 1
		}
	}
	return -1
}

// weekdayNumber returns the number, from 0, of a day's name; -1 for none.
func weekdayNumber(text []byte, long bool) int {
	for i, name := range longDays {
		if !long {
			name = name[:3]
		}
		if equalFold(text, name) {
			return i
		}
	}
	return -1
}

// fraction reads digits behind the decimal point, in nanoseconds. What is no
// digit ends it, for fail2ban does not look at it either.
func fraction(text []byte) (nanos int32) {
	unit := int32(100_000_000)
	for len(text) > 0 && unit > 0 {
		d, size := digit(text)
		if size == 0 {
			break
		}
		nanos += int32(d) * unit
		unit /= 10
		text = text[size:]
	}
	return nanos
}

// readTAI64N reads @, 16 hexadecimal digits of seconds, of which the first is
// only a mark, and 8 of nanoseconds. fail2ban takes the seconds of the TAI
// scale for those of UTC, and so must this.
func readTAI64N(text []byte) (f fields) {
	hexadecimal := func(s []byte) (n int64) {
		for _, c := range s {
			n = n<<4 | int64(strings.IndexByte("0123456789abcdef", c))
		}
		return n
	}
	f.epoch = min(hexadecimal(text[2:17]), maxSecond)
	if nanos := hexadecimal(text[17:25]); nanos < 1e9 {
		f.nanos = int32(nanos)
	}
	return f
}

// readEpoch reads a decimal number of seconds; of milliseconds or microseconds
// if long and it has 13 or 16 characters.
func readEpoch(text []byte, long bool) (f fields) {
	var whole int64
	digits, point, scale := 0, -1, int64(1)
	size := runeCount(text)
	if long && size >= 13 {
		scale = 1000
		if size >= 16 && !strings.Contains(string(text), ".") {
			scale = 1_000_000
		}
	}
	unit := 1e9 / scale
	nanos := int64(0)
	for len(text) > 0 {
		if text[0] == '.' && point < 0 {
			point = digits
			text = text[1:]
			continue
		}
		d, n := digit(text)
		if n == 0 {
			return fields{status: invalid}
		}
		if point < 0 {
			whole = min(whole*10+int64(d), maxSecond*scale)
		} else {
			unit /= 10
			nanos += int64(d) * unit
		}
		digits++
		text = text[n:]
	}
	if digits == 0 {
		return fields{status: invalid}
	}
	f.epoch = min(whole/scale, maxSecond)
	f.nanos = int32(whole%scale*(1e9/scale) + nanos)
	return f
}
