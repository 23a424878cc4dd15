package literal

import (
	"encoding/binary"
	"math/bits"
)

// nibbles tell windows that cannot be looked for by the low and the high halves
// of their bytes ("Teddy", as Hyperscan calls it): every entry belongs to one
// of eight groups, and a window passes where one group is in all eight tables
// of its four bytes. Each table stands there twice, for both halves of a vector.
type nibbles struct {
	lo [window][32]uint8
	hi [window][32]uint8
}

// add enters what a window may be at place i of the probes' windows into a group.
func (n *nibbles) add(w foldedWindow, group int) {
	for i := range window {
		for _, c := range [...]byte{w.low[i], w.high[i]} {
			for _, lane := range [...]byte{0, 16} {
				n.lo[i][lane+c&15] |= 1 << group
				n.hi[i][lane+c>>4] |= 1 << group
			}
		}
	}
}

// pass says whether a window is one that the tables let through.
func (n *nibbles) pass(v uint32) bool {
	groups := uint8(0xff)
	for i := range window {
		c := uint8(v >> (8 * i))
		if c >= 0x80 {
			return false
		}
		groups &= n.lo[i][c&15] & n.hi[i][c>>4]
	}
	return groups != 0
}

// foldedWindow is a window of a text in both spellings that it takes.
type foldedWindow struct{ low, high [window]byte }

// nibbleSample is the number of places of a sample on which groups are tried.
const nibbleSample = 16 << 10

const nibbleWords = nibbleSample / 64

// placeSet is a set of places of a sample.
type placeSet [nibbleWords]uint64

// newNibbles divides the windows among the groups so that few places of the
// sample pass: one after the other goes where it lets the fewest through.
func newNibbles(entries []entry, probes []probe, sample []byte) nibbles {
	sample = sample[:min(len(sample), nibbleSample)]
	type half struct{ lo, hi [window]placeSet }
	places := new([16]half) // at which the i'th byte of the window has such a half
	for p := 0; p+window <= len(sample); p++ {
		for i, c := range sample[p : p+window] {
			if c < 0x80 {
				places[c&15].lo[i][p/64] |= 1 << (p % 64)
				places[c>>4].hi[i][p/64] |= 1 << (p % 64)
			}
		}
	}
	type group struct {
		half
		passing int
	}
	groups := new([8]group)
	var n nibbles
	known := map[foldedWindow]bool{}
	for _, e := range entries {
		w := probes[e.probe].text.window(int(e.at))
		if known[w] {
			continue
		}
		known[w] = true
		best, bestCost := 0, -1
		for g := range groups {
			passing := 0
			for k := range nibbleWords {
				all := ^uint64(0)
				for i := range window {
					lo := groups[g].lo[i][k] | places[w.low[i]&15].lo[i][k]
					hi := groups[g].hi[i][k] | places[w.low[i]>>4].hi[i][k] | places[w.high[i]>>4].hi[i][k]
					all &= lo & hi
				}
				passing += bits.OnesCount64(all)
			}
			if cost := passing - groups[g].passing; bestCost < 0 || cost < bestCost {
				best, bestCost = g, cost
			}
		}
		to := &groups[best]
		to.passing += bestCost
		for i := range window {
			for k := range nibbleWords {
				to.lo[i][k] |= places[w.low[i]&15].lo[i][k]
				to.hi[i][k] |= places[w.low[i]>>4].hi[i][k] | places[w.high[i]>>4].hi[i][k]
			}
		}
		n.add(w, best)
	}
	return n
}

// window returns the text's window at a place.
func (t *Text) window(at int) (w foldedWindow) {
	for i := range window {
		w.low[i] = t.Bytes[at+i]
		w.high[i] = t.Bytes[at+i] &^ t.Fold[at+i]
	}
	return w
}

// findVectors looks at every window, at 32 at once where the machine can. What
// passes has a known hash too.
func (t *tables) findVectors(dst []uint32, data []byte, from, to int) (n int, high bool) {
	// A vector at the last place reads window-1 bytes more.
	if whole := min(to, len(data)-window+1) - from; whole >= vector {
		middle := from + whole/vector*vector
		var seen uint32
		n, seen = findAVX2(&dst[0], &data[0], from, middle, &t.nibbles, &t.known)
		high, from = seen != 0, middle
	}
	m, more := t.findScalar(dst[n:], data, from, to)
	return n + m, high || more
}

// vector is the number of bytes of a vector.
const vector = 32

// findScalar does what findVectors does, a place at a time.
func (t *tables) findScalar(dst []uint32, data []byte, from, to int) (n int, high bool) {
	for p := from; p < to; p++ {
		high = high || data[p] >= 0x80
		if p+window > len(data) {
			continue
		}
		if v := binary.LittleEndian.Uint32(data[p:]); t.nibbles.pass(v) && t.knows(v|foldBits) {
			dst[n] = uint32(p)
			n++
		}
	}
	return n, high
}
