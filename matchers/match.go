package matchers

import (
	"log/slog"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// A worker is the scratch memory of the stateless half: one a goroutine,
// shared by all filters that run on it.
type worker struct {
	machine regex.Machine
	content []byte   // the text of <F-CONTENT>, where it could not be used in place
	pre     [][]byte // fields that prefregex captured
	values  [][]byte // fields of the match: slices of the buffers that were searched
	joined  []byte   // values made of several groups; reset by the line
	made    bool     // fields of the match may stand in content or joined
	trace   *Trace   // nil: nobody watches
	gaveUp  *gaveUp  // nil: nobody is told
}

// gaveUp tells, once for each regular expression of a set, that a search was
// given up as too complex: what the line held is not known.
type gaveUp struct {
	log  *slog.Logger
	mu   sync.Mutex
	told map[*regex.Regexp]bool
}

func (g *gaveUp) tell(re *regex.Regexp, buf []byte) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.told[re] {
		return
	}
	g.told[re] = true
	g.log.Warn("a search was given up as too complex and counts as no match; further ones are only counted",
		"regex", re.String(), "bytes", len(buf), "line", string(buf[:min(len(buf), 200)]))
}

// fields returns a cleared slice of n values in s's memory.
func fields(s [][]byte, n int) [][]byte {
	if cap(s) < n {
		s = make([][]byte, n, n+8)
	}
	s = s[:n]
	clear(s)
	return s
}

// search runs a regular expression over buf; caps are valid until the machine's next use.
func (w *worker) search(re *regex.Regexp, buf []byte) (caps []int32, ok bool) {
	if w.trace != nil {
		return w.trace.search(w, re, buf)
	}
	caps, result := re.Search(&w.machine, buf, 0)
	if result == regex.TooComplex {
		w.gaveUp.tell(re, buf)
	}
	return caps, result == regex.Match
}

// collect writes what the rule's groups captured in buf over values. A group
// that took no part leaves its field as prefregex had it.
func (w *worker) collect(r *rule, buf []byte, caps []int32, values [][]byte) {
	for _, g := range r.groups {
		if from := caps[2*g.group]; from >= 0 {
			to := caps[2*g.group+1]
			values[g.field] = buf[from:to:to]
		}
	}
	for i, m := range r.alts {
		if len(values[m.from]) > 0 && !r.filled(i, values) {
			values[m.to] = values[m.from]
		}
	}
	for i, m := range r.tuples {
		w.appendTuple(r, i, m, values)
	}
}

// filled says whether the target of the i'th alternate has a text of this very
// rule: what prefregex found does not count.
func (r *rule) filled(i int, values [][]byte) bool {
	m := r.alts[i]
	if m.own && len(values[m.to]) > 0 {
		return true
	}
	for _, before := range r.alts[:i] {
		if before.to == m.to && len(values[before.from]) > 0 {
			return true
		}
	}
	return false
}

// appendTuple adds a part to a field that is a tuple of parts. Its text is the
// one that fail2ban keys such failures by: Python's, ('192.0.2.1', 'joe').
func (w *worker) appendTuple(r *rule, i int, m merge, values [][]byte) {
	w.made = true
	start := len(w.joined)
	if i > 0 && r.tuples[i-1].to == m.to {
		tuple := values[m.to]
		w.joined = append(w.joined, tuple[:len(tuple)-1]...)
	} else {
		var first []byte
		if m.own {
			first = values[m.to]
		}
		w.joined = appendRepr(append(w.joined, '('), first)
	}
	w.joined = appendRepr(append(w.joined, ", "...), values[m.from])
	w.joined = append(w.joined, ')')
	values[m.to] = w.joined[start:len(w.joined):len(w.joined)]
}

// appendRepr appends the text as Python's repr shows it, None where it is unset.
func appendRepr(dst, s []byte) []byte {
	if s == nil {
		return append(dst, "None"...)
	}
	quote := byte('\'')
	for _, c := range s {
		if c == '\'' {
			quote = '"'
		} else if c == '"' {
			quote = '\''
			break
		}
	}
	dst = append(dst, quote)
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		dst = appendReprRune(dst, r, quote)
		s = s[n:]
	}
	return append(dst, quote)
}

func appendReprRune(dst []byte, r rune, quote byte) []byte {
	const hex = "0123456789abcdef"
	switch {
	case r == '\\' || r == rune(quote):
		return append(dst, '\\', byte(r))
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\r':
		return append(dst, `\r`...)
	case r == '\t':
		return append(dst, `\t`...)
	case unicode.IsPrint(r):
		return utf8.AppendRune(dst, r)
	case r < 0x100:
		return append(dst, '\\', 'x', hex[r>>4], hex[r&15])
	case r < 0x10000:
		return append(dst, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
	}
	dst = append(dst, '\\', 'U')
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hex[r>>shift&15])
	}
	return dst
}

// prefilter runs prefregex, if there is one, over buf: it returns what the
// failregexes are to search, and false where the line is none of this filter's.
// What it captured is in w.pre.
func (f *Filter) prefilter(w *worker, buf []byte) ([]byte, bool) {
	w.made = false
	if f.pref == nil {
		w.pre = fields(w.pre, len(f.fields))
		return buf, true
	}
	caps, ok := w.search(f.pref.re, buf)
	if !ok {
		return nil, false
	}
	w.pre = fields(w.pre, len(f.fields))
	w.collect(f.pref, buf, caps, w.pre)
	content := w.pre[fieldContent]
	w.pre[fieldContent] = nil
	if len(content) == 0 {
		return buf, true
	}
	// The content is searched with a newline after it. Mostly it is the rest of
	// the line, and the newline stands there already.
	if g := f.pref.content; int(caps[2*g+1]) == len(buf)-1 {
		return buf[caps[2*g]:], true
	}
	w.content = append(append(w.content[:0], content...), '\n')
	w.made = true
	return w.content, true
}

// match looks for the first failregex from index first on, and among those that
// may is for, that matches buf, which ends in a newline. It returns the rule's
// index, -1 for none; the fields are in w.values and live as long as buf and
// until the worker's next use.
func (f *Filter) match(w *worker, buf []byte, first int, may candidates) int {
	for i := first; i < len(f.fail); i++ {
		if !may.has(i) {
			continue
		}
		if caps, ok := w.search(f.fail[i].re, buf); ok {
			w.values = append(w.values[:0], w.pre...)
			w.collect(f.fail[i], buf, caps, w.values)
			return i
		}
	}
	return -1
}

// ignoresEarly says whether ignoreregex is tried before everything else:
// fail2ban does so where there are clearly fewer of them than of failregexes.
func (f *Filter) ignoresEarly() bool { return len(f.ignore) > 0 && len(f.ignore) < len(f.fail)-2 }

// ignores says whether an ignoreregex matches buf.
func (f *Filter) ignores(w *worker, buf []byte) bool {
	if w.trace != nil {
		return w.trace.ignores(w, f, buf)
	}
	for _, re := range f.ignore {
		if _, ok := w.search(re, buf); ok {
			return true
		}
	}
	return false
}
