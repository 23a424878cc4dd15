package regex

import "math/bits"

// byteSet is a set of next bytes and the end of the text (256).
type byteSet [5]uint64

func (s *byteSet) add(b int)      { s[b>>6] |= 1 << (b & 63) }
func (s *byteSet) has(b int) bool { return s[b>>6]>>(b&63)&1 != 0 }

func (s *byteSet) union(o *byteSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *byteSet) intersect(o *byteSet) {
	for i := range s {
		s[i] &= o[i]
	}
}

// full has everything.
var full = byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), 1}

// addEdges adds the bytes of which o has no more than of the one before, or less.
func (s *byteSet) addEdges(o *byteSet) {
	before := uint64(0)
	for i, w := range o {
		s[i] |= w ^ (w<<1 | before)
		before = w >> 63
	}
}

// next returns the first byte from b on that s has, or one beyond the end.
func (s *byteSet) next(b int) int {
	for i := b >> 6; i < len(s); i++ {
		if w := s[i] >> (b & 63) << (b & 63); w != 0 {
			return i<<6 + bits.TrailingZeros64(w)
		}
		b = (i + 1) << 6
	}
	return end + 1
}

// edges returns the bytes that are not like the one before to every instruction:
// tables over the next byte change there alone.
func edges(p *program, first []byteSet) (s byteSet) {
	s.add(0)
	s.add(end)
	for pc := range p.insts {
		s.addEdges(&first[pc])
		if set := p.insts[pc].set; set != nil {
			s.addEdges(&set.bytes)
		}
	}
	return s
}

// firsts returns, by instruction, the next bytes with which it can lead to a
// match (a superset, exact for what the patterns of logs are made of): the
// least fixpoint over the graph.
//
// strict leaves out what only an opSpaceEnd starts with.
func firsts(p *program, strict bool) []byteSet {
	out := make([]byteSet, len(p.insts))
	own := make([]byteSet, len(p.insts))
	for pc := range p.insts {
		if i := &p.insts[pc]; i.set != nil {
			own[pc] = i.set.bytes
			if i.op == opSpaceEnd {
				own[pc].add(end)
			}
			if i.op == opSpaceEnd && strict {
				own[pc] = byteSet{}
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for pc := range p.insts {
			s := firstOf(p, pc, out, own)
			if s != out[pc] {
				out[pc] = s
				changed = true
			}
		}
	}
	return out
}

// firstOf reckons one instruction from the others.
func firstOf(p *program, pc int, out, own []byteSet) (s byteSet) {
	i := &p.insts[pc]
	switch i.op {
	case opFail:
	case opMatch, opBackref:
		return full
	case opLit, opByte:
		s.add(int(i.lit[0]))
	case opClass, opSpaceEnd:
		return own[pc]
	case opAlt:
		for _, a := range p.branches[i.min] {
			s.union(&out[a])
		}
	case opLoop, opLoopKeep, opLoopUntil:
		s = own[pc]
		if i.min == 0 {
			s.union(&out[i.next])
		}
	case opProgress, opCond:
		s = out[i.next]
		s.union(&out[i.y])
	case opAtomic:
		s = out[i.x]
		s.union(&out[i.y])
	case opAssert:
		s = out[i.next]
		switch Assert(i.x) {
		case EndText:
			s.intersect(&byteSet{4: 1})
		case EndBeforeLine, EndLine:
			s.intersect(&byteSet{0: 1 << '\n', 4: 1})
		}
	default: // opSave, opClear, opLook, opLookSet, opLookLit
		s = out[i.next]
		firstOfLook(i, pc, out, own, &s)
	}
	return s
}

// firstOfLook takes from s what a lookahead refuses.
func firstOfLook(i *inst, pc int, out, own []byteSet, s *byteSet) {
	switch {
	case i.behind:
	case i.op == opLook && !i.negate:
		s.intersect(&out[i.x])
	case i.op == opLookLit && !i.negate:
		var lit byteSet
		lit.add(int(i.lit[0]))
		s.intersect(&lit)
	case i.op == opLookLit && len(i.lit) == 1:
		s[i.lit[0]>>6] &^= 1 << (i.lit[0] & 63)
	case i.op == opLookSet && !i.negate:
		s.intersect(&own[pc])
	case i.op == opLookSet:
		for b, v := range i.set.tab {
			if v == setYes {
				s[b>>6] &^= 1 << (b & 63)
			}
		}
	}
}
