package dates

import (
	"fmt"
	"time"

	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// Setting is what a detector is made of.
type Setting struct {
	Patterns []string       // the lines of datepattern; none: fail2ban's defaults
	Zone     string         // logtimezone: the zone of dates that name none, as "UTC+0200" or "CET"; "": Location
	Location *time.Location // the zone of this machine; nil: time.Local
}

// A Detector finds dates by a list of templates. It is immutable: goroutines
// may share it.
type Detector struct {
	templates []*template
	clock     *clock
	begins    *[256]bool // what a line with a date begins with; nil: anything
	zone      int        // minutes east of UTC of dates that name no zone
	hasZone   bool
}

// New compiles a detector. nowNanos fixes which years %ExY takes: those of
// this century up to the end of the decade that comes in three years. The
// error names the pattern and what is wrong with it.
func New(s Setting, nowNanos int64) (*Detector, error) {
	d := &Detector{clock: newClock(s.Location, nowNanos)}
	if s.Zone != "" {
		offset, err := parseZone([]byte(s.Zone))
		if err != nil {
			return nil, fmt.Errorf("time zone %q: %w", s.Zone, err)
		}
		d.zone, d.hasZone = offset, true
	}
	year, _, _ := civil(floorDiv(d.clock.local(floorDiv(nowNanos, 1e9)), daySeconds))
	l, err := newList(s.Patterns, year)
	if err != nil {
		return nil, err
	}
	for _, t := range l.templates {
		if err := t.compile(year); err != nil {
			return nil, fmt.Errorf("datepattern %q: %w", t.name, err)
		}
	}
	l.known.share(l.made)
	d.templates, d.begins = l.templates, beginsOf(l.templates)
	return d, nil
}

// beginsOf returns what lines with a date begin with, by one of the templates,
// nil for anything: most filters with dates of their own have a mark there,
// which lines of other services have not.
func beginsOf(templates []*template) *[256]bool {
	all := new([256]bool)
	for _, t := range templates {
		if t.quick.form != noForm {
			return nil // it looks there itself
		}
		table, ok := t.re.Syntax().Begins()
		if !ok {
			return nil
		}
		for b, begins := range table {
			all[b] = all[b] || begins
		}
	}
	return all
}

// Name is how fail2ban shows a template.
type Name struct {
	Pattern string // as configured; "" for Epoch, TAI64N and patterns with {EPOCH}
	Name    string // the pattern with its tokens spelled out: "Year-Month-Day"
	Regex   string // the regular expression, in Python's syntax
}

// Names returns the templates in the order of the list.
func (d *Detector) Names() []Name {
	names := make([]Name, len(d.templates))
	for i, t := range d.templates {
		names[i] = Name{Pattern: t.pattern, Name: t.name, Regex: t.source}
	}
	return names
}

// Syntax returns the tree of a template's regular expression, by its index in Names.
func (d *Detector) Syntax(i int) (*regex.Syntax, error) {
	t := d.templates[i]
	if t.quick.form == noForm {
		return t.re.Syntax(), nil
	}
	return regex.Parse(t.source, 0)
}

// Shown returns what `get JAIL datepattern` shows: the pattern and the name of
// the first template, or only a word for the whole where there are more than
// two. hasPattern is false where fail2ban's pattern is None.
func (d *Detector) Shown() (pattern string, hasPattern bool, name string) {
	if len(d.templates) > 2 {
		return "", false, "Default Detectors"
	}
	t := d.templates[0]
	return t.pattern, t.kind == fieldsKind, t.name
}
