package literal

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// A sample may be written by an attacker: so many of its lines are tried, and
// the rests of so many halves looked for.
const (
	maxSampleLines = 1024
	maxSampleLooks = 4096
)

var newline = []byte{'\n'}

// firstLines returns the first n lines of the sample.
func firstLines(sample []byte, n int) []byte {
	end := 0
	for ; n > 0; n-- {
		i := bytes.IndexByte(sample[end:], '\n')
		if i < 0 {
			break
		}
		end += i + 1
	}
	return sample[:end]
}

// lineSet is a set of lines of a sample.
type lineSet []uint64

// newLineSets returns n empty sets of so many lines.
func newLineSets(n, lines int) []lineSet {
	words := lines/64 + 1
	memory := make(lineSet, n*words)
	sets := make([]lineSet, n)
	for i := range sets {
		sets[i] = memory[i*words : (i+1)*words : (i+1)*words]
	}
	return sets
}

func (s lineSet) has(line int) bool { return s[line/64]>>(line%64)&1 != 0 }

func (s lineSet) set(line int) { s[line/64] |= 1 << (line % 64) }

func (s lineSet) clear(line int) { s[line/64] &^= 1 << (line % 64) }

func (s lineSet) len() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// more returns how many lines s has that others have not.
func (s lineSet) more(others lineSet) (n int) {
	for i, w := range s {
		n += bits.OnesCount64(w &^ others[i])
	}
	return n
}

func (s lineSet) add(others lineSet) {
	for i, w := range others {
		s[i] |= w
	}
}

// each calls f for every line.
func (s lineSet) each(f func(line int)) {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			f(64*i + bits.TrailingZeros64(w))
		}
	}
}

// union is the lines of several sets, and of how many each.
type union struct {
	lines lineSet
	taken []uint32
}

func (u *union) add(s lineSet) {
	s.each(func(line int) { u.taken[line]++ })
	u.lines.add(s)
}

func (u *union) drop(s lineSet) {
	s.each(func(line int) {
		if u.taken[line]--; u.taken[line] == 0 {
			u.lines.clear(line)
		}
	})
}

// linesOf returns for each probe the lines of the sample, which has so many,
// that hold it.
func (t *tables) linesOf(sample []byte, lines int) []lineSet {
	sets := newLineSets(len(t.probes), lines)
	looks := 0
	places := make([]uint32, chunk)
	line, next := 0, 0 // number of the line that ends before next
	for from := 0; from < len(sample); from += chunk {
		n, _ := t.find(places, sample, from, min(from+chunk, len(sample)))
		for _, place := range places[:n] {
			at := int(place)
			line += bytes.Count(sample[next:max(at, next)], newline)
			next = max(at, next)
			v := binary.LittleEndian.Uint32(sample[at:]) | foldBits
			for _, e := range t.bucket(v) {
				if e.value != v || sets[e.probe].has(line) {
					continue
				}
				p := &t.probes[e.probe]
				start := at - int(e.at)
				if start < 0 || start+len(p.text.Bytes) > len(sample) || !p.text.at(sample[start:]) {
					continue
				}
				var c halfCheck
				if looks++; p.whole() || looks > maxSampleLooks || c.plausible(p, sample, start) {
					sets[e.probe].set(line)
				}
			}
		}
	}
	return sets
}
