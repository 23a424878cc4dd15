package regex

// maxMemo bounds the memo of a search, in words of 64 bits: 8 MiB.
const maxMemo = 1 << 20

// maxStack bounds the ways back of the memoised machine, in frames: 16 MiB.
const maxStack = 1 << 20

// maxBits is how many bits a state may depend on besides instruction and position.
const maxBits = 8

// layout numbers the states of the instructions that choose. A state is an
// instruction, the bits it depends on and the position; from one that was
// entered before and did not lead to a match, no match can come.
func (b *builder) layout() {
	p := b.prog
	for pc := range p.insts {
		i := &p.insts[pc]
		if i.op != opAlt && i.op != opLoop {
			continue
		}
		bits := len(p.bits[i.x])
		if bits > maxBits {
			b.noMemo()
			return
		}
		i.state = int32(p.states)
		n := 1 << bits
		if i.op == opLoop {
			n *= 2 // entered, and left at a position
		}
		p.states += n
	}
}

// searchViewed is Search on the memoised machine, with views that keep it off
// the ways that must fail.
func (p *program) searchViewed(m *Machine, text []byte, at int) ([]int32, outcome) {
	if p.noMemo || len(text) > maxViewText {
		return p.searchSlow(m, text, at)
	}
	v := m.viewsOf(p)
	size := v.size()
	v.ids = m.ids
	v.look(text, at)
	m.ids = v.ids
	m.viewBytes += v.size() - size
	m.view = v
	caps, out := p.searchSlow(m, text, at)
	m.view, v.ids = nil, nil
	return caps, out
}

// searchSlow is Search on the memoised machine.
func (p *program) searchSlow(m *Machine, text []byte, at int) ([]int32, outcome) {
	m.prepare(p)
	m.stack = m.stack[:0]
	m.trail = m.trail[:0]
	m.steps, m.depth = 0, 0
	m.full = false
	ready := p.noMemo
	for pos := at; pos <= len(text); pos++ {
		if pos < len(text) && text[pos]&0xc0 == 0x80 || !m.view.can(p.start, pos) {
			continue
		}
		if !ready {
			p.forget(m, len(text)+1)
			ready = true
		}
		n, out := p.runSlow(m, text, p.start, pos)
		switch out {
		case matched:
			m.slots[0], m.slots[1] = int32(pos), int32(n)
			return m.slots[:2*(p.groups+1)], matched
		case exhausted:
			return nil, exhausted
		}
		if m.full {
			return nil, exhausted // what failed did so for want of room
		}
		m.clear()
	}
	return nil, failed
}

// forget empties the memo and makes it ready for so many positions. It has a row
// of bits for each state that is entered at all: a pattern of thousands of
// states is in some dozen of them wherever a text is.
func (p *program) forget(m *Machine, positions int) {
	if cap(m.rows) < p.states {
		m.rows = make([]int32, p.states)
	}
	m.rows = m.rows[:p.states]
	clear(m.rows)
	m.rowWords = (positions + 63) / 64
	m.visited, m.success, m.full = m.visited[:0], m.success[:0], false
}

// row returns where a state's row begins in the memo, in words. Where there is
// no room for it, the memo is full and the search ends.
func (p *program) row(m *Machine, state int) int {
	if r := m.rows[state]; r > 0 {
		return int(r-1) * m.rowWords
	}
	room := maxMemo
	if p.looks {
		room /= 2
	}
	start := len(m.visited)
	if start+m.rowWords > room {
		m.full = true
		return 0
	}
	m.visited = grown(m.visited, m.rowWords, room)
	if p.looks {
		m.success = grown(m.success, m.rowWords, room)
	}
	m.rows[state] = int32(start/m.rowWords) + 1
	return start
}

// grown returns s with n more words of zero, in its memory where that suffices,
// else in twice as much, room words at most.
func grown(s []uint64, n, room int) []uint64 {
	end := len(s) + n
	if cap(s) < end {
		larger := make([]uint64, len(s), min(max(2*cap(s), end, 1024), room))
		copy(larger, s)
		s = larger
	}
	s = s[:end]
	clear(s[end-n:])
	return s
}

// key returns the number of the bit of i's state at pos; left is for loops.
func (p *program) key(m *Machine, i *inst, pos int, left bool) uint64 {
	bits, list := 0, p.bits[i.x]
	for k, ref := range list {
		if ref < 0 && m.groupSet(^ref) || ref >= 0 && m.slots[ref] == int32(pos) {
			bits |= 1 << k
		}
	}
	if left {
		bits |= 1 << len(list)
	}
	return uint64(p.row(m, int(i.state)+bits))*64 + uint64(pos)
}

// enter marks a state. It returns failed for one that was entered before and
// matched for one that is known to lead to the match of its sub-program; for
// a new one it returns exhausted, which here means: find out.
func (p *program) enter(m *Machine, i *inst, pos int, left bool) outcome {
	if p.noMemo {
		return exhausted
	}
	k := p.key(m, i, pos, left)
	if m.full {
		return failed
	}
	w, bit := k>>6, uint64(1)<<(k&63)
	if m.visited[w]&bit == 0 {
		m.visited[w] |= bit
		if m.depth > 0 {
			m.trail = append(m.trail, k)
		}
		return exhausted
	}
	if p.looks && m.success[w]&bit != 0 {
		return matched
	}
	return failed
}

// runSlow is the memoised machine: like run, over a program without the fast
// machine's instructions.
func (p *program) runSlow(m *Machine, text []byte, pc int32, pos int) (int, outcome) {
	base := len(m.stack)
	for {
		if m.steps++; p.budget > 0 && m.steps > p.budget || len(m.stack) > maxStack || m.full {
			m.unwind(base)
			return 0, exhausted
		}
		i := &p.insts[pc]
		next, n, out := int32(0), 0, failed
		switch i.op {
		case opMatch:
			return pos, matched
		case opLit:
			if n = pos + len(i.lit); n <= len(text) && string(text[pos:n]) == i.lit {
				next, out = i.next, matched
			}
		case opClass:
			if n = i.set.step(text, pos); n >= 0 {
				next, out = i.next, matched
			}
		case opAlt, opLoop:
			switch p.enter(m, i, pos, false) {
			case matched:
				return pos, matched
			case exhausted:
				if i.op == opAlt {
					m.push(frame{pc: pc, pos: int32(pos)})
				} else {
					next, n, out = p.loopSlow(m, text, pc, pos)
				}
			}
		case opSave:
			m.save(i.x, pos)
			next, n, out = i.next, pos, matched
		case opLook, opAtomic:
			next, n, out = p.subSlow(m, text, i, pos)
		default:
			next, n, out = p.rare(m, text, i, pos)
		}
		switch out {
		case matched:
			if next < 0 {
				return n, matched // a state that is known to lead to the match
			}
			pc, pos = next, n
			continue
		case exhausted:
			m.unwind(base)
			return 0, exhausted
		}
		next, pos, out = p.resumeSlow(m, text, base)
		if out != matched {
			return 0, out
		}
		if pc = next; pc < 0 {
			return pos, matched
		}
	}
}

// push notes a choice.
func (m *Machine) push(f frame) {
	f.trail = int32(len(m.trail))
	m.stack = append(m.stack, f)
}

// resumeSlow takes the last choice above base. pc is -1 where it turns out
// that the sub-program matches.
func (p *program) resumeSlow(m *Machine, text []byte, base int) (int32, int, outcome) {
	for len(m.stack) > base {
		f := &m.stack[len(m.stack)-1]
		if f.pc < 0 {
			m.slots[^f.pc] = f.pos
			m.stack = m.stack[:len(m.stack)-1]
			continue
		}
		i := &p.insts[f.pc]
		if m.depth > 0 {
			m.trail = m.trail[:f.trail]
		}
		if i.op == opAlt {
			if pc := m.nextAlt(p.branches[i.min], f); pc >= 0 {
				return pc, int(f.pos), matched
			}
			continue
		}
		if pc, pos, out := p.loopNext(m, text, i); out != failed {
			return pc, pos, out
		}
	}
	return 0, 0, failed
}

// nextAlt returns the next of the branches of the choice f, the last frame, that can
// match, or -1. The frame goes where no other is left.
func (m *Machine) nextAlt(alts []int32, f *frame) int32 {
	found := int32(-1)
	for ; int(f.lim) < len(alts); f.lim++ {
		if !m.view.can(alts[f.lim], int(f.pos)) {
			continue
		}
		if found >= 0 {
			return found
		}
		found = alts[f.lim]
	}
	m.stack = m.stack[:len(m.stack)-1]
	return found
}
