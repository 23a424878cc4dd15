package matchers

import "math/bits"

// sessionTable finds sessions by the hashes of their IDs: slots, each of the
// hash's high bits and a link, one after the other from the one that the highest
// bits name. Whoever is not in it is not found without a look at any session,
// which would be one more miss of the cache.
type sessionTable struct {
	slots []uint64 // 0: free; a power of two, at least twice the sessions
	shift uint8    // of a hash, to its slot
	count int
}

const (
	linkBits = 20 // of a slot
	linkMask = 1<<linkBits - 1
)

// find returns the next session whose hash may be the given one, and what to go
// on from; 0 where there is none. Begin with 0.
func (t *sessionTable) find(hash uint64, from int) (l link, next int) {
	if t.count == 0 {
		return 0, 0
	}
	mask := len(t.slots) - 1
	home := int(hash >> t.shift)
	for ; ; from++ {
		slot := t.slots[(home+from)&mask]
		if slot == 0 {
			return 0, 0
		}
		if (slot^hash)>>linkBits == 0 {
			return link(slot & linkMask), from + 1
		}
	}
}

// peek reads the slot of a hash: it is in the cache then.
func (t *sessionTable) peek(hash uint64) uint64 { return t.slots[hash>>t.shift] }

// add enters a session.
func (t *sessionTable) add(hash uint64, l link) {
	if 2*(t.count+1) > len(t.slots) {
		t.grow()
	}
	t.count++
	t.put(hash&^linkMask | uint64(l))
}

func (t *sessionTable) put(slot uint64) {
	mask := len(t.slots) - 1
	at := int(slot >> t.shift)
	for t.slots[at] != 0 {
		at = (at + 1) & mask
	}
	t.slots[at] = slot
}

// grow doubles the number of slots.
func (t *sessionTable) grow() {
	old := t.slots
	t.slots = make([]uint64, max(32, 2*len(old)))
	clear(t.slots) // written before it is read, see sessions.take
	t.shift = uint8(64 - bits.Len(uint(len(t.slots)-1)))
	for _, slot := range old {
		if slot != 0 {
			t.put(slot)
		}
	}
}

// remove takes a session out. Those behind it move up where that brings them
// nearer to where they are looked for, so that nothing is left in its place.
func (t *sessionTable) remove(hash uint64, l link) {
	mask := len(t.slots) - 1
	at := int(hash >> t.shift)
	for slot := hash&^linkMask | uint64(l); t.slots[at] != slot; {
		at = (at + 1) & mask
	}
	for next := (at + 1) & mask; t.slots[next] != 0; next = (next + 1) & mask {
		home := int(t.slots[next] >> t.shift)
		if (next-home)&mask >= (next-at)&mask {
			t.slots[at] = t.slots[next]
			at = next
		}
	}
	t.slots[at] = 0
	t.count--
}
