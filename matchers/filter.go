package matchers

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/f2bpipe/f2bpipe/matchers/literal"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// Regex is the text of a regular expression and where it stands.
type Regex struct {
	Text  string
	Where string // file:line, or empty
}

// FilterConfig is a filter as the configuration has it, tags not yet expanded.
type FilterConfig struct {
	Name        string
	Prefregex   Regex // empty text: none
	Failregex   []Regex
	Ignoreregex []Regex
	MaxLines    int // lines that a failregex may span; 0 and 1 are one
	UseDNS      UseDNS
}

// The fields that mean something to the matcher have fixed places among a
// filter's fields; what else a filter captures comes after them.
const (
	fieldFID = iota
	fieldIP4
	fieldIP6
	fieldDNS
	fieldCIDR
	fieldMLFID
	fieldNofail
	fieldGained
	fieldForget
	fieldUser
	fieldContent
	fixedFields
)

var fixedNames = [fixedFields]string{
	"fid", "ip4", "ip6", "dns", "cidr", "mlfid", "nofail", "mlfgained", "mlfforget", "user", "content",
}

// Filter is a compiled filter: immutable, shared by any number of goroutines.
type Filter struct {
	Name     string
	pref     *rule
	fail     []*rule
	ignore   []*regex.Regexp
	fields   []string // names; values of a match are indexed by it
	maxLines int
	useDNS   UseDNS
}

// A rule is one regular expression and what becomes of its groups.
type rule struct {
	re      *regex.Regexp
	needs   []literal.Need // what a line that it matches must hold
	groups  []groupField   // named groups
	alts    []merge        // <F-ALT_X>: fill X where it is empty
	tuples  []merge        // <F-TUPLE_X>: append to X
	skips   []int          // groups of <SKIPLINES>
	content int            // group of <F-CONTENT>
}

// groupField says that a group's text is a field's value.
type groupField struct{ group, field int }

// merge says that a field is filled from another; own, that the target is a
// group of the same rule.
type merge struct {
	from, to int
	own      bool
}

// CompileFilter compiles a filter. The error joins a *RegexError for every
// regular expression that cannot be used.
func CompileFilter(c FilterConfig) (*Filter, error) {
	f := &Filter{Name: c.Name, fields: slices.Clone(fixedNames[:]), maxLines: max(1, c.MaxLines), useDNS: c.UseDNS}
	var errs []error
	compile := func(option string, index int, rx Regex, flags regex.Flags) *rule {
		r, err := f.compileRule(rx.Text, flags)
		if err != nil {
			errs = append(errs, &RegexError{Filter: c.Name, Option: option, Index: index, Regex: rx, Expanded: ExpandTags(rx.Text, c.UseDNS), Err: err})
		}
		return r
	}
	if c.Prefregex.Text != "" {
		f.pref = compile("prefregex", 0, c.Prefregex, 0)
	}
	var flags regex.Flags
	if f.maxLines > 1 {
		flags = regex.Multiline
	}
	for i, rx := range c.Failregex {
		r := compile("failregex", i, rx, flags)
		if r != nil && !r.identifies() && (f.pref == nil || !f.pref.identifies()) {
			errs = append(errs, &RegexError{Filter: c.Name, Option: "failregex", Index: i, Regex: rx,
				Expanded: r.re.String(), Err: ErrNoFailureID})
		}
		f.fail = append(f.fail, r)
	}
	for i, rx := range c.Ignoreregex {
		if r := compile("ignoreregex", i, rx, 0); r != nil {
			f.ignore = append(f.ignore, r.re)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return f, nil
}

func (f *Filter) compileRule(text string, flags regex.Flags) (*rule, error) {
	if strings.TrimLeft(text, " \t\r\n\v\f") == "" {
		return nil, errEmpty
	}
	re, err := regex.Compile(ExpandTags(text, f.useDNS), flags)
	if err != nil {
		return nil, err
	}
	r := &rule{re: re, needs: literal.Needs(re.Syntax())}
	re.Trim()
	type complexName struct {
		name   string
		target string
		tuple  bool
	}
	var complexNames []complexName
	for g, name := range re.Names() {
		if name == "" {
			continue
		}
		if strings.HasPrefix(name, "skiplines") {
			r.skips = append(r.skips, g)
		}
		r.groups = append(r.groups, groupField{g, f.field(name)})
		if name == "content" {
			r.content = g
		}
		if target, tuple, ok := splitComplexName(name); ok {
			complexNames = append(complexNames, complexName{name, groupName(target), tuple})
		}
	}
	slices.SortFunc(complexNames, func(a, b complexName) int {
		return cmp.Or(strings.Compare(a.target, b.target), strings.Compare(a.name, b.name))
	})
	for _, n := range complexNames {
		m := merge{f.field(n.name), f.field(n.target), re.Group(n.target) >= 0}
		if n.tuple {
			r.tuples = append(r.tuples, m)
		} else {
			r.alts = append(r.alts, m)
		}
	}
	return r, nil
}

// splitComplexName takes the group name of <F-ALT_X_1> or <F-TUPLE_X_1> apart:
// a number is only cut off behind an underscore.
func splitComplexName(name string) (target string, tuple, ok bool) {
	target, ok = strings.CutPrefix(name, "alt_")
	if !ok {
		if target, tuple = strings.CutPrefix(name, "tuple_"); !tuple {
			return "", false, false
		}
	}
	if i := strings.LastIndexByte(target, '_'); i >= 0 && i+1 < len(target) && strings.Trim(target[i+1:], "0123456789") == "" {
		target = target[:i]
	}
	return target, tuple, true
}

// field returns the place of a field, which it makes where there is none.
func (f *Filter) field(name string) int {
	if i := slices.Index(f.fields, name); i >= 0 {
		return i
	}
	f.fields = append(f.fields, name)
	return len(f.fields) - 1
}

// identifies says whether the rule can say who failed, or at least in which session.
func (r *rule) identifies() bool {
	return slices.ContainsFunc(r.groups, func(g groupField) bool {
		switch g.field {
		case fieldFID, fieldIP4, fieldIP6, fieldDNS, fieldMLFID:
			return true
		}
		return false
	})
}

// Failregex returns the compiled failregexes in order. They must not be changed.
func (f *Filter) Failregex() []*regex.Regexp {
	out := make([]*regex.Regexp, len(f.fail))
	for i, r := range f.fail {
		out[i] = r.re
	}
	return out
}

// Prefregex returns the compiled prefregex, nil where there is none.
func (f *Filter) Prefregex() *regex.Regexp {
	if f.pref == nil {
		return nil
	}
	return f.pref.re
}

// Ignoreregex returns the compiled ignoreregexes in order. They must not be changed.
func (f *Filter) Ignoreregex() []*regex.Regexp { return f.ignore }

// MaxLines returns the number of lines that a failregex may span.
func (f *Filter) MaxLines() int { return f.maxLines }
