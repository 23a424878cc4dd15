package dates

import (
	"bytes"
	"strings"
	"sync"
)

// form says which hand-written matcher a template has. Those up to formEpoch
// find the date themselves; the others only say quickly where there is none.
type form uint8

const (
	noForm       form = iota
	formISO           // 2026-11-22T13:19:17.085Z, 2026/11/22 13:19:17
	formISOTight      // the same with one T or one blank in the middle
	formSyslog        // Nov 22 13:19:17, Sun Nov 22 13:19:17 2026
	formAsctime       // Sun Nov 22 2026 13:19:17
	formAccess        // 22/Nov/2026:13:19:17 +0000
	formEpoch         // 1795353557.085
	formNumeric       // 22/11/2026 …, 11-22-2026 …
	formClock         // 13:19:17
	formAngle         // <11/22/26@13:19:17>
	formMySQL         // 261122 13:19:17
	formTomcat        // Nov 22, 2026 1:19:17 PM
	formASSP          // Nov-22-26 13:19:17
	formCompact       // 20261122T131917
	formZoned         // UTC Nov 22 13:19:17, +00:00 Nov 22 13:19:17
	formTAI64N        // @400000006b02ebd50510ff40
)

// defaultForms are the forms of defaultPatterns.
var defaultForms = [...]form{
	formISO, formSyslog, formAsctime, formNumeric, formAccess, formNumeric, formNumeric, formEpoch, formClock,
	formAngle, formMySQL, formTomcat, formASSP, formCompact, formZoned, formZoned, formTAI64N,
}

// place says where a template's date may begin.
type place uint8

const (
	anywhere    place = iota // at a word's begin, or where it brings a bound of its own
	afterMarks               // at the line's begin, behind at most two characters that are no word
	atBegin                  // at the line's begin
	afterOpened              // behind the line's first [
	inBrackets               // the same, with the brackets
)

// quick is a template written by hand: a form at a place. For ASCII it answers
// as the regular expression does; where another character has a say it is
// unsure. The zero value is unsure always.
type quick struct {
	form    form
	place   place
	decades uint16 // the third digits that years may have, as bits
}

// quickPlaces are the texts in front of a default's group and at its end, where
// it is used.
var quickPlaces = []struct {
	front, back string
	place       place
}{
	{wordRegex + "(", "", anywhere},
	{lineRegex + "(", "", afterMarks},
	{"^(", "", atBegin},
	{`^[^\[]*\[(`, "", afterOpened},
	{`^[^\[]*(\[`, `\s*\]`, inBrackets},
}

// sourceOf are the expressions of the defaults that have no tokens.
var sourceOf = struct{ epoch, epochAtBegin, tai64n string }{
	newEpoch(false, false).source, newEpoch(false, true).source, newTAI64N(false).source,
}

// quickFor returns the hand-written form of a template: it has one if its
// expression is one of the defaults' at one of the places.
func quickFor(t *template, year int) quick {
	q := quick{decades: decadeBits(year)}
	if q.decades == 0 {
		return quick{}
	}
	switch t.source {
	case sourceOf.epoch:
		q.form = formEpoch
		return q
	case sourceOf.epochAtBegin:
		q.form, q.place = formEpoch, afterMarks
		return q
	case sourceOf.tai64n:
		q.form = formTAI64N
		return q
	}
	source, folds := strings.CutPrefix(t.source, "(?iu)")
	source, ok := strings.CutSuffix(source, ")"+WordEnd)
	for _, x := range quickPlaces {
		body, has := strings.CutPrefix(source, x.front)
		body, ends := strings.CutSuffix(body, x.back)
		if !ok || !has || !ends {
			continue
		}
		if f := formOf(body, folds, year); f != noForm {
			q.form, q.place = f, x.place
			return q
		}
	}
	return quick{}
}

// formOf returns the form of a default's expression without bounds.
func formOf(body string, folds bool, year int) form {
	for i, d := range defaultBodies(year) {
		switch {
		case folds != d.folds:
		case body == d.regex:
			return defaultForms[i]
		case i == 0 && body == strings.Replace(d.regex, "(?:T|  ?)", "[T ]", 1):
			return formISOTight
		}
	}
	if body == "@[0-9a-f]{24}" {
		return formTAI64N
	}
	return noForm
}

// defaultBody is a default pattern's expression without bounds, and whether it
// takes both cases.
type defaultBody struct {
	regex string
	folds bool
}

// bodies are the []defaultBody of the years that were asked for.
var bodies sync.Map

// defaultBodies returns those of defaultPatterns in a year.
func defaultBodies(year int) []defaultBody {
	if known, ok := bodies.Load(year); ok {
		return known.([]defaultBody)
	}
	out := make([]defaultBody, len(defaultPatterns))
	for i, pattern := range defaultPatterns {
		pattern = strings.TrimPrefix(strings.TrimPrefix(pattern, lineBeginMark), "^")
		if regex, _, err := expand(pattern, year); err == nil { // our own table has no mistakes
			out[i] = defaultBody{regex, alphaToken.MatchString(pattern)}
		}
	}
	bodies.Store(year, out)
	return out
}

// decadeBits returns the third digits of the years that %ExY takes; 0 where
// they are not of the form 20d0.
func decadeBits(year int) (bits uint16) {
	if year < 2001 || year > 2096 {
		return 0
	}
	for d := 0; d <= (year+3)/10%10; d++ {
		bits |= 1 << d
	}
	return bits
}

// search looks for the template in what is viewed, and fills Start, End, from,
// to and fields of f.
func (q *quick) search(v *view, f *Found) verdict {
	if q.place == anywhere {
		if q.form > formEpoch {
			return q.reject(v)
		}
		return q.scan(v, f)
	}
	if v.at > 0 {
		return unsure
	}
	p := 0
	if q.place >= afterOpened {
		if p = bytes.IndexByte(v.text, '[') + 1; p == 0 {
			return noMatch
		}
	} else if v.wholeList && v.begins()&firsts[q.form] == 0 {
		return noMatch
	}
	if q.form > formEpoch {
		return q.reject(v)
	}
	if q.place == afterMarks {
		var sure bool
		if p, sure = marks(v.text); !sure {
			return unsure
		}
	}
	return q.body(v.text, p, 0, f)
}

// body matches the form at p; from is where the template's match began.
func (q *quick) body(text []byte, p, from int, f *Found) verdict {
	c := cursor{text: text, at: p, decades: q.decades}
	f.fields = fields{}
	switch q.form {
	case formISO:
		c.iso(&f.fields, false)
	case formISOTight:
		c.iso(&f.fields, true)
	case formSyslog:
		c.asctime(&f.fields, false)
	case formAsctime:
		c.asctime(&f.fields, true)
	case formAccess:
		c.access(&f.fields)
	default:
		c.epoch(&f.fields)
	}
	if c.answer != match {
		return c.answer
	}
	if q.place == inBrackets {
		p--
		if !c.closes() {
			return unsure // a shorter date might stand before its bracket
		}
	}
	f.Start, f.End = p, c.at
	f.from, f.to = int32(from), int32(c.at)
	return match
}

// closes goes over blanks and a closing bracket, if they are there.
func (c *cursor) closes() bool {
	for isBlank(c.peek(0)) {
		c.at++
	}
	if c.peek(0) != ']' {
		return false
	}
	c.at++
	return true
}
