package sinks

// counts is what a jail's rules have refused.
type counts struct {
	packets, bytes uint64
}

// counts sums the counters of a jail's rules. Where they cannot be read the
// counting starts again from nothing.
func (o *own) counts(j *jail) (sum counts) {
	rules, err := o.n.link.rules(ownTable, jailChain(j))
	if err != nil {
		return counts{}
	}
	for _, r := range rules {
		sum.packets += r.counts.packets
		sum.bytes += r.counts.bytes
	}
	return sum
}

// Counters says how many packets and bytes of a jail's banned addresses the
// kernel has refused; nothing in fail2ban's layout, whose rules do not count.
func (n *NFTables) Counters(name string) (packets, bytes uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o, ok := n.layout.(*own)
	j := n.jails[name]
	if !ok || j == nil {
		return 0, 0
	}
	sum := o.counts(j)
	return sum.packets, sum.bytes
}

// removeAll takes everything of ours out of the kernel.
func (n *NFTables) removeAll() error {
	if err := n.prepare(); err != nil {
		return err
	}
	t := new(tx)
	if err := n.layout.removeAll(t); err != nil {
		return err
	}
	return n.link.transact(t)
}
