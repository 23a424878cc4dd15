package literal

import (
	"encoding/binary"
	"math"
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

// places are those of a sample at whose i'th byte a window, or one of several,
// fits: by whole bytes, or by both halves.
type places struct{ whole, hi [window]placeSet }

// of makes p the places of a window: by whole bytes of both its spellings, or by
// their halves, of which the low one is the same.
func (d *division) of(w *foldedWindow, k kernel, p *places) {
	for i := range window {
		low, high := w.low[i], w.high[i]
		if k == bytes8 {
			p.whole[i] = d.bytes[low][i]
			p.whole[i].union(&d.bytes[high][i])
			continue
		}
		p.whole[i] = d.halves.lo[low&15][i]
		p.hi[i] = d.halves.hi[low>>4][i]
		p.hi[i].union(&d.halves.hi[high>>4][i])
	}
}

// A group has the places of its windows and those that pass it.
type group struct {
	places
	passing placeSet
}

// cost returns how many more places pass with the places of a window, or some
// number from most on where they are no fewer: nearly every group is too dear
// after a few words.
func (g *group) cost(p *places, k kernel, most int) (more int) {
	for at := 0; at < groupWords && more < most; at++ {
		pass := ^g.passing[at]
		for i := range window {
			pass &= g.whole[i][at] | p.whole[i][at]
			if k != bytes8 {
				pass &= g.hi[i][at] | p.hi[i][at]
			}
		}
		more += bits.OnesCount64(pass)
	}
	return more
}

// enter adds the places of a window.
func (g *group) enter(p *places, k kernel) {
	for i := range window {
		g.whole[i].union(&p.whole[i])
		g.hi[i].union(&p.hi[i])
	}
	for at := range g.passing {
		pass := ^uint64(0)
		for i := range window {
			pass &= g.whole[i][at]
			if k != bytes8 {
				pass &= g.hi[i][at]
			}
		}
		g.passing[at] = pass
	}
}

func (s *placeSet) union(o *placeSet) {
	for at, w := range o {
		s[at] |= w
	}
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
	var p places
	for _, w := range d.windows {
		d.of(&w, k, &p)
		best, bestCost := 0, math.MaxInt
		for n := range members[:min(used+1, len(members))] {
			if cost := members[n].cost(&p, k, bestCost); cost < bestCost {
				best, bestCost = n, cost
			}
		}
		used = max(used, best+1)
		passing += bestCost
		members[best].enter(&p, k)
		g.add(w, best)
	}
	return g, passing
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
