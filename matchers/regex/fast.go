package regex

import (
	"bytes"
	"unicode/utf8"
)

// run is the fast machine: it runs p from pc at pos up to opMatch and returns
// the position there. What it leaves on the stack above where it was are the
// choices not taken and, for the slots, the way back.
//
// Most of the work is in runSteps. What is rare or long is in rare; the rest is
// one long switch.
func (p *program) run(m *Machine, text []byte, pc int32, pos int) (int, outcome) {
	base := len(m.stack)
	insts := p.insts
	for {
		i := &insts[pc]
		switch i.op {
		case opMatch:
			return pos, matched
		case opFail:
		case opLit:
			if n := pos + len(i.lit); n <= len(text) && string(text[pos:n]) == i.lit {
				pos = n
				pc = i.next
				continue
			}
		case opByte:
			if pos < len(text) && text[pos] == byte(i.x) {
				pos++
				pc = i.next
				continue
			}
		case opClass:
			if n := i.set.step(text, pos); n >= 0 {
				pos = n
				pc = i.next
				continue
			}
		case opSteps, opAlt:
			if pc, pos = p.runSteps(m, text, i.x, pos); pc != 0 && m.fuel >= 0 {
				continue
			}
		case opSave:
			m.save(i.x, pos)
			pc = i.next
			continue
		case opLoopKeep:
			if n := i.take(text, pos); n >= 0 && m.fuel >= 0 {
				m.fuel -= n - pos
				pos = n
				pc = i.next
				continue
			}
		case opLoopLast:
			n := i.set.span(text, pos)
			m.fuel -= n - pos
			if n > pos && m.fuel >= 0 && p.sets[i.x].step(text, back(text, n)) == n {
				pos = n
				pc = i.next
				continue
			}
		case opLoop:
			if n := i.loop(m, text, pc, pos); n >= 0 && m.fuel >= 0 {
				pos = n
				pc = i.next
				continue
			}
		case opJoin:
			if m.joins[i.x] != int32(pos) {
				m.joins[i.x] = int32(pos)
				pc = i.next
				continue
			}
		case opLoopUntil:
			if n := i.until(m, text, pc, pos); n >= 0 && m.fuel >= 0 {
				pos = n
				pc = i.next
				continue
			}
		case opLookSet:
			at := pos
			if i.behind {
				at = back(text, pos)
			}
			if (at >= 0 && i.set.step(text, at) >= 0) != i.negate {
				pc = i.next
				continue
			}
		case opLookLit:
			if i.lookLit(text, pos) != i.negate {
				pc = i.next
				continue
			}
		default:
			next, n, out := p.rare(m, text, i, pos)
			if out == exhausted {
				return 0, exhausted
			}
			if out == matched {
				pc, pos = next, n
				continue
			}
		}
		// Fail: go back.
		if m.fuel -= backCost; m.fuel < 0 {
			m.unwind(base)
			return 0, exhausted
		}
		if pc, pos = p.resume(m, text, base); pc < 0 {
			return 0, failed
		}
	}
}

// byteAt is the next byte, as tables over it have it.
func byteAt(text []byte, pos int) int {
	if pos < len(text) {
		return int(text[pos])
	}
	return end
}

// resume takes the last choice above base and returns where to go on; pc is
// -1 where there is none.
func (p *program) resume(m *Machine, text []byte, base int) (pc int32, pos int) {
	for len(m.stack) > base {
		f := &m.stack[len(m.stack)-1]
		if f.pc < 0 {
			m.slots[^f.pc] = f.pos
			m.stack = m.stack[:len(m.stack)-1]
			continue
		}
		i := &p.insts[f.pc]
		if i.op == opAlt {
			pos = int(f.pos)
			list := p.alts[i.min].list(i, text, pos).rest
			pc = list[f.lim]
			if f.lim++; int(f.lim) == len(list) {
				m.stack = m.stack[:len(m.stack)-1]
			}
			return pc, pos
		}
		switch {
		case i.op == opLoopUntil && i.mode == Lazy:
			pos = i.untilNext(m, text, f)
		case i.mode == Lazy:
			pos = i.lazyNext(m, text, f)
		default:
			pos = i.greedyNext(m, text, f)
		}
		if pos >= 0 {
			return i.next, pos
		}
	}
	return -1, 0
}

// rare runs the instructions that are seldom or expensive: it returns where to
// go on (matched), or that it failed or is exhausted.
func (p *program) rare(m *Machine, text []byte, i *inst, pos int) (int32, int, outcome) {
	switch i.op {
	case opAssert:
		if assertHolds(Assert(i.x), text, pos) {
			return i.next, pos, matched
		}
	case opSpaceEnd:
		if pos >= m.tailStart(text) {
			return i.next, len(text), matched
		}
	case opClear:
		m.save(i.x, -1)
		return i.next, pos, matched
	case opProgress:
		if m.slots[i.x] == int32(pos) {
			return i.y, pos, matched
		}
		return i.next, pos, matched
	case opCond:
		if m.groupSet(i.x) {
			return i.next, pos, matched
		}
		return i.y, pos, matched
	case opBackref:
		if n := m.backref(i, text, pos); n >= 0 {
			m.fuel -= n - pos
			return i.next, n, matched
		}
	case opLook:
		at := i.lookStart(text, pos)
		m.fuel -= backCost * int(i.min)
		if at < 0 {
			return i.next, pos, pick(i.negate, matched, failed)
		}
		_, out := p.sub(m, text, i.x, at, i.negate)
		if out == exhausted {
			return 0, 0, exhausted
		}
		if (out == matched) != i.negate {
			return i.next, pos, matched
		}
	case opAtomic:
		n, out := p.sub(m, text, i.x, pos, false)
		switch {
		case out != failed:
			return i.next, n, out
		case i.y != 0:
			return i.y, pos, matched
		}
	}
	return 0, 0, failed
}

// lookStart returns where the sub-program of a lookaround starts, or -1.
func (i *inst) lookStart(text []byte, pos int) int {
	for n := i.min; i.behind && n > 0 && pos >= 0; n-- {
		pos = back(text, pos)
	}
	return pos
}

// sub runs a sub-program. Its groups are kept where it matches, unless drop is set.
func (p *program) sub(m *Machine, text []byte, pc int32, pos int, drop bool) (int, outcome) {
	base := len(m.stack)
	// A frame below makes every change of a slot noted; it changes nothing itself.
	m.stack = append(m.stack, frame{pc: ^0, pos: m.slots[0]})
	n, out := p.run(m, text, pc, pos)
	if out == matched && !drop {
		m.commit(base)
	} else {
		m.unwind(base)
	}
	return n, out
}

// assertHolds says whether an assertion holds at pos.
func assertHolds(a Assert, text []byte, pos int) bool {
	switch a {
	case BeginText:
		return pos == 0
	case BeginLine:
		return pos == 0 || text[pos-1] == '\n'
	case EndText:
		return pos == len(text)
	case EndBeforeLine:
		return pos == len(text) || pos == len(text)-1 && text[pos] == '\n'
	case EndLine:
		return pos == len(text) || text[pos] == '\n'
	}
	if len(text) == 0 {
		return false
	}
	ascii := a == WordBoundaryA || a == NoWordBoundaryA
	boundary := wordBefore(text, pos, ascii) != wordAt(text, pos, ascii)
	return boundary == (a == WordBoundary || a == WordBoundaryA)
}

// wordAt says whether the code point at pos is in \w.
func wordAt(text []byte, pos int, ascii bool) bool {
	if pos >= len(text) {
		return false
	}
	if c := text[pos]; c < utf8.RuneSelf || ascii {
		return isWordByte(c)
	}
	r, _ := utf8.DecodeRune(text[pos:])
	return isWord(r)
}

// wordBefore says whether the code point before pos is in \w.
func wordBefore(text []byte, pos int, ascii bool) bool {
	if pos == 0 {
		return false
	}
	if c := text[pos-1]; c < utf8.RuneSelf || ascii {
		return isWordByte(c)
	}
	r, _ := utf8.DecodeLastRune(text[:pos])
	return isWord(r)
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// backref returns the position after the text of the group of i repeated at
// pos, or -1.
func (m *Machine) backref(i *inst, text []byte, pos int) int {
	if !m.groupSet(i.x) {
		return -1
	}
	want := text[m.slots[2*i.x]:m.slots[2*i.x+1]]
	if i.fold == FoldNone {
		if bytes.HasPrefix(text[pos:], want) {
			return pos + len(want)
		}
		return -1
	}
	for len(want) > 0 {
		if pos >= len(text) {
			return -1
		}
		a, n := utf8.DecodeRune(want)
		b, k := utf8.DecodeRune(text[pos:])
		if lower(a, i.fold) != lower(b, i.fold) {
			return -1
		}
		want = want[n:]
		pos += k
	}
	return pos
}
