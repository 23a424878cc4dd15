package literal

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// window is the number of bytes that are looked at at once.
const window = 4

// bucketBits is the number of bits of a hash that choose its bucket: 8 KiB of
// buckets stay in the first cache beside the 8 KiB of the bitmap.
const bucketBits = 12

// maxEntries is what the buckets can number.
const maxEntries = 1<<16 - 1

// foldBits make letters of a window lower case (and other bytes something
// else, the same in text and line): whether a text takes both cases is seen
// when it is compared.
const foldBits = 0x20202020

// Scanner looks for the texts of a set of rules in blocks of lines. It is
// immutable and may be used by any number of goroutines.
type Scanner struct {
	words  int      // of a mask
	always []uint64 // rules that no text is known for: every line is a candidate
	every  bool     // there are such rules
	stride int

	probes []probe
	masks  []uint64 // of the probes

	// What a window's hash leads to: a bit here says that there is an entry, and
	// entries[first[b]:first[b+1]] are those of its bucket.
	bitmap  [1 << 10]uint64
	first   [1<<bucketBits + 1]uint16
	entries []entry
}

// entry says that a window stands in a probe at an offset.
type entry struct {
	value uint32
	probe uint32
	at    uint32
}

// probe is a text that is looked for: a whole one, or the half of one.
type probe struct {
	text Text
	// Where text is half of a text that a cut may divide: all of it, and where in
	// it the half stands.
	full  Text
	at    int
	mask  int // index of its first word in masks
	whole bool
}

// Lines are the lines of a block that are candidates, in order.
type Lines struct {
	hits  []hit
	masks []uint64
	words int
	at    []uint32 // positions of windows, scratch
}

type hit struct{ start, end int32 }

// Len returns the number of lines.
func (l *Lines) Len() int { return len(l.hits) }

// Line returns where a line begins and ends in the block, its newline included.
func (l *Lines) Line(i int) (start, end int) { return int(l.hits[i].start), int(l.hits[i].end) }

// Mask returns the rules that a line is a candidate for: bit n of the words
// for rule n.
func (l *Lines) Mask(i int) []uint64 { return l.masks[i*l.words : (i+1)*l.words : (i+1)*l.words] }

// Every says whether some rule is always a candidate: then Scan finds the lines
// of the others, and every line is a candidate for those of Always.
func (s *Scanner) Every() bool { return s.every }

// Always returns the rules that every line is a candidate for, as a mask.
func (s *Scanner) Always() []uint64 { return s.always }

// Scan finds the candidates in data, which are whole lines, each ended by a
// newline. It reuses the memory of l.
func (s *Scanner) Scan(l *Lines, data []byte) {
	l.hits, l.masks, l.words = l.hits[:0], l.masks[:0], s.words
	if len(s.entries) == 0 {
		return
	}
	l.at = s.find(l.at[:0], data)
	end := 0 // of the last candidate
	var halves halfCheck
	for _, p := range l.at {
		at := int(p)
		v := binary.LittleEndian.Uint32(data[at:]) | foldBits
		h := hash(v)
		b := h >> (16 - bucketBits)
		for _, e := range s.entries[s.first[b]:s.first[b+1]] {
			if e.value != v {
				continue
			}
			pr := &s.probes[e.probe]
			start := at - int(e.at)
			if start < 0 || start+len(pr.text.Bytes) > len(data) || !pr.text.at(data[start:]) {
				continue
			}
			if !pr.whole && !halves.plausible(pr, data, start) {
				continue
			}
			if start >= end {
				var begin int
				begin, end = lineAround(data, start)
				l.hits = append(l.hits, hit{int32(begin), int32(end)})
				l.masks = append(l.masks, s.masks[pr.mask:pr.mask+s.words]...)
				continue
			}
			mask := l.masks[len(l.masks)-s.words:]
			for i, w := range s.masks[pr.mask : pr.mask+s.words] {
				mask[i] |= w
			}
		}
	}
}

// hash is the place of a window in the tables.
func hash(v uint32) uint32 { return v * 0x9e3779b1 >> 16 }

// findStride appends the places of windows that the bitmap knows, looking at
// every stride'th.
func (s *Scanner) findStride(dst []uint32, data []byte) []uint32 {
	stride := s.stride
	p, last := 0, len(data)-window
	bitmap := &s.bitmap
	for ; p+3*stride <= last; p += 4 * stride {
		b := data[p : p+3*stride+window]
		h0 := hash(binary.LittleEndian.Uint32(b) | foldBits)
		h1 := hash(binary.LittleEndian.Uint32(b[stride:]) | foldBits)
		h2 := hash(binary.LittleEndian.Uint32(b[2*stride:]) | foldBits)
		h3 := hash(binary.LittleEndian.Uint32(b[3*stride:]) | foldBits)
		hits := bitmap[h0>>6&1023]>>(h0&63)&1 | bitmap[h1>>6&1023]>>(h1&63)&1<<1 |
			bitmap[h2>>6&1023]>>(h2&63)&1<<2 | bitmap[h3>>6&1023]>>(h3&63)&1<<3
		for ; hits != 0; hits &= hits - 1 {
			dst = append(dst, uint32(p+bits.TrailingZeros64(hits)*stride))
		}
	}
	for ; p <= last; p += stride {
		h := hash(binary.LittleEndian.Uint32(data[p:]) | foldBits)
		if bitmap[h>>6&1023]>>(h&63)&1 != 0 {
			dst = append(dst, uint32(p))
		}
	}
	return dst
}

func (s *Scanner) find(dst []uint32, data []byte) []uint32 { return s.findStride(dst, data) }

// at says whether the text stands at the beginning of b, which is long enough.
func (t *Text) at(b []byte) bool {
	for i := range len(t.Bytes) {
		if b[i]|t.Fold[i] != t.Bytes[i] {
			return false
		}
	}
	return true
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

// contains says whether the text from byte `from` to byte `to` stands in b.
func (t *Text) contains(b []byte, from, to int) bool {
	part := Text{t.Bytes[from:to], t.Fold[from:to]}
	for len(b) >= to-from {
		if part.at(b) {
			return true
		}
		b = b[1:]
	}
	return false
}

// halfCheck bounds the looking for rests: a line may be made of halves.
type halfCheck struct {
	end    int // of the line that was looked at last
	failed int // looks in it
}

const maxLooks = 4

// plausible is the probe's, but says yes to a line that was looked at in vain
// so many times.
func (c *halfCheck) plausible(p *probe, data []byte, start int) bool {
	if start < c.end && c.failed >= maxLooks {
		return true
	}
	if p.plausible(data, start) {
		return true
	}
	if start >= c.end {
		_, c.end = lineAround(data, start)
		c.failed = 0
	}
	c.failed++
	return false
}

// plausible says whether the half that stands at start can belong to all of its
// text: the rest stands beside it, or beyond a cut, where the text has to go on
// at the latest with what differs here.
func (p *probe) plausible(data []byte, start int) bool {
	if p.at == 0 {
		rest := restOfLine(data, start)
		same := p.full.common(rest)
		return same == len(p.full.Bytes) || p.full.contains(rest[len(p.text.Bytes):], same, len(p.full.Bytes))
	}
	before := bytes.LastIndexByte(data[:start], '\n') + 1
	text := data[before : start+len(p.text.Bytes)]
	same := p.full.commonEnd(text)
	return same == len(p.full.Bytes) || p.full.contains(data[before:start], 0, len(p.full.Bytes)-same)
}

func restOfLine(data []byte, start int) []byte {
	if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
		return data[start : start+i]
	}
	return data[start:]
}

// lineAround returns the bounds of the line that holds data[at], its newline included.
func lineAround(data []byte, at int) (start, end int) {
	start = bytes.LastIndexByte(data[:at], '\n') + 1
	if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
		return start, at + i + 1
	}
	return start, len(data)
}
