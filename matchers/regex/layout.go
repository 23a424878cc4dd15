package regex

import (
	"math"
	"slices"
)

// maxRow is up to how many instructions in a row are copied to where they
// follow one of several branches.
const maxRow = 24

// maxStepLit is up to how many bytes a literal is taken apart into steps.
const maxStepLit = 16

// draft is a step that is being made.
type draft struct {
	lit                           uint64
	tab                           *[256]uint8
	kind                          stepKind
	n, min, max, open, stop, join uint8
	set                           uint8
}

// step returns d as it is run.
func (d *draft) step() step {
	s := step{lit: d.lit, tab: d.tab}
	for k, v := range []uint8{d.n, uint8(d.kind), d.min, d.max, d.open, d.stop, d.join, d.set} {
		s.parts |= parts(v) << (8 * k)
	}
	return s
}

// stepper makes the steps of a program.
type stepper struct {
	p     *program
	plain []inst  // the program before
	entry []int32 // by instruction: one more than its first step; 0: none, -1: to be made
	ways  []int32 // by choice: one more than where its ways are; 0: nowhere yet
	work  []int32
	row   []draft
	cur   draft // the last of row, which grows
	sets  map[*set]int
}

// layOut makes the steps of p, and lets its instructions go on at them.
func layOut(p *program) {
	l := stepper{p: p, plain: slices.Clone(p.insts), entry: make([]int32, len(p.insts)), ways: make([]int32, len(p.alts)), sets: map[*set]int{}}
	l.visit(p.start)
	for len(l.work) > 0 {
		pc := l.work[len(l.work)-1]
		l.work = l.work[:len(l.work)-1]
		l.from(pc)
	}
	for n, way := range p.ways {
		switch {
		case way <= waySecond:
		case way < 0:
			p.ways[n] = ^(l.entry[^way] - 1)
		default:
			p.ways[n] = l.entry[way] - 1
		}
	}
	p.steps, p.ways = slices.Clip(p.steps), slices.Clip(p.ways)
}

// visit notes that the program goes on at pc.
func (l *stepper) visit(pc int32) {
	if l.entry[pc] == 0 {
		l.entry[pc] = -1
		l.work = append(l.work, pc)
	}
}

// from makes the steps from pc on.
func (l *stepper) from(pc int32) {
	p := l.p
	l.entry[pc] = int32(len(p.steps)) + 1
	l.row, l.cur = l.row[:0], draft{}
	next, count := pc, 0
	for count < maxRow && l.add(next) {
		next = l.plain[next].next
		count++
	}
	open := uint8(0)
	if l.plain[next].op == opAlt && l.cur == (draft{open: l.cur.open}) {
		open, l.cur.open = l.cur.open, 0
	}
	l.flush()
	for _, d := range foldLines(foldQuads(l.row)) {
		l.emit(d)
	}
	switch {
	case l.plain[next].op == opAlt:
		l.alt(next, open)
	case count == maxRow:
		l.emit(draft{kind: stepExit, lit: uint64(next)})
		l.visit(next)
	default:
		l.emit(draft{kind: stepExit, lit: uint64(next)})
		l.follow(&l.plain[next])
	}
	switch i := &p.insts[pc]; {
	case i.op == opAlt:
		i.x = l.entry[pc] - 1
	case count > 0 && i.op != opLoop:
		*i = inst{op: opSteps, x: l.entry[pc] - 1}
	}
}

// emit adds a step.
func (l *stepper) emit(d draft) { l.p.steps = append(l.p.steps, d.step()) }

// follow visits where i goes on.
func (l *stepper) follow(i *inst) {
	switch i.op {
	case opFail, opMatch:
		return
	case opProgress, opCond:
		l.visit(i.y)
	case opAtomic:
		l.visit(i.x)
		l.visit(i.y)
	case opLook:
		l.visit(i.x)
	}
	l.visit(i.next)
}

// alt adds the step of the choice pc, at which the slot open is taken.
func (l *stepper) alt(pc int32, open uint8) {
	p, i := l.p, &l.plain[pc]
	if l.ways[i.min] == 0 {
		l.ways[i.min] = int32(len(p.ways)) + 1
		for n := range p.alts[i.min].lists {
			list := &p.alts[i.min].lists[n]
			way := list.first
			switch {
			case list.second != nil:
				way = waySecond - int32(len(p.seconds))
				p.seconds = append(p.seconds, list.second)
			case len(list.rest) > 0:
				way = ^list.first
			}
			p.ways = append(p.ways, way)
		}
		// The last one visited is laid out next.
		lists := p.alts[i.min].lists
		for n := len(lists) - 1; n >= 0; n-- {
			for _, b := range lists[n].rest {
				l.visit(b)
			}
			l.visit(lists[n].first)
		}
	}
	l.emit(draft{kind: stepAlt, tab: (*[256]uint8)(i.after[:]), max: i.after[end], open: open,
		lit: uint64(pc)<<32 | uint64(l.ways[i.min]-1)})
}

// flush ends the step at hand.
func (l *stepper) flush() {
	if l.cur != (draft{}) {
		l.row = append(l.row, l.cur)
		l.cur = draft{}
	}
}

// add makes the instruction pc a part of the row, or says that it cannot be one.
func (l *stepper) add(pc int32) bool {
	i, s := &l.plain[pc], &l.cur
	switch i.op {
	case opByte, opLit:
		l.addLit(i.lit)
		return true
	case opSave:
		return l.addSave(i.x)
	case opJoin:
		if i.x >= math.MaxUint8 {
			return false
		}
		if s.join > 0 {
			l.flush()
		}
		s.join = uint8(i.x) + 1
		return true
	case opClass:
		return l.addSet(draft{kind: takeSpan, min: 1, max: 1}, i.set)
	case opLoopKeep:
		return l.addLoop(i)
	case opLoop:
		l.visit(i.next)
		if few := i.max == 1 || i.max < 0 && i.set == categorySet(spaceRanges); few && i.min <= 1 && i.mode == Greedy {
			return l.addSet(draft{kind: takeFew, lit: uint64(pc), min: uint8(i.min), max: uint8(min(uint32(i.max), noMax))}, i.set)
		}
		l.addTake(draft{kind: stepLoop, lit: uint64(pc)})
		return true
	case opNeed:
		l.addTake(draft{kind: stepNeed, lit: uint64(i.x)})
		return true
	case opAssert:
		if Assert(i.x) == EndBeforeLine {
			l.addTake(draft{kind: takeLineEnd})
			return true
		}
	}
	return false
}

// addSave adds a slot.
func (l *stepper) addSave(slot int32) bool {
	s := &l.cur
	switch {
	case slot > math.MaxUint8:
		return false
	case s.kind == takeNothing && s.open == 0 && s.stop == 0 && s.join == 0:
		s.open = uint8(slot)
	case s.stop == 0 && s.join == 0:
		s.stop = uint8(slot)
	default:
		l.flush()
		s.open = uint8(slot)
	}
	return true
}

// addLit adds a literal, in pieces where it is short.
func (l *stepper) addLit(lit string) {
	s := &l.cur
	if len(lit) > maxStepLit {
		l.addTake(draft{kind: stepLit, lit: uint64(len(l.p.lits))})
		l.p.lits = append(l.p.lits, lit)
		return
	}
	for k := range len(lit) {
		if s.n == 8 || s.open > 0 || s.kind != takeNothing || s.stop > 0 || s.join > 0 {
			l.flush()
		}
		s.lit |= uint64(lit[k]) << (8 * s.n)
		s.n++
	}
}

// addLoop adds a loop that keeps what it took.
func (l *stepper) addLoop(i *inst) bool {
	most := i.max
	if most < 0 {
		most = noMax
	}
	switch {
	case i.min > 1 && !i.set.ascii || i.min >= noMax || i.max >= noMax:
		return false
	case i.max < 0 && i.min <= 1 && i.set.stop >= 0:
		l.addTake(draft{kind: takeBut, min: uint8(i.min), max: uint8(i.set.stop)})
		return true
	}
	return l.addSet(draft{kind: takeSpan, min: uint8(i.min), max: uint8(most)}, i.set)
}

// addSet adds what takes members of set.
func (l *stepper) addSet(take draft, set *set) bool {
	n, ok := l.sets[set]
	if !ok {
		n = len(l.p.sets)
		if n > math.MaxUint8 {
			return false
		}
		l.sets[set] = n
		l.p.sets = append(l.p.sets, set)
	}
	take.set, take.tab = uint8(n), &set.tab
	l.addTake(take)
	return true
}

// addTake adds what is taken to the step at hand, or begins another.
func (l *stepper) addTake(take draft) {
	s := &l.cur
	ownLit := take.kind == takeFew || take.kind == stepLoop || take.kind == stepLit || take.kind == stepNeed
	if s.kind != takeNothing || s.stop > 0 || s.join > 0 || s.n > 0 && ownLit {
		open := uint8(0)
		if s.kind == takeNothing && s.stop == 0 && s.join == 0 {
			open, s.open = s.open, 0
		}
		l.flush()
		s.open = open
	}
	take.open = s.open
	if s.n > 0 {
		take.lit, take.n = s.lit, s.n
	}
	*s = take
}

// foldQuads makes one step of each four that are \d{1,3} with dots between.
func foldQuads(row []draft) []draft {
	for k := 0; k+4 <= len(row); k++ {
		head := &row[k]
		if head.kind != takeSpan || head.min != 1 || head.max == noMax || head.stop > 0 || head.join > 0 {
			continue
		}
		more := draft{lit: '.', n: 1, kind: takeSpan, min: 1, max: head.max, tab: head.tab, set: head.set}
		last := row[k+3]
		last.stop, last.join = 0, 0
		if row[k+1] == more && row[k+2] == more && last == more {
			head.kind, head.stop, head.join = takeQuad, row[k+3].stop, row[k+3].join
			row = slices.Delete(row, k+1, k+4)
		}
	}
	return row
}

// foldLines makes one step of each .+ with $ after it.
func foldLines(row []draft) []draft {
	for k := 0; k+2 <= len(row); k++ {
		head, after := &row[k], &row[k+1]
		if head.kind == takeBut && head.max == '\n' && head.join == 0 && *after == (draft{kind: takeLineEnd}) {
			head.kind = takeLine
			row = slices.Delete(row, k+1, k+2)
		}
	}
	return row
}
