package literal

import (
	"encoding/binary"
	"math/bits"
)

// kernel is a way to look at many places at once.
type kernel uint8

const (
	nibbles8  kernel = iota // AVX2: 32 places, eight groups by halves of bytes
	nibbles16               // AVX2: 16 places, sixteen groups by halves of bytes
	bytes8                  // AVX-512 VBMI: 64 places, eight groups by whole bytes
)

// vector is the number of bytes that every kernel's vectors divide.
const vector = 64

// groups tell windows that cannot be looked for, whole vectors of them at once
// ("Teddy", as Hyperscan calls it): every entry belongs to a group, and a window
// passes where one group is in the tables of all four of its bytes.
type groups struct {
	kernel kernel
	// By the halves of a byte, for both lanes of a vector: the same eight groups
	// in both, or with nibbles16 eight others in the second.
	lo, hi [window][2][16]uint8
	bytes  [window][128]uint8 // bytes8
}

// add enters what a window may be at place i of the probes' windows into a group.
func (g *groups) add(w foldedWindow, group int) {
	lanes, bit := []int{0, 1}, uint8(1)<<(group%8)
	if g.kernel == nibbles16 {
		lanes = []int{group / 8}
	}
	for i := range window {
		for _, c := range [...]byte{w.low[i], w.high[i]} {
			g.bytes[i][c] |= bit
			for _, lane := range lanes {
				g.lo[i][lane][c&15] |= bit
				g.hi[i][lane][c>>4] |= bit
			}
		}
	}
}

// pass says whether a window is one that the kernel lets through.
func (g *groups) pass(v uint32) bool {
	left := [2]uint8{0xff, 0xff}
	for i := range window {
		c := uint8(v >> (8 * i))
		if g.kernel == bytes8 {
			left[0] &= g.bytes[i][c&0x7f]
			left[1] = 0
			continue
		}
		if c >= 0x80 {
			return false
		}
		for lane := range left {
			left[lane] &= g.lo[i][lane][c&15] & g.hi[i][lane][c>>4]
		}
	}
	return left[0]|left[1] != 0
}

// foldedWindow is a window of a text in both spellings that it takes.
type foldedWindow struct{ low, high [window]byte }

// window returns the text's window at a place.
func (t *Text) window(at int) (w foldedWindow) {
	for i := range window {
		w.low[i] = t.Bytes[at+i]
		w.high[i] = t.Bytes[at+i] &^ t.Fold[at+i]
	}
	return w
}

// The places of a sample on which groups are tried: pieces from all over it.
const (
	groupPieces = 16
	groupPiece  = 512
	groupWords  = groupPieces * groupPiece / 64
)

// placeSet is a set of places of a sample.
type placeSet [groupWords]uint64

// manyPass is how many of the sample's places pass eight groups of nibbles where
// sixteen are the faster ones: a place that passes costs as much as it costs to
// look at so many with twice as many groups (measured).
const manyPass = groupPieces * groupPiece / 40

// newGroups divides the windows among groups of the best kernel that there is.
func newGroups(entries []entry, probes []probe, sample []byte) groups {
	d := newDivision(entries, probes, sample)
	if hasVBMI {
		g, _ := d.divide(bytes8)
		return g
	}
	g, passing := d.divide(nibbles8)
	if passing > manyPass {
		g, _ = d.divide(nibbles16)
	}
	return g
}

// A division has what is known before windows are divided among groups.
type division struct {
	windows []foldedWindow
	bytes   [128]*[window]placeSet // places at whose i'th byte such a one stands; nil: not asked for
	halves  struct{ lo, hi [16][window]placeSet }
}

func newDivision(entries []entry, probes []probe, sample []byte) *division {
	d := new(division)
	known := map[foldedWindow]bool{}
	for _, e := range entries {
		w := probes[e.probe].text.window(int(e.at))
		if known[w] {
			continue
		}
		known[w] = true
		d.windows = append(d.windows, w)
		for i := range window {
			for _, c := range [...]byte{w.low[i], w.high[i]} {
				if d.bytes[c] == nil {
					d.bytes[c] = new([window]placeSet)
				}
			}
		}
	}
	for piece := range groupPieces {
		at := piece * len(sample) / groupPieces
		part := sample[at:min(at+groupPiece+window-1, len(sample))]
		for p := range min(groupPiece, max(0, len(part)-window+1)) {
			place := piece*groupPiece + p
			word, bit := place/64, uint64(1)<<(place%64)
			for i, c := range part[p : p+window] {
				if c >= 0x80 {
					continue
				}
				if d.bytes[c] != nil {
					d.bytes[c][i][word] |= bit
				}
				d.halves.lo[c&15][i][word] |= bit
				d.halves.hi[c>>4][i][word] |= bit
			}
		}
	}
	return d
}

// A group has the places of the sample whose i'th byte fits one of its windows:
// by whole bytes, or by low and high halves.
type group struct {
	whole, hi [window]placeSet
	passing   int
}

// divide puts one window after the other into the group where it lets the fewest
// places of the sample through. It returns how many pass.
func (d *division) divide(k kernel) (g groups, passing int) {
	g.kernel = k
	members := make([]group, 8)
	if k == nibbles16 {
		members = make([]group, 16)
	}
	used := 0 // the empty ones behind are all alike
	for _, w := range d.windows {
		best, bestCost := 0, -1
		for n := range members[:min(used+1, len(members))] {
			if cost := d.passing(&members[n], w, k) - members[n].passing; bestCost < 0 || cost < bestCost {
				best, bestCost = n, cost
			}
		}
		used = max(used, best+1)
		members[best].passing += bestCost
		passing += bestCost
		d.enter(&members[best], w, k)
		g.add(w, best)
	}
	return g, passing
}

// sets returns the places of a window's i'th byte: for bytes8 of both its
// spellings, else of its halves, whose low one they share.
func (d *division) sets(w *foldedWindow, i int, k kernel) (a, b, hiA, hiB *placeSet) {
	low, high := w.low[i], w.high[i]
	if k == bytes8 {
		return &d.bytes[low][i], &d.bytes[high][i], nil, nil
	}
	return &d.halves.lo[low&15][i], &d.halves.lo[high&15][i], &d.halves.hi[low>>4][i], &d.halves.hi[high>>4][i]
}

// passing returns how many places pass a group that has one window more.
func (d *division) passing(m *group, w foldedWindow, k kernel) (n int) {
	var all placeSet
	for i := range window {
		a, b, hiA, hiB := d.sets(&w, i, k)
		for at := range all {
			fits := m.whole[i][at] | a[at] | b[at]
			if k != bytes8 {
				fits &= m.hi[i][at] | hiA[at] | hiB[at]
			}
			if i > 0 {
				fits &= all[at]
			}
			all[at] = fits
		}
	}
	for _, word := range all {
		n += bits.OnesCount64(word)
	}
	return n
}

// enter adds a window to a group.
func (d *division) enter(m *group, w foldedWindow, k kernel) {
	for i := range window {
		a, b, hiA, hiB := d.sets(&w, i, k)
		for at := range groupWords {
			m.whole[i][at] |= a[at] | b[at]
			if k != bytes8 {
				m.hi[i][at] |= hiA[at] | hiB[at]
			}
		}
	}
}

// findVectors looks at every window, a vector of them at once where the machine
// can. What passes has a known hash too.
func (t *tables) findVectors(dst []uint32, data []byte, from, to int) (n int, high bool) {
	// A vector at the last place reads window-1 bytes more.
	if whole := min(to, len(data)-window+1) - from; whole >= vector {
		middle := from + whole/vector*vector
		var seen uint64
		n, seen = t.groups.find(&dst[0], &data[0], from, middle, &t.known)
		high, from = seen != 0, middle
	}
	m, more := t.findScalar(dst[n:], data, from, to)
	return n + m, high || more
}

// findScalar does what findVectors does, a place at a time.
func (t *tables) findScalar(dst []uint32, data []byte, from, to int) (n int, high bool) {
	for p := from; p < to; p++ {
		high = high || data[p] >= 0x80
		if p+window > len(data) {
			continue
		}
		if v := binary.LittleEndian.Uint32(data[p:]); t.groups.pass(v) && t.knows(v|foldBits) {
			dst[n] = uint32(p)
			n++
		}
	}
	return n, high
}
