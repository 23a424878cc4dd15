package sinks

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// key is an address as a set's key: big-endian, IPv4 in the first four bytes.
type key [16]byte

func keyOf(a netip.Addr) (k key) {
	if a.Is4() {
		four := a.As4()
		copy(k[:], four[:])
		return k
	}
	return a.As16()
}

// addr is the address of a key of 4 or 16 bytes.
func (k key) addr(width int) netip.Addr {
	if width == 4 {
		return netip.AddrFrom4([4]byte(k[:4]))
	}
	return netip.AddrFrom16(k)
}

func (k key) compare(o key) int { return bytes.Compare(k[:], o[:]) }

// network is a wanted address or network and when it ends.
type network struct {
	first      key
	bits       uint8
	untilNanos int64 // pipeline.Permanent: does not end
}

func (n network) compare(o network) int {
	return cmp.Or(n.first.compare(o.first), cmp.Compare(n.bits, o.bits))
}

// last is the network's last address.
func (n network) last(width int) key {
	k := n.first
	for i := range width {
		switch kept := int(n.bits) - 8*i; {
		case kept <= 0:
			k[i] = 0xff
		case kept < 8:
			k[i] |= 0xff >> kept
		}
	}
	return k
}

// masked is the first address of the network of so many bits around k.
func (k key) masked(bits int) key {
	for i := range k {
		switch kept := bits - 8*i; {
		case kept <= 0:
			k[i] = 0
		case kept < 8:
			k[i] &^= 0xff >> kept
		}
	}
	return k
}

// next is the address after k; ok is false after the last.
func (k key) next(width int) (after key, ok bool) {
	for i := width - 1; i >= 0; i-- {
		if k[i]++; k[i] != 0 {
			return k, true
		}
	}
	return k, false
}

// before is the address before k, which is not the first.
func (k key) before(width int) key {
	for i := width - 1; i >= 0; i-- {
		if k[i]--; k[i] != 0xff {
			break
		}
	}
	return k
}

// segment is a range of an interval set: [first, last], dropped at untilNanos.
type segment struct {
	first, last key
	untilNanos  int64
}

// ranges is what is wanted in an interval set. The kernel refuses elements
// that overlap, so the list of networks stays logical and what is programmed
// is a function of it: each address with the latest end of the networks that
// cover it, cut into disjoint segments. CIDR networks are nested or disjoint;
// what a network changes lies within the outermost one around it.
type ranges struct {
	width    int       // bytes of an address: 4 or 16
	networks []network // sorted by address, wider before narrower
	lengths  [129]int  // how many networks have a length
}

// segments appends what is to be programmed for sorted networks.
func segments(dst []segment, networks []network, width int) []segment {
	type cover struct {
		last       key
		untilNanos int64
	}
	var open []cover // nested, each inside and with a later end than the one before
	var position key // the first address that is not programmed yet
	inside := false  // whether position is inside the innermost cover
	shut := func(until func(cover) bool) {
		for len(open) > 0 && until(open[len(open)-1]) {
			top := open[len(open)-1]
			open = open[:len(open)-1]
			if inside && position.compare(top.last) <= 0 {
				dst = append(dst, segment{position, top.last, top.untilNanos})
				position, inside = top.last.next(width)
			}
		}
	}
	for _, n := range networks {
		shut(func(c cover) bool { return c.last.compare(n.first) < 0 })
		if len(open) > 0 {
			top := open[len(open)-1]
			if n.untilNanos <= top.untilNanos {
				continue
			}
			if inside && position.compare(n.first) < 0 {
				dst = append(dst, segment{position, n.first.before(width), top.untilNanos})
			}
		}
		open = append(open, cover{n.last(width), n.untilNanos})
		position, inside = n.first, true
	}
	shut(func(cover) bool { return true })
	return dst
}

// edit is a change of the logical list: the network is wanted until its end,
// or, with untilNanos 0, no longer.
type edit = network

// find returns where a network stands or belongs.
func (r *ranges) find(n network) (int, bool) {
	return slices.BinarySearchFunc(r.networks, n, network.compare)
}

// root is the outermost wanted network around n, or n itself.
func (r *ranges) root(n network) network {
	for bits := range int(n.bits) {
		if r.lengths[bits] == 0 {
			continue
		}
		outer := network{first: n.first.masked(bits), bits: uint8(bits)}
		if i, ok := r.find(outer); ok {
			return r.networks[i]
		}
	}
	return n
}

// inside returns the wanted networks within outer.
func (r *ranges) inside(outer network) []network {
	from, _ := r.find(outer)
	last := outer.last(r.width)
	to := from
	// A root holds few networks or is searched once a transaction: no second bisection.
	for to < len(r.networks) && r.networks[to].first.compare(last) <= 0 {
		to++
	}
	return r.networks[from:to]
}

// plan works out what sorted, distinct edits change in the kernel: segments to
// delete and to add, ascending. It changes nothing itself; the edits that it
// returns are the given ones and the removal of what has ended by now in the
// same places, for commit.
func (r *ranges) plan(edits []edit, nowNanos int64) (all []edit, del, add []segment) {
	for len(edits) > 0 {
		root := r.root(edits[0])
		// The edits that follow may hold wider networks around this root only
		// before it, because wider sorts first: so root is the outermost.
		last := root.last(r.width)
		n := 1
		for n < len(edits) && edits[n].first.compare(last) <= 0 {
			n++
		}
		old := r.inside(root)
		region := withExpired(old, edits[:n], nowNanos)
		all = append(all, region...)
		before := segments(nil, old, r.width)
		after := segments(nil, merge(nil, old, region), r.width)
		del, add = difference(del, add, before, after)
		edits = edits[n:]
	}
	return all, del, add
}

// withExpired returns the edits and a removal for each network that ended and has no edit.
func withExpired(networks []network, edits []edit, nowNanos int64) []edit {
	var all []edit
	for _, n := range networks {
		for len(edits) > 0 && edits[0].compare(n) < 0 {
			all = append(all, edits[0])
			edits = edits[1:]
		}
		if len(edits) > 0 && edits[0].compare(n) == 0 {
			continue
		}
		if n.untilNanos <= nowNanos {
			all = append(all, edit{first: n.first, bits: n.bits})
		}
	}
	return append(all, edits...)
}

// merge appends the networks as they are after the edits.
func merge(dst, networks []network, edits []edit) []network {
	for len(networks) > 0 || len(edits) > 0 {
		order := 1
		switch {
		case len(edits) == 0:
			order = -1
		case len(networks) > 0:
			order = networks[0].compare(edits[0])
		}
		if order < 0 {
			dst = append(dst, networks[0])
			networks = networks[1:]
			continue
		}
		if order == 0 && len(networks) > 0 {
			networks = networks[1:]
		}
		if edits[0].untilNanos != 0 {
			dst = append(dst, edits[0])
		}
		edits = edits[1:]
	}
	return dst
}

// difference appends what stands in before alone to del and what stands in
// after alone to add.
func difference(del, add, before, after []segment) ([]segment, []segment) {
	for len(before) > 0 && len(after) > 0 {
		switch order := before[0].first.compare(after[0].first); {
		case before[0] == after[0]:
			before, after = before[1:], after[1:]
		case order <= 0:
			del, before = append(del, before[0]), before[1:]
		default:
			add, after = append(add, after[0]), after[1:]
		}
	}
	return append(del, before...), append(add, after...)
}

// commit makes the edits, sorted and distinct, part of the logical list.
func (r *ranges) commit(edits []edit) {
	const few = 32 // below it moving the tail for each beats copying the list once
	for _, e := range edits {
		i, found := r.find(e)
		if found {
			r.lengths[e.bits]--
		}
		if e.untilNanos != 0 {
			r.lengths[e.bits]++
		}
		if len(edits) > few {
			continue
		}
		switch {
		case found && e.untilNanos == 0:
			r.networks = slices.Delete(r.networks, i, i+1)
		case found:
			r.networks[i] = e
		case e.untilNanos != 0:
			r.networks = slices.Insert(r.networks, i, e)
		}
	}
	if len(edits) > few {
		r.networks = merge(make([]network, 0, len(r.networks)+len(edits)), r.networks, edits)
	}
}

// prune forgets what ended before a time.
func (r *ranges) prune(beforeNanos int64) {
	r.networks = slices.DeleteFunc(r.networks, func(n network) bool {
		ended := n.untilNanos != pipeline.Permanent && n.untilNanos < beforeNanos
		if ended {
			r.lengths[n.bits]--
		}
		return ended
	})
}
