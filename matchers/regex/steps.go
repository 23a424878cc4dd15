package regex

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// step is what the fast machine mostly runs: instructions as they come one
// after the other, in the order in which they run. A literal, the start of a
// group, what is taken, the end of the group and an opJoin are one step, each
// of which may be missing. What a search costs is not the work of its
// instructions but to get at them, as each line is of another rule: a jump
// that the processor guesses wrongly, and memory that is not at hand. A step is
// a third of a cache line, and most are run without a jump.
type step struct {
	lit uint64      // its first n bytes are compared; of other kinds, what they need
	tab *[256]uint8 // of the set, or of the lists of a choice
	parts
}

// parts are the small fields of a step in one word, which is loaded once (3 % of
// a search); from the lowest byte:
//
//	n     bytes of lit
//	kind  a stepKind
//	min   takeSpan, takeBut: as many members at least
//	max   takeSpan: as many at most; takeQuad: of each number; takeBut: the byte; stepAlt: the list at the end
//	open  slot that takes the position before what is taken; 0: none
//	stop  slot that takes the position after it; 0: none
//	join  one more than the number of an opJoin; 0: none
//	set   in program.sets
type parts uint64

func (p parts) n() int         { return int(p & 0xff) }
func (p parts) kind() stepKind { return stepKind(p >> 8) }
func (p parts) min() int       { return int(p >> 16 & 0xff) }
func (p parts) max() int       { return int(p >> 24 & 0xff) }
func (p parts) open() int32    { return int32(p >> 32 & 0xff) }
func (p parts) stop() int32    { return int32(p >> 40 & 0xff) }
func (p parts) join() int32    { return int32(p >> 48 & 0xff) }
func (p parts) set() int       { return int(p >> 56) }

// stepKind is what a step does after its literal.
type stepKind uint8

const (
	takeNothing stepKind = iota
	takeSpan             // members of a set, as many as there are
	takeBut              // all up to a byte
	takeQuad             // four numbers with dots between: (?:\d{1,3}\.){3}\d{1,3}
	takeLineEnd          // nothing, at the end or before the newline there
	takeLine             // takeBut a newline, then takeLineEnd
	takeFew              // takeSpan, or the opLoop lit where there are more than min
	stepLoop             // the opLoop lit, which notes the way back
	stepLit              // the literal lits[lit]
	stepNeed             // nothing, where the literal needs[lit] stands here or later
	stepAlt              // the choice of the high half of lit, whose ways start at the low half
	stepExit             // on at the instruction lit
)

// noMax is max of a span without an upper bound.
const noMax = math.MaxUint8

// Ways of a stepAlt are the step to go on at, ^step where other branches are
// left, and waySecond-n where the byte after the next one decides by seconds[n].
const waySecond = -1 << 30

// runSteps runs the steps from at on. It returns the instruction to go on at,
// opFail where they failed.
//
// What calls a function on the way is the exception, as each call puts all
// registers by.
func (p *program) runSteps(m *Machine, text []byte, at int32, pos int) (int32, int) {
	m.fuel += pos // what is left is known at the end
	steps := p.steps
	for {
		s := &steps[at]
		parts := s.parts
		if n := parts.n(); n > 0 {
			if pos+8 <= len(text) {
				if (binary.LittleEndian.Uint64(text[pos:])^s.lit)<<((64-8*n)&63) != 0 {
					break
				}
			} else if !s.literalAtEnd(text, pos) {
				break
			}
			pos += n
		}
		if slot := parts.open(); slot > 0 {
			m.save(slot, pos)
		}
		kind := parts.kind()
		if kind == stepAlt {
			list := parts.max()
			if pos < len(text) {
				list = int(s.tab[text[pos]])
			}
			if m.fuel--; m.fuel < pos { // loops of more than one code point come by here
				break
			}
			ways := p.ways[uint32(s.lit):]
			// Compared, not looked up: the processor guesses the list, and need
			// not wait for the way. It is 4 % of a search.
			var way int32
			switch list {
			case 0:
				way = ways[0]
			case 1:
				way = ways[1]
			case 2:
				way = ways[2]
			case 3:
				way = ways[3]
			default:
				way = ways[list]
			}
			if way < 0 {
				way = p.choose(m, text, s, way, pos)
			}
			at = way
			continue
		}
		if kind == takeSpan || kind == takeFew {
			limit := len(text)
			if most := parts.max(); most != noMax {
				limit = min(limit, pos+most)
			}
			n, tab := pos, s.tab
			for n < limit && tab[text[n]] == setYes {
				n++
			}
			more := n < limit && tab[text[n]] != setNo
			if kind == takeFew && (more || n != pos+parts.min()) {
				pc := int32(s.lit)
				if n = p.insts[pc].loop(m, text, pc, pos); n < 0 {
					break
				}
			} else if more {
				n = p.sets[parts.set()].spanOn(text, pos, parts.max())
			}
			if n < pos+parts.min() {
				break
			}
			pos = n
		} else if kind != takeNothing {
			if kind == stepExit {
				m.fuel -= pos
				return int32(s.lit), pos
			}
			n := p.rareStep(m, text, s, pos)
			if n < 0 {
				break
			}
			pos = n
		}
		at++
		if slot := parts.stop(); slot > 0 {
			m.save(slot, pos)
		}
		if join := parts.join(); join > 0 {
			if m.joins[join-1] == int32(pos) {
				break
			}
			m.joins[join-1] = int32(pos)
		}
	}
	m.fuel -= pos
	return 0, 0
}

// choose decides what the way of a stepAlt left open, and notes the way back.
func (p *program) choose(m *Machine, text []byte, s *step, way int32, pos int) int32 {
	if way <= waySecond {
		way = p.ways[int(uint32(s.lit))+int(p.seconds[waySecond-way][byteAt(text, pos+1)])]
	}
	if way < 0 {
		m.stack = append(m.stack, frame{pc: int32(s.lit >> 32), pos: int32(pos)})
		way = ^way
	}
	return way
}

// literalAtEnd says whether the literal stands at pos, less than 8 bytes before
// the end.
func (s *step) literalAtEnd(text []byte, pos int) bool {
	if len(text)-pos < s.n() {
		return false
	}
	var word uint64
	for k, c := range text[pos:] {
		word |= uint64(c) << (8 * k)
	}
	return (word^s.lit)<<((64-8*s.n())&63) == 0
}

// spanOn is takeSpan where there is more than ASCII.
func (s *set) spanOn(text []byte, pos, most int) int {
	if most == noMax {
		return s.span(text, pos)
	}
	return s.upTo(text, pos, most)
}

// upTo returns the end of at most so many members from pos on.
func (s *set) upTo(text []byte, pos, most int) int {
	for ; most > 0; most-- {
		if pos < len(text) && s.tab[text[pos]] == setYes {
			pos++
			continue
		}
		n := s.step(text, pos)
		if n < 0 {
			break
		}
		pos = n
	}
	return pos
}

// rareStep does what is neither frequent nor short: the position after it, or -1.
func (p *program) rareStep(m *Machine, text []byte, s *step, pos int) int {
	switch s.kind() {
	case takeBut:
		n := bytes.IndexByte(text[pos:], byte(s.max()))
		if n < 0 {
			n = len(text) - pos
		}
		if n >= s.min() {
			return pos + n
		}
	case takeLine:
		n := bytes.IndexByte(text[pos:], '\n')
		if n < 0 {
			n = len(text) - pos
		}
		if n >= s.min() && pos+n >= len(text)-1 {
			return pos + n
		}
	case takeQuad:
		return p.sets[s.set()].quad(text, pos, s.max())
	case stepNeed:
		if p.needed(m, text, int32(s.lit), pos) {
			return pos
		}
	case stepLit:
		if lit := p.lits[s.lit]; len(text)-pos >= len(lit) && string(text[pos:pos+len(lit)]) == lit {
			return pos + len(lit)
		}
	case stepLoop:
		pc := int32(s.lit)
		return p.insts[pc].loop(m, text, pc, pos)
	default: // takeLineEnd
		if assertHolds(EndBeforeLine, text, pos) {
			return pos
		}
	}
	return -1
}

// quad returns the end of four numbers with dots between, each of one to most
// members, or -1.
func (s *set) quad(text []byte, pos, most int) int {
	for dots := 3; ; dots-- {
		from, limit := pos, min(len(text), pos+most)
		for pos < limit && s.tab[text[pos]] == setYes {
			pos++
		}
		if pos < limit && s.tab[text[pos]] != setNo {
			pos = s.upTo(text, from, most)
		}
		if pos == from {
			return -1
		}
		if dots == 0 {
			return pos
		}
		if pos >= len(text) || text[pos] != '.' {
			return -1
		}
		pos++
	}
}

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
