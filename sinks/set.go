package sinks

import (
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// kind is what a set of a jail holds.
type kind uint8

// The kinds. fail2ban's layout has the last two only.
const (
	addresses4 kind = iota // single IPv4 addresses: hash
	addresses6             // single IPv6 addresses: hash
	prefixes6              // IPv6 networks of 64 bits by their first address: hash, looked up by masked source
	networks4              // IPv4 networks: intervals
	networks6              // IPv6 networks: intervals
	kinds
)

func (k kind) v4() bool       { return k == addresses4 || k == networks4 }
func (k kind) interval() bool { return k >= networks4 }

// width is the size of a key in bytes.
func (k kind) width() int {
	if k.v4() {
		return 4
	}
	return 16
}

// keyNumber is nft's number for the type of the set's keys.
func (s *set) keyNumber() uint32 {
	t := s.kind.keyType()
	return t.GetNFTMagic()
}

func (k kind) keyType() nftables.SetDatatype {
	if k.v4() {
		return nftables.TypeIPAddr
	}
	return nftables.TypeIP6Addr
}

// set is one set in the kernel and what is wanted in it.
type set struct {
	jail *jail
	kind kind
	tb   table
	name string
	// lookup is the set that the rules look up meanwhile, while name is filled anew.
	lookup string
	// timeouts: the kernel drops what has ended; else only an unban does.
	timeouts bool
	// present: the set and its rules are in the kernel.
	present bool
	// broken is why the kernel did not take the set when it was put back.
	broken error
	// full: an addition of the orders at hand was refused for want of room.
	full bool
	// clean: nothing stands in the kernel's set that is not wanted or has ended.
	clean bool

	ends   map[key]int64 // hash kinds: when each wanted key ends
	ranges ranges        // interval kinds
}

func newSet(j *jail, k kind, tb table, name string, timeouts bool) *set {
	s := &set{jail: j, kind: k, tb: tb, name: name, timeouts: timeouts}
	if k.interval() {
		s.ranges.width = k.width()
	} else {
		s.ends = make(map[key]int64)
	}
	return s
}

// flags are the set's flags as the kernel has them.
func (s *set) flags() (flags uint32) {
	if s.kind.interval() {
		flags |= unix.NFT_SET_INTERVAL
	}
	if s.timeouts {
		flags |= unix.NFT_SET_TIMEOUT
	}
	return flags
}

// wanted is the number of networks or addresses that the set is to hold.
func (s *set) wanted() int {
	if s.kind.interval() {
		return len(s.ranges.networks)
	}
	return len(s.ends)
}

// needs says whether an edit is more than the kernel has already.
func (s *set) needs(e edit, nowNanos int64) bool {
	switch {
	case e.untilNanos == 0:
		return s.present || s.wanted() > 0
	case !s.present || e.untilNanos <= nowNanos:
		return true
	case !s.kind.interval():
		return s.ends[e.first] != e.untilNanos
	}
	i, ok := s.ranges.find(e)
	return !ok || s.ranges.networks[i].untilNanos != e.untilNanos
}

// record makes sorted, distinct changes part of what is wanted.
func (s *set) record(changes []edit) {
	if s.kind.interval() {
		s.ranges.commit(changes)
		return
	}
	for _, c := range changes {
		if c.untilNanos == 0 {
			delete(s.ends, c.first)
		} else {
			s.ends[c.first] = c.untilNanos
		}
	}
}

// prune forgets what ended before a time, as the kernel has.
func (s *set) prune(beforeNanos int64) {
	if !s.timeouts {
		return
	}
	if s.kind.interval() {
		s.ranges.prune(beforeNanos)
		return
	}
	for k, untilNanos := range s.ends {
		if untilNanos < beforeNanos {
			delete(s.ends, k)
		}
	}
}

// timeout is the life that an element is given in the kernel; 0: it does not end.
func (s *set) timeout(untilNanos, nowNanos int64) time.Duration {
	if !s.timeouts || untilNanos == pipeline.Permanent {
		return 0
	}
	return max(minTimeout, time.Duration(untilNanos-nowNanos))
}

// write puts the messages into t that bring changes, sorted and distinct, into
// the kernel, and returns the changes to record once t has succeeded.
func (s *set) write(t *tx, changes []edit, nowNanos int64, f features) []edit {
	remove, add := s.lists(t, f)
	if s.kind.interval() {
		all, del, added := s.ranges.plan(changes, nowNanos)
		for _, seg := range del {
			s.segment(seg, nowNanos, remove...)
		}
		closeLists(remove)
		for _, seg := range added {
			s.segment(seg, nowNanos, add)
		}
		add.close()
		return all
	}
	// To add what is there already would leave its timeout as it is where the
	// two agree to the jiffy, and always before Linux 6.12: it is removed and
	// added within the transaction, which no packet sees.
	for _, c := range changes {
		if _, there := s.ends[c.first]; there || !s.clean {
			for _, l := range remove {
				l.add(element{key: c.first})
			}
		}
	}
	closeLists(remove)
	add.more = len(changes)
	for _, c := range changes {
		if c.untilNanos != 0 {
			add.add(element{key: c.first, timeout: s.timeout(c.untilNanos, nowNanos)})
		}
	}
	add.close()
	return changes
}

// lists returns the element lists that remove and add. Without
// NFT_MSG_DESTROYSETELEM (Linux 6.3) to remove is to add and then delete,
// because to delete what has expired fails the whole transaction.
func (s *set) lists(t *tx, f features) (remove []*elementList, add *elementList) {
	list := func(kind uint16) *elementList {
		return &elementList{t: t, tb: s.tb, set: s.name, kind: kind, keyLen: s.kind.width()}
	}
	if f.destroy {
		remove = []*elementList{list(msgDestroySetElem)}
	} else {
		remove = []*elementList{list(unix.NFT_MSG_NEWSETELEM), list(unix.NFT_MSG_DELSETELEM)}
	}
	return remove, list(unix.NFT_MSG_NEWSETELEM)
}

func closeLists(lists []*elementList) {
	for _, l := range lists {
		l.close()
	}
}

// segment writes both ends of a range; the last address of all has no end after it.
func (s *set) segment(seg segment, nowNanos int64, lists ...*elementList) {
	for _, l := range lists {
		l.add(element{key: seg.first, timeout: s.timeout(seg.untilNanos, nowNanos)})
		if after, ok := seg.last.next(s.kind.width()); ok {
			l.add(element{key: after, end: true})
		}
	}
}

// bits is the length of the networks of a hash kind.
func (s *set) bits() uint8 {
	if s.kind == prefixes6 {
		return 64
	}
	return uint8(8 * s.kind.width())
}

// read lists the set as the kernel has it.
func (s *set) read(l *link) ([]Element, error) {
	raw, err := l.list(s.tb, s.name)
	if err != nil {
		return nil, err
	}
	width := s.kind.width()
	if s.kind.interval() {
		return pairEnds(raw, width), nil
	}
	elements := make([]Element, 0, len(raw))
	for _, e := range raw {
		first := key(e.key)
		last := network{first: first, bits: s.bits()}.last(width)
		elements = append(elements, Element{First: first.addr(width), Last: last.addr(width), Left: e.left})
	}
	return elements, nil
}

// pairEnds makes ranges of the sorted starts and ends that an interval set
// lists: a range goes to the next end, or where there is none before it to the
// next start; the last may go to the last address of all.
func pairEnds(sorted []rawElement, width int) []Element {
	var elements []Element
	for i, e := range sorted {
		if e.end {
			continue
		}
		last := network{}.last(width)
		if i+1 < len(sorted) {
			last = key(sorted[i+1].key).before(width)
		}
		elements = append(elements, Element{First: key(e.key).addr(width), Last: last.addr(width), Left: e.left})
	}
	return elements
}
