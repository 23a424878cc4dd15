package literal

import (
	"encoding/binary"
	"slices"
)

// bucketBits is the number of bits of a hash that choose its bucket: 8 KiB of
// buckets stay in the first cache.
const bucketBits = 12

// maxEntries is what the buckets can number.
const maxEntries = 1<<16 - 1

// tables are what places of windows are found and looked up with.
type tables struct {
	stride  int  // every stride'th window of a block is looked at
	vectors bool // by groups, stride 1
	probes  []probe

	// What a window's hash leads to: 1 says that there is an entry, and
	// entries[first[b]:first[b+1]] are those of its bucket.
	known   [1 << 16]uint8
	first   [1<<bucketBits + 1]uint16
	entries []entry
	groups  groups // with vectors
}

// entry says that a window stands in a probe at an offset.
type entry struct {
	value uint32
	// Four more bytes of the probe, so far from the window: with their folds they
	// are more. A window that many probes share is told apart by them, without a
	// look at the probes.
	fold, more uint32
	away       int32
	probe      uint32
	at         uint32
}

// newEntry is the entry of the window that stands in a text at a place.
func newEntry(t *Text, probe, at int) entry {
	e := entry{value: windowAt(t.Bytes, at), probe: uint32(probe), at: uint32(at)}
	next := at + window
	switch last := len(t.Bytes) - window; {
	case next <= last:
	case at >= window:
		next = at - window
	default:
		next = last
	}
	e.away = int32(next - at)
	e.fold, e.more = wordAt(t.Fold, next), wordAt(t.Bytes, next)
	return e
}

// differs says whether the bytes away from a place of data are not the text's.
func (e *entry) differs(data []byte, at int) bool {
	at += int(e.away)
	return at < 0 || at+window > len(data) || binary.LittleEndian.Uint32(data[at:])|e.fold != e.more
}

// hash is the place of a window in the tables.
func hash(v uint32) uint16 { return uint16(v * 0x9e3779b1 >> 16) }

func windowAt(text string, at int) uint32 { return wordAt(text, at) | foldBits }

func wordAt(text string, at int) uint32 {
	return uint32(text[at]) | uint32(text[at+1])<<8 | uint32(text[at+2])<<16 | uint32(text[at+3])<<24
}

// bucket returns the entries among which those of the window are.
func (t *tables) bucket(v uint32) []entry {
	b := int(hash(v) >> (16 - bucketBits))
	return t.entries[t.first[b]:t.first[b+1]]
}

// newTables makes the tables that find the probes, at most maxEntries/stride
// of them, each at least window+stride-1 bytes long.
func newTables(probes []probe, e engine, counts *windowCounts, sample []byte) tables {
	t := tables{stride: e.stride, vectors: e.vectors, probes: probes}
	t.place(counts)
	slices.SortStableFunc(t.entries, func(a, b entry) int { return int(hash(a.value)) - int(hash(b.value)) })
	for _, e := range t.entries {
		h := hash(e.value)
		t.known[h] = 1
		t.first[int(h>>(16-bucketBits))+1]++
	}
	for i := range 1 << bucketBits {
		t.first[i+1] += t.first[i]
	}
	if t.vectors {
		t.groups = newGroups(t.entries, probes, sample)
	}
	return t
}

// windowCounts says how often windows of a hash stand in a sample.
type windowCounts [1 << 16]uint32

func countWindows(sample []byte) *windowCounts {
	c := new(windowCounts)
	for p := 0; p+window <= len(sample); p++ {
		c[hash(binary.LittleEndian.Uint32(sample[p:])|foldBits)]++
	}
	return c
}

// newWindow is what a window that is not looked for yet counts beside those
// that are, in places of the sample: it makes the tables fuller.
const newWindow = 2

// place chooses the windows by which each probe is found: as many neighbouring
// ones as the stride is wide, where they are rarest in the sample. Probes share
// windows where that is cheaper; those with the least choice go first.
func (t *tables) place(counts *windowCounts) {
	order := make([]int, len(t.probes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(t.probes[a].text.Bytes) - len(t.probes[b].text.Bytes) })
	taken := map[uint32]bool{}
	for _, i := range order {
		text := t.probes[i].text.Bytes
		best, bestCost := 0, -1
		for at := 0; at+window+t.stride-1 <= len(text); at++ {
			if part := t.probes[i].text.part(at, at+window+t.stride-1); part.exact() < len(part.Bytes) {
				continue
			}
			cost := 0
			for k := range t.stride {
				if v := windowAt(text, at+k); !taken[v] {
					cost += newWindow + int(counts[hash(v)])
				}
			}
			if bestCost < 0 || cost < bestCost {
				best, bestCost = at, cost
			}
		}
		for k := range t.stride {
			taken[windowAt(text, best+k)] = true
			t.entries = append(t.entries, newEntry(&t.probes[i].text, i, best+k))
		}
	}
}

// find writes the places from <= p < to whose windows the tables know to dst,
// which has room for all of them, and says whether a byte of data[from:to] has
// its top bit set. from is a multiple of chunk.
func (t *tables) find(dst []uint32, data []byte, from, to int) (n int, high bool) {
	if t.vectors {
		return t.findVectors(dst, data, from, to)
	}
	return t.findStride(dst, data, from, to)
}

// findStride looks at every stride'th window. A byte a hash beats a bit (60 to
// 130 ns a line) though the table is larger than the first cache.
func (t *tables) findStride(dst []uint32, data []byte, from, to int) (n int, high bool) {
	p := from
	if t.stride == 3 {
		n, p, high = t.findThird(dst, data, from, to)
	} else {
		n, p, high = t.findEach(dst, data, from, to)
	}
	for ; p < to; p += t.stride {
		rest := data[p:]
		for _, c := range rest[:min(len(rest), window)] {
			high = high || c >= 0x80
		}
		if len(rest) >= window && t.knows(binary.LittleEndian.Uint32(rest)|foldBits) {
			dst[n] = uint32(p)
			n++
		}
	}
	return n, high
}

const (
	allFolds = foldBits | foldBits<<32
	allHighs = 0x8080808080808080
)

// findThird is findStride for a stride of 3, as far as there are 16 bytes to
// read: four windows in two loads. It returns the place that comes next.
func (t *tables) findThird(dst []uint32, data []byte, from, to int) (n, next int, high bool) {
	known := &t.known
	var seen uint64
	p := from
	for ; p+12 <= to && p+16 <= len(data); p += 12 {
		b := data[p : p+16]
		v, w := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[6:])
		seen |= v | w
		v |= allFolds
		w |= allFolds
		k0, k1 := known[hash(uint32(v))], known[hash(uint32(v>>24))]
		k2, k3 := known[hash(uint32(w))], known[hash(uint32(w>>24))]
		if k0|k1|k2|k3 != 0 {
			n += put(dst[n:n+4], uint32(p), 3, [4]uint8{k0, k1, k2, k3})
		}
	}
	return n, p, seen&allHighs != 0
}

// findEach is findThird for a stride of 1: four windows in one load.
func (t *tables) findEach(dst []uint32, data []byte, from, to int) (n, next int, high bool) {
	known := &t.known
	var seen uint64
	p := from
	for ; p+4 <= to && p+8 <= len(data); p += 4 {
		v := binary.LittleEndian.Uint64(data[p:])
		seen |= v
		v |= allFolds
		k0, k1 := known[hash(uint32(v))], known[hash(uint32(v>>8))]
		k2, k3 := known[hash(uint32(v>>16))], known[hash(uint32(v>>24))]
		if k0|k1|k2|k3 != 0 {
			n += put(dst[n:n+4], uint32(p), 1, [4]uint8{k0, k1, k2, k3})
		}
	}
	return n, p, seen&allHighs != 0
}

// put writes those of four places that are known to dst and returns their number.
func put(dst []uint32, p, stride uint32, known [4]uint8) (n int) {
	for i, k := range known {
		dst[n] = p + uint32(i)*stride
		n += int(k)
	}
	return n
}

// knows says whether an entry has the hash of the window.
func (t *tables) knows(v uint32) bool { return t.known[hash(v)] != 0 }
