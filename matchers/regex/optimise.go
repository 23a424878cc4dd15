package regex

import (
	"slices"
	"unicode/utf8"
)

// optimise gives the instructions of the fast machine their tables.
func optimise(p *program) {
	p.alts = make([]altTable, len(p.branches))
	first := firsts(p, false)
	strict := first
	if slices.ContainsFunc(p.insts, func(i inst) bool { return i.op == opSpaceEnd }) {
		strict = firsts(p, true)
	}
	dropJoins(p, first)
	edges := edges(p, first)
	for pc := range p.insts {
		i := &p.insts[pc]
		switch i.op {
		case opAlt:
			p.newAltTable(int32(pc), first, &edges)
		case opLoop:
			next, nextStrict := first[i.next], strict[i.next]
			if i.mode == Greedy && i.max < 0 {
				// All but its end are places where it gives back.
				given := p.firstGiven(i.set, i.next, first)
				next.dropASCII(i.set, &given)
				nextStrict.dropASCII(i.set, &given)
			}
			i.after = newNextTable(&next, &nextStrict)
			if i.mode == Possessive || i.mode == Greedy &&
				(disjoint(i.set, &next) || asciiApart(i.set, &next) && p.apartFrom(i.set, i.next)) {
				i.op = opLoopKeep
			} else if n := &p.insts[i.next]; i.mode == Greedy && i.min == 0 && i.max < 0 && n.op == opClass &&
				disjoint(i.set, &first[n.next]) && n.set.within(i.set) {
				// [\w.-]*\w before a blank: it ends where the members do, or nowhere.
				i.op, i.x, i.next = opLoopLast, int32(len(p.sets)), n.next
				p.sets = append(p.sets, n.set)
			} else {
				i.lit = p.literalAt(i.next)
				i.y = int32(rarest(i.lit))
			}
		case opLoopUntil:
			i.after = newNextTable(&first[i.next], &strict[i.next])
			if n := p.insts[i.next]; n.op == opLit && len(n.lit) >= len(i.lit) && n.lit[:len(i.lit)] == i.lit {
				i.negate = true // lit starts nowhere before the end of the loop
			}
		}
	}
	searchStart(p, first)
	needLiterals(p)
	layOut(p)
	p.branches = nil // the tables have them
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

// literalAt returns the literal of more than one byte that what stands at pc
// starts with, or "".
func (p *program) literalAt(pc int32) string {
	for {
		switch i := &p.insts[pc]; i.op {
		case opSave, opClear, opJoin:
			pc = i.next
		case opLit:
			return i.lit
		default:
			return ""
		}
	}
}

// dropASCII takes out the members of m that are ASCII and not in but.
func (s *byteSet) dropASCII(m *set, but *byteSet) {
	for b, v := range m.tab[:utf8.RuneSelf] {
		if v != setNo && !but.has(b) {
			s[b>>6] &^= 1 << (b & 63)
		}
	}
}

// asciiApart is disjoint for the bytes of ASCII.
func asciiApart(s *set, first *byteSet) bool {
	for b, v := range s.tab[:utf8.RuneSelf] {
		if v != setNo && first.has(b) {
			return false
		}
	}
	return true
}

// searchStart finds where matches can start. An anchored pattern is not run
// elsewhere, and need not ask for the start.
func searchStart(p *program, first []byteSet) {
	p.anchored = anchoredFrom(p, p.start, map[int32]bool{})
	for i := &p.insts[p.start]; p.anchored && i.op == opAssert && Assert(i.x) == BeginText; i = &p.insts[p.start] {
		p.start = i.next
	}
	if s := &first[p.start]; *s != full {
		p.first = newNextTable(s, s)
	}
	for pc := p.start; ; pc = p.insts[pc].next {
		switch i := &p.insts[pc]; i.op {
		case opSave, opClear, opJoin:
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
	case opSave, opClear, opJoin, opLook, opLookSet, opLookLit:
		return anchoredFrom(p, i.next, seen)
	case opAlt:
		for _, a := range p.branches[i.min] {
			if !anchoredFrom(p, a, seen) {
				return false
			}
		}
		return true
	}
	return false
}

// newNextTable returns the table of s; what is not in strict is possible in the tail alone.
func newNextTable(s, strict *byteSet) *nextTable {
	return sharedNext.get([2]byteSet{*s, *strict}, func() *nextTable {
		n := new(nextTable)
		for b := range n {
			switch {
			case strict.has(b):
				n[b] = nextYes
			case s.has(b):
				n[b] = nextTail
			}
		}
		return n
	})
}

// newAltTable makes the table of the choice pc. Tables of choices that it leads
// to are there already where they were emitted before it, which is the rule.
func (p *program) newAltTable(pc int32, first []byteSet, edges *byteSet) {
	a := &p.alts[p.insts[pc].min]
	alts := p.branches[p.insts[pc].min]
	var index nextTable
	var way []int32
	at := 0
	for b, next := 0, 0; b <= end; b = next {
		next = edges.next(b + 1)
		way = way[:0]
		for _, alt := range alts {
			if first[alt].has(b) {
				way = p.appendWays(way, alt, b)
			}
		}
		at = a.number(way, 0, at) // far below 256: bytes within a code point are alike
		index.fill(b, next, uint8(at))
	}
	p.refine(a, &index, first, edges)
	a.lists = slices.Clip(a.lists)
	p.insts[pc].after = sharedIndex.get(index, func() *nextTable { return &index })
}

// number returns the number of the list of the branches in way, from from on, which
// it adds where there is none. It is likely last: neighbours are alike.
func (a *altTable) number(way []int32, from, last int) int {
	if last >= from && last < len(a.lists) && a.lists[last].equal(way) {
		return last
	}
	if at := slices.IndexFunc(a.lists[from:], func(l altList) bool { return l.equal(way) }); at >= 0 {
		return from + at
	}
	a.lists = append(a.lists, newAltList(way))
	return len(a.lists) - 1
}

// fill sets the entries from one byte on, before another.
func (n *nextTable) fill(from, to int, v uint8) {
	for b := from; b < to; b++ {
		n[b] = v
	}
}

// maxWays is up to how many branches a choice takes in those of another.
const maxWays = 12

// appendWays appends the branch pc, or where that is a choice itself, what the
// next byte b leaves of its branches: choices in a row are one, and note one way
// back. Loops that may be left out and cannot take b are passed. What is
// there already would but fail once more.
func (p *program) appendWays(way []int32, pc int32, b int) []int32 {
	for i := &p.insts[pc]; (i.op == opLoop || i.op == opLoopKeep) && i.min == 0 && (b == end || i.set.tab[b] == setNo); i = &p.insts[pc] {
		pc = i.next
	}
	l := altList{first: pc}
	if i := &p.insts[pc]; i.op == opAlt && i.after != nil {
		of := &p.alts[i.min].lists[i.after[b]]
		if of.first == 0 {
			return way
		}
		if len(way)+1+len(of.rest) <= maxWays {
			l = *of
		}
	}
	if !slices.Contains(way, l.first) {
		way = append(way, l.first)
	}
	for _, pc := range l.rest {
		if !slices.Contains(way, pc) {
			way = append(way, pc)
		}
	}
	return way
}

// newAltList makes the list of the branches in way.
func newAltList(way []int32) altList {
	if len(way) == 0 {
		return altList{}
	}
	return altList{first: way[0], rest: slices.Clone(way[1:])}
}

// equal says whether l has the branches in way.
func (l altList) equal(way []int32) bool {
	if len(way) == 0 {
		return l.first == 0
	}
	return l.first == way[0] && slices.Equal(l.rest, way[1:])
}

// within says whether every member of s is one of o.
func (s *set) within(o *set) bool {
	for c := range utf8.RuneSelf {
		if s.tab[c] != setNo && o.tab[c] == setNo {
			return false
		}
	}
	i := 0
	for _, rg := range s.ranges {
		for i < len(o.ranges) && o.ranges[i].Hi < rg.Hi {
			i++
		}
		if i == len(o.ranges) || o.ranges[i].Lo > rg.Lo {
			return false
		}
	}
	return true
}

// disjointSets says whether no code point is in both.
func disjointSets(a, b *set) bool {
	for c := range utf8.RuneSelf {
		if a.tab[c] != setNo && b.tab[c] != setNo {
			return false
		}
	}
	for i, j := 0, 0; i < len(a.ranges) && j < len(b.ranges); {
		x, y := a.ranges[i], b.ranges[j]
		switch {
		case x.Hi < y.Lo:
			i++
		case y.Hi < x.Lo:
			j++
		default:
			return false
		}
	}
	return true
}
