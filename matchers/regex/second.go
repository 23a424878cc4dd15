package regex

import (
	"math"
	"unicode/utf8"
)

// maxSecond is up to how many next bytes share a list that is refined. With
// more of them it is \S or a digit, after which all is as possible as before.
const maxSecond = 8

// maxSecondWalk bounds how many instructions secondOf looks at.
const maxSecondWalk = 24

// list returns the branches that are possible at pos.
func (a *altTable) list(i *inst, text []byte, pos int) *altList {
	l := &a.lists[i.after[byteAt(text, pos)]]
	if l.second != nil {
		l = &a.lists[l.second[byteAt(text, pos+1)]]
	}
	return l
}

// refine looks one byte further where the next one leaves several branches:
// (?: port \d+)?(?: ssh\d*)?\s*$ is decided by it, and notes no way back.
func (p *program) refine(a *altTable, index *nextTable, first []byteSet, edges *byteSet) {
	plain := len(a.lists)
	var left []int32
	for n := range plain {
		l := &a.lists[n]
		if len(l.rest) == 0 {
			continue
		}
		ways := append([]int32{l.first}, l.rest...)
		from := bytesOf(index, n)
		next, ok := p.secondsOf(ways, from, first)
		if !ok {
			continue
		}
		changes := *edges
		for k := range next {
			changes.addEdges(&next[k])
		}
		var second nextTable
		at := 0
		for b, to := 0, 0; b <= end; b = to {
			to = changes.next(b + 1)
			left = left[:0]
			for k, w := range ways {
				if next[k].has(b) {
					left = append(left, p.beyond(w, b, len(from) == 1))
				}
			}
			if at = a.number(left, plain, at); at > math.MaxUint8 {
				return
			}
			second.fill(b, to, uint8(at))
		}
		a.lists[n].second = sharedIndex.get(second, func() *nextTable { return &second })
	}
}

// beyond returns the way w or, where that is one byte and the second byte
// decides the choices that follow, the same without them. one says that the
// first byte is known.
func (p *program) beyond(w int32, second int, one bool) int32 {
	i := p.insts[w]
	if !one || i.op != opByte || len(p.insts) >= maxInsts {
		return w
	}
	var room [maxWays]int32
	ways := p.appendWays(room[:0], i.next, second)
	if len(ways) != 1 || ways[0] == i.next {
		return w
	}
	i.next = ways[0]
	for n := len(p.insts) - 1; n > max(len(p.insts)-maxSecond, 0); n-- {
		if p.insts[n] == i {
			return int32(n) // made for another byte
		}
	}
	p.insts = append(p.insts, i)
	return int32(len(p.insts) - 1)
}

// bytesOf returns the next bytes that have the list n, nil where they are too
// many or no whole code points.
func bytesOf(index *nextTable, n int) (out []int) {
	for b, at := range index {
		if int(at) != n {
			continue
		}
		if b >= utf8.RuneSelf || len(out) == maxSecond {
			return nil
		}
		out = append(out, b)
	}
	return out
}

// secondsOf returns, by way, the bytes that may come second where one of from is
// the first, and whether that tells the ways apart anywhere.
func (p *program) secondsOf(ways []int32, from []int, first []byteSet) (out []byteSet, ok bool) {
	if from == nil {
		return nil, false
	}
	for _, w := range ways {
		var s byteSet
		for _, b := range from {
			left := maxSecondWalk
			after := p.secondOf(w, b, first, &left)
			s.union(&after)
		}
		ok = ok || s != full
		out = append(out, s)
	}
	return out, ok
}

// secondOf returns the bytes, a superset of them, that may come after b, which
// is ASCII, where pc leads to a match that starts with b.
func (p *program) secondOf(pc int32, b int, first []byteSet, left *int) (s byteSet) {
	for ; *left > 0; *left-- {
		i := &p.insts[pc]
		switch i.op {
		case opFail:
			return s
		case opByte, opLit:
			switch {
			case int(i.lit[0]) != b:
			case len(i.lit) > 1:
				s.add(int(i.lit[1]))
			default:
				s.union(&first[i.next])
			}
			return s
		case opClass:
			if i.set.tab[b] != setNo {
				s.union(&first[i.next])
			}
			return s
		case opSpaceEnd:
			s.union(&i.set.bytes)
			s.add(end)
			return s
		case opLoop, opLoopKeep:
			if i.set.tab[b] != setNo {
				s.union(&first[i.next])
				if i.max != 1 {
					s.union(&i.set.bytes)
				}
			}
			if i.min > 0 {
				return s
			}
		case opAlt:
			for _, alt := range p.branches[i.min] {
				if first[alt].has(b) {
					*left--
					o := p.secondOf(alt, b, first, left)
					s.union(&o)
				}
			}
			return s
		case opSave, opClear, opJoin, opLookSet, opLookLit:
		default:
			return full
		}
		pc = i.next
	}
	return full
}
