package pipeline

import (
	"encoding/binary"
	"math/bits"
)

// entrySet is the entries of a shard: at most setSize, in one slice that grows
// as addresses fail, found by a byte of each key. An entry is one cache line.
//
// simplelru, which keeps the same order of use, has a list and a map: an entry
// takes 150 bytes there, a failure three searches, and counting one was a
// seventh of what it costs to find it in a log (BenchmarkWindowAdd).
type entrySet struct {
	tags    [setSize]uint8 // tagOf each entry's key
	entries []entry
	clock   uint32 // uses so far
	size    int    // so many at most
}

type entry struct {
	key entryKey
	counter
	used uint32 // clock when it was used last
}

func newEntrySet(size int) *entrySet { return &entrySet{size: min(size, setSize)} }

// tagOf is what tells most keys apart. It need not be secret: a shard's keys
// that share it are compared one by one, and a shard has few.
func tagOf(k *entryKey) uint8 {
	h := binary.LittleEndian.Uint64(k.addr[:8])*0x9e3779b97f4a7c15 + binary.LittleEndian.Uint64(k.addr[8:])
	return uint8(h * 0x9e3779b97f4a7c15 >> 56)
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// find returns the index of a key's entry, or -1.
func (s *entrySet) find(k *entryKey) int {
	want := lowBits * uint64(tagOf(k))
	for from := 0; from < len(s.entries); from += 8 {
		x := binary.LittleEndian.Uint64(s.tags[from:]) ^ want
		// A bit for each byte that is 0, and for some behind one: keys are compared.
		for hits := (x - lowBits) &^ x & highBits; hits != 0; hits &= hits - 1 {
			if i := from + bits.TrailingZeros64(hits)/8; i < len(s.entries) && s.entries[i].key == *k {
				return i
			}
		}
	}
	return -1
}

// Len returns the number of entries.
func (s *entrySet) Len() int { return len(s.entries) }

// Peek returns a key's counter.
func (s *entrySet) Peek(k entryKey) (counter, bool) {
	if i := s.find(&k); i >= 0 {
		return s.entries[i].counter, true
	}
	return counter{}, false
}

// Add sets a key's counter and makes it the one that was used last. A full set
// loses the one whose use is the longest ago.
func (s *entrySet) Add(k entryKey, c counter) {
	i := s.find(&k)
	if i < 0 {
		if len(s.entries) >= s.size {
			s.removeAt(s.oldest())
		}
		i = len(s.entries)
		s.entries = append(s.entries, entry{key: k})
		s.tags[i] = tagOf(&k)
	}
	s.use(i, c)
}

// use sets the counter of the entry at i and makes it the one that was used last.
func (s *entrySet) use(i int, c counter) {
	s.clock++
	s.entries[i].counter, s.entries[i].used = c, s.clock
}

func (s *entrySet) oldest() int {
	at := 0
	for i := range s.entries {
		if s.entries[i].used < s.entries[at].used {
			at = i
		}
	}
	return at
}

// Remove removes a key's entry, if there is one.
func (s *entrySet) Remove(k entryKey) {
	if i := s.find(&k); i >= 0 {
		s.removeAt(i)
	}
}

// removeAt moves the last entry to the place of the one at i.
func (s *entrySet) removeAt(i int) {
	last := len(s.entries) - 1
	s.entries[i], s.tags[i] = s.entries[last], s.tags[last]
	s.entries[last] = entry{}
	s.entries = s.entries[:last]
}
