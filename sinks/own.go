package sinks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// own is our layout: one table, kernel timeouts, and two base chains in front
// of everything that a packet meets:
//
//	table inet f2bpipe {
//		set addr4-JAIL { type ipv4_addr; flags timeout; }            # hash
//		set addr6-JAIL { type ipv6_addr; flags timeout; }            # hash
//		set pfx6-JAIL { type ipv6_addr; flags timeout; }             # hash of /64
//		set net4-JAIL { type ipv4_addr; flags interval,timeout; }
//		set net6-JAIL { type ipv6_addr; flags interval,timeout; }
//		chain prerouting {       # before dstnat: ports are the original ones
//			type filter hook prerouting priority mangle
//			jump everywhere-tcp; jump everywhere  # jails of scope all
//			fib daddr type local jump host        # this host and its published ports
//			ct status dnat jump host              # translated, but not addressed to us
//		}
//		chain host { jump local-tcp; jump local }
//		chain translated {       # the first packet of the latter: known after dstnat
//			type filter hook prerouting priority dstnat + 1
//			ct state new ct status dnat jump original
//		}
//		chain local-tcp { tcp dport { 22 } jump jail-sshd }
//		chain local {
//			ct direction reply return             # our own connections to a banned address
//			jump jail-manual
//		}
//		chain original { meta l4proto tcp ct original proto-dst { 22 } jump jail-sshd }
//		chain jail-sshd { ip saddr @addr4-sshd counter drop }
//	}
//
// A set and its rule are created at the first ban of the kind.
//
// Replies are let through, rather than only originals refused, so that a
// packet without a connection (untracked, invalid) is refused too. And only
// where a port does not tell: a connection that was open when connection
// tracking began, which may be with our first ban, has the direction of the
// packet seen first, and that may be our answer to an attacker.
type own struct {
	n *NFTables
	// up: the table and its base chains are there as far as we know.
	up bool
	// adopted: what a process before us left has been looked at.
	adopted bool
}

var ownTable = table{family: nftables.TableFamilyINet, name: "f2bpipe"}

const (
	chainPrerouting = "prerouting"
	chainTranslated = "translated"
	chainEverywhere = "everywhere"
	chainHost       = "host"
	chainLocal      = "local"
	chainOriginal   = "original"
	// services is the ending of the chains of jails whose TCP ports are all
	// below those that our own connections come from.
	services       = "-tcp"
	firstEphemeral = 32768
)

// baseChains are the chains without a hook that every layout has.
var baseChains = []string{
	chainEverywhere + services, chainEverywhere, chainHost, chainLocal + services, chainLocal, chainOriginal,
}

// dispatchChains are those of them that lead to jails.
var dispatchChains = []string{
	chainEverywhere + services, chainEverywhere, chainLocal + services, chainLocal, chainOriginal,
}

// setPrefixes are the beginnings of the sets' names, by kind.
var setPrefixes = [kinds]string{"addr4-", "addr6-", "pfx6-", "net4-", "net6-"}

func (o *own) kind(n network, v4 bool) kind {
	switch {
	case v4 && n.bits == 32:
		return addresses4
	case v4:
		return networks4
	case n.bits == 128:
		return addresses6
	case n.bits == 64:
		return prefixes6
	}
	return networks6
}

func (o *own) newSet(j *jail, k kind) *set {
	return newSet(j, k, ownTable, setPrefixes[k]+identifier(j.name), o.n.features.hasTimeouts())
}

func (o *own) check(j *jail) error {
	if len(jailChain(j)) > unix.NFT_NAME_MAXLEN-1 {
		return errors.New("name is too long for nf_tables")
	}
	return nil
}

func jailChain(j *jail) string { return "jail-" + identifier(j.name) }

// identifier writes a jail's name with the characters that nft takes in a
// name; others become their bytes in hexadecimal, so that names stay distinct.
func identifier(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

func (o *own) owns(family byte, name string) bool {
	return family == byte(ownTable.family) && name == ownTable.name
}

func (o *own) forget() { o.up = false }

// install adds sets to the layout. A table that a process before us left is
// taken over: its sets of declared jails stay, with rules as they are declared now.
func (o *own) install(t *tx, sets []*set) error {
	if !o.up {
		return o.write(t, sets)
	}
	for i, s := range sets {
		t.owner = s
		if !s.jail.present() && (i == 0 || sets[i-1].jail != s.jail) {
			t.addChain(ownTable, jailChain(s.jail), nil)
			if err := o.dispatch(t, s.jail); err != nil {
				return err
			}
		}
		t.addSet(ownTable, s.name, s.flags(), s.kind.keyType())
		if err := o.rules(t, s, counts{}); err != nil {
			return err
		}
	}
	return nil
}

// adopt looks once for what a process before us left, and takes over the sets
// of declared jails.
func (o *own) adopt() error {
	if o.adopted {
		return nil
	}
	existing, err := o.n.link.sets(ownTable)
	if err != nil {
		return err
	}
	o.adopted = true
	for _, j := range o.n.jails {
		for k := range kinds {
			s := o.newSet(j, k)
			if info, there := existing[s.name]; !there || !info.like(s) {
				continue
			}
			if j.sets[k] == nil {
				j.sets[k] = s
			}
			j.sets[k].present, j.sets[k].clean = true, false
		}
	}
	return nil
}

// base writes the table and the chains that packets enter by.
func (o *own) base(t *tx) error {
	t.owner = nil
	t.addTable(ownTable)
	for _, chain := range baseChains {
		t.addChain(ownTable, chain, nil)
	}
	t.addChain(ownTable, chainPrerouting, &hook{"filter", unix.NF_INET_PRE_ROUTING, -150})
	t.addChain(ownTable, chainTranslated, &hook{"filter", unix.NF_INET_PRE_ROUTING, -99})
	for _, chain := range append([]string{chainPrerouting, chainTranslated, chainHost}, dispatchChains...) {
		t.flushChain(ownTable, chain)
	}
	jump := func(chain string) expr.Any { return verdict(expr.VerdictJump, chain) }
	local := rule(matchLocal(), jump(chainHost))
	if !o.n.features.fib {
		local = []expr.Any{jump(chainHost)}
	}
	err := errors.Join(
		t.addRule(ownTable, chainPrerouting, []expr.Any{jump(chainEverywhere + services)}),
		t.addRule(ownTable, chainPrerouting, []expr.Any{jump(chainEverywhere)}),
		t.addRule(ownTable, chainPrerouting, local),
		t.addRule(ownTable, chainHost, []expr.Any{jump(chainLocal + services)}),
		t.addRule(ownTable, chainHost, []expr.Any{jump(chainLocal)}),
	)
	if !o.n.features.track {
		return err
	}
	const dstNAT = 1 << 5 // IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h
	translated := matchBit(expr.CtKeySTATUS, dstNAT)
	fresh := matchBit(expr.CtKeySTATE, expr.CtStateBitNEW)
	return errors.Join(err,
		t.addRule(ownTable, chainPrerouting, rule(translated, jump(chainHost))),
		t.addRule(ownTable, chainTranslated, rule(append(fresh, translated...), jump(chainOriginal))),
		o.letReplies(t),
	)
}

// letReplies begins the chains where a port does not tell whose connection it is.
func (o *own) letReplies(t *tx) error {
	if !o.n.features.track {
		return nil
	}
	reply := rule(matchDirection(expr.CtDirReply), verdict(expr.VerdictReturn, ""))
	return errors.Join(t.addRule(ownTable, chainEverywhere, reply), t.addRule(ownTable, chainLocal, reply))
}

// rule appends the last expressions to a copy of the first.
func rule(match []expr.Any, last ...expr.Any) []expr.Any {
	return append(append([]expr.Any(nil), match...), last...)
}

// dispatch writes the rules that send a jail's traffic to its chain.
func (o *own) dispatch(t *tx, j *jail) error {
	jump := verdict(expr.VerdictJump, jailChain(j))
	chain := chainLocal
	if j.action.Scope == ScopeAll {
		chain = chainEverywhere
	}
	if len(j.match.protocols) == 0 {
		err := t.addRule(ownTable, chain, []expr.Any{jump})
		if err == nil && o.translates(j) {
			err = t.addRule(ownTable, chainOriginal, []expr.Any{jump})
		}
		return err
	}
	for _, protocol := range j.match.protocols {
		for _, ports := range portGroups(j.match.ports, o.n.features.hasIntervals()) {
			if err := o.dispatchPorts(t, j, chain, protocol, ports); err != nil {
				return err
			}
		}
	}
	return nil
}

// dispatchPorts is dispatch for one protocol and ports (none: all) in a chain.
func (o *own) dispatchPorts(t *tx, j *jail, chain string, protocol byte, ports []PortRange) error {
	jump := verdict(expr.VerdictJump, jailChain(j))
	match, before := matchProtocol(protocol), matchProtocol(protocol)
	if len(ports) > 0 {
		ephemeral := func(p PortRange) bool { return p.Last >= firstEphemeral }
		if protocol == unix.IPPROTO_TCP && !slices.ContainsFunc(j.match.ports, ephemeral) {
			chain += services
		}
		match = append(append(match, destination()), matchPorts(t, ownTable, ports)...)
	}
	if err := t.addRule(ownTable, chain, rule(match, jump)); err != nil || !o.translates(j) {
		return err
	}
	if len(ports) > 0 {
		before = append(append(before, originalDestination()), matchPorts(t, ownTable, ports)...)
	}
	return t.addRule(ownTable, chainOriginal, rule(before, jump))
}

// translates says whether the jail is looked for behind translations too.
func (o *own) translates(j *jail) bool {
	return j.action.Scope == ScopeLocal && o.n.features.track
}

// rules writes what refuses the members of a set, and counts from c on.
func (o *own) rules(t *tx, s *set, c counts) error {
	counter := &expr.Counter{Packets: c.packets, Bytes: c.bytes}
	chain, refusal := jailChain(s.jail), s.jail.block
	if !o.n.features.reject {
		refusal = block{}
	}
	if refusal.kind == blockTCPReset {
		match := rule(matchSource(s), matchProtocol(unix.IPPROTO_TCP)...)
		if err := t.addRule(ownTable, chain, rule(match, counter, refusal.refuse(s.kind.v4()))); err != nil {
			return err
		}
		counter, refusal.kind = &expr.Counter{}, blockReject
	}
	return t.addRule(ownTable, chain, rule(matchSource(s), counter, refusal.refuse(s.kind.v4())))
}

// restore writes the whole layout anew over whatever is there; elements stay.
func (o *own) restore(t *tx) error { return o.write(t, nil) }

// write is restore with more sets than those that are present or hold something.
func (o *own) write(t *tx, more []*set) error {
	if err := o.base(t); err != nil {
		return err
	}
	for _, j := range o.n.sortedJails() {
		var sets []*set
		for _, s := range j.sets {
			if s != nil && s.broken == nil && (s.present || s.wanted() > 0 || slices.Contains(more, s)) {
				sets = append(sets, s)
			}
		}
		if len(sets) == 0 {
			continue
		}
		counted := o.counts(j)
		t.owner = sets[0]
		t.addChain(ownTable, jailChain(j), nil)
		t.flushChain(ownTable, jailChain(j))
		if err := o.dispatch(t, j); err != nil {
			return err
		}
		for _, s := range sets {
			t.owner = s
			t.addSet(ownTable, s.name, s.flags(), s.kind.keyType())
			if err := o.rules(t, s, counted); err != nil {
				return err
			}
			counted = counts{}
		}
	}
	o.up = true
	return nil
}

// remove takes a jail out: the others' dispatch is written anew without it.
func (o *own) remove(t *tx, j *jail) error {
	t.owner = nil
	for _, chain := range dispatchChains {
		t.flushChain(ownTable, chain)
	}
	if err := o.letReplies(t); err != nil {
		return err
	}
	for _, other := range o.n.sortedJails() {
		if other == j || !other.present() {
			continue
		}
		if err := o.dispatch(t, other); err != nil {
			return err
		}
	}
	t.flushChain(ownTable, jailChain(j))
	t.delChain(ownTable, jailChain(j))
	for _, s := range j.sets {
		if s != nil && s.present {
			t.delSet(ownTable, s.name)
		}
	}
	return nil
}

// removeAll deletes the table, whatever is in it.
func (o *own) removeAll(t *tx) error {
	t.owner = nil
	t.addTable(ownTable)
	t.delTable(ownTable)
	return nil
}
