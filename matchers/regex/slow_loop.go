package regex

// The states of a loop over one class. "Entered" is the loop at the position
// where it starts. "Left" at a position means, for a loop without an upper
// bound, the loop with at least min members taken, which may go on or be left
// there; all positions it walks over are such states, so that a walk ends at
// the first that was seen before. With an upper bound it means only that what
// follows the loop was tried there.

// loopSlow runs an opLoop that was entered at pos.
func (p *program) loopSlow(m *Machine, text []byte, pc int32, pos int) (int32, int, outcome) {
	i := &p.insts[pc]
	low := i.least(text, pos)
	m.steps += int(i.min)
	if low < 0 {
		return 0, 0, failed
	}
	left := int32(-1)
	if i.max >= 0 {
		left = i.max - i.min
	}
	switch {
	case i.mode == Lazy:
		return p.lazySlow(m, text, pc, low, left)
	case i.mode == Possessive:
		n := i.take(text, pos)
		m.steps += n - pos
		return i.next, n, matched
	case i.max < 0:
		return p.walk(m, text, pc, low)
	}
	high := low
	for ; left > 0; left-- {
		next := i.set.step(text, high)
		if next < 0 {
			break
		}
		m.steps++
		high = next
	}
	return p.boundedSlow(m, text, frame{pc: pc, pos: int32(high), lim: int32(low), trail: int32(len(m.trail))})
}

// walk runs a greedy loop without an upper bound from low on.
func (p *program) walk(m *Machine, text []byte, pc int32, low int) (int32, int, outcome) {
	i := &p.insts[pc]
	high := -1
	for pos := low; pos >= 0; pos = i.set.step(text, pos) {
		out := p.enter(m, i, pos, true)
		if out == matched {
			return -1, pos, matched
		}
		if out == failed {
			break
		}
		m.steps++
		high = pos
	}
	if high < 0 {
		return 0, 0, failed
	}
	f := frame{pc: pc, pos: int32(high), lim: int32(low), trail: int32(len(m.trail))}
	return m.leave(text, i, f)
}

// leave goes on after the loop of f at the last position, from f.pos down to
// f.lim, at which that can match, and notes the way back.
func (m *Machine) leave(text []byte, i *inst, f frame) (int32, int, outcome) {
	pos, low := int(f.pos), int(f.lim)
	for !m.view.can(i.next, pos) {
		if pos == low {
			return 0, 0, failed
		}
		pos = back(text, pos)
		if m.depth > 0 {
			// The states of a walk stand on the trail one after the other.
			f.trail--
		}
	}
	if m.depth > 0 {
		m.trail = m.trail[:f.trail]
	}
	if pos > low {
		f.pos = int32(pos)
		m.stack = append(m.stack, f)
	}
	return i.next, pos, matched
}

// boundedSlow goes on at f.pos, or before it where that was tried already,
// and notes the way back.
func (p *program) boundedSlow(m *Machine, text []byte, f frame) (int32, int, outcome) {
	i := &p.insts[f.pc]
	for pos := int(f.pos); pos >= int(f.lim); pos = back(text, pos) {
		m.steps++
		if !m.view.can(i.next, pos) {
			continue
		}
		switch p.enter(m, i, pos, true) {
		case matched:
			return -1, pos, matched
		case exhausted:
			if pos > int(f.lim) {
				f.pos = int32(pos)
				m.stack = append(m.stack, f)
			}
			return i.next, pos, matched
		}
	}
	return 0, 0, failed
}

// lazySlow goes on at pos, or after at most left members more (-1: any number).
func (p *program) lazySlow(m *Machine, text []byte, pc int32, pos int, left int32) (int32, int, outcome) {
	i := &p.insts[pc]
	for pos >= 0 {
		m.steps++
		can := m.view.can(i.next, pos)
		if left >= 0 && !can {
			if left == 0 {
				break
			}
			left--
			pos = i.set.step(text, pos)
			continue
		}
		f := frame{pc: pc, pos: int32(pos), lim: left, trail: int32(len(m.trail))}
		switch p.enter(m, i, pos, true) {
		case matched:
			return -1, pos, matched
		case exhausted:
			if left < 0 {
				f.trail = int32(len(m.trail))
			}
			if !can {
				pos = i.set.step(text, pos)
				continue
			}
			if left != 0 {
				m.stack = append(m.stack, f)
			}
			return i.next, pos, matched
		}
		if left <= 0 {
			break
		}
		left--
		pos = i.set.step(text, pos)
	}
	return 0, 0, failed
}

// loopNext goes on with the loop of the last frame, whose way failed.
func (p *program) loopNext(m *Machine, text []byte, i *inst) (int32, int, outcome) {
	top := len(m.stack) - 1
	f := m.stack[top]
	switch {
	case i.mode == Lazy:
		m.stack = m.stack[:top]
		return p.lazySlow(m, text, f.pc, i.set.step(text, int(f.pos)), max(f.lim-1, -1))
	case i.max >= 0:
		m.stack = m.stack[:top]
		f.pos = int32(back(text, int(f.pos)))
		return p.boundedSlow(m, text, f)
	}
	m.stack = m.stack[:top]
	m.steps++
	f.pos = int32(back(text, int(f.pos)))
	if m.depth > 0 && !p.noMemo {
		f.trail--
	}
	return m.leave(text, i, f)
}

// subSlow runs an opLook or an opAtomic.
func (p *program) subSlow(m *Machine, text []byte, i *inst, pos int) (int32, int, outcome) {
	at := pos
	if i.op == opLook {
		if at = i.lookStart(text, pos); at < 0 {
			return i.next, pos, pick(i.negate, matched, failed)
		}
		m.steps += int(i.min)
	}
	if i.op == opLook && i.mode != Possessive {
		// One text or code point needs no machine: (?! from ) stands at every
		// position of what it keeps apart.
		if s := &p.insts[i.x]; (s.op == opLit || s.op == opClass) && p.insts[s.next].op == opMatch {
			held := false
			if s.op == opLit {
				held = len(text)-at >= len(s.lit) && string(text[at:at+len(s.lit)]) == s.lit
			} else {
				held = s.set.step(text, at) >= 0
			}
			return i.next, pos, pick(held != i.negate, matched, failed)
		}
	}
	base, trail := len(m.stack), len(m.trail)
	// A frame below makes every change of a slot noted; it changes nothing itself.
	m.push(frame{pc: ^0, pos: m.slots[0]})
	m.depth++
	n, out := p.runSlow(m, text, i.x, at)
	m.depth--
	if out == exhausted {
		return 0, 0, out
	}
	known := i.op == opLook && i.mode != Possessive
	if out == matched {
		p.settle(m, trail, known)
	}
	if out == matched && !known {
		m.commit(base)
	} else {
		m.unwind(base)
	}
	m.trail = m.trail[:trail]
	if i.op == opLook {
		return i.next, pos, pick((out == matched) != i.negate, matched, failed)
	}
	if out == failed && i.y != 0 {
		return i.y, pos, matched
	}
	return i.next, n, out
}

// settle is told that a sub-program has matched: the states on the trail since
// then lead to its match. Where that is all there is to know they are marked
// so; else they are forgotten, to be run again for position and groups.
func (p *program) settle(m *Machine, trail int, known bool) {
	for _, k := range m.trail[trail:] {
		if known {
			m.success[k>>6] |= 1 << (k & 63)
		} else {
			m.visited[k>>6] &^= 1 << (k & 63)
		}
	}
}
