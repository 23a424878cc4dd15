package matchers

import (
	"bytes"
	"slices"
	"strings"

	"github.com/f2bpipe/f2bpipe/matchers/literal"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// A tuple is a line of a jail with maxlines > 1, kept until it has matched or
// newer ones have taken its place.
type tuple struct {
	text      string // without its date
	full      string
	no        int64
	candidate bool // a rule may need it
	uncut     bool // full is the line as it was read, text is not known yet
}

// A lineBuffer is the last lines of a jail with maxlines > 1. No rule can match
// them unless one is a candidate: only then are they searched.
type lineBuffer struct {
	lines   []tuple
	waits   bool             // one of them is a candidate
	scanner *literal.Scanner // that said which are; nil: all
}

// add appends lines and drops the oldest of more than most.
func (b *lineBuffer) add(most int, lines ...tuple) {
	b.lines = append(b.lines, lines...)
	if n := len(b.lines) - most; n > 0 {
		b.lines = append(b.lines[:0], b.lines[n:]...)
	}
	b.judge()
}

// cut takes the dates out of lines that were kept for the case that they are
// needed: most never are.
func (b *lineBuffer) cut(m *regex.Machine, v *view) {
	for i := range b.lines {
		if t := &b.lines[i]; t.uncut {
			t.text, t.full = v.cutOut(m, t.full)
			t.uncut = false
		}
	}
}

// set puts other lines in the place of all.
func (b *lineBuffer) set(lines []tuple) {
	b.lines = lines
	b.judge()
}

func (b *lineBuffer) judge() {
	b.waits = slices.ContainsFunc(b.lines, func(t tuple) bool { return t.candidate })
}

// judgedBy says that from now on another scanner finds the candidates. It may
// look for other texts of a rule: each line counts as one from before.
func (b *lineBuffer) judgedBy(s *literal.Scanner) {
	if b.scanner == s {
		return
	}
	b.scanner = s
	for i := range b.lines {
		b.lines[i].candidate = true
	}
	b.judge()
}

// matchBetween looks at the lines from one place of the batch to another, which
// are no candidates, as long as a jail has one that waits for what comes.
func (s *Set) matchBetween(dst []pipeline.Failure, at, end int) []pipeline.Failure {
	for at < end && s.joins() {
		next := end
		if i := bytes.IndexByte(s.batch.Data[at:end], '\n'); i >= 0 {
			next = at + i + 1
		}
		dst = s.matchLine(dst, s.line(at, next, s.lineAt(at)), s.none)
		at = next
	}
	return dst
}

// joins says whether a jail has a line that waits for those that come.
func (s *Set) joins() bool {
	return slices.ContainsFunc(s.joiners, func(m *member) bool { return m.state.buffer.waits })
}

// take gives a jail's buffer those of the lines before end that it has not had:
// no more than it has room for.
func (s *Set) take(m *member, end int) {
	data, v := s.batch.Data, m.view
	at, n := end, 0
	for ; at > m.taken && n < m.Filter.maxLines; n++ {
		at = max(m.taken, literal.LastNewline(data, at-1)+1)
	}
	m.taken = end
	if n == 0 {
		return
	}
	no := s.lineAt(end)
	if data[end-1] != '\n' {
		no++ // no source does this
	}
	lines := make([]tuple, 0, n)
	for no -= int64(n); at < end; no++ {
		next := end
		if i := bytes.IndexByte(data[at:end], '\n'); i >= 0 {
			next = at + i + 1
		}
		t := tuple{full: string(trimCR(bytes.TrimSuffix(data[at:next], newline))), no: s.batch.First + no, uncut: true}
		if no < int64(len(s.batch.Stamps)) { // there is no date in it
			t.full = string(v.decode(&v.back, []byte(t.full), s.ascii))
			t.text, t.uncut = t.full, false
		}
		lines = append(lines, t)
		at = next
	}
	m.state.buffer.add(m.Filter.maxLines, lines...)
}

// matchLines runs the filter of a jail whose failregexes span several lines
// over the line and those kept before it. Lines that matched leave the buffer;
// those that <SKIPLINES> passed over go back to it.
func (s *Set) matchLines(dst []pipeline.Failure, m *member, l *line, candidate bool) []pipeline.Failure {
	f, v, kept := m.Filter, m.view, &m.state.buffer
	s.take(m, l.start)
	m.taken = l.end
	kept.add(f.maxLines, tuple{text: string(v.pre) + string(v.post), full: string(v.text), no: l.no, candidate: candidate})
	if !kept.waits {
		return dst
	}
	kept.cut(&s.w.machine, v)
	lines := slices.Clone(kept.lines)
	buf := joinTuples(lines)
	if f.ignoresEarly() && f.ignores(&s.w, buf) {
		m.counters.Ignored.Add(1)
		return dst
	}
	content, ok := f.prefilter(&s.w, buf)
	if !ok {
		return dst
	}
	if len(content) != len(buf) {
		kept.set([]tuple{{text: string(content[:len(content)-1]), no: l.no, candidate: true}})
	}
	for i, r := range f.fail {
		caps, ok := s.w.search(r.re, content)
		if !ok {
			continue
		}
		s.w.values = append(s.w.values[:0], s.w.pre...)
		s.w.collect(r, content, caps, s.w.values)
		matched, rest := splitTuples(lines, content, int(caps[0]), int(caps[1]), skipped(r, content, caps))
		ignored := f.ignores(&s.w, joinTuples(matched))
		kept.set(rest)
		if ignored {
			m.counters.Ignored.Add(1)
		} else {
			if s.opts.Trace != nil {
				s.opts.Trace.lines = fullLines(matched)
			}
			dst = s.settle(dst, m, l, i, len(matched))
		}
		if !s.opts.All {
			break
		}
		content = joinTuples(kept.lines)
	}
	return dst
}

func joinTuples(lines []tuple) []byte {
	var b []byte
	for i, t := range lines {
		if i > 0 {
			b = append(b, '\n')
		}
		b = append(b, t.text...)
	}
	return append(b, '\n')
}

// skipped returns the lines that <SKIPLINES> passed over.
func skipped(r *rule, buf []byte, caps []int32) []string {
	var text strings.Builder
	for _, g := range r.skips {
		if from := caps[2*g]; from >= 0 {
			text.Write(buf[from:caps[2*g+1]])
		}
	}
	return splitLines(text.String())
}

// splitLines splits a text as Python's str.splitlines does.
func splitLines(s string) []string {
	var out []string
	for len(s) > 0 {
		i := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if i < 0 {
			return append(out, s)
		}
		out = append(out, s[:i])
		switch {
		case strings.HasPrefix(s[i:], "\r\n"):
			i += 2
		case s[i] == 0xc2:
			i += 2
		case s[i] == 0xe2:
			i += 3
		default:
			i++
		}
		s = s[i:]
	}
	return out
}

// splitTuples divides lines into those that the match [start, end) of buf
// spans and the rest: lines before it, skipped ones, lines after it.
func splitTuples(lines []tuple, buf []byte, start, end int, skip []string) (matched, rest []tuple) {
	if len(lines) <= 1 {
		return lines, nil
	}
	// The line of the match begins behind the last newline up to and with the
	// first byte of the match, and ends with the first newline from its last byte on.
	first := bytes.LastIndexByte(buf[:min(start+1, len(buf))], '\n') + 1
	last := len(buf)
	if i := bytes.IndexByte(buf[max(end-1, 0):], '\n'); i >= 0 {
		last = max(end-1, 0) + i + 1
	}
	from := min(bytes.Count(buf[:first], []byte("\n")), len(lines))
	to := min(max(bytes.Count(buf[:last], []byte("\n")), from), len(lines))
	matched = append(matched, lines[from:to]...)
	rest = append(rest, lines[:from]...)
	n := 0
	for _, text := range skip {
		for i := n; i < len(matched); i++ {
			if matched[i].text == text {
				rest = append(rest, matched[i])
				matched = append(matched[:i], matched[i+1:]...)
				n = i
				break
			}
		}
	}
	return matched, append(rest, lines[to:]...)
}

// fullLines returns the texts of lines, dates and all.
func fullLines(lines []tuple) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.full
	}
	return out
}
