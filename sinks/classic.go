package sinks

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// classic is fail2ban's layout, to the byte of `nft list ruleset`: one interval
// set a jail and family without timeouts, one rule a protocol for each, in a
// chain of a table that all jails share. A set comes at the first ban of its
// family; with the last set the table goes.
type classic struct {
	n      *NFTables
	tables sync.Map // of table: those that jails were declared with
}

// place is where a jail's sets and rules stand in fail2ban's layout.
type place struct {
	tb         table
	chain      string
	hook       hook
	set4, set6 string
}

var classicFamilies = map[string]nftables.TableFamily{
	"inet": nftables.TableFamilyINet, "ip": nftables.TableFamilyIPv4, "ip6": nftables.TableFamilyIPv6,
}

var classicHooks = map[string]uint32{
	"prerouting": unix.NF_INET_PRE_ROUTING, "input": unix.NF_INET_LOCAL_IN, "forward": unix.NF_INET_FORWARD,
	"output": unix.NF_INET_LOCAL_OUT, "postrouting": unix.NF_INET_POST_ROUTING,
}

// place fills in fail2ban's defaults and refuses what nf_tables has no word for.
func (j *jail) place() (place, error) {
	c := &j.action.Classic
	p := place{
		tb:    table{name: cmp.Or(c.Table, "f2b-table")},
		chain: cmp.Or(c.Chain, "f2b-chain"),
		hook:  hook{kind: cmp.Or(c.ChainType, "filter")},
		set4:  cmp.Or(c.Set4, "addr-set-"+j.name),
		set6:  cmp.Or(c.Set6, "addr6-set-"+j.name),
	}
	var ok bool
	if p.tb.family, ok = classicFamilies[cmp.Or(c.Family, "inet")]; !ok {
		return p, fmt.Errorf("table_family %q is none of inet, ip, ip6", c.Family)
	}
	if p.hook.number, ok = classicHooks[cmp.Or(c.Hook, "input")]; !ok {
		return p, fmt.Errorf("chain_hook %q is no hook of a filter chain", c.Hook)
	}
	if !slices.Contains([]string{"filter", "nat", "route"}, p.hook.kind) {
		return p, fmt.Errorf("chain_type %q is none of filter, nat, route", c.ChainType)
	}
	priority, err := strconv.ParseInt(cmp.Or(c.Priority, "-1"), 10, 32)
	if err != nil {
		return p, fmt.Errorf("chain_priority %q is no number", c.Priority)
	}
	p.hook.priority = int32(priority)
	return p, nil
}

func (c *classic) kind(_ network, v4 bool) kind {
	if v4 {
		return c.kinds()[0]
	}
	return c.kinds()[1]
}

// kinds are those of the two families: intervals, or where the kernel has none
// the addresses alone that Debian's fail2ban has.
func (c *classic) kinds() [2]kind {
	if !c.n.features.hasIntervals() {
		return [2]kind{addresses4, addresses6}
	}
	return [2]kind{networks4, networks6}
}

// newSet returns a set at its place, which check has found good.
func (c *classic) newSet(j *jail, k kind) *set {
	p, _ := j.place()
	if k.v4() {
		return newSet(j, k, p.tb, p.set4, false)
	}
	return newSet(j, k, p.tb, p.set6, false)
}

func (c *classic) check(j *jail) error {
	p, err := j.place()
	if err == nil && max(len(p.set4), len(p.set6), len(p.chain), len(p.tb.name)) > unix.NFT_NAME_MAXLEN-1 {
		err = fmt.Errorf("name of a set, chain or table is too long for nf_tables")
	}
	if err == nil {
		c.tables.Store(p.tb, true)
	}
	return err
}

func (c *classic) owns(family byte, name string) bool {
	_, ok := c.tables.Load(table{family: nftables.TableFamily(family), name: name})
	return ok
}

func (c *classic) forget() {}

// install brings sets and their rules. A set that is there already (a process
// before us was killed, or fail2ban itself) is emptied and used with the rules
// that it has; one that fail2ban 1.0 made, which cannot hold networks, is made anew.
func (c *classic) install(t *tx, sets []*set) error {
	for _, s := range sets {
		t.owner = s
		p, err := s.jail.place()
		if err != nil {
			return err
		}
		handles, err := c.using(p, s.name)
		if err != nil {
			return err
		}
		existing, err := c.n.link.sets(p.tb)
		if err != nil {
			return err
		}
		info, there := existing[s.name]
		t.addTable(p.tb)
		t.addChain(p.tb, p.chain, &p.hook)
		if there && info.keyType == s.keyNumber() && !info.like(s) {
			for _, handle := range handles {
				t.delRule(p.tb, p.chain, handle)
			}
			t.delSet(p.tb, s.name)
			handles = nil
		} else if there {
			t.flushSet(p.tb, s.name)
		}
		t.addSet(p.tb, s.name, s.flags(), s.kind.keyType())
		if len(handles) > 0 {
			continue
		}
		if err := c.rules(t, p, s); err != nil {
			return err
		}
	}
	return nil
}

// using returns the handles of the rules that look a set up.
func (c *classic) using(p place, name string) (handles []uint64, err error) {
	rules, err := c.n.link.rules(p.tb, p.chain)
	for _, r := range rules {
		if slices.Contains(r.sets, name) {
			handles = append(handles, r.handle)
		}
	}
	return handles, err
}

// rules writes the rules of a set: one for each protocol where there are ports
// (nftables-multiport), else one for all (nftables-allports).
func (c *classic) rules(t *tx, p place, s *set) error {
	v4 := s.kind.v4()
	m := s.jail.match
	source := matchSource(s)
	if s.jail.block.counter {
		source = append(source, &expr.Counter{})
	}
	source = append(source, s.jail.block.refuse(v4))
	if s.jail.block.kind == blockTCPReset && !slices.Equal(m.protocols, []byte{unix.IPPROTO_TCP}) {
		return fmt.Errorf("reject with tcp reset needs protocol tcp alone")
	}
	if s.jail.action.Classic.AllPorts || len(m.ports) == 0 {
		var match []expr.Any
		switch len(m.protocols) {
		case 0:
		case 1:
			match = matchProtocol(m.protocols[0])
		default:
			match = append(matchProtocol(0)[:1], matchProtocols(t, p.tb, m.protocols))
		}
		return t.addRule(p.tb, p.chain, rule(match, source...))
	}
	for _, protocol := range m.protocols {
		for _, ports := range portGroups(m.ports, c.n.features.hasIntervals()) {
			match := append(append(matchProtocol(protocol), destination()), matchPorts(t, p.tb, ports)...)
			if err := t.addRule(p.tb, p.chain, rule(match, source...)); err != nil {
				return err
			}
		}
	}
	return nil
}

// matchProtocols looks the loaded protocol up in a set without a name.
func matchProtocols(t *tx, tb table, protocols []byte) expr.Any {
	const name = "__set%d"
	id := t.addSet(tb, name, unix.NFT_SET_ANONYMOUS|unix.NFT_SET_CONSTANT, nftables.TypeInetProto)
	list := &elementList{t: t, tb: tb, set: name, setID: id, kind: unix.NFT_MSG_NEWSETELEM, keyLen: 1}
	for _, p := range slices.Sorted(slices.Values(protocols)) {
		list.add(element{key: [16]byte{p}})
	}
	list.close()
	return &expr.Lookup{SourceRegister: register, SetName: name, SetID: id}
}

// restore installs every set that ought to be there, in the order of the jails.
func (c *classic) restore(t *tx) error {
	return c.install(t, c.n.wantedSets())
}

// adopt has nothing to do: install looks at each set that it brings.
func (c *classic) adopt() error { return nil }

// remove takes a jail's rules and sets away and the table with the last set.
func (c *classic) remove(t *tx, j *jail) error {
	return c.take(t, presentSets(j))
}

func (c *classic) removeAll(t *tx) error {
	return c.take(t, presentSets(c.n.sortedJails()...))
}

func presentSets(jails ...*jail) (sets []*set) {
	for _, j := range jails {
		for _, s := range j.sets {
			if s != nil && s.present {
				sets = append(sets, s)
			}
		}
	}
	return sets
}

// take writes what takes sets and their rules away, those of them that are
// there, and their table where no set is left in it.
func (c *classic) take(t *tx, sets []*set) error {
	left := make(map[table]map[string]setInfo)
	taken := make(map[table]bool)
	for _, s := range sets {
		p, err := s.jail.place()
		if err != nil {
			return err
		}
		if left[s.tb] == nil {
			if left[s.tb], err = c.n.link.sets(s.tb); err != nil {
				return err
			}
		}
		if _, there := left[s.tb][s.name]; !there {
			continue
		}
		handles, err := c.using(p, s.name)
		if err != nil {
			return err
		}
		t.owner = s
		for _, handle := range handles {
			t.delRule(p.tb, p.chain, handle)
		}
		t.delSet(s.tb, s.name)
		delete(left[s.tb], s.name)
		taken[s.tb] = true
	}
	for tb := range taken {
		if len(left[tb]) == 0 {
			t.delTable(tb)
		}
	}
	return nil
}
