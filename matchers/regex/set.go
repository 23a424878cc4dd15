package regex

import (
	"bytes"
	"unicode/utf8"
)

// What set.tab says of a byte that starts a code point.
const (
	setNo     = 0
	setYes    = 1 // an ASCII member
	setDecode = 2 // decode and look the code point up
	setHigh   = 3 // every code point that starts so is a member
)

// set is a Class made ready for matching on UTF-8.
type set struct {
	tab    [256]uint8
	ranges []Range // of the code points from 0x80 on
	// stop is the one byte that ends a span where all but one ASCII code point
	// and everything above are members; else -1.
	stop  int
	ascii bool    // no member above ASCII
	bytes byteSet // that members start with
}

// newSet prepares ranges (normalized).
func newSet(ranges []Range) *set {
	s := &set{stop: -1, ascii: true}
	for _, rg := range ranges {
		for r := rg.Lo; r <= rg.Hi && r < utf8.RuneSelf; r++ {
			s.tab[r] = setYes
		}
		if rg.Hi >= utf8.RuneSelf {
			rg.Lo = max(rg.Lo, utf8.RuneSelf)
			s.ranges = append(s.ranges, rg)
			s.ascii = false
			s.markLeads(rg)
		}
	}
	if rangesContain(s.ranges, utf8.RuneError) {
		// Invalid bytes count as U+FFFD.
		for b := utf8.RuneSelf; b < 256; b++ {
			s.tab[b] = setDecode
		}
	}
	if len(s.ranges) == 1 && s.ranges[0] == (Range{utf8.RuneSelf, utf8.MaxRune}) {
		outside := 0
		for b := range 256 {
			if b >= utf8.RuneSelf {
				s.tab[b] = setHigh
			} else if s.tab[b] == setNo {
				outside++
				s.stop = b
			}
		}
		if outside != 1 {
			s.stop = -1
		}
	}
	for b, v := range s.tab {
		if v != setNo {
			s.bytes.add(b)
		}
	}
	return s
}

// markLeads marks the first bytes of the UTF-8 of a range above ASCII.
func (s *set) markLeads(rg Range) {
	for _, length := range []Range{{0x80, 0x7ff}, {0x800, 0xffff}, {0x10000, utf8.MaxRune}} {
		lo, hi := max(rg.Lo, length.Lo), min(rg.Hi, length.Hi)
		if lo > hi {
			continue
		}
		for b := leadByte(lo); ; b++ {
			s.tab[b] = setDecode
			if b == leadByte(hi) {
				break
			}
		}
	}
}

// leadByte is the first byte of the UTF-8 of r, surrogates being taken as if they had one.
func leadByte(r rune) byte {
	switch {
	case r < 0x800:
		return 0xc0 | byte(r>>6)
	case r < 0x10000:
		return 0xe0 | byte(r>>12)
	}
	return 0xf0 | byte(r>>18)
}

// step returns the position after the code point at pos, or -1 where that is
// no member or the text ends.
func (s *set) step(text []byte, pos int) int {
	if pos >= len(text) {
		return -1
	}
	switch s.tab[text[pos]] {
	case setYes:
		return pos + 1
	case setDecode:
		r, n := utf8.DecodeRune(text[pos:])
		if rangesContain(s.ranges, r) {
			return pos + n
		}
	case setHigh:
		_, n := utf8.DecodeRune(text[pos:])
		return pos + n
	}
	return -1
}

// span returns the end of the members that stand from pos on.
func (s *set) span(text []byte, pos int) int {
	if s.stop >= 0 {
		if i := bytes.IndexByte(text[pos:], byte(s.stop)); i >= 0 {
			return pos + i
		}
		return len(text)
	}
	for pos < len(text) {
		v := s.tab[text[pos]]
		if v&1 != 0 {
			pos++
			continue
		}
		if v == setNo {
			break
		}
		r, n := utf8.DecodeRune(text[pos:])
		if !rangesContain(s.ranges, r) {
			break
		}
		pos += n
	}
	return pos
}

// back returns the position of the code point before pos; -1 at the start.
func back(text []byte, pos int) int {
	if pos == 0 {
		return -1
	}
	if text[pos-1] < utf8.RuneSelf {
		return pos - 1
	}
	_, n := utf8.DecodeLastRune(text[:pos])
	return pos - n
}
