package regex

import (
	"bytes"
	"encoding/binary"
	"math"
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
