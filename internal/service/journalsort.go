package service

import (
	"bytes"
	"slices"
	"sync/atomic"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// sorted is the matcher of a journal: it gives each group its lines.
type sorted struct {
	groups []*group // by their bit in Batch.Masks
	parts  []part
	newest atomic.Int64 // the time of the last entry, nanoseconds
}

// part is a group's lines of one batch.
type part struct {
	batch pipeline.Batch
	lines []int64 // their numbers in the journal's input
}

var _ pipeline.Matcher = (*sorted)(nil)

func newSorted(groups []*group) *sorted {
	return &sorted{groups: groups, parts: make([]part, len(groups))}
}

// Match implements pipeline.Matcher.
func (m *sorted) Match(dst []pipeline.Failure, b *pipeline.Batch) []pipeline.Failure {
	if n := len(b.Stamps); n > 0 {
		m.newest.Store(b.Stamps[n-1])
	}
	first := len(dst)
	for i, g := range m.groups {
		p := &m.parts[i]
		p.take(b, uint64(1)<<i)
		if p.batch.Lines == 0 {
			continue
		}
		p.batch.Input = g.Input
		p.batch.First = g.Lines.Add(int64(p.batch.Lines)) - int64(p.batch.Lines) + 1
		own := len(dst)
		dst = g.current().Match(dst, &p.batch)
		for k := range dst[own:] {
			f := &dst[own+k]
			f.Line = p.lines[f.Line-p.batch.First]
		}
	}
	if len(m.groups) > 1 {
		slices.SortStableFunc(dst[first:], func(a, b pipeline.Failure) int { return int(a.Line - b.Line) })
	}
	return dst
}

// take copies the lines of the batch that have the bit.
func (p *part) take(b *pipeline.Batch, bit uint64) {
	p.batch.Reset()
	p.batch.Live, p.lines = b.Live, p.lines[:0]
	for n, data := 0, b.Data; len(data) > 0; n++ {
		end := bytes.IndexByte(data, '\n') + 1
		if len(b.Masks) == 0 || b.Masks[n]&bit != 0 {
			p.batch.Data = append(p.batch.Data, data[:end]...)
			p.batch.Stamps = append(p.batch.Stamps, b.Stamps[n])
			p.batch.Lines++
			p.lines = append(p.lines, b.First+int64(n))
		}
		data = data[end:]
	}
}

// Memory implements pipeline.Rememberer: what the groups remember, all of it
// where one of them gives all.
func (m *sorted) Memory(dst []pipeline.Memory, all bool) ([]pipeline.Memory, bool) {
	parts, whole := make([][]pipeline.Memory, len(m.groups)), make([]bool, len(m.groups))
	for i, g := range m.groups {
		parts[i], whole[i] = g.current().Memory(nil, all)
		all = all || whole[i]
	}
	for i, g := range m.groups {
		if all && !whole[i] {
			parts[i], _ = g.current().Memory(nil, true)
		}
		dst = append(dst, parts[i]...)
	}
	return dst, all
}

var _ pipeline.Rememberer = (*sorted)(nil)
