package sinks

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// heal brings the kernel to all that is wanted, once the time for the next try
// has come. It is called with what is wanted complete.
func (n *NFTables) heal(nowNanos int64) error {
	if n.cfg.Now().Before(n.health.retryAt) {
		return errors.New(n.health.reason)
	}
	return n.resync(nowNanos)
}

// resync puts the layout and every element back: the layout and the first
// 4,096 elements in one transaction, the rest after it. A set that the kernel
// refuses is left out and noted in it; the error is what stops everything.
func (n *NFTables) resync(nowNanos int64) error {
	if err := n.prepare(); err != nil {
		n.damaged(err)
		return err
	}
	for _, s := range n.jailSets() {
		s.broken, s.lookup = nil, ""
		s.prune(nowNanos)
	}
	for {
		err := n.resyncOnce(nowNanos)
		if err == nil {
			n.health.stale = false
			n.recovered()
			return nil
		}
		n.layout.forget()
		var step *stepError
		if general(err) || !errors.As(err, &step) || step.step.owner == nil {
			n.damaged(err)
			return err
		}
		// Each round leaves one set more out, so that this ends.
		s := step.step.owner
		s.broken, s.present = err, false
		n.log.Error("set is not enforced", "set", s.name, "reason", err.Error())
	}
}

// load is elements on their way back into a set.
type load struct {
	set   *set
	fresh bool // the set is empty: nothing has to be removed first
	items []segment
}

func (n *NFTables) resyncOnce(nowNanos int64) error {
	t := new(tx)
	if err := n.layout.restore(t); err != nil {
		return err
	}
	var loads []load
	room := maxOrders
	present := n.wantedSets()
	for _, s := range present {
		existing, err := n.link.sets(s.tb)
		if err != nil {
			return err
		}
		_, there := existing[s.name]
		l := load{set: s, fresh: !there, items: s.items(nowNanos)}
		if s.kind.interval() && !l.fresh {
			t.owner = s
			t.flushSet(s.tb, s.name)
			l.fresh = true
		}
		first := min(room, len(l.items))
		l.write(t, l.items[:first], nowNanos, n.features)
		room -= first
		l.items = l.items[first:]
		loads = append(loads, l)
	}
	if err := n.link.transact(t); err != nil {
		return err
	}
	for i, s := range present {
		s.present, s.clean = true, s.clean || loads[i].fresh
	}
	for _, l := range loads {
		if err := n.refillAll(l, nowNanos); err != nil {
			return err
		}
	}
	return nil
}

// refillAll loads all items, 4,096 a transaction.
func (n *NFTables) refillAll(l load, nowNanos int64) error {
	for chunk := range slices.Chunk(l.items, maxOrders) {
		if err := n.refill(l, chunk, nowNanos); err != nil {
			return err
		}
	}
	return nil
}

// refill loads items and bisects what the kernel refuses; an element that it
// refuses alone is no longer wanted and is logged.
func (n *NFTables) refill(l load, items []segment, nowNanos int64) error {
	if len(items) == 0 {
		return nil
	}
	t := &tx{owner: l.set}
	l.write(t, items, nowNanos, n.features)
	err := n.link.transact(t)
	switch {
	case err == nil:
		return nil
	case general(err) || errors.Is(err, unix.ENOENT):
		return err
	case len(items) == 1:
		delete(l.set.ends, items[0].first)
		n.log.Error("ban could not be put back", "set", l.set.name,
			"ip", items[0].first.addr(l.set.kind.width()), "reason", err.Error())
		return nil
	}
	middle := len(items) / 2
	return errors.Join(n.refill(l, items[:middle], nowNanos), n.refill(l, items[middle:], nowNanos))
}

// write writes items of the load.
func (l load) write(t *tx, items []segment, nowNanos int64, f features) {
	t.owner = l.set
	remove, add := l.set.lists(t, f)
	if !l.fresh {
		for _, item := range items {
			for _, list := range remove {
				list.add(element{key: item.first})
			}
		}
		closeLists(remove)
	}
	add.more = len(items)
	for _, item := range items {
		if l.set.kind.interval() {
			l.set.segment(item, nowNanos, add)
		} else {
			add.add(element{key: item.first, timeout: l.set.timeout(item.untilNanos, nowNanos)})
		}
	}
	add.close()
}

// wantedSets are the sets that ought to be in the kernel.
func (n *NFTables) wantedSets() []*set {
	return slices.DeleteFunc(n.jailSets(), func(s *set) bool {
		return s.broken != nil || !s.present && s.wanted() == 0
	})
}

// items are the elements that the set is to hold now.
func (s *set) items(nowNanos int64) []segment {
	if s.kind.interval() {
		live := slices.Clone(s.ranges.networks)
		if s.timeouts {
			live = slices.DeleteFunc(live, func(n network) bool { return n.untilNanos <= nowNanos })
		}
		return segments(nil, live, s.ranges.width)
	}
	items := make([]segment, 0, len(s.ends))
	for k, untilNanos := range s.ends {
		if untilNanos > nowNanos {
			items = append(items, segment{first: k, last: k, untilNanos: untilNanos})
		}
	}
	return items
}
