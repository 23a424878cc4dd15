package regex

import (
	"bytes"
	"slices"
)

// A branch that can only match where a literal follows, which other branches
// do without, need not be run where the text has none: sshd's (?(cond_user): |…)
// stands at the end of a rule that was run twice for most lines. opNeed asks for
// it at the start of such a branch.

// maxNeeds is up to how many literals a program asks for.
const maxNeeds = 8

// minNeedAhead is how many instructions must stand between the start of a
// branch and its literal: where it is nearer, the branch finds out as fast.
const minNeedAhead = 8

// need is what a search knows of a literal: the first one from a position on
// is at another, or, where that is beyond the text, there is none.
type need struct{ from, at int32 }

// needed says whether the n'th literal of p stands at pos or after it.
func (p *program) needed(m *Machine, text []byte, n int32, pos int) bool {
	k := &m.needs[n]
	if k.from > int32(pos) || k.at < int32(pos) {
		k.from, k.at = int32(pos), int32(len(text)+1)
		if at := bytes.Index(text[pos:], []byte(p.needs[n])); at >= 0 {
			k.at = int32(pos + at)
		}
		m.fuel -= min(int(k.at), len(text)) - pos
	}
	return k.at <= int32(len(text))
}

// needLiterals puts opNeeds in front of the branches that gain by them.
func needLiterals(p *program) {
	needs := p.literalsNeeded()
	made := map[[2]int32]int32{}
	for a := range p.alts {
		for n := range p.alts[a].lists {
			list := &p.alts[a].lists[n]
			if len(list.rest) == 0 || list.second != nil {
				continue
			}
			later := needs.at[list.rest[len(list.rest)-1]]
			for k := len(list.rest) - 1; k >= 0; k-- {
				way := &list.first
				if k > 0 {
					way = &list.rest[k-1]
				}
				here := needs.at[*way]
				if here&^later != 0 {
					*way = p.ask(*way, here&^later, needs, made)
				}
				later &= here
			}
		}
	}
}

// literals is a set of literals of a program.
type literals uint64

// needsOf has the literals of a program, up to 64, and by instruction those
// that every way from it to a match has.
type needsOf struct {
	lits []string
	at   []literals
}

// own returns the set of the literal of i.
func (n *needsOf) own(i *inst) literals {
	if i.op != opLit {
		return 0
	}
	for k, lit := range n.lits {
		if lit == i.lit {
			return 1 << k
		}
	}
	return 0
}

// literalsNeeded reckons what each instruction needs: the greatest fixpoint
// over the graph, which is at hand after two rounds but for loops in loops.
func (p *program) literalsNeeded() *needsOf {
	n := &needsOf{at: make([]literals, len(p.insts))}
	own := make([]literals, len(p.insts))
	for pc := range p.insts {
		n.at[pc] = ^literals(0)
		i := &p.insts[pc]
		if own[pc] = n.own(i); own[pc] == 0 && i.op == opLit && len(n.lits) < 64 {
			own[pc] = 1 << len(n.lits)
			n.lits = append(n.lits, i.lit)
		}
	}
	for changed := true; changed; {
		changed = false
		for pc := range p.insts {
			if s := own[pc] | n.ahead(p, &p.insts[pc]); s != n.at[pc] {
				n.at[pc] = s
				changed = true
			}
		}
	}
	return n
}

// ahead returns what every way on from i needs.
func (n *needsOf) ahead(p *program, i *inst) literals {
	switch i.op {
	case opFail:
		return ^literals(0)
	case opMatch:
		return 0
	case opAlt:
		s := ^literals(0)
		for _, a := range p.branches[i.min] {
			s &= n.at[a]
		}
		return s
	case opProgress, opCond:
		return n.at[i.next] & n.at[i.y]
	case opAtomic:
		return n.at[i.next] & n.at[i.y]
	}
	return n.at[i.next]
}

// ask returns an opNeed in front of the branch pc that asks for one of the
// literals in own, or pc where none of them is worth it or there is no room.
func (p *program) ask(pc int32, own literals, needs *needsOf, made map[[2]int32]int32) int32 {
	own &^= p.near(pc, needs)
	best := -1
	for k, lit := range needs.lits {
		if own>>k&1 != 0 && (best < 0 || len(lit) > len(needs.lits[best])) {
			best = k
		}
	}
	if best < 0 || len(p.insts) >= maxInsts {
		return pc
	}
	n := slices.Index(p.needs, needs.lits[best])
	if n < 0 {
		if len(p.needs) == maxNeeds {
			return pc
		}
		n = len(p.needs)
		p.needs = append(p.needs, needs.lits[best])
	}
	key := [2]int32{pc, int32(n)}
	if made[key] == 0 {
		made[key] = int32(len(p.insts))
		p.insts = append(p.insts, inst{op: opNeed, x: int32(n), next: pc})
	}
	return made[key]
}

// near returns the literals that are met within a few instructions from pc on.
func (p *program) near(pc int32, needs *needsOf) (met literals) {
	seen, from := []int32{pc}, 0
	for range minNeedAhead {
		level := seen[from:]
		from = len(seen)
		for _, at := range level {
			i := &p.insts[at]
			met |= needs.own(i)
			for _, next := range p.following(i) {
				if !slices.Contains(seen, next) {
					seen = append(seen, next)
				}
			}
		}
	}
	return met
}

// following returns where i goes on.
func (p *program) following(i *inst) []int32 {
	switch i.op {
	case opFail, opMatch:
		return nil
	case opAlt:
		return p.branches[i.min]
	case opProgress, opCond, opAtomic:
		return []int32{i.next, i.y}
	}
	return []int32{i.next}
}
