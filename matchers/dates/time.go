package dates

// maxSecond bounds the seconds of a time that is returned, on both sides of
// 1970: far enough to be past or future, near enough that the difference to
// another time does not overflow.
const maxSecond = 1 << 32

// Time returns the moment of a date in nanoseconds since 1970, kept within
// 136 years of it. A part that the line does not say is taken from now: the
// year is this one, or the one before if that were more than a day ahead;
// the day is today, or yesterday if that were in the future. ok is false where
// the text is no date (31 February, 25 o'clock, second 60). line is the one
// that Find saw.
func (d *Detector) Time(f *Found, line []byte, nowNanos int64) (atNanos int64, ok bool) {
	second, s := d.second(f, nowNanos)
	if s != valid {
		return 0, false
	}
	if second <= -maxSecond || second >= maxSecond {
		return max(-maxSecond, min(second, maxSecond)) * 1e9, true
	}
	return second*1e9 + int64(f.fields.nanos), true
}

// A Form is the kind of Python number that fail2ban has for the time of a date.
type Form uint8

const (
	FloatForm    Form = iota // a float without a fraction: the local time
	IntForm                  // an int: a date with a zone, its own or logtimezone, and TAI64N
	FractionForm             // a float with its fraction: the number of seconds itself
)

// Form returns the form of what Find found.
func (d *Detector) Form(f *Found) Form {
	switch d.templates[f.Template].kind {
	case fieldsKind:
		if d.hasZone || f.fields.known&knowsZone != 0 {
			return IntForm
		}
		return FloatForm
	case tai64nKind:
		return IntForm
	}
	return FractionForm
}

// Fatal reports whether fail2ban fails on the date and drops the whole line,
// where for another date that is none it goes on with the time of now or of a
// line before: the date names a time zone by letters that it does not know.
func (d *Detector) Fatal(f *Found, nowNanos int64) bool {
	_, s := d.second(f, nowNanos)
	return s == fatal
}

// second returns the second since 1970 that the fields mean.
func (d *Detector) second(f *Found, nowNanos int64) (int64, status) {
	if f.fields.status != valid {
		return 0, f.fields.status
	}
	if d.templates[f.Template].kind != fieldsKind {
		return f.fields.epoch, valid
	}
	return d.fromFields(&f.fields, floorDiv(nowNanos, 1e9))
}

// fromFields is second for a date in the calendar.
func (d *Detector) fromFields(f *fields, now int64) (int64, status) {
	year, month, day := int(f.year), int(f.month), int(f.day)
	k := f.known
	const both = knowsMonth | knowsDay
	assumeYear, assumeDay := k&knowsYear == 0, false
	var nowLocal int64
	if assumeYear || k&both == 0 {
		nowLocal = d.clock.local(now)
	}
	if assumeYear {
		year, _, _ = civil(floorDiv(nowLocal, daySeconds))
	}
	if k&both != both {
		if yearday, ok := f.dayOfYear(year); ok {
			if year < 1 || year > 9999 {
				return 0, invalid
			}
			year, month, day = civil(days(year, 1, 1) + int64(yearday) - 1)
			k |= both
		}
	}
	if k&both == 0 {
		_, month, day = civil(floorDiv(nowLocal, daySeconds))
		assumeDay = true
	} else if k&both != both {
		return 0, fatal // fail2ban has no rule for half a date
	}
	if !validDate(year, month, day) || !f.validTime() {
		return 0, invalid
	}
	local := days(year, month, day)*daySeconds + int64(f.hour)*3600 + int64(f.minute)*60 + int64(f.second)
	zone, hasZone := int64(f.zone), f.known&knowsZone != 0
	if !hasZone {
		zone, hasZone = int64(d.zone), d.hasZone
	}
	if hasZone {
		local -= zone * 60
	}
	// Compared with now as it shows on the clock of this place, whatever zone
	// the date is in: fail2ban's rule.
	if assumeDay && local > nowLocal {
		local -= daySeconds
	}
	if assumeYear && local > nowLocal+daySeconds {
		if !validDate(year-1, month, day) {
			return 0, invalid
		}
		local += (days(year-1, month, day) - floorDiv(local, daySeconds)) * daySeconds
	}
	if hasZone {
		return local, valid
	}
	return d.clock.second(local), valid
}

// validTime reports whether the day has the time.
func (f *fields) validTime() bool {
	return 0 <= f.hour && f.hour <= 23 && 0 <= f.minute && f.minute <= 59 && 0 <= f.second && f.second <= 59
}

// dayOfYear returns the day of the year, from 1, by its number or by week and
// weekday. It may be outside of the year: week 0 begins in the year before.
func (f *fields) dayOfYear(year int) (int, bool) {
	if f.known&knowsYearday != 0 {
		return int(f.yearday), true
	}
	if f.known&(knowsWeek|knowsWeekday) != knowsWeek|knowsWeekday {
		return 0, false
	}
	first := int((days(year, 1, 1)+3)%7+7) % 7 // weekday of 1 January, from 0, Monday
	weekday := int(f.weekday)
	if !f.mondayWeek {
		first, weekday = (first+1)%7, (weekday+1)%7
	}
	if f.week == 0 {
		return 1 + weekday - first, true
	}
	return 1 + (7-first)%7 + 7*(int(f.week)-1) + weekday, true
}
