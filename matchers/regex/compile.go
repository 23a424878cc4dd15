package regex

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

// maxInsts bounds the size of a program.
const maxInsts = 1 << 16

// builder turns a tree into a program. Each node is compiled with its
// continuation, which is built first, so that programs grow back to front.
type builder struct {
	prog *program
	fast bool // with the instructions of the fast machine
	sets map[string]*set
	err  error

	conds conds
	loops []int32 // progress slots of the loops around the node at hand
	subs  int     // sub-programs around it

	alternations int32 // numbers those with an opJoin
}

// cont builds what follows a node, for what is known of the groups there, and
// returns its first instruction. It is called in the context of that node,
// never within a loop of it.
type cont func(env) int32

// build compiles syn for one of the machines.
func build(syn *Syntax, fast bool) (*program, error) {
	b := &builder{fast: fast, sets: map[string]*set{}}
	memory := instMemory.Get().(*[]inst)
	b.prog = &program{groups: syn.Groups, slots: 2 * (syn.Groups + 1), bits: [][]int32{nil}, insts: (*memory)[:0]}
	b.prog.insts = append(b.prog.insts, inst{op: opFail})
	b.conds.find(syn.Root, fast)
	if b.conds.own {
		b.noMemo()
	}
	if unrolled(syn.Root) > maxInsts {
		b.tooLarge()
	}
	match := b.emit(inst{op: opMatch})
	b.prog.start = b.node(syn.Root, b.conds.start(), always(match))
	if b.err != nil {
		return nil, newError([]rune(syn.Pattern), b.err.Error(), -1)
	}
	*memory = b.prog.insts
	b.prog.insts = slices.Clone(b.prog.insts) // without the room to grow
	clear(*memory)
	instMemory.Put(memory)
	if fast {
		optimise(b.prog)
	} else {
		b.layout()
		b.prog.graph = sync.OnceValue(func() *graph { return newGraph(b.prog) })
	}
	return b.prog, nil
}

// branch numbers the branches of a choice.
func (b *builder) branch(alts []int32) int32 {
	b.prog.branches = append(b.prog.branches, alts)
	return int32(len(b.prog.branches) - 1)
}

// instMemory has *[]inst in which programs grow.
var instMemory = sync.Pool{New: func() any { return new(make([]inst, 0, 256)) }}

// emit appends an instruction.
func (b *builder) emit(i inst) int32 {
	if len(b.prog.insts) >= maxInsts {
		return b.tooLarge()
	}
	if !b.fast && (i.op == opAlt || i.op == opLoop) {
		i.x = b.stateBits()
	}
	b.prog.insts = append(b.prog.insts, i)
	return int32(len(b.prog.insts) - 1)
}

// stateBits returns the number, in program.bits, of what the state at this
// place depends on.
func (b *builder) stateBits() int32 {
	bits := slices.Concat(b.conds.refs, b.loops)
	// Neighbours are alike; to look further would make many loops quadratic.
	for i := len(b.prog.bits) - 1; i >= max(0, len(b.prog.bits)-8); i-- {
		if slices.Equal(b.prog.bits[i], bits) {
			return int32(i)
		}
	}
	b.prog.bits = append(b.prog.bits, bits)
	return int32(len(b.prog.bits) - 1)
}

// tooLarge notes that the program has no room left.
func (b *builder) tooLarge() int32 {
	if b.err == nil {
		b.err = fmt.Errorf("repeat counts multiply to more than %d instructions", maxInsts)
	}
	return 0
}

// set prepares a class.
func (b *builder) set(c *Class) *set { return b.rangeSet(c.Ranges) }

// rangeSet prepares ranges (normalized), equal ones once.
func (b *builder) rangeSet(ranges []Range) *set {
	if s := categorySet(ranges); s != nil {
		return s
	}
	if s := largeClasses.set(ranges); s != nil {
		return s
	}
	var key []byte
	for _, rg := range ranges {
		key = binary.LittleEndian.AppendUint32(key, uint32(rg.Lo))
		key = binary.LittleEndian.AppendUint32(key, uint32(rg.Hi))
	}
	make := func() *set { return newSet(ranges) }
	if len(ranges) >= largeRanges {
		s := b.sets[string(key)]
		if s == nil {
			s = make()
			b.sets[string(key)] = s
		}
		return s
	}
	return sharedSets.get(string(key), make)
}

// The step budgets: where nothing can be remembered, and where a part cannot.
const (
	budgetNoMemo  = 1 << 20
	budgetPartial = 1 << 22
)

// noMemo says that states are more than the memo knows.
func (b *builder) noMemo() {
	b.prog.noMemo = true
	b.prog.budget = budgetNoMemo
}

// partialMemo says that some states cannot be remembered.
func (b *builder) partialMemo() {
	if b.prog.budget == 0 {
		b.prog.budget = budgetPartial
	}
}

// node compiles n, and then k.
func (b *builder) node(n *Node, e env, k cont) int32 {
	if b.err != nil {
		return 0
	}
	switch n.Kind {
	case KindEmpty:
		return k(e)
	case KindLiteral:
		return b.literal(n, k(e))
	case KindClass:
		return b.emit(inst{op: opClass, set: b.set(n.Class), next: k(e)})
	case KindConcat:
		return b.concat(n.Subs, e, k)
	case KindAlternate:
		k, group := b.join(n, once(k))
		alts := make([]int32, len(n.Subs))
		for i, s := range n.Subs {
			alts[i] = b.node(s, e, k)
		}
		return b.emit(inst{op: opAlt, min: b.branch(alts), y: group})
	case KindRepeat:
		return b.repeat(n, e, k)
	case KindGroup:
		sub := b.node(n.Subs[0], e, once(func(e env) int32 {
			next := k(b.conds.set(e, n.Index))
			return b.emit(inst{op: opSave, x: int32(2*n.Index + 1), next: next})
		}))
		return b.emit(inst{op: opSave, x: int32(2 * n.Index), next: sub})
	case KindAtomic:
		b.partialMemo()
		return b.atomic(n.Subs[0], e, k(b.conds.forget(e, n)), 0)
	case KindAssert:
		return b.emit(inst{op: opAssert, x: int32(n.Assert), next: k(e)})
	case KindLook:
		return b.look(n, e, k)
	case KindCond:
		return b.cond(n, e, k)
	}
	// KindBackref
	b.noMemo()
	return b.emit(inst{op: opBackref, x: int32(n.Index), fold: n.Fold, next: k(e)})
}

// concat compiles nodes in a row.
func (b *builder) concat(subs []*Node, e env, k cont) int32 {
	if b.fast && len(subs) == 2 && isSpaceEnd(subs[0], subs[1]) {
		k = once(k)
		if next := k(e); b.prog.insts[next].op == opMatch {
			return b.emit(inst{op: opSpaceEnd, set: categorySet(spaceRanges), next: next})
		}
	}
	if len(subs) == 1 {
		return b.node(subs[0], e, k)
	}
	if b.conds.none() {
		return b.node(subs[0], e, always(b.concat(subs[1:], e, k)))
	}
	rest := once(func(e env) int32 { return b.concat(subs[1:], e, k) })
	return b.node(subs[0], e, func(e env) int32 { return rest(b.conds.relevant(e, subs[1])) })
}

// isSpaceEnd says whether a and c are \s*$.
func isSpaceEnd(a, c *Node) bool {
	return c.Kind == KindAssert && c.Assert == EndBeforeLine && a.Kind == KindRepeat && a.Min == 0 && a.Max < 0 && a.Mode == Greedy &&
		a.Subs[0].Kind == KindClass && categorySet(a.Subs[0].Class.Ranges) == categorySet(spaceRanges)
}

// literal compiles a run of code points.
func (b *builder) literal(n *Node, next int32) int32 {
	if n.Fold == FoldNone {
		lit := string(n.Runes)
		return b.emit(inst{op: pick(b.fast && len(lit) == 1, opByte, opLit), lit: lit, x: int32(lit[0]), next: next})
	}
	for i := len(n.Runes) - 1; i >= 0; i-- {
		next = b.emit(inst{op: opClass, set: b.foldSet(n.Runes[i], n.Fold), next: next})
	}
	return next
}

// foldSet is the set of the spellings of r.
func (b *builder) foldSet(r rune, fold Fold) *set {
	var ranges []Range
	for _, c := range FoldRunes(r, fold) {
		ranges = append(ranges, Range{c, c})
	}
	return b.rangeSet(normalize(ranges))
}

// cond compiles a conditional; where the group's state is known, one branch alone.
func (b *builder) cond(n *Node, e env, k cont) int32 {
	k = once(k)
	switch b.conds.state(e, n.Index) {
	case groupSet:
		return b.node(n.Subs[0], e, k)
	case groupUnset:
		return b.node(n.Subs[1], e, k)
	}
	no := b.node(n.Subs[1], e, k)
	yes := b.node(n.Subs[0], e, k)
	return b.emit(inst{op: opCond, x: int32(n.Index), next: yes, y: no})
}

// look compiles a lookaround.
func (b *builder) look(n *Node, e env, k cont) int32 {
	next := k(pick(n.Negate, e, b.conds.forget(e, n)))
	if b.fast {
		if short, ok := b.shortLook(n, next); ok {
			return b.emit(short)
		}
	}
	i := inst{op: opLook, negate: n.Negate, behind: n.Behind, min: int32(n.Width), next: next}
	if !n.Negate && hasGroups(n.Subs[0]) {
		b.partialMemo()
		i.mode = Possessive // its sub-program must run for its groups' sake
	} else {
		b.prog.looks = true
	}
	i.x = b.sub(n.Subs[0], e)
	return b.emit(i)
}

// sub compiles a sub-program. What it does depends on no loop around it.
func (b *builder) sub(n *Node, e env) int32 {
	loops := b.loops
	b.loops = nil
	b.subs++
	match := b.emit(inst{op: opMatch})
	start := b.node(n, e, always(match))
	b.loops = loops
	b.subs--
	return start
}

// hasGroups says whether n captures something.
func hasGroups(n *Node) bool {
	found := false
	n.Walk(func(n *Node) bool {
		found = found || n.Kind == KindGroup
		return !found
	})
	return found
}

// shortLook compiles a lookaround of one class or one literal.
func (b *builder) shortLook(n *Node, next int32) (inst, bool) {
	i := inst{negate: n.Negate, behind: n.Behind, next: next}
	switch sub := n.Subs[0]; {
	case sub.Kind == KindClass:
		i.op, i.set = opLookSet, b.set(sub.Class)
	case sub.Kind == KindLiteral && sub.Fold == FoldNone:
		i.op, i.lit = opLookLit, string(sub.Runes)
	case sub.Kind == KindLiteral && len(sub.Runes) == 1:
		i.op, i.set = opLookSet, b.foldSet(sub.Runes[0], sub.Fold)
	default:
		return i, false
	}
	return i, true
}

// atomic compiles a sub-program that is tried once; on at fail where it fails.
func (b *builder) atomic(n *Node, e env, next, fail int32) int32 {
	return b.emit(inst{op: opAtomic, x: b.sub(n, e), next: next, y: fail})
}
