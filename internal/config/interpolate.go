package config

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
)

// maxInterpolation is the depth to which Python follows %(x)s within %(x)s.
const maxInterpolation = 10

// referenceCost is what one reference counts, in bytes, towards maxText: a
// value has room for some thousands.
const referenceCost = 64

// scope is where %(x)s looks an option up: first hit wins.
type scope struct {
	section string
	extra   map[string]text // section/option names that the text above mentioned
	vars    *section        // may be nil
	own     *section
	parser  *parser
}

func (s *scope) get(name string) (text, bool) {
	if v, ok := s.extra[name]; ok {
		return v, true
	}
	if name == "__name__" {
		return text{s: s.section}, true
	}
	if s.vars != nil {
		if v, ok := s.vars.get(name); ok {
			return v, true
		}
	}
	if v, ok := s.own.get(name); ok {
		return v, true
	}
	return s.parser.defaults.get(name)
}

// get returns the interpolated value of an option: that of vars (which wins
// over every file), the section's or [DEFAULT]'s. ok is false where nobody has it.
func (p *parser) get(sectionName, option string, vars *section) (v text, ok bool, err error) {
	own := p.lookup(sectionName)
	if own == nil {
		if sectionName != defaultSection {
			return text{}, false, nil
		}
		own = newSection()
	}
	sc := &scope{section: sectionName, vars: vars, own: own, parser: p}
	option = strings.ToLower(option)
	if option == "__name__" {
		return text{}, false, nil // only an interpolation knows it
	}
	raw, ok := sc.get(option)
	if !ok {
		return text{}, false, nil
	}
	size := 0
	v, err = sc.interpolate(raw, 1, &size)
	return v, true, err
}

// interpolate replaces %(x)s and %% in raw. size counts the work done so far.
func (s *scope) interpolate(raw text, depth int, size *int) (text, error) {
	// Even an empty value counts, or ten options that name each other ten times
	// would take for ever.
	if err := s.grow(raw, referenceCost, size); err != nil {
		return text{}, err
	}
	if !strings.Contains(raw.s, "%") {
		return raw, s.grow(raw, len(raw.s), size)
	}
	if depth > maxInterpolation {
		return text{}, &wrong{at: raw.at(0), text: raw.s, msg: fmt.Sprintf("%%(…)s within %%(…)s more than %d deep (does it refer to itself?)", maxInterpolation)}
	}
	inner := s.withReferences(raw)
	var b textBuilder
	for i := 0; i < len(raw.s); {
		n := strings.IndexByte(raw.s[i:], '%')
		if n < 0 {
			n = len(raw.s) - i
		}
		if err := s.grow(raw, n, size); err != nil {
			return text{}, err
		}
		b.add(raw, i, i+n)
		i += n
		if i == len(raw.s) {
			break
		}
		if strings.HasPrefix(raw.s[i:], "%%") {
			b.add(raw, i, i+1)
			i += 2
			continue
		}
		name, end, err := reference(raw, i)
		if err != nil {
			return text{}, err
		}
		v, ok := inner.get(strings.ToLower(name))
		if !ok {
			return text{}, inner.missing(raw, i, name)
		}
		if v, err = inner.interpolate(v, depth+1, size); err != nil {
			return text{}, err
		}
		b.splice(raw, i, end, v)
		i = end
	}
	out := b.text()
	if len(out.marks) == 0 {
		out.marks = raw.marks[:min(1, len(raw.marks))]
	}
	return out, nil
}

// grow counts n more bytes and refuses them beyond maxText.
func (s *scope) grow(raw text, n int, size *int) error {
	if *size += n; *size > maxText {
		return &wrong{at: raw.at(0), text: raw.s, msg: fmt.Sprintf("too many %%(…)s, or more than %d bytes when they are filled in", maxText)}
	}
	return nil
}

// reference reads %(name)s at offset i of t and returns where it ends.
func reference(t text, i int) (name string, end int, err error) {
	rest := t.s[i:]
	if n := strings.IndexByte(rest, ')'); strings.HasPrefix(rest, "%(") && n > 2 && strings.HasPrefix(rest[n:], ")s") {
		return rest[2:n], i + n + 2, nil
	}
	w := &wrong{at: t.at(i), text: rest, msg: "after % comes (name)s or another %", hint: "write %% for a percent sign"}
	if strings.HasPrefix(rest, "%(") {
		w.msg, w.hint = "a reference is written %(name)s", ""
	}
	return "", 0, w
}

// missing is the error for a %(name)s that nobody defines.
func (s *scope) missing(raw text, i int, name string) error {
	w := &wrong{at: raw.at(i), text: "%(" + name + ")s", msg: "no option " + name + " in [" + s.section + "] or [DEFAULT]"}
	if slash := strings.IndexByte(name, '/'); slash > 0 && name != strings.ToLower(name) {
		w.msg = "a section with capital letters cannot be referred to by %(section/option)s"
		if strings.EqualFold(name[:slash], defaultSection) {
			w.hint = "write %(default" + name[slash:] + ")s"
		}
		return w
	}
	if opt, ok := strings.CutPrefix(name, "known/"); ok {
		w.msg = "neither the jail's filter nor an earlier file defines " + opt
		if strings.HasPrefix(s.section, "Definition") || s.section == "Init" {
			w.msg = "no earlier file defines " + opt + " in [" + s.section + "]"
		}
		return w
	}
	w.suggest = func() string { return didYouMean(name, slices.Concat(s.own.keys, s.parser.defaults.keys)) }
	return w
}

// withReferences returns the scope with the section/option names that raw
// mentions: from that section, from what known/ keeps, else from [DEFAULT].
// Names are kept as written and looked up in lower case, so that only a
// lower-case section can be referred to, as in fail2ban.
func (s *scope) withReferences(raw text) *scope {
	if !strings.Contains(raw.s, "/") || !strings.Contains(raw.s, "%(") {
		return s
	}
	inner := *s
	copied := false
	for sec, opt := range sectionReferences(raw.s) {
		name := sec + "/" + opt
		if _, ok := inner.get(name); ok {
			continue
		}
		v, ok := s.parser.referred(s.section, sec, opt)
		if !ok {
			continue
		}
		if !copied {
			extra := make(map[string]text, len(s.extra)+1)
			for k, t := range s.extra {
				extra[k] = t
			}
			inner.extra, copied = extra, true
		}
		inner.extra[name] = v
	}
	return &inner
}

// sectionReferences yields section and option of each %(section/option)s in s.
func sectionReferences(s string) iter.Seq2[string, string] {
	return func(yield func(sec, opt string) bool) {
		for {
			_, rest, ok := strings.Cut(s, "%(")
			if !ok {
				return
			}
			s = rest
			name, behind, _ := strings.Cut(s, ")")
			sec, opt, _ := strings.Cut(name, "/")
			if !isName(sec, "_-") || opt == "" || !strings.HasPrefix(behind, "s") {
				continue
			}
			if s = behind; !yield(sec, opt) {
				return
			}
		}
	}
}

// isName says whether s is a word of letters, digits and what is in others.
func isName(s, others string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) && !strings.ContainsRune(others, r) {
			return false
		}
	}
	return s != ""
}

// referred returns the raw value that %(sec/opt)s means within section from.
func (p *parser) referred(from, sec, opt string) (text, bool) {
	switch strings.ToLower(sec) {
	case "default":
	case "known":
		if known := p.lookup(knownPrefix + from); known != nil {
			if v, ok := known.get(opt); ok {
				return v, true
			}
		}
	default:
		other := p.lookup(sec)
		if other == nil {
			return text{}, false
		}
		if v, ok := other.get(opt); ok {
			return v, true
		}
	}
	return p.defaults.get(opt)
}

// splitReference takes a tag's section/option apart.
func splitReference(name string) (sec, opt string, ok bool) {
	sec, opt, _ = strings.Cut(name, "/")
	if !isName(sec, "_-") || opt == "" || strings.ContainsAny(opt, " \t\n\f\r>") {
		return "", "", false
	}
	return sec, opt, true
}
