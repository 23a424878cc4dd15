package literal

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// halfCheck bounds the looking for rests: a line may be made of halves.
type halfCheck struct {
	end   int // of the line that was looked at last
	looks int // in it
}

// A line is searched for the rest of a half so often, where it is no longer
// than that. Ordinary lines hold one or two halves; what is not looked at is
// taken as plausible.
const (
	maxLooks = 4
	maxLine  = 2 << 10
)

// plausible says whether the half that stands at start can belong to all of
// its text: the rest stands beside it, or beyond a cut.
func (c *halfCheck) plausible(p *probe, data []byte, start int) bool {
	if start >= c.end {
		_, c.end = lineAround(data, start)
		c.looks = 0
	}
	if c.looks++; c.looks > maxLooks || c.end-start > maxLine {
		return true
	}
	before := LastNewline(data, start) + 1
	if start-before > maxLine {
		return true
	}
	line := data[before:c.end]
	start -= before
	// Beyond the cut the text goes on at the latest with what differs here.
	if p.at == 0 {
		same := p.full.common(line[start:])
		return p.full.part(same, len(p.full.Bytes)).in(line[start+len(p.text.Bytes):])
	}
	same := p.full.commonEnd(line[:start+len(p.text.Bytes)])
	return p.full.part(0, len(p.full.Bytes)-same).in(line[:start])
}

// at says whether the text stands at the beginning of b, which is long enough.
func (t *Text) at(b []byte) bool {
	for i := range len(t.Bytes) {
		if b[i]|t.Fold[i] != t.Bytes[i] {
			return false
		}
	}
	return true
}

// in says whether the text stands anywhere in b.
func (t Text) in(b []byte) bool {
	if t.Bytes == "" {
		return true
	}
	first, fold := t.Bytes[0], t.Fold[0]
	for i := 0; i+len(t.Bytes) <= len(b); i++ {
		if b[i]|fold == first && t.at(b[i:]) {
			return true
		}
	}
	return false
}

// common returns how many bytes of the text stand at the beginning of b.
func (t *Text) common(b []byte) int {
	n := min(len(t.Bytes), len(b))
	for i := range n {
		if b[i]|t.Fold[i] != t.Bytes[i] {
			return i
		}
	}
	return n
}

// commonEnd returns how many bytes of the text's end stand at the end of b.
func (t *Text) commonEnd(b []byte) int {
	n := min(len(t.Bytes), len(b))
	for i := range n {
		if b[len(b)-1-i]|t.Fold[len(t.Fold)-1-i] != t.Bytes[len(t.Bytes)-1-i] {
			return i
		}
	}
	return n
}

// lineAround returns the bounds of the line that holds data[at], its newline included.
func lineAround(data []byte, at int) (start, end int) {
	start = LastNewline(data, at) + 1
	if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
		return start, at + i + 1
	}
	return start, len(data)
}

// LastNewline returns where the last newline before at stands, or -1. It looks
// at eight bytes at once, bytes.LastIndexByte at one.
func LastNewline(data []byte, at int) int {
	const (
		ones     = 0x0101010101010101
		tops     = 0x80 * ones
		newlines = '\n' * ones
	)
	for ; at >= 8; at -= 8 {
		// The top bit of a byte is set where it is a newline, and maybe in bytes
		// above one, which are compared below.
		v := binary.LittleEndian.Uint64(data[at-8:]) ^ newlines
		for m := (v - ones) &^ v & tops; m != 0; {
			top := 63 - bits.LeadingZeros64(m)
			if p := at - 8 + top/8; data[p] == '\n' {
				return p
			}
			m &^= 1 << top
		}
	}
	for at--; at >= 0 && data[at] != '\n'; at-- {
	}
	return at
}
