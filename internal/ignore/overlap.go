package ignore

import (
	"net/netip"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Overlaps says whether a network holds anybody whom the jail never counts, or
// lies in a network of such: nobody bans it whole. It looks at every address of
// the lists and is not for the way of a line.
func (g *Guard) Overlaps(j *pipeline.Jail, network netip.Prefix) bool {
	s := g.jail(j)
	if s == nil {
		return false
	}
	r := s.rules.Load()
	if own := g.own.Load(); r.Self && own != nil {
		for a := range *own {
			if network.Contains(a) {
				return true
			}
		}
	}
	if r.list.overlaps(network) {
		return true
	}
	for _, f := range r.files {
		if l := f.list.Load(); l != nil && l.overlaps(network) {
			return true
		}
	}
	for a := range r.dns.Load().places {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

func (l *list) overlaps(network netip.Prefix) bool {
	t := &l.v6
	if network.Addr().Is4() {
		t = &l.v4
	}
	if t.overlaps(network) {
		return true
	}
	for id := range l.singles {
		if a, ok := id.Addr(); ok && network.Contains(a) {
			return true
		}
	}
	return false
}

// overlaps says whether a network that was put in covers p or lies in it.
func (t *trie) overlaps(p netip.Prefix) bool {
	key, n := bitsOf(p.Masked().Addr()), int32(p.Bits())
	for at := t.root; at != 0; {
		node := &t.nodes[at-1]
		switch {
		case key.common(node.key) < min(node.len, n):
			return false
		case node.len >= n, node.order < none:
			return true // every node has a network at its end
		}
		at = node.child[key.bit(node.len)]
	}
	return false
}
