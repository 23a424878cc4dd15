package regex

import "unicode/utf8"

// maxApart bounds how many instructions apartFrom looks at.
const maxApart = 32

// apartFrom says whether a greedy loop over members of s that goes on at pc has
// nothing to gain by giving some back: what follows starts with no member. It
// looks at code points, as the first bytes of most large classes overlap (\d
// and \s do), and may say no wrongly.
func (p *program) apartFrom(s *set, pc int32) bool {
	left := maxApart
	return p.startsApart(s, pc, false, &left)
}

// startsApart is apartFrom with a bound. asked says that an assertion stands
// before pc, which may hold where some is given back and not at the end.
func (p *program) startsApart(s *set, pc int32, asked bool, left *int) bool {
	for ; *left > 0; *left-- {
		i := &p.insts[pc]
		switch i.op {
		case opFail:
			return true
		case opLit, opByte:
			r, _ := utf8.DecodeRuneInString(i.lit)
			return r < utf8.RuneSelf && s.tab[r] == setNo || r >= utf8.RuneSelf && !rangesContain(s.ranges, r)
		case opClass, opLoopLast, opSpaceEnd:
			return disjointSets(s, i.set)
		case opLoop, opLoopKeep, opLoopUntil:
			if !asked && i.retakes(s) {
				break
			}
			if !disjointSets(s, i.set) {
				return false
			}
			if i.min > 0 {
				return true
			}
		case opAlt:
			for _, a := range p.branches[i.min] {
				if *left--; !p.startsApart(s, a, asked, left) {
					return false
				}
			}
			return true
		case opAssert:
			switch Assert(i.x) {
			case EndText:
				return true
			case EndBeforeLine, EndLine:
				return s.tab['\n'] == setNo
			}
			asked = true
		case opLookSet, opLookLit:
			asked = true
		case opSave, opClear, opJoin:
		default:
			return false
		}
		pc = i.next
	}
	return false
}

// retakes says whether the loop i, where a greedy loop over s before it gives
// some back, takes that again: it goes on where it has failed before.
func (i *inst) retakes(s *set) bool {
	return i.op != opLoopUntil && i.min == 0 && i.max < 0 && (s == i.set || s.within(i.set))
}

// firstGiven returns the bytes of ASCII with which what stands at pc can start
// where a greedy loop over s has given some back, if that is to be of use.
func (p *program) firstGiven(s *set, pc int32, first []byteSet) byteSet {
	left := maxApart
	return p.startsGiven(s, pc, first, &left)
}

// startsGiven is firstGiven with a bound.
func (p *program) startsGiven(s *set, pc int32, first []byteSet, left *int) (out byteSet) {
	for ; *left > 0; *left-- {
		i := &p.insts[pc]
		switch i.op {
		case opSave, opClear, opJoin:
		case opLoop, opLoopKeep:
			if !i.retakes(s) {
				return first[pc]
			}
		case opAlt:
			for _, a := range p.branches[i.min] {
				*left--
				more := p.startsGiven(s, a, first, left)
				out.union(&more)
			}
			return out
		default:
			return first[pc]
		}
		pc = i.next
	}
	return first[pc]
}
