package matchers

import (
	"bytes"
	"strings"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// A tuple is a line of a jail with maxlines > 1, kept until it has matched or
// newer ones have taken its place.
type tuple struct {
	text string // without its date
	full string
	no   int64
}

// matchLines runs the filter of a jail whose failregexes span several lines
// over the line and those kept before it. Lines that matched leave the buffer;
// those that <SKIPLINES> passed over go back to it.
func (s *Set) matchLines(dst []pipeline.Failure, m *member, l *line) []pipeline.Failure {
	f, v, st := m.Filter, m.view, m.state
	st.buffer = append(st.buffer, tuple{string(v.pre) + string(v.post), string(v.text), l.no})
	if n := len(st.buffer) - f.maxLines; n > 0 {
		st.buffer = append(st.buffer[:0], st.buffer[n:]...)
	}
	lines := append([]tuple(nil), st.buffer...)
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
		st.buffer = []tuple{{text: string(content[:len(content)-1]), no: l.no}}
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
		st.buffer = rest
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
		content = joinTuples(st.buffer)
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
