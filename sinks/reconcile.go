package sinks

import (
	"fmt"
	"slices"
)

// Look finds out what the kernel can, so that State says from the start whether
// bans can be enforced. fail2ban's layout is not touched, nor asked for, before
// the first ban.
func (n *NFTables) Look() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.layout.(*classic); ok || n.idle() || n.features.probed {
		return
	}
	if err := n.prepare(); err != nil {
		n.damaged(err)
	}
}

// Reconcile removes from the kernel what a process before us left there and is
// not wanted: sets and chains of jails that are not declared, elements that no
// order brought since the sink was opened. It is called once, after the
// jails are declared and the restored bans applied. What is wanted stays
// enforced all the while; nothing is listed. Where it cannot be done now,
// which State and the log say, Run tries again.
func (n *NFTables) Reconcile() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.health.unreconciled = true
	return n.reconcile()
}

func (n *NFTables) reconcile() error {
	if n.idle() {
		return nil
	}
	nowNanos := n.cfg.Now().UnixNano()
	if c, ok := n.layout.(*classic); ok && len(n.wantedSets()) == 0 {
		// fail2ban's layout is not touched before a ban needs it, nor looked at
		// by who may not: to be without rights is no fault until then.
		err := c.reconcile(nowNanos)
		n.health.unreconciled = err != nil && !refusedRight(err)
		return err
	}
	err := n.prepare()
	if err == nil && n.health.stale {
		if err := n.heal(nowNanos); err != nil {
			return err // noted there
		}
	}
	if err == nil {
		err = n.layout.reconcile(nowNanos)
	}
	if err != nil {
		n.damaged(err)
		return fmt.Errorf("reconcile nf_tables: %w", err)
	}
	n.health.unreconciled = false
	return nil
}

// removeOwn takes our layout out of the kernel, for whom no process of ours
// does any more, and says whether there was one.
func removeOwn(netns int) (found bool, err error) {
	l, err := dialLink(netns)
	if err != nil {
		return false, err
	}
	defer l.close()
	chains, err := l.chains(ownTable)
	if err != nil || len(chains) == 0 {
		return false, err
	}
	t := new(tx)
	t.delTable(ownTable)
	return true, l.transact(t)
}

// reconcile takes away the sets of declared jails that a process before us left
// and no ban has needed; those that one needed were emptied then.
func (c *classic) reconcile(int64) error {
	var left []*set
	for _, j := range c.n.sortedJails() {
		for _, k := range c.kinds() {
			if j.sets[k] == nil || !j.sets[k].present {
				left = append(left, c.newSet(j, k))
			}
		}
	}
	t := new(tx)
	if err := c.take(t, left); err != nil || len(t.msgs) == 0 {
		return err
	}
	return c.n.link.transact(t)
}

func (o *own) reconcile(nowNanos int64) error {
	existing, err := o.n.link.sets(ownTable)
	if err != nil || len(existing) == 0 {
		return err
	}
	if err := o.sweep(existing); err != nil {
		return err
	}
	for _, s := range o.n.jailSets() {
		if s.clean || !s.present {
			continue
		}
		if err := o.renew(s, nowNanos); err != nil {
			return err
		}
	}
	return nil
}

// sweep takes away the sets and chains that nothing needs. Where no ban has
// written the layout yet, it stands as the process before us declared its jails
// and is written anew.
func (o *own) sweep(existing map[string]setInfo) error {
	known := append([]string{chainPrerouting, chainTranslated}, baseChains...)
	for _, s := range o.n.jailSets() {
		delete(existing, s.name)
		known = append(known, jailChain(s.jail))
	}
	chains, err := o.n.link.chains(ownTable)
	if err != nil {
		return err
	}
	stale := slices.DeleteFunc(chains, func(c string) bool { return slices.Contains(known, c) })
	if o.up && len(stale) == 0 && len(existing) == 0 {
		return nil
	}
	t := new(tx)
	if err := o.restore(t); err != nil {
		return err
	}
	for _, chain := range stale {
		t.flushChain(ownTable, chain)
	}
	for _, chain := range stale {
		t.delChain(ownTable, chain)
	}
	for name := range existing {
		t.delSet(ownTable, name)
	}
	return o.n.link.transact(t)
}

// renew makes the kernel's set hold exactly what is wanted: small ones are
// emptied and filled in one transaction; for large ones a second set takes
// over while the first is emptied and filled.
func (o *own) renew(s *set, nowNanos int64) error {
	l := load{set: s, fresh: true, items: s.items(nowNanos)}
	if len(l.items) <= maxOrders {
		t := &tx{owner: s}
		t.flushSet(s.tb, s.name)
		l.write(t, l.items, nowNanos, o.n.features)
		if err := o.n.link.transact(t); err != nil {
			return err
		}
		s.clean = true
		return nil
	}
	second := *s
	second.name = "refill-" + setPrefixes[s.kind] + "set"
	t := &tx{owner: s}
	t.addSet(s.tb, second.name, s.flags(), s.kind.keyType())
	if err := o.n.link.transact(t); err != nil {
		return err
	}
	if err := o.n.refillAll(load{set: &second, fresh: true, items: l.items}, nowNanos); err != nil {
		return err
	}
	s.lookup = second.name
	err := o.transactRestored(func(*tx) {})
	if err == nil {
		t = &tx{owner: s}
		t.flushSet(s.tb, s.name)
		err = o.n.link.transact(t)
	}
	if err == nil {
		err = o.n.refillAll(l, nowNanos)
	}
	if err != nil {
		return err // the second set goes on protecting; the next resync removes the detour
	}
	s.lookup = ""
	if err := o.transactRestored(func(t *tx) { t.delSet(s.tb, second.name) }); err != nil {
		return err
	}
	s.clean = true
	return nil
}

// transactRestored writes the layout anew, and more.
func (o *own) transactRestored(more func(*tx)) error {
	t := new(tx)
	if err := o.restore(t); err != nil {
		return err
	}
	more(t)
	return o.n.link.transact(t)
}
