package matchers

import (
	"sync"

	"github.com/f2bpipe/f2bpipe/matchers/dates"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// bulkSize is the size of a batch from which on it is one of a big input.
const bulkSize = 64 << 10

// bulk is what a set needs to run its stateless half on several goroutines.
//
// A scout is a copy of the set that does not settle what matches but notes it,
// or where nothing runs beside it reports it to the set at once.
type bulk struct {
	mu     sync.Mutex // guards all
	scouts []*Set
	spare  []*found
	learning
}

// found is what a scout has noted of a batch.
type found struct {
	hits   []noted
	values [][]byte
	bytes  []byte
	ascii  bool // the batch is
}

// noted is a match that is not settled yet.
type noted struct {
	member, rule int
	line         line
	text         []byte // the line decoded
	date         dates.Found
	dated        bool
	first, n     int // its values
}

func (n *noted) foundDate() *dates.Found {
	if !n.dated {
		return nil
	}
	return &n.date
}

var _ pipeline.Splitter = (*Set)(nil)

// Bulk implements pipeline.Splitter. A set with a filter that joins lines looks
// at them one after the other.
func (s *Set) Bulk(b *pipeline.Batch) bool {
	return !b.Live && len(b.Data) >= bulkSize && s.opts.Trace == nil && len(s.joiners) == 0
}

// Scan implements pipeline.Splitter.
func (s *Set) Scan(worker int, b *pipeline.Batch) pipeline.Found {
	scout := s.scout(worker, b)
	scout.notes = s.newFound()
	scout.batch = b
	scout.matchBatch(nil)
	scout.countInvalid()
	out := scout.notes
	out.ascii = scout.ascii
	scout.notes, scout.batch = nil, nil
	return out
}

// MatchBulk implements pipeline.Splitter: what the scout finds is settled at
// once, without notes.
func (s *Set) MatchBulk(dst []pipeline.Failure, b *pipeline.Batch) []pipeline.Failure {
	s.begin(b)
	scout := s.scout(0, b)
	scout.chief, scout.batch = s, b
	dst = scout.matchBatch(dst)
	scout.countInvalid()
	scout.chief, scout.batch = nil, nil
	s.end()
	s.learn()
	return dst
}

// report settles a scout's match in the set that it scouts for.
func (s *Set) report(dst []pipeline.Failure, m *member, l *line, rule int) []pipeline.Failure {
	chief, seen := s.chief, m.view
	m = chief.jails[m.index]
	m.view.recall(l, seen.text, seen.foundDate(), sameArray(seen.text, l.raw), chief.now)
	// The values stay with the scout: they point into its memory.
	chief.w.values, s.w.values = s.w.values, chief.w.values
	dst = chief.settle(dst, m, l, rule, 1)
	chief.w.values, s.w.values = s.w.values, chief.w.values
	return dst
}

// newFound returns empty notes in memory that was used before.
func (s *Set) newFound() *found {
	s.bulk.mu.Lock()
	defer s.bulk.mu.Unlock()
	n := len(s.bulk.spare)
	if n == 0 {
		return &found{}
	}
	f := s.bulk.spare[n-1]
	s.bulk.spare = s.bulk.spare[:n-1]
	*f = found{hits: f.hits[:0], values: f.values[:0], bytes: f.bytes[:0]}
	return f
}

// note keeps a match for Settle: values may stand in memory that the next line
// will use.
func (f *found) note(s *Set, m *member, l *line, rule int) {
	v := m.view
	h := noted{
		member: m.index, rule: rule, line: *l, text: l.raw, date: v.found, dated: v.dated,
		first: len(f.values), n: len(s.w.values),
	}
	if !sameArray(v.text, l.raw) {
		h.text = f.keep(v.text)
	}
	if !s.w.made && v.inBatch {
		f.values = append(f.values, s.w.values...)
	} else {
		for _, value := range s.w.values {
			if value != nil {
				value = f.keep(value)
			}
			f.values = append(f.values, value)
		}
	}
	f.hits = append(f.hits, h)
}

// keep copies a text.
func (f *found) keep(text []byte) []byte {
	start := len(f.bytes)
	f.bytes = append(f.bytes, text...)
	return f.bytes[start:len(f.bytes):len(f.bytes)]
}

// Settle implements pipeline.Splitter.
func (s *Set) Settle(dst []pipeline.Failure, b *pipeline.Batch, notes pipeline.Found) []pipeline.Failure {
	f := notes.(*found)
	s.begin(b)
	s.ascii = f.ascii
	for i := range f.hits {
		h := &f.hits[i]
		m := s.jails[h.member]
		s.at = h.line
		m.view.recall(&s.at, h.text, h.foundDate(), true, s.now)
		s.w.values = append(s.w.values[:0], f.values[h.first:h.first+h.n]...)
		dst = s.settle(dst, m, &s.at, h.rule, 1)
	}
	s.end()
	s.learn()
	s.bulk.mu.Lock()
	s.bulk.spare = append(s.bulk.spare, f)
	s.bulk.mu.Unlock()
	return dst
}
