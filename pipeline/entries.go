package pipeline

import (
	"math/bits"
	"sync/atomic"
)

// entrySet is the entries of a shard: at most setSize, in blocks that are made as
// addresses fail, found by a byte of each key. An entry is one cache line, and
// so are the tags and places of the first 16 of a shard, with its lock: most
// failures are counted in two lines.
//
// simplelru, which keeps the same order of use, has a list and a map: an entry
// takes 150 bytes there, a failure three searches, and counting one was a
// seventh of what it costs to find it in a log (BenchmarkWindowAdd).
type entrySet struct {
	clock  uint32 // uses so far
	n      uint8
	bar    uint8 // of its shard: a newcomer must have failed more often to evict somebody
	blocks [setSize / blockSize]block
}

// block is some of a shard's entries. What it is made of changes atomically, so
// that touch may look at it without the shard's lock.
type block struct {
	tags    atomic.Uint64 // tagOf each entry's key
	entries atomic.Pointer[[blockSize]entry]
}

const blockSize = 8

type entry struct {
	key entryKey
	counter
	used uint32 // clock when it was used last
	warm uint32 // always 0: what touch reads
}

// tagOf is what tells most keys apart. It need not be secret: a shard's keys
// that share it are compared one by one, and a shard has few.
func tagOf(k *entryKey) uint8 {
	h := k.hi*0x9e3779b97f4a7c15 + k.lo
	return uint8(h * 0x9e3779b97f4a7c15 >> 56)
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// matches has the high bit of each of the block's bytes that are the tag set, and
// of some behind one: keys are compared.
func (b *block) matches(tag uint8) uint64 {
	x := b.tags.Load() ^ lowBits*uint64(tag)
	return (x - lowBits) &^ x & highBits
}

// find returns the index of a key's entry, or -1.
func (s *entrySet) find(k *entryKey) int {
	tag, n := tagOf(k), int(s.n)
	for from := 0; from < n; from += blockSize {
		b := &s.blocks[from/blockSize]
		for hits := b.matches(tag); hits != 0; hits &= hits - 1 {
			if i := bits.TrailingZeros64(hits) / 8; from+i < n && b.entries.Load()[i].key == *k {
				return from + i
			}
		}
	}
	return -1
}

// touch brings a key's entry into the cache, or the place of a newcomer. It needs
// no lock, and what it returns means nothing.
func (s *entrySet) touch(k *entryKey) uint32 {
	tag := tagOf(k)
	for i := range s.blocks {
		b := &s.blocks[i]
		entries := b.entries.Load()
		if entries == nil {
			break
		}
		hits := b.matches(tag)
		if hits == 0 {
			hits = b.matches(0) // nobody's
		}
		if hits != 0 {
			return entries[bits.TrailingZeros64(hits)/8].warm
		}
	}
	return 0
}

// at returns the entry at i.
func (s *entrySet) at(i int) *entry { return &s.blocks[i/blockSize].entries.Load()[i%blockSize] }

// setTag sets the tag of the entry at i.
func (s *entrySet) setTag(i int, tag uint8) {
	b, shift := &s.blocks[i/blockSize], i%blockSize*8
	b.tags.Store(b.tags.Load()&^(0xff<<shift) | uint64(tag)<<shift)
}

// len returns the number of entries.
func (s *entrySet) len() int { return int(s.n) }

// get returns a key's counter.
func (s *entrySet) get(k *entryKey) (counter, bool) {
	if i := s.find(k); i >= 0 {
		return s.at(i).counter, true
	}
	return counter{}, false
}

// add gives a key that has none an entry, the one that was used last. There must be room.
func (s *entrySet) add(k *entryKey, c *counter) {
	i := int(s.n)
	b := &s.blocks[i/blockSize]
	if b.entries.Load() == nil {
		b.entries.Store(new([blockSize]entry))
	}
	s.n++
	e := s.at(i)
	e.key, e.counter = *k, *c
	s.setTag(i, tagOf(k))
	s.use(e)
}

// use makes an entry the one that was used last.
func (s *entrySet) use(e *entry) {
	s.clock++
	e.used = s.clock
}

// remove removes a key's entry, if there is one.
func (s *entrySet) remove(k *entryKey) {
	if i := s.find(k); i >= 0 {
		s.removeAt(i)
	}
}

// removeAt moves the last entry to the place of the one at i.
func (s *entrySet) removeAt(i int) {
	s.n--
	last := s.at(int(s.n))
	if i < int(s.n) {
		e := s.at(i)
		e.key, e.counter, e.used = last.key, last.counter, last.used
		s.setTag(i, tagOf(&e.key))
	}
	last.key, last.counter = entryKey{}, counter{}
	s.setTag(int(s.n), 0)
}
