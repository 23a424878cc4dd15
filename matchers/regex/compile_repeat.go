package regex

// repeat compiles n. One code point repeated is one instruction; everything
// else is unrolled: Min copies, then the optional ones nested in each other,
// or a loop.
func (b *builder) repeat(n *Node, e env, k cont) int32 {
	sub := n.Subs[0]
	if n.Max == 0 {
		return k(e)
	}
	if s := b.single(sub); s != nil {
		if n.Min == 1 && n.Max == 1 {
			return b.emit(inst{op: opClass, set: s, next: k(e)})
		}
		return b.emit(inst{op: opLoop, set: s, mode: n.Mode, next: k(e),
			min: int32(min(n.Min, 1<<30)), max: int32(min(n.Max, 1<<30))})
	}
	if b.fast {
		if i, ok := b.untilLoop(n); ok {
			i.next = k(e)
			return b.emit(i)
		}
	}
	switch {
	case n.Mode == Possessive:
		e = b.conds.forget(e, n)
		return b.possessive(n, e, k(e))
	case n.Min == 0 && n.Max == 1:
		k = once(k)
		alts := []int32{b.node(sub, e, k), k(e)}
		if n.Mode == Lazy {
			alts[0], alts[1] = alts[1], alts[0]
		}
		return b.emit(inst{op: opAlt, min: b.branch(alts)})
	}
	slot := int32(-1)
	if canBeEmpty(sub) && (n.Max < 0 || n.Max-n.Min > 1) {
		slot = b.newSlot()
	}
	return b.copies(n.Min, sub, e, once(func(e env) int32 {
		if n.Min == n.Max {
			return k(e)
		}
		e = b.conds.forget(e, n)
		rest := b.optional(n, slot, e, k(e))
		if slot >= 0 {
			rest = b.emit(inst{op: opClear, x: slot, next: rest})
		}
		return rest
	}))
}

// copies compiles sub count times, and then k.
func (b *builder) copies(count int, sub *Node, e env, k cont) int32 {
	if b.conds.none() {
		next := k(e)
		for ; count > 0 && b.err == nil; count-- {
			next = b.node(sub, e, always(next))
		}
		return next
	}
	if count == 0 || b.err != nil {
		return k(e)
	}
	return b.node(sub, e, once(func(e env) int32 { return b.copies(count-1, sub, e, k) }))
}

// newSlot makes a progress slot.
func (b *builder) newSlot() int32 {
	b.prog.slots++
	return int32(b.prog.slots - 1)
}

// single returns the set of a node that is one code point, or nil.
func (b *builder) single(n *Node) *set {
	switch {
	case n.Kind == KindClass:
		return b.set(n.Class)
	case n.Kind == KindLiteral && len(n.Runes) == 1:
		return b.foldSet(n.Runes[0], n.Fold)
	}
	return nil
}

// optional compiles the repeats beyond Min. An empty round ends the loop: slot
// (where ≥ 0) has the position at which the last round started, and where a
// round has not moved from there, only what follows is left.
func (b *builder) optional(n *Node, slot int32, e env, next int32) int32 {
	if slot >= 0 {
		b.loops = append(b.loops, slot)
		defer func() { b.loops = b.loops[:len(b.loops)-1] }()
	}
	// round compiles one round from the choice alt on, which leads to again.
	round := func(alt, again int32) {
		body := b.node(n.Subs[0], e, always(again))
		if slot >= 0 {
			body = b.emit(inst{op: opSave, x: slot, next: body})
		}
		alts := []int32{body, next}
		if n.Mode == Lazy {
			alts = []int32{next, body}
		}
		b.prog.branches[b.prog.insts[alt].min] = alts
	}
	choice := func() (alt, entry int32) {
		alt = b.emit(inst{op: opAlt, min: b.branch(nil)})
		entry = alt
		if slot >= 0 {
			entry = b.emit(inst{op: opProgress, x: slot, next: alt, y: next})
		}
		return alt, entry
	}
	if n.Max < 0 {
		alt, entry := choice()
		round(alt, entry)
		return entry
	}
	rest := next
	for i := n.Min; i < n.Max && b.err == nil; i++ {
		alt, entry := choice()
		round(alt, rest)
		rest = entry
	}
	return rest
}

// possessive compiles a possessive repeat over more than one code point: each
// round is atomic, and the first that fails ends the loop.
func (b *builder) possessive(n *Node, e env, next int32) int32 {
	b.partialMemo()
	sub := n.Subs[0]
	rest := next
	if n.Max < 0 {
		slot := b.newSlot()
		entry := b.emit(inst{op: opProgress, x: slot, y: next})
		round := b.atomic(sub, e, entry, next)
		b.prog.insts[entry].next = b.emit(inst{op: opSave, x: slot, next: round})
		rest = b.emit(inst{op: opClear, x: slot, next: entry})
	}
	for i := n.Min; i < n.Max && b.err == nil; i++ {
		rest = b.atomic(sub, e, rest, next)
	}
	for i := 0; i < n.Min && b.err == nil; i++ {
		rest = b.atomic(sub, e, rest, 0)
	}
	return rest
}

// unrolled returns about how many instructions n becomes, no more than
// maxInsts+1.
func unrolled(n *Node) int {
	size := 1
	for _, s := range n.Subs {
		size = min(size+unrolled(s), maxInsts+1)
	}
	switch {
	case n.Kind == KindLiteral:
		size = pick(n.Fold == FoldNone, 1, len(n.Runes))
	case n.Kind == KindRepeat && (n.Subs[0].Kind == KindClass || n.Subs[0].Kind == KindLiteral && len(n.Subs[0].Runes) == 1):
		size = 1
	case n.Kind == KindRepeat:
		size *= min(max(n.Min+1, n.Max), maxInsts+1)
	}
	return min(size, maxInsts+1)
}

// surelyFits says that no program of n has more than maxInsts instructions, so
// that to compile it cannot fail.
func surelyFits(n *Node) bool { return atMost(n) <= maxInsts }

// atMost bounds the instructions of a program of n. A part is compiled once for
// each time that it is unrolled, and with conditionals for each env, with fewer
// than eight instructions more than those within it.
func atMost(n *Node) int {
	size := 8 * unrolled(n)
	if conditional(n) {
		size *= maxEnvs
	}
	return size
}

// canBeEmpty says whether n can match the empty text; it may say so wrongly of
// backreferences.
func canBeEmpty(n *Node) bool {
	switch n.Kind {
	case KindLiteral, KindClass:
		return false
	case KindConcat:
		for _, s := range n.Subs {
			if !canBeEmpty(s) {
				return false
			}
		}
	case KindAlternate, KindCond:
		for _, s := range n.Subs {
			if canBeEmpty(s) {
				return true
			}
		}
		return false
	case KindGroup, KindAtomic:
		return canBeEmpty(n.Subs[0])
	case KindRepeat:
		return n.Min == 0 || canBeEmpty(n.Subs[0])
	}
	return true
}

// untilLoop compiles (?:(?!literal)class)*, greedy or lazy, to one
// instruction that goes on at nothing yet.
func (b *builder) untilLoop(n *Node) (inst, bool) {
	sub := n.Subs[0]
	if n.Mode == Possessive || n.Min > 1 || n.Max >= 0 || sub.Kind != KindConcat || len(sub.Subs) != 2 {
		return inst{}, false
	}
	look, class := sub.Subs[0], sub.Subs[1]
	if look.Kind != KindLook || look.Behind || !look.Negate || class.Kind != KindClass ||
		look.Subs[0].Kind != KindLiteral || look.Subs[0].Fold != FoldNone {
		return inst{}, false
	}
	return inst{op: opLoopUntil, lit: string(look.Subs[0].Runes), set: b.set(class.Class), mode: n.Mode,
		min: int32(n.Min), max: -1}, true
}
