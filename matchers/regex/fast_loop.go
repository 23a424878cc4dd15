package regex

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// take returns the end of min to max members from pos on, as many as there
// are, or -1 where there are fewer than min.
func (i *inst) take(text []byte, pos int) int {
	if i.max < 0 && i.min <= 1 {
		n := i.set.span(text, pos)
		if n == pos && i.min == 1 {
			return -1
		}
		return n
	}
	for count := int32(0); count != i.max; count++ {
		n := i.set.step(text, pos)
		if n < 0 {
			if count < i.min {
				return -1
			}
			break
		}
		pos = n
	}
	return pos
}

// least returns the end of exactly min members from pos on, or -1.
func (i *inst) least(text []byte, pos int) int {
	for n := i.min; n > 0 && pos >= 0; n-- {
		pos = i.set.step(text, pos)
	}
	return pos
}

// loop runs a greedy or lazy loop: the position at which to go on first, a
// way back being noted where there is another, or -1.
func (i *inst) loop(m *Machine, text []byte, pc int32, pos int) int {
	low := pos
	switch {
	case i.min == 1 && pos < len(text) && i.set.tab[text[pos]] == setYes:
		low++
	case i.min > 0:
		if low = i.least(text, pos); low < 0 {
			return -1
		}
	}
	left := int32(-1)
	if i.max >= 0 {
		left = i.max - i.min
	}
	if i.mode == Lazy {
		return i.lazy(m, text, pc, low, left)
	}
	high := low
	switch {
	case left == 0 || high < len(text) && i.set.tab[text[high]] == setNo:
	case left < 0:
		high = i.set.span(text, low)
	default:
		high = i.set.upTo(text, low, int(left))
	}
	m.fuel -= high - pos
	if high == low {
		if i.possibleAt(m, text, low) {
			return low
		}
		return -1
	}
	return i.greedy(m, text, pc, low, high)
}

// until runs an opLoopUntil.
func (i *inst) until(m *Machine, text []byte, pc int32, pos int) int {
	high := i.set.span(text, pos)
	m.fuel -= high - pos
	// lit may start within the span and end beyond it.
	reach := min(high+len(i.lit)-1, len(text))
	if n := bytes.Index(text[pos:reach], []byte(i.lit)); n >= 0 {
		high = pos + n
	}
	low := pos
	if i.min == 1 {
		if high == pos {
			return -1
		}
		low = i.set.step(text, pos)
	}
	switch {
	case i.negate && i.possibleAt(m, text, high):
		return high
	case i.negate:
		return -1
	case i.mode == Lazy:
		return i.untilLazy(m, text, pc, low, high)
	}
	return i.greedy(m, text, pc, low, high)
}

// untilLazy returns the first position from low to high at which what follows
// can start, or -1, and notes the way on to those after it.
func (i *inst) untilLazy(m *Machine, text []byte, pc int32, low, high int) int {
	for pos := low; pos <= high; pos++ {
		if i.possibleAt(m, text, pos) {
			if pos < high {
				m.stack = append(m.stack, frame{pc: pc, pos: int32(pos), lim: int32(high)})
			}
			m.fuel -= pos - low
			return pos
		}
	}
	m.fuel -= high - low
	return -1
}

// untilNext goes on from f, the last frame.
func (i *inst) untilNext(m *Machine, text []byte, f *frame) int {
	low, high, pc := int(f.pos)+1, int(f.lim), f.pc
	m.stack = m.stack[:len(m.stack)-1]
	return i.untilLazy(m, text, pc, low, high)
}

// possibleAt says whether what follows the loop can start at pos.
func (i *inst) possibleAt(m *Machine, text []byte, pos int) bool {
	c := end
	if pos < len(text) {
		if c = int(text[pos]); c&0xc0 == 0x80 {
			return false
		}
	}
	v := i.after[c]
	return v == nextYes || v == nextTail && pos >= m.tailStart(text)
}

// tailStart returns where the white space at the end of the text begins.
func (m *Machine) tailStart(text []byte) int {
	if m.tail < 0 {
		m.tail = len(text)
		// Nearly always it is the newline alone.
		for m.tail > 0 && asciiSpace[text[m.tail-1]] {
			m.tail--
		}
		if m.tail == 0 || text[m.tail-1] < utf8.RuneSelf {
			return m.tail
		}
		space := categorySet(spaceRanges)
		for pos := back(text, m.tail); pos >= 0 && space.step(text, pos) >= 0; pos = back(text, pos) {
			m.tail = pos
		}
	}
	return m.tail
}

// asciiSpace are the bytes of \s.
var asciiSpace = [256]bool{'\t': true, '\n': true, '\v': true, '\f': true, '\r': true, 0x1c: true, 0x1d: true, 0x1e: true, 0x1f: true, ' ': true}

// greedy returns the last position from low to high at which what follows can
// start, or -1, and notes the way back to those before it.
func (i *inst) greedy(m *Machine, text []byte, pc int32, low, high int) int {
	pos := i.lastPossible(m, text, low, high)
	if pos > low {
		m.stack = append(m.stack, frame{pc: pc, pos: int32(pos), lim: int32(low)})
	}
	m.fuel -= high - max(pos, low)
	return pos
}

// lastPossible returns the last position from low to high at which what follows
// can start, or -1.
func (i *inst) lastPossible(m *Machine, text []byte, low, high int) int {
	if i.op == opLoop && i.lit != "" {
		return lastLit(text, low, min(high, len(text)-len(i.lit)), i.lit, int(i.y))
	}
	for pos := high; pos >= low; pos-- {
		if i.possibleAt(m, text, pos) {
			return pos
		}
	}
	return -1
}

// lastLit returns the last position from low to high at which lit stands, or
// -1. It looks for the byte at rare.
func lastLit(text []byte, low, high int, lit string, rare int) int {
	for high >= low {
		n := lastByte(text[low+rare:high+rare+1], lit[rare])
		if n < 0 {
			break
		}
		if pos := low + n; string(text[pos:pos+len(lit)]) == lit {
			return pos
		}
		high = low + n - 1
	}
	return -1
}

// lastByte is bytes.LastIndexByte, eight bytes at a time.
func lastByte(s []byte, c byte) int {
	const low7 = 0x7f7f7f7f7f7f7f7f
	all := uint64(c) * 0x0101010101010101
	n := len(s)
	for ; n >= 8; n -= 8 {
		w := binary.LittleEndian.Uint64(s[n-8:]) ^ all
		if zero := ^((w&low7 + low7) | w | low7); zero != 0 {
			return n - 1 - bits.LeadingZeros64(zero)/8
		}
	}
	for n--; n >= 0; n-- {
		if s[n] == c {
			return n
		}
	}
	return -1
}

// rarest returns the offset of the byte of lit that is likely the rarest in a
// log: neither a blank nor a letter, where there is one.
func rarest(lit string) int {
	for n := range len(lit) {
		if c := lit[n]; c != ' ' && !isWordByte(c) {
			return n
		}
	}
	return len(lit) - 1
}

// greedyNext gives back from f, the last frame: the next position down, or
// -1. The frame goes where nothing is left.
func (i *inst) greedyNext(m *Machine, text []byte, f *frame) int {
	low, from := int(f.lim), int(f.pos)
	pos := i.lastPossible(m, text, low, from-1)
	m.fuel -= from - max(pos, low)
	if f.pos = int32(pos); pos <= low {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return pos
}

// lazy returns the first position from pos on, over at most left members (-1:
// any number), at which what follows can start, or -1, and notes the way on.
func (i *inst) lazy(m *Machine, text []byte, pc int32, pos int, left int32) int {
	if left < 0 && i.lit != "" {
		return i.lazyLit(m, text, pc, pos)
	}
	from := pos
	if left < 0 {
		pos = i.skip(m, text, pos)
	}
	for !i.possibleAt(m, text, pos) {
		next := -1
		if left != 0 {
			next = i.set.step(text, pos)
		}
		if next < 0 {
			m.fuel -= pos - from
			return -1
		}
		pos = next
		left--
	}
	m.fuel -= pos - from
	if left != 0 {
		m.stack = append(m.stack, frame{pc: pc, pos: int32(pos), lim: left})
	}
	return pos
}

// lazyLit is lazy without an upper bound before a literal.
func (i *inst) lazyLit(m *Machine, text []byte, pc int32, pos int) int {
	n := bytes.Index(text[pos:], []byte(i.lit))
	if n < 0 {
		m.fuel -= len(text) - pos
		return -1
	}
	m.fuel -= n
	if i.set.span(text[:pos+n], pos) != pos+n {
		return -1
	}
	m.stack = append(m.stack, frame{pc: pc, pos: int32(pos + n), lim: -1})
	return pos + n
}

// skip returns a position up to which a lazy loop without an upper bound has
// to go on from pos, as what follows cannot start before it.
func (i *inst) skip(m *Machine, text []byte, pos int) int {
	limit := len(text)
	if i.after[end] == nextTail {
		limit = m.tailStart(text)
	}
	for ; pos < limit; pos++ {
		if c := text[pos]; i.set.tab[c]&1 == 0 || i.after[c] == nextYes {
			break
		}
	}
	return pos
}

// lazyNext takes one more member from f, the last frame, and goes on from there.
func (i *inst) lazyNext(m *Machine, text []byte, f *frame) int {
	pos, left, pc := i.set.step(text, int(f.pos)), f.lim-1, f.pc
	m.stack = m.stack[:len(m.stack)-1]
	if pos < 0 {
		return -1
	}
	return i.lazy(m, text, pc, pos, left)
}

// lookLit says whether lit stands at pos, or before it.
func (i *inst) lookLit(text []byte, pos int) bool {
	if i.behind {
		return pos >= len(i.lit) && string(text[pos-len(i.lit):pos]) == i.lit
	}
	return len(text)-pos >= len(i.lit) && string(text[pos:pos+len(i.lit)]) == i.lit
}
