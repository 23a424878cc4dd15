package literal

import (
	"encoding/binary"
	"math/bits"
)

// window is the number of bytes that are looked at at once.
const window = 4

// chunk is the number of places of a block that are looked at before what was
// found there is compared. It is a multiple of every stride and of a vector.
const chunk = 12 << 10

// foldBits make letters of a window lower case (and other bytes something
// else, the same in text and line): whether a text takes both cases is seen
// when it is compared.
const foldBits = 0x20202020

// Scanner looks for the texts of a set of rules in blocks of lines. It is
// immutable and may be used by any number of goroutines.
type Scanner struct {
	rules  int
	words  int      // of a mask
	always []uint64 // rules that no text is known for: every line is a candidate
	every  bool     // there are such rules
	beyond []uint64 // rules that every line with a byte beyond ASCII is a candidate for
	some   bool     // there are such rules
	tables
	masks []uint64 // words of each probe
}

// Lines are the lines of a block that are candidates, in order. The zero value
// is ready to use; once warm it allocates nothing.
type Lines struct {
	hits  []hit
	masks []uint64
	words int
	high  bool
	at    []uint32 // places of windows, scratch

	merged struct { // scratch of merge
		hits  []hit
		masks []uint64
	}
}

type hit struct{ start, end int32 }

// Len returns the number of lines.
func (l *Lines) Len() int { return len(l.hits) }

// Line returns where a line begins and ends in the block, its newline included.
func (l *Lines) Line(i int) (start, end int) { return int(l.hits[i].start), int(l.hits[i].end) }

// Mask returns the rules that a line is a candidate for: bit n of the words
// for rule n.
func (l *Lines) Mask(i int) []uint64 { return l.masks[i*l.words : (i+1)*l.words : (i+1)*l.words] }

// ASCII says whether the block, candidates or not, has no byte from 0x80 on.
func (l *Lines) ASCII() bool { return !l.high }

// Rules returns the number of rules.
func (s *Scanner) Rules() int { return s.rules }

// Every says whether some rule is always a candidate: then Scan finds the lines
// of the others, and every line is a candidate for those of Always.
func (s *Scanner) Every() bool { return s.every }

// Always returns the rules that every line is a candidate for, as a mask.
func (s *Scanner) Always() []uint64 { return s.always }

// Scan finds the candidates in data: whole lines, each ended by a newline, and
// at most 2 GiB of them. It reuses the memory of l. Its time is linear in the
// length of data, whatever stands there.
func (s *Scanner) Scan(l *Lines, data []byte) {
	l.hits, l.masks, l.words, l.high = l.hits[:0], l.masks[:0], s.words, false
	if l.at == nil {
		l.at = make([]uint32, chunk)
	}
	var halves halfCheck
	for from := 0; from < len(data); from += chunk {
		n, high := s.find(l.at, data, from, min(from+chunk, len(data)))
		l.high = l.high || high
		s.confirm(l, &halves, data, l.at[:n])
	}
	if l.high && s.some {
		s.mergeBeyond(l, data)
	}
}

// mergeBeyond adds the lines that have a byte beyond ASCII.
func (s *Scanner) mergeBeyond(l *Lines, data []byte) {
	hits, masks, next := l.merged.hits[:0], l.merged.masks[:0], 0
	keep := func(until int) {
		for ; next < len(l.hits) && int(l.hits[next].start) < until; next++ {
			hits = append(hits, l.hits[next])
			masks = append(masks, l.Mask(next)...)
		}
	}
	for at := nextHigh(data, 0); at < len(data); {
		start, end := lineAround(data, at)
		keep(start)
		if next == len(l.hits) || int(l.hits[next].start) > start {
			hits = append(hits, hit{int32(start), int32(end)})
			masks = append(masks, s.beyond...)
		} else {
			keep(start + 1)
			for i, w := range s.beyond {
				masks[len(masks)-s.words+i] |= w
			}
		}
		at = nextHigh(data, end)
	}
	keep(len(data))
	l.merged.hits, l.merged.masks = l.hits, l.masks
	l.hits, l.masks = hits, masks
}

// nextHigh returns the first place from at on of a byte beyond ASCII, the end
// of data where there is none.
func nextHigh(data []byte, at int) int {
	for ; at+8 <= len(data); at += 8 {
		if m := binary.LittleEndian.Uint64(data[at:]) & 0x8080808080808080; m != 0 {
			return at + bits.TrailingZeros64(m)/8
		}
	}
	for at < len(data) && data[at] < 0x80 {
		at++
	}
	return at
}

// confirm compares the texts whose windows stand at the places, and adds the
// lines that hold one.
func (s *Scanner) confirm(l *Lines, halves *halfCheck, data []byte, places []uint32) {
	end := 0 // of the last candidate
	if n := len(l.hits); n > 0 {
		end = int(l.hits[n-1].end)
	}
	for _, place := range places {
		at := int(place)
		v := binary.LittleEndian.Uint32(data[at:]) | foldBits
		bucket := s.bucket(v)
		for i := range bucket {
			e := &bucket[i]
			if e.value != v || e.differs(data, at) {
				continue
			}
			p := &s.probes[e.probe]
			start := at - int(e.at)
			rules := s.masks[int(e.probe)*s.words:][:s.words]
			// No text holds a newline: one that begins before end stands in the line
			// of the last candidate.
			inLast := start < end
			if start < 0 || start+len(p.text.Bytes) > len(data) || inLast && covers(l.masks[len(l.masks)-s.words:], rules) ||
				!p.text.at(data[start:]) || !p.whole() && !halves.plausible(p, data, start) {
				continue
			}
			if inLast {
				for i, w := range rules {
					l.masks[len(l.masks)-s.words+i] |= w
				}
				continue
			}
			var begin int
			begin, end = lineAround(data, start)
			l.hits = append(l.hits, hit{int32(begin), int32(end)})
			l.masks = append(l.masks, rules...)
		}
	}
}

// covers says whether all bits of rules are in mask.
func covers(mask, rules []uint64) bool {
	for i, w := range rules {
		if w&^mask[i] != 0 {
			return false
		}
	}
	return true
}
