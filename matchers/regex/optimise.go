package regex

import "slices"

// optimise gives the instructions of the fast machine their tables.
func optimise(p *program) {
	first, strict := firsts(p, false), firsts(p, true)
	t := &tables{next: map[[2]byteSet]*nextTable{}, alts: map[string]*altTable{}}
	for pc := range p.insts {
		i := &p.insts[pc]
		switch i.op {
		case opAlt:
			i.alt = t.altTable(i.alts, first)
		case opLoop:
			i.after = t.nextTable(&first[i.next], &strict[i.next])
			if i.mode == Possessive || i.mode == Greedy && disjoint(i.set, &first[i.next]) {
				i.op = opLoopKeep
			}
		case opLoopUntil:
			i.after = t.nextTable(&first[i.next], &strict[i.next])
			if n := p.insts[i.next]; n.op == opLit && len(n.lit) >= len(i.lit) && n.lit[:len(i.lit)] == i.lit {
				i.negate = true // lit starts nowhere before the end of the loop
			}
		}
	}
	searchStart(p, first, t)
}

// disjoint says whether no member of s starts with a byte of first.
func disjoint(s *set, first *byteSet) bool {
	for b, v := range s.tab {
		if v != setNo && first.has(b) {
			return false
		}
	}
	return true
}

// searchStart finds where matches can start.
func searchStart(p *program, first []byteSet, t *tables) {
	p.anchored = anchoredFrom(p, p.start, map[int32]bool{})
	if s := &first[p.start]; *s != full {
		p.first = t.nextTable(s, s)
	}
	for pc := p.start; ; pc = p.insts[pc].next {
		switch i := &p.insts[pc]; i.op {
		case opSave, opClear:
		case opLit, opByte:
			p.prefix = i.lit
			return
		default:
			return
		}
	}
}

// anchoredFrom says whether every way from pc asks for the start of the text
// before it takes anything.
func anchoredFrom(p *program, pc int32, seen map[int32]bool) bool {
	if seen[pc] {
		return true
	}
	seen[pc] = true
	switch i := &p.insts[pc]; i.op {
	case opFail:
		return true
	case opAssert:
		return Assert(i.x) == BeginText || anchoredFrom(p, i.next, seen)
	case opSave, opClear, opLook, opLookSet, opLookLit:
		return anchoredFrom(p, i.next, seen)
	case opAlt:
		for _, a := range i.alts {
			if !anchoredFrom(p, a, seen) {
				return false
			}
		}
		return true
	}
	return false
}

// tables shares equal tables.
type tables struct {
	next map[[2]byteSet]*nextTable
	alts map[string]*altTable
}

// nextTable returns the table of s; what is not in strict is possible in the tail alone.
func (t *tables) nextTable(s, strict *byteSet) *nextTable {
	key := [2]byteSet{*s, *strict}
	n := t.next[key]
	if n == nil {
		n = new(nextTable)
		for b := range n {
			switch {
			case strict.has(b):
				n[b] = nextYes
			case s.has(b):
				n[b] = nextTail
			}
		}
		t.next[key] = n
	}
	return n
}

// altTable returns the table of a choice.
func (t *tables) altTable(alts []int32, first []byteSet) *altTable {
	a := &altTable{}
	var list []int32
	for b := range end + 1 {
		list = list[:0]
		for _, alt := range alts {
			if first[alt].has(b) {
				list = append(list, alt)
			}
		}
		if b == end {
			a.atEnd = slices.Clone(list)
			break
		}
		at := slices.IndexFunc(a.lists, func(l []int32) bool { return slices.Equal(l, list) })
		switch {
		case at >= 0:
		case len(a.lists) == 256:
			// One list too many: any that has more than the right branches will do.
			a.lists[255] = alts
			at = 255
		default:
			at = len(a.lists)
			a.lists = append(a.lists, slices.Clone(list))
		}
		a.index[b] = uint8(at)
	}
	return a
}
