package dates

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// kind says how a template's text becomes a time.
type kind uint8

const (
	fieldsKind    kind = iota // named groups: year, month, …
	epochKind                 // a number of seconds
	longEpochKind             // a number of seconds, milli- or microseconds
	tai64nKind                // @ and 24 hexadecimal digits
)

// A template is one date pattern. What it means never changes.
type template struct {
	name    string // as fail2ban shows it: tokens by their names
	pattern string // as it was written; "" for Epoch and TAI64N
	source  string // the regular expression
	kind    kind
	flags   flags
	weight  float64 // how much a hit counts when templates are sorted
	value   int     // the group of the number (epoch kinds)

	once   sync.Once // over re and groups, see expression
	re     *regex.Regexp
	groups []group // the named groups that have a meaning, in the order of their numbers
	quick  quick   // a hand-written matcher that equals re
	ready  bool    // compile has been called
}

// anchoredWeight is the weight of the defaults' anchored copies: a date that
// begins the line is preferred.
const anchoredWeight = 100

// onLine reports whether the template is bound to the line's begin or end.
func (t *template) onLine() bool { return t.flags&(lineBegin|lineEnd) != 0 }

// newPattern returns the template of a pattern with tokens.
func newPattern(pattern string, year int) (*template, error) {
	t := &template{pattern: pattern, weight: 1, kind: fieldsKind}
	from, toWord := atWord, true
	rest, isUnbound := strings.CutPrefix(pattern, unboundMark)
	if isUnbound {
		from, toWord = unbound, false
	} else if head, ok := strings.CutPrefix(rest, lineBeginMark); ok {
		rest, from = head, atLineBegin
	}
	source, name, err := expand(rest, year)
	if err != nil {
		return nil, err
	}
	if alphaToken.MatchString(rest) {
		source = "(?iu)" + source
	}
	t.name = name
	t.bind(source, from, toWord)
	return t, nil
}

// newEpoch returns the template EPOCH or, if long, LEPOCH.
func newEpoch(long, atBegin bool) *template {
	t := &template{name: "Epoch", kind: epochKind, weight: 1, value: 1}
	number := epochRegex(long)
	if long {
		t.name, t.kind = "LongEpoch", longEpochKind
	}
	if atBegin {
		t.bind(`((?P<square>(?<=^\[))?`+number+`)(?(square)(?=\]))`, atLineBegin, true)
		return t
	}
	t.bind(`((?:^|(?P<square>(?<=^\[))|(?P<selinux>(?<=\baudit\()))`+number+
		`)(?:(?(selinux)(?=:\d+\)))|(?(square)(?=\])))`, unbound, true)
	return t
}

// newEpochPattern returns the template of a pattern that contains {EPOCH} or
// {LEPOCH}. It has no tokens; the whole match is the date's text.
func newEpochPattern(pattern string, long bool) *template {
	t := &template{name: pattern, kind: epochKind, weight: 1, value: 2}
	if long {
		t.kind = longEpochKind
	}
	t.bind("("+replaceMarks(epochMark, pattern, "("+epochRegex(long)+")")+")", atWord, true)
	return t
}

// epochRegex matches the number of seconds since 1970.
func epochRegex(long bool) string {
	if long {
		return `\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?`
	}
	return `\d{10,11}\b(?:\.\d{3,6})?`
}

// newTAI64N returns the template TAI64N.
func newTAI64N(atBegin bool) *template {
	t := &template{name: "TAI64N", kind: tai64nKind, weight: 1, value: 1}
	from := unbound
	if atBegin {
		from = atLineBegin
	}
	t.bind("@[0-9a-f]{24}", from, true)
	return t
}

// bind sets the regular expression with its bounds.
func (t *template) bind(source string, from begin, toWord bool) {
	var inFront bool
	t.source, t.flags, inFront = bound(source, from, toWord)
	if inFront && !strings.HasPrefix(t.name, lineBeginMark) {
		t.name = lineBeginMark + t.name
	}
}

// compile makes the template ready to match. The expression of one with a
// hand-written matcher is one of the defaults', which are known to compile: that
// is done when a line first needs it, which few logs ever do.
func (t *template) compile(year int) error {
	if t.ready {
		return nil // one of the defaults, which detectors share
	}
	t.ready = true
	t.quick = quickFor(t, year)
	if t.quick.form != noForm {
		return nil
	}
	t.once.Do(func() {})
	return t.build()
}

// expression returns the compiled expression and its groups. Any goroutine may call it.
func (t *template) expression() (*regex.Regexp, []group) {
	t.once.Do(func() {
		if err := t.build(); err != nil {
			panic(err) // one of our own tables is wrong
		}
	})
	return t.re, t.groups
}

// build compiles the expression.
func (t *template) build() error {
	re, err := regex.Compile(t.source, 0)
	if err != nil {
		return fmt.Errorf("expression %s: %w", t.source, err)
	}
	if re.Groups() < max(1, t.value) {
		return fmt.Errorf("expression %s: no group %d", t.source, max(1, t.value))
	}
	t.re = re
	if t.kind == fieldsKind {
		for _, name := range re.Names() {
			if len(name) == 1 && strings.Contains(groupKeys, name) {
				t.groups = append(t.groups, group{key: name[0], number: re.Group(name)})
			}
		}
		slices.SortFunc(t.groups, func(a, b group) int { return a.number - b.number })
	}
	return nil
}
