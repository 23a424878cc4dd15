package sinks

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// features is what this kernel's nf_tables can beyond sets and rules. Where
// one is missing the layout does with less.
type features struct {
	probed    bool
	timeouts  bool // of elements (Linux 4.1); else an unban alone ends a ban
	intervals bool // else networks cannot be banned
	destroy   bool // NFT_MSG_DESTROYSETELEM (Linux 6.3); else an element is added and then deleted
	fib       bool // fib lookups; else transit is refused as well
	track     bool // connection tracking; else replies to our own connections are refused as well
	reject    bool // reject in prerouting (Linux 5.9); else drop
}

var probeTable = table{family: ownTable.family, name: "f2bpipe-probe"}

// probeSet writes a set.
func probeSet(flags uint32) func(*tx) error {
	return func(t *tx) error {
		t.addSet(probeTable, fmt.Sprint("set-", flags), flags, nftables.TypeIPAddr)
		return nil
	}
}

// probes write what needs one feature each.
func probes(f *features) []struct {
	has   *bool
	name  string
	write func(*tx) error
} {
	rule := func(exprs ...expr.Any) func(*tx) error {
		return func(t *tx) error { return t.addRule(probeTable, chainPrerouting, exprs) }
	}
	tracking := append(matchDirection(expr.CtDirReply), matchBit(expr.CtKeySTATUS, 1)...)
	return []struct {
		has   *bool
		name  string
		write func(*tx) error
	}{
		{&f.timeouts, "timeouts", probeSet(unix.NFT_SET_TIMEOUT)},
		{&f.intervals, "intervals", probeSet(unix.NFT_SET_INTERVAL)},
		{&f.destroy, "destroying elements", func(t *tx) error {
			t.destroyTable(table{family: probeTable.family, name: probeTable.name + "-none"})
			return nil
		}},
		{&f.fib, "fib", rule(matchLocal()...)},
		{&f.track, "connection tracking", rule(append(tracking, originalDestination())...)},
		{&f.reject, "reject in prerouting", rule(block{kind: blockReject, code: rejectCodes["port-unreachable"]}.refuse(true))},
	}
}

// prepare finds out once what the kernel can, by transactions that leave
// nothing behind, and what a process before us left.
func (n *NFTables) prepare() error {
	if n.features.probed {
		return n.layout.adopt()
	}
	f := features{probed: true}
	all := probes(&f)
	// On a kernel of today one transaction says yes to everything.
	whole := n.probe(func(t *tx) (err error) {
		for _, p := range all {
			err = errors.Join(err, p.write(t))
		}
		return err
	})
	if whole != nil {
		// Without a table of both families, or sets, there is nothing to build on.
		bare := n.probe(probeSet(0))
		if bare != nil && lacking(bare) {
			n.health.absent = bare.Error()
		}
		if bare != nil {
			return bare
		}
		if general(whole) {
			return whole
		}
	}
	for _, p := range all {
		*p.has = whole == nil || n.probe(p.write) == nil
		if !*p.has {
			n.log.Warn("kernel's nf_tables lacks a feature: bans are coarser or dearer", "feature", p.name)
		}
	}
	n.features = f
	if !f.timeouts {
		for _, s := range n.jailSets() { // of orders that came when nothing was known
			s.timeouts = false
		}
	}
	return n.layout.adopt()
}

// hasTimeouts and hasIntervals are so as far as is known.
func (f *features) hasTimeouts() bool  { return !f.probed || f.timeouts }
func (f *features) hasIntervals() bool { return !f.probed || f.intervals }

// lacking says whether an error is the kernel's lack of something, and so for good.
func lacking(err error) bool {
	for _, errno := range []unix.Errno{unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ENOENT, unix.EINVAL, unix.ENOSYS} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// probe tries something in a table that goes with the transaction.
func (n *NFTables) probe(write func(*tx) error) error {
	t := new(tx)
	t.addTable(probeTable)
	t.addChain(probeTable, chainPrerouting, &hook{"filter", unix.NF_INET_PRE_ROUTING, -150})
	if err := write(t); err != nil {
		return err
	}
	t.delTable(probeTable)
	return n.link.transact(t)
}
