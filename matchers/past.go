package matchers

import (
	"bytes"

	"github.com/f2bpipe/f2bpipe/matchers/literal"
)

// pastBytes is how far before a batch a last date is looked for: some hundred lines.
const pastBytes = 64 << 10

// past is the end of what an input has had before the batch at hand, whole lines
// of it. A line without a date has that of the last one before it; the lines that
// are no candidates are looked at for it only then.
type past struct {
	data []byte
	end  int64 // its place in the input
}

// add appends a batch.
func (p *past) add(data []byte) {
	p.end += int64(len(data))
	last := lastLines(data)
	switch {
	case len(last) < len(data):
		p.data = p.data[:0]
	case len(p.data)+len(data) > 2*pastBytes:
		p.data = p.data[:copy(p.data, lastLines(p.data))]
	}
	p.data = append(p.data, last...)
}

// lastLines returns the last whole lines of data, pastBytes at most.
func lastLines(data []byte) []byte {
	if len(data) <= pastBytes {
		return data
	}
	data = data[len(data)-pastBytes:]
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return data[i+1:]
	}
	return nil
}

// lookBack makes a view's last date that of the last line with one before a place
// of the batch, or of what was before it where there is no batch.
func (s *Set) lookBack(v *view, end int) {
	m, begin := &s.w.machine, s.past.end
	if s.batch != nil && v.lookBack(m, s.batch.Data[:end], begin+int64(end), s.now, s.ascii) {
		return
	}
	v.lookBack(m, s.past.data, begin, s.now, false)
	v.seen = max(v.seen, begin+int64(end))
}

// noteNewest keeps the date of the batch's last line, for Lag: by the first view
// that finds one, else the newest date that is known.
func (s *Set) noteNewest() {
	if n := len(s.batch.Stamps); n > 0 {
		s.newest.Store(s.batch.Stamps[n-1])
		return
	}
	data := s.batch.Data
	if len(data) == 0 {
		return
	}
	start := literal.LastNewline(data, len(data)-1) + 1
	end := s.past.end + int64(len(data))
	for _, v := range s.views {
		if v.lookBack(&s.w.machine, data[start:], end, s.now, s.ascii) || v.seen > end-int64(len(data)-start) {
			s.newest.Store(v.lastAt)
			return
		}
	}
	for _, v := range s.views {
		if v.hasLast && v.lastAt > s.newest.Load() {
			s.newest.Store(v.lastAt)
		}
	}
}
