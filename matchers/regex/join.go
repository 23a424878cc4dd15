package regex

// join puts an opJoin in front of what follows an alternation whose branches
// may end at the same place in several ways, as those of <HOST> do (an IPv4
// address is a host name too): what has failed there once fails again, and is
// not run a second time. That holds where the way to the place says nothing of
// what comes: not within a sub-program, whose success is no end, nor within a
// loop that asks where its round began. For conditionals and backreferences,
// and branches that the next byte tells apart, optimise takes it out again.
func (b *builder) join(n *Node, k cont) (joined cont, alternation int32) {
	if !b.fast || b.subs > 0 || len(b.loops) > 0 {
		return k, 0
	}
	long := 0
	for _, s := range n.Subs {
		if hasLoop(s) {
			long++
		}
	}
	if long < 2 {
		return k, 0
	}
	b.alternations++
	alternation = b.alternations
	return once(func(e env) int32 {
		next := k(e)
		b.prog.joins++
		return b.emit(inst{op: opJoin, x: int32(b.prog.joins - 1), y: alternation, next: next})
	}), alternation
}

// hasLoop says whether n repeats something a number of times that varies.
func hasLoop(n *Node) bool {
	found := false
	n.Walk(func(n *Node) bool {
		found = found || n.Kind == KindRepeat && n.Min != n.Max && n.Max != 1
		return !found
	})
	return found
}

// dropJoins takes out the opJoins that cannot hold or are of no use.
func dropJoins(p *program, first []byteSet) {
	if p.joins == 0 {
		return
	}
	all := false
	useless := map[int32]bool{} // by alternation
	for pc := range p.insts {
		switch i := &p.insts[pc]; i.op {
		case opCond, opBackref:
			all = true // what follows depends on what was captured
		case opAlt:
			if i.y > 0 && apart(p.branches[i.min], first) {
				useless[i.y] = true
			}
		}
	}
	past := func(pc int32) int32 {
		for p.insts[pc].op == opJoin && (all || useless[p.insts[pc].y]) {
			pc = p.insts[pc].next
		}
		return pc
	}
	p.start = past(p.start)
	for pc := range p.insts {
		i := &p.insts[pc]
		i.next = past(i.next)
		switch i.op {
		case opAlt:
			for n, alt := range p.branches[i.min] {
				p.branches[i.min][n] = past(alt)
			}
		case opProgress, opCond:
			i.y = past(i.y)
		case opAtomic:
			i.x, i.y = past(i.x), past(i.y)
		case opLook:
			i.x = past(i.x)
		}
	}
}

// apart says whether the next byte leaves one of the branches at most.
func apart(alts []int32, first []byteSet) bool {
	var seen byteSet
	for _, alt := range alts {
		both := first[alt]
		both.intersect(&seen)
		if both != (byteSet{}) {
			return false
		}
		seen.union(&first[alt])
	}
	return true
}
