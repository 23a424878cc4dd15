package dates

import "github.com/f2bpipe/f2bpipe/matchers/regex"

// Found is a date in a line.
type Found struct {
	Template   int // the index in Names of the template that found it
	Start, End int // the bytes of the line that are the date's text, to be cut out; equal where the date is empty

	from, to int32 // the bytes that the template matched
	fields   fields
}

// verdict is the answer of a hand-written matcher.
type verdict uint8

const (
	open    verdict = iota // not yet known
	unsure                 // ask the regular expression
	noMatch                // the template matches nowhere
	match                  // Found is filled
)

// Find looks for the date of a line (without its line end). It reads the
// order, does not change it and allocates nothing. An empty date (Start equals
// End) is found too: the pattern says that the line has none.
func (d *Detector) Find(m *regex.Machine, o *Order, line []byte) (Found, bool) {
	var f Found
	if d.begins != nil && (len(line) == 0 || !d.begins[line[0]]) {
		return f, false
	}
	skip := -1 // the index of the one that was tried on the whole line already
	collides := false
	if o.last >= 0 {
		r := &o.ranks[o.last]
		text, at := line, 0
		if from, to, ok := o.samePlace(line, r); ok {
			text, at = line[:to], from
		} else {
			skip = o.last
		}
		v := view{text: text, at: at}
		if r.search(m, &v, &f) {
			if len(o.ranks) == 1 || r.onLine() ||
				characters(line, int(f.from)) == o.from.at && characters(line, int(f.to)) == o.to.at {
				return f, true
			}
			collides = true // elsewhere than last time: another template may be right
		}
	}
	return o.findByAll(m, line, &f, collides, skip)
}

// findByAll tries the templates in their order, but for the one of the index
// skip. If collides, f is a date to take unless one is better.
func (o *Order) findByAll(m *regex.Machine, line []byte, f *Found, collides bool, skip int) (Found, bool) {
	var best candidate
	if collides {
		best.keep(f, characters(line, int(f.from)))
	}
	v := view{text: line, wholeList: true}
	for i := range o.ranks {
		r := &o.ranks[i]
		if i == skip || !r.search(m, &v, f) {
			continue
		}
		if i+1 == len(o.ranks) || r.onLine() {
			return *f, true
		}
		distance := characters(line, int(f.from))
		// A date further behind than this template's last, or than the last
		// of all, may be one that is part of the message: look for a better.
		if distance > r.distance || distance > o.from.at {
			best.keep(f, distance)
			continue
		}
		return *f, true
	}
	return best.found, best.ok
}

// A candidate is the date found nearest to the line's begin so far.
type candidate struct {
	found    Found
	distance int
	ok       bool
}

func (c *candidate) keep(f *Found, distance int) {
	if !c.ok || distance < c.distance {
		c.found, c.distance, c.ok = *f, distance, true
	}
}

// samePlace returns the bytes where the last date was, if this line looks the
// same at their edges and the template is not bound to the line anyway.
func (o *Order) samePlace(line []byte, r *rank) (from, to int, ok bool) {
	if r.onLine() {
		return 0, 0, false
	}
	from, to = byteOffset(line, o.from.at), byteOffset(line, o.to.at)
	return from, to, o.from.fits(line, from, true) && o.to.fits(line, to, false)
}

// search looks for the template in what is viewed. It fills f.
func (r *rank) search(m *regex.Machine, v *view, f *Found) bool {
	answer := unsure
	if r.quick.form != noForm {
		answer = r.quick.search(v, f)
	}
	if answer == noMatch {
		return false
	}
	if answer == unsure && !r.searchRegex(m, v.text, v.at, f) {
		return false
	}
	f.Template = r.number
	return true
}

// searchRegex is search by the regular expression. One that needs too many
// steps does not match.
func (t *template) searchRegex(m *regex.Machine, text []byte, at int, f *Found) bool {
	re, _ := t.expression()
	spans, result := re.Search(m, text, at)
	if result != regex.Match {
		return false
	}
	f.from, f.to = spans[0], spans[1]
	// A group 1 that is not set cuts nothing out, where the match begins.
	f.Start, f.End = int(spans[0]), int(spans[0])
	if spans[2] >= 0 {
		f.Start, f.End = int(spans[2]), int(spans[3])
	}
	f.fields = t.read(text, spans)
	return true
}
