package dates

import (
	"math"
	"sort"
	"time"
)

const daySeconds = 24 * 60 * 60

// floorDiv divides rounding towards negative infinity.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// days returns the days from 1970-01-01 to a date of the Gregorian calendar.
// The year is counted from March, so that the leap day is its last.
func days(year, month, day int) int64 {
	y, m := int64(year), int64(month)
	if m <= 2 {
		y--
		m += 12
	}
	era := floorDiv(y, 400)
	y -= era * 400
	return era*146097 + y*365 + y/4 - y/100 + (153*(m-3)+2)/5 + int64(day) - 1 - 719468
}

// civil is the inverse of days.
func civil(d int64) (year, month, day int) {
	d += 719468
	era := floorDiv(d, 146097)
	d -= era * 146097
	y := (d - d/1460 + d/36524 - d/146096) / 365
	d -= 365*y + y/4 - y/100
	m := (5*d + 2) / 153
	day = int(d-(153*m+2)/5) + 1
	if m += 3; m > 12 {
		m -= 12
		y++
	}
	return int(y + era*400), int(m), day
}

// validDate reports whether the calendar of years 1 to 9999 has the date.
func validDate(year, month, day int) bool {
	if year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 {
		return false
	}
	return day <= 28 || day <= monthDays(year, month)
}

// monthDays returns how many days the month has.
func monthDays(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// A period is a span of time in which a zone keeps its offset.
type period struct {
	start, end int64 // seconds since 1970; end is the first of the next period
	offset     int64 // seconds east of UTC
	summer     bool  // daylight saving time
}

// A clock converts between seconds since 1970 and the local time of a zone,
// taken as if it were UTC. It is immutable.
type clock struct {
	zone    *time.Location
	periods []period // those around the time it was made, without gaps
}

// clockSpan is how far a clock knows its zone by heart; beyond that it asks
// the time package.
const clockSpan = 12 * 366 * daySeconds

// newClock returns the clock of a zone (nil: the local one).
func newClock(zone *time.Location, nowNanos int64) *clock {
	if zone == nil {
		zone = time.Local
	}
	c := &clock{zone: zone}
	now := floorDiv(nowNanos, 1e9)
	for at := now - clockSpan; ; {
		p := c.ask(at)
		c.periods = append(c.periods, p)
		if p.end >= now+clockSpan {
			return c
		}
		at = p.end
	}
}

// at returns the period that contains a second.
func (c *clock) at(second int64) period {
	last := len(c.periods) - 1
	if second < c.periods[0].start || second >= c.periods[last].end {
		return c.ask(second)
	}
	return c.periods[sort.Search(last, func(i int) bool { return second < c.periods[i].end })]
}

// ask is at, answered by the time package.
func (c *clock) ask(second int64) period {
	t := time.Unix(second, 0).In(c.zone)
	p := period{start: math.MinInt64 / 2, end: math.MaxInt64 / 2, summer: t.IsDST()}
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		p.start = start.Unix()
	}
	if !end.IsZero() {
		p.end = end.Unix()
	}
	_, offset := t.Zone()
	p.offset = int64(offset)
	return p
}

// local returns the local time of a second.
func (c *clock) local(second int64) int64 { return second + c.at(second).offset }

// maxOffset exceeds every zone's offset, and every change of one.
const maxOffset = 26 * 60 * 60

// second returns the moment of a local time. Of a time that occurs twice it is
// the first. A time that is skipped is taken as the C library does: by the
// offset that makes it land in daylight saving time, or else by the one before.
func (c *clock) second(local int64) int64 {
	p := c.at(local - maxOffset)
	for {
		second := local - p.offset
		if second < p.end {
			return second
		}
		next := c.at(p.end)
		if landing := local - next.offset; landing < next.start {
			if p.summer && !next.summer {
				return landing
			}
			return second
		}
		p = next
	}
}
