package ignore

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
)

// none is the order of what is not listed: after everything that is.
const none = math.MaxInt32

// bits128 is an address from its first bit on; one of IPv4 is followed by zeros.
type bits128 struct{ hi, lo uint64 }

func bitsOf(a netip.Addr) bits128 {
	if a.Is4() {
		b := a.As4()
		return bits128{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.As16()
	return bits128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// bit returns the bit at i, from 0; behind the end it is 0.
func (b bits128) bit(i int32) int {
	switch {
	case i < 64:
		return int(b.hi >> (63 - i) & 1)
	case i < 128:
		return int(b.lo >> (127 - i) & 1)
	}
	return 0
}

// common returns the number of leading bits that two addresses share.
func (b bits128) common(c bits128) int32 {
	if x := b.hi ^ c.hi; x != 0 {
		return int32(bits.LeadingZeros64(x))
	}
	return int32(64 + bits.LeadingZeros64(b.lo^c.lo))
}

// trie is a set of networks of one family, each with its place in a list: a
// radix tree whose nodes skip the bits that all below them share. It has at most
// two nodes of 32 bytes a network. The zero trie is empty; it is not changed
// while it is looked up in.
type trie struct {
	nodes []trieNode
	root  int32 // index+1, as child
}

// trieNode is a network that was put in (order < none), or where two part.
type trieNode struct {
	key   bits128
	len   int32 // of the prefix
	order int32
	child [2]int32 // index+1; 0: none
}

// put adds a network at a place in the list. The first place of a network holds.
func (t *trie) put(p netip.Prefix, order int32) {
	key, n := bitsOf(p.Masked().Addr()), int32(p.Bits())
	at := &t.root
	for *at != 0 {
		node := &t.nodes[*at-1]
		same := min(key.common(node.key), n, node.len)
		if same == node.len {
			if n == node.len {
				node.order = min(node.order, order)
				return
			}
			at = &node.child[key.bit(node.len)]
			continue
		}
		t.split(at, key, n, order, same)
		return
	}
	// append moves the nodes, and at with them: the index is written afterwards.
	index := int32(len(t.nodes) + 1)
	*at = index
	t.nodes = append(t.nodes, trieNode{key: key, len: n, order: order})
}

// split puts a network above the node at *at, with which it shares the first
// same bits: the node's prefix begins with it, or both hang on a new node.
func (t *trie) split(at *int32, key bits128, n, order, same int32) {
	below := *at
	side := t.nodes[below-1].key.bit(same)
	*at = int32(len(t.nodes) + 1)
	fork := trieNode{key: key, len: same, order: none}
	fork.child[side] = below
	if same == n {
		fork.order = order
		t.nodes = append(t.nodes, fork)
		return
	}
	fork.child[1-side] = *at + 1
	t.nodes = append(t.nodes, fork, trieNode{key: key, len: n, order: order})
}

// find returns the first place in the list of a network that covers the
// address, or none. It allocates nothing.
func (t *trie) find(a netip.Addr) int32 {
	key, best := bitsOf(a), int32(none)
	for at := t.root; at != 0; {
		node := &t.nodes[at-1]
		if key.common(node.key) < node.len {
			break
		}
		best = min(best, node.order)
		at = node.child[key.bit(node.len)]
	}
	return best
}
