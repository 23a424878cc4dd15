package matchers

import (
	"bytes"
	"math/bits"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// matchAll looks at every line of the batch.
func (s *Set) matchAll(dst []pipeline.Failure) []pipeline.Failure {
	data := s.batch.Data
	next := 0 // candidate
	for n, start := int64(0), 0; start < len(data); n++ {
		end := bytes.IndexByte(data[start:], '\n')
		if end += start + 1; end <= start {
			end = len(data) // no source does this; the line is not lost if one did
		}
		dst = s.matchLine(dst, s.line(start, end, n), s.prefilter.mask(start, &next))
		start = end
	}
	return dst
}

// matchCandidates looks at the lines that the prefilter found.
func (s *Set) matchCandidates(dst []pipeline.Failure) []pipeline.Failure {
	found, next := &s.prefilter.lines, 0
	for i := range found.Len() {
		start, end := found.Line(i)
		dst = s.matchBetween(dst, next, start)
		dst = s.matchLine(dst, s.line(start, end, s.lineAt(start)), found.Mask(i))
		next = end
	}
	return s.matchBetween(dst, next, len(s.batch.Data))
}

// lineAt returns the number in the batch, from 0, of the line that starts at a
// byte; calls go forward.
func (s *Set) lineAt(start int) int64 {
	s.done.lines += bytes.Count(s.batch.Data[s.done.bytes:start], newline)
	s.done.bytes = start
	return int64(s.done.lines)
}

var newline = []byte{'\n'}

// line is the n'th line of the batch, from 0, which stands in data[start:end].
func (s *Set) line(start, end int, n int64) *line {
	whole := s.batch.Data[start:end]
	s.at = line{raw: trimCR(bytes.TrimSuffix(whole, newline)), whole: whole, start: start, end: end, no: s.batch.First + n, live: s.batch.Live}
	if int(n) < len(s.batch.Stamps) {
		s.at.stamp, s.at.stamped = s.batch.Stamps[n], true
	}
	return &s.at
}

func trimCR(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '\r' {
		b = b[:len(b)-1]
	}
	return b
}

// A line is one line of a batch.
type line struct {
	raw     []byte // without its end
	whole   []byte // with it
	start   int    // in the batch
	end     int
	no      int64
	live    bool
	stamp   int64 // the entry's time
	stamped bool
}

// matchLine runs the filters over one line. mask says which rules it is a
// candidate for; nil: all.
func (s *Set) matchLine(dst []pipeline.Failure, l *line, mask []uint64) []pipeline.Failure {
	s.w.joined = s.w.joined[:0]
	for _, v := range s.views {
		v.ready = false
	}
	if mask == nil || s.joins() {
		for _, m := range s.jails {
			may := candidates{mask: mask, first: m.firstBit}
			if candidate := may.any(m.masks); candidate || m.state.buffer.waits {
				dst = s.matchMember(dst, m, l, may, candidate)
			}
		}
		return dst
	}
	// Most lines are candidates for a rule or two of hundreds.
	var last *member
	for i, word := range mask {
		for word != 0 {
			m := s.owners[64*i+bits.TrailingZeros64(word)]
			word &^= m.masks[i-m.firstBit/64]
			if m != last {
				last = m
				dst = s.matchMember(dst, m, l, candidates{mask: mask, first: m.firstBit}, true)
			}
		}
	}
	return dst
}

// matchMember runs the filter of a jail over one line.
func (s *Set) matchMember(dst []pipeline.Failure, m *member, l *line, may candidates, candidate bool) []pipeline.Failure {
	m.candidates++
	v := m.view
	if !v.ready {
		v.read(&s.w.machine, l, s.now, s.ascii)
	}
	measured := s.profiler.begin(&s.w, s.opts.All)
	if m.Filter.maxLines > 1 {
		dst = s.matchLines(dst, m, l, candidate)
	} else {
		dst = s.matchOne(dst, m, l, may)
	}
	if measured {
		s.profiler.end(&s.w)
	}
	return dst
}

// matchOne runs a jail's filter over one line.
func (s *Set) matchOne(dst []pipeline.Failure, m *member, l *line, may candidates) []pipeline.Failure {
	f, buf := m.Filter, m.view.buf
	early := f.ignoresEarly()
	if early && f.ignores(&s.w, buf) {
		m.counters.Ignored.Add(1)
		return dst
	}
	content, ok := f.prefilter(&s.w, buf)
	if !ok {
		return dst
	}
	for next := 0; ; {
		rule := f.match(&s.w, content, next, may)
		if rule < 0 {
			return dst
		}
		// The values point into content, which an ignoreregex leaves alone.
		if f.ignores(&s.w, content) {
			m.counters.Ignored.Add(1)
		} else if s.notes != nil {
			s.notes.note(s, m, l, rule)
		} else if s.chief != nil {
			dst = s.report(dst, m, l, rule)
		} else {
			dst = s.settle(dst, m, l, rule, 1)
		}
		if !s.opts.All {
			return dst
		}
		next = rule + 1
	}
}
