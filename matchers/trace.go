package matchers

import (
	"slices"
	"time"

	"github.com/f2bpipe/f2bpipe/matchers/dates"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// Trace watches a set of one jail at work, for people who try a filter on a
// log. It belongs to one set, which must be Exhaustive. The zero value measures
// regular expressions; with Report it also tells what became of every match.
type Trace struct {
	// Report keeps Matches. Matches that are no failure are then returned by
	// Set.Match too: those of <F-NOFAIL>, where all failregexes are tried or the
	// line has no session.
	Report bool
	// Pending returns, with Report, failures that wait for an address too; their
	// ID is zero.
	Pending bool

	Matches []Match      // of the last batch, in order
	Ignored bool         // an ignoreregex matched in the last batch
	Groups  []MatchField // with Report: what prefregex captured when it matched last

	filter  *Filter
	timings map[*regex.Regexp]*Timing
	all     bool
	lines   []string // of the match of several lines that is being settled
}

// Timing is how one regular expression did. Took is wall-clock time and holds
// the measuring itself, some 50 ns a try.
type Timing struct {
	Tries, Hits int64
	Took        time.Duration
	Last        bool // whether the last try was a hit
}

// Match is a failregex that matched, and was not ignored. It is valid for good.
type Match struct {
	Regex  int          // index in failregex
	First  int          // index, in what Set.Match returned, of its first failure; it may have none
	NoFail bool         // <F-NOFAIL> was captured and holds: it is no failure
	Fields []MatchField // what was captured, here and in the session, in fail2ban's order
	Users  []string     // those of the session, sorted
	Lines  []string     // the lines that it is made of, those of its session first
	Form   dates.Form   // of its time
}

// MatchField is a group of a match, by its name in lower case.
type MatchField struct {
	Name  string
	Value string
	Unset bool // the group took no part: Python's None
	Tuple bool // Value is the text of a tuple in Python: ('a', 'b')
}

// Timing returns how a regular expression of the filter did. An <F-CONTENT>
// that was not there is no try.
func (t *Trace) Timing(re *regex.Regexp) Timing {
	if found := t.timings[re]; found != nil {
		return *found
	}
	return Timing{}
}

// DateHits returns the date templates in the order in which they are tried
// now, with their hits.
func (s *Set) DateHits() []dates.Hit { return s.views[0].order.Hits() }

// LineText returns the line that was matched last, decoded. It is valid until
// the next one.
func (s *Set) LineText() []byte { return s.views[0].text }

// UndatedText returns what LineText does, without its date.
func (s *Set) UndatedText() string { return string(s.views[0].pre) + string(s.views[0].post) }

// A BufferedLine is a line that waits for others.
type BufferedLine struct {
	Text    string
	Undated string // Text without its date
}

// Buffered returns the lines that wait for those that a failregex of several
// lines needs beside them.
func (s *Set) Buffered() []BufferedLine {
	var out []BufferedLine
	for _, l := range s.jails[0].state.buffer.lines {
		if l.full == "" {
			l.full = l.text
		}
		out = append(out, BufferedLine{Text: l.full, Undated: l.text})
	}
	return out
}

// watch makes the trace that of the set.
func (t *Trace) watch(s *Set) {
	t.filter, t.all, t.timings = s.jails[0].Filter, s.opts.All, map[*regex.Regexp]*Timing{}
	s.w.trace = t
}

// begin forgets the batch before.
func (t *Trace) begin() {
	if t != nil {
		t.Matches, t.Ignored = nil, false
	}
}

// reportsQuiet says whether matches that are no failure are reported; all, where
// only those are for which every failregex is tried.
func (t *Trace) reportsQuiet(all bool) bool { return t != nil && t.Report && all }

func (t *Trace) reportsPending() bool { return t != nil && t.Report && t.Pending }

// search is worker.search, measured.
func (t *Trace) search(w *worker, re *regex.Regexp, buf []byte) ([]int32, bool) {
	timing := t.timings[re]
	if timing == nil {
		timing = &Timing{}
		t.timings[re] = timing
	}
	start := time.Now()
	caps, result := re.Search(&w.machine, buf, 0)
	timing.Took += time.Since(start)
	timing.Tries++
	timing.Last = result == regex.Match
	if result == regex.TooComplex {
		w.gaveUp.tell(re, buf)
	}
	if !timing.Last {
		return caps, false
	}
	timing.Hits++
	if t.Report && t.filter.pref != nil && re == t.filter.pref.re {
		values := fields(nil, len(t.filter.fields))
		w.collect(t.filter.pref, buf, caps, values)
		t.Groups = t.named(keysOf(nil, t.filter.pref, values), values)
	}
	return caps, true
}

// ignores is Filter.ignores. Where all failregexes are tried, so are all ignoreregexes.
func (t *Trace) ignores(w *worker, f *Filter, buf []byte) bool {
	found := false
	for _, re := range f.ignore {
		if _, ok := t.search(w, re, buf); ok {
			found, t.Ignored = true, true
			if !t.all {
				break
			}
		}
	}
	return found
}

// A trail is what a trace knows of a session.
type trail struct {
	keys    []int    // fields, in the order of fail2ban's dictionary
	matches []string // lines of its failure
	quiet   []string // lines that were no failure, and wait for one
	bytes   int      // of the lines
}

// usersKey stands among the keys for the users of a session.
const usersKey = -1

// note keeps a match that is being settled: what it captured, its session's
// part merged in, is in s.w.values. first is the number of failures before it.
func (t *Trace) note(s *Set, form dates.Form, rule int, sess *session, nofail bool, first int) {
	if t == nil || !t.Report {
		return
	}
	lines := t.lines
	if lines == nil {
		lines = []string{string(s.LineText())}
	}
	values, f := s.w.values, t.filter
	var keys []int
	if f.pref != nil {
		keys = keysOf(keys, f.pref, values)
		keys = slices.DeleteFunc(keys, func(k int) bool { return k == fieldContent })
	}
	keys = keysOf(keys, f.fail[rule], values)
	match := Match{Regex: rule, First: first, NoFail: len(values[fieldNofail]) > 0, Form: form}
	if values[fieldMLFID] != nil {
		keys = slices.DeleteFunc(keys, func(k int) bool { return k == fieldForget })
		keys, lines = t.follow(sess, nofail, values, keys, lines)
	}
	if sess != nil {
		for user := range sess.users {
			match.Users = append(match.Users, user)
		}
		slices.Sort(match.Users)
	}
	match.Fields, match.Lines = t.named(keys, values), lines
	t.Matches = append(t.Matches, match)
}

// follow merges a match into the trail of its session, nil where the line ended
// one that was not open, as sessions.merge does with the values.
func (t *Trace) follow(sess *session, nofail bool, values [][]byte, keys []int, lines []string) (allKeys []int, allLines []string) {
	if nofailKey := len(values[fieldNofail]) > 0 && !slices.Contains(keys, fieldNofail); nofailKey {
		keys = append(keys, fieldNofail)
	}
	if sess == nil {
		return keys, lines
	}
	user := len(sess.users) > 0
	tr := sess.trail
	if tr == nil {
		tr = &trail{}
		sess.trail = tr
		if user {
			keys = append(keys, usersKey)
		}
		tr.keys = keys
	} else {
		tr.keys = slices.DeleteFunc(tr.keys, func(k int) bool { return k == fieldNofail || k == fieldGained })
		if user && !slices.Contains(tr.keys, usersKey) {
			tr.keys = append(tr.keys, usersKey)
		}
		for _, k := range keys {
			if values[k] != nil && !slices.Contains(tr.keys, k) {
				tr.keys = append(tr.keys, k)
			}
		}
	}
	switch {
	case !nofail:
		// The session counts its lines: fewer than are kept were handed out before.
		if sess.lines == len(tr.quiet)+len(lines) {
			tr.matches = nil
		}
		tr.matches = slices.Concat(tr.quiet, tr.matches, lines)
		tr.quiet = nil
	default:
		if sess.lines == 0 {
			tr.matches = nil
		}
		tr.quiet = append(tr.quiet, lines...)
	}
	tr.bytes = 0
	for _, text := range slices.Concat(tr.matches, tr.quiet) {
		tr.bytes += 16 + len(text)
	}
	return slices.Clone(tr.keys), slices.Clone(tr.matches)
}

// size is what a trail adds to the size of its session.
func (tr *trail) size() int {
	if tr == nil {
		return 0
	}
	return tr.bytes
}

// keysOf appends the fields that the rule's groups make, in fail2ban's order:
// as they stand in the pattern, then those that alternates filled, then tuples.
func keysOf(keys []int, r *rule, values [][]byte) []int {
	add := func(field int) {
		if !slices.Contains(keys, field) {
			keys = append(keys, field)
		}
	}
	for _, g := range r.groups {
		add(g.field)
	}
	for _, a := range r.alts {
		if len(values[a.to]) > 0 {
			add(a.to)
		}
	}
	for _, a := range r.tuples {
		add(a.to)
	}
	return keys
}

// named returns the values of keys with their names.
func (t *Trace) named(keys []int, values [][]byte) []MatchField {
	out := make([]MatchField, 0, len(keys))
	for _, k := range keys {
		if k == usersKey {
			out = append(out, MatchField{Name: "users"})
			continue
		}
		tuple := slices.ContainsFunc(t.filter.fail, func(r *rule) bool {
			return slices.ContainsFunc(r.tuples, func(m merge) bool { return m.to == k })
		})
		out = append(out, MatchField{Name: t.filter.fields[k], Value: string(values[k]), Unset: values[k] == nil, Tuple: tuple && values[k] != nil})
	}
	return out
}
