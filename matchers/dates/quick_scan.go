package dates

import "bytes"

// scan looks anywhere in what is viewed for the first date.
func (q *quick) scan(v *view, f *Found) verdict {
	if q.form == formEpoch {
		return q.scanEpoch(v.text, v.at, f)
	}
	if !v.isASCII() {
		return unsure
	}
	if v.firstClock() < 0 {
		return noMatch
	}
	switch q.form {
	case formISO, formISOTight:
		return q.scanISO(v.text, v.at, f)
	case formAccess:
		return q.scanAccess(v, f)
	}
	return q.scanSyslog(v, f)
}

// wordStarts reports whether a word may begin at p: no character of one is
// before it.
func wordStarts(text []byte, p int) bool { return p == 0 || !isWord(text[p-1]) }

// scanISO tries at every 2.
func (q *quick) scanISO(text []byte, at int, f *Found) verdict {
	for p := at; ; p++ {
		i := bytes.IndexByte(text[p:], '2')
		if i < 0 {
			return noMatch
		}
		p += i
		if wordStarts(text, p) {
			if answer := q.body(text, p, p, f); answer != noMatch {
				return answer
			}
		}
	}
}

// scanAccess tries where, seen from the colon between hours and minutes, the
// separators are: one before the year and the same four before it. Where there
// is a choice the date begins as early as it can: with the first of two
// digits, or with the blank that belongs to a single one.
func (q *quick) scanAccess(v *view, f *Found) verdict {
	text := v.text
	for i := v.firstClock(); i >= 0; i = nextClock(text, i+1) {
		// Behind the year a blank, a colon or nothing, and one or two digits.
		for second := i - 8; second <= i-6; second++ {
			first := second - 4
			if first <= v.at || !isSeparator(text[first]) || text[first] != text[second] {
				continue
			}
			for p := max(v.at, first-2); p < first; p++ {
				if text[p] != ' ' && !(isDigit(text[p]) && wordStarts(text, p)) {
					continue
				}
				if answer := q.body(text, p, p, f); answer != noMatch {
					return answer
				}
			}
		}
	}
	return noMatch
}

// scanSyslog tries where a month's name may be, seen from the colon between
// hours and minutes.
func (q *quick) scanSyslog(v *view, f *Found) verdict {
	// From a month's name to its colon: a blank, one or two characters of
	// day, one or two blanks, one or two digits; and the year with its blank.
	nearest, farthest := 7, 10
	if q.form == formAsctime {
		nearest, farthest = nearest+5, farthest+5
	}
	text := v.text
	for i := v.firstClock(); i >= 0; i = nextClock(text, i+1) {
		for p := max(v.at, i-farthest); p <= i-nearest; p++ {
			c := cursor{text: text, at: p}
			if text[p+3] != ' ' || shortMonth(c.letters()) == 0 {
				continue
			}
			if c.at = p - 4; c.at >= v.at && text[p-1] == ' ' && wordStarts(text, c.at) && shortDay(c.letters()) >= 0 {
				if answer := q.body(text, c.at, c.at, f); answer != noMatch {
					return answer
				}
			}
			if wordStarts(text, p) {
				if answer := q.body(text, p, p, f); answer != noMatch {
					return answer
				}
			}
		}
	}
	return noMatch
}

// auditMark is what an epoch may stand behind, at a word's begin.
var auditMark = []byte("audit(")

// scanEpoch tries at the line's begin, behind a [ there, and behind audit(.
func (q *quick) scanEpoch(text []byte, at int, f *Found) verdict {
	if at == 0 {
		if answer := q.body(text, 0, 0, f); answer != noMatch {
			return answer
		}
	}
	if at <= 1 && len(text) > 0 && text[0] == '[' {
		if answer := q.body(text, 1, 1, f); answer != noMatch {
			return answer
		}
	}
	for p := max(0, at-len(auditMark)); ; p++ {
		i := bytes.Index(text[p:], auditMark)
		if i < 0 {
			return noMatch
		}
		p += i
		if p > 0 && text[p-1] >= 0x80 {
			return unsure
		}
		if start := p + len(auditMark); wordStarts(text, p) && start >= at {
			if answer := q.body(text, start, start, f); answer != noMatch {
				return answer
			}
		}
	}
}
