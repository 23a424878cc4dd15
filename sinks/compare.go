package sinks

import (
	"errors"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// listLimit is the largest set that is listed: listing is quadratic in the kernel.
	listLimit = 10_000
	// samples is how many elements of a larger one are asked for.
	samples = 64
	// settling is how near to its end an element may be missing: the kernel's clock is not ours.
	settlingNanos = int64(5e9)
)

// Compare looks whether the kernel has what is wanted and puts back what it
// lacks. Run calls it from time to time.
func (n *NFTables) Compare() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.idle() || n.health.stale {
		return
	}
	nowNanos := n.cfg.Now().UnixNano()
	for _, s := range n.jailSets() {
		s.prune(nowNanos)
	}
	same, err := n.same(nowNanos)
	if err != nil {
		n.damaged(err)
		return
	}
	if same {
		return
	}
	n.health.stale = true
	if n.resync(nowNanos) == nil {
		n.noteHealed("ruleset")
	}
}

// same says whether every set, rule and (of large sets: sampled) element is there.
func (n *NFTables) same(nowNanos int64) (bool, error) {
	if len(n.wantedSets()) == 0 {
		return true, nil
	}
	if same, err := n.layout.same(); !same || err != nil {
		return false, err
	}
	for _, s := range n.wantedSets() {
		has, err := n.hasAll(s, nowNanos)
		if errors.Is(err, unix.ENOENT) {
			return false, nil
		}
		if !has || err != nil {
			return false, err
		}
	}
	return true, nil
}

// hasAll says whether the kernel's set has the elements it should.
func (n *NFTables) hasAll(s *set, nowNanos int64) (bool, error) {
	items := s.items(nowNanos + settlingNanos)
	if len(items) > listLimit {
		for _, item := range items[:samples] {
			if has, err := n.hasElement(s, item.first); !has || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	read, err := s.read(n.link)
	if err != nil {
		return false, err
	}
	there := make(map[key]key, len(read))
	for _, e := range read {
		there[keyOf(e.First)] = keyOf(e.Last)
	}
	for _, item := range items {
		last, ok := there[item.first]
		if !ok || s.kind.interval() && last != item.last {
			return false, nil
		}
	}
	return true, nil
}

// hasElement asks the kernel for one element.
func (n *NFTables) hasElement(s *set, k key) (bool, error) {
	request := getElement(s, k)
	request.Header.Flags = netlink.Request
	replies, err := n.link.conn.Execute(request)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return len(replies) > 0, err
}

// same compares sets and the numbers of rules with what restore would write.
func (o *own) same() (bool, error) {
	t := new(tx)
	up := o.up
	err := o.restore(t)
	o.up = up // t is not sent
	if err != nil {
		return false, err
	}
	existing, err := o.n.link.sets(ownTable)
	if err != nil {
		return false, err
	}
	for _, s := range o.n.wantedSets() {
		if info, there := existing[s.name]; !there || !info.like(s) {
			return false, nil
		}
	}
	for chain, want := range t.rules {
		rules, err := o.n.link.rules(ownTable, chain)
		if err != nil || len(rules) != want {
			return false, err
		}
	}
	return true, nil
}

// same looks for the rules of every set.
func (c *classic) same() (bool, error) {
	for _, s := range c.n.wantedSets() {
		p, err := s.jail.place()
		if err != nil {
			return false, err
		}
		handles, err := c.using(p, s.name)
		if err != nil || len(handles) == 0 {
			return false, err
		}
	}
	return true, nil
}
