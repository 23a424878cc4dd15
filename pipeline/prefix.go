package pipeline

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// GroupBits is the network of IPv6 that one site has, and an attacker too: he
// has 2^64 addresses in it.
const GroupBits = 64

// groupMembers are the distinct members that must have failed before their
// network is counted as one.
const groupMembers = 3

// DefaultGroups is the number of networks that Networks remembers, of each kind.
const DefaultGroups = 32_768

// Prefix6 says by what a jail counts and bans IPv6 addresses.
type Prefix6 uint8

// The ways of ipv6-prefix.
const (
	Prefix6Single Prefix6 = iota // by address (128)
	Prefix6Auto                  // by address, and by /64 once three of it have failed
	Prefix6Group                 // by /64 (64)
)

// Subnet says when a jail bans the network of those whom it banned (subnet-ban).
// The zero Subnet: never.
type Subnet struct {
	Members      int           // distinct addresses banned; 0: off
	Window       time.Duration // within this time
	Bits4, Bits6 int           // length of the network: 24; 48 to 64
	Most         int           // networks banned by it at once
}

// NetworksConfig says what a Networks works with.
type NetworksConfig struct {
	Groups int // 0: DefaultGroups
	// Spared says of a network that it is not to be banned whole, because of
	// somebody in it. It may take its time; nil: none is. It is called from every
	// source's goroutine.
	Spared func(j *Jail, network netip.Prefix) bool
}

// Networks is the stage between window and ledger that bans whole networks: the
// /64 of IPv6 addresses that take turns, and the network of many banned. It
// remembers a bounded number of each; what failed longest ago is forgotten
// first. It knows the time from the failures. Safe for concurrent use.
type Networks struct {
	cfg NetworksConfig

	mu      sync.Mutex
	groups  *simplelru.LRU[netKey, *group] // nil until the first
	subnets *simplelru.LRU[netKey, *subnet]
	banned  map[netKey]int64 // by subnet-ban: until when

	spared   atomic.Int64
	evicted  atomic.Int64
	capped   atomic.Int64
	grouped  atomic.Int64
	promoted atomic.Int64
}

// NetworksStats are the numbers of a Networks.
type NetworksStats struct {
	Groups   int64 // networks banned because three members failed
	Subnets  int64 // networks banned because many members were
	Spared   int64 // not banned because of somebody in them
	Capped   int64 // not banned because Subnet.Most were
	Evicted  int64 // forgotten for want of room
	Watching int   // remembered now
}

// group is what is known of a /64: the members that failed last, and the
// failures of all as one counter.
type group struct {
	members [groupMembers]member
	counter
}

// member is an address that failed; without a time it is none.
type member struct {
	addr    netip.Addr
	atNanos int64
}

// subnet is what is known of a network of banned addresses.
type subnet struct{ members []member }

// NewNetworks returns a stage that has seen nothing.
func NewNetworks(cfg NetworksConfig) *Networks {
	if cfg.Groups <= 0 {
		cfg.Groups = DefaultGroups
	}
	return &Networks{cfg: cfg, banned: make(map[netKey]int64)}
}

// Stats returns the numbers.
func (n *Networks) Stats() NetworksStats {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := NetworksStats{
		Groups: n.grouped.Load(), Subnets: n.promoted.Load(), Spared: n.spared.Load(), Capped: n.capped.Load(), Evicted: n.evicted.Load(),
	}
	if n.groups != nil {
		out.Watching += n.groups.Len()
	}
	if n.subnets != nil {
		out.Watching += n.subnets.Len()
	}
	return out
}

// groupOf returns the /64 of an ID that a policy counts by it.
func groupOf(p *Policy, id ID) (netip.Prefix, bool) {
	a, ok := id.Addr()
	if !ok || !a.Is6() || p.Prefix6 == Prefix6Single {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, GroupBits).Masked(), true
}

// subnetOf returns the network that subnet-ban would ban an ID in.
func subnetOf(p *Policy, id ID) (netip.Prefix, bool) {
	in, ok := id.Prefix()
	if !ok || p.Subnet.Members == 0 {
		return netip.Prefix{}, false
	}
	bits := p.Subnet.Bits4
	if in.Addr().Is6() {
		bits = p.Subnet.Bits6
	}
	if in.Bits() <= bits {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(in.Addr(), bits).Masked(), true
}

// wider appends the IDs of the networks that a policy may ban an ID by, the
// narrowest first.
func wider(dst []ID, p *Policy, id ID) []ID {
	if net, ok := groupOf(p, id); ok {
		dst = append(dst, NetID(net))
	}
	if net, ok := subnetOf(p, id); ok && !(len(dst) > 0 && dst[0] == NetID(net)) {
		dst = append(dst, NetID(net))
	}
	return dst
}

// Count counts a failure for the network of its address. b is the ban that the
// window came to, if banned; it becomes the network's where that is to be banned
// in its place. Count returns whether there is a ban then.
func (n *Networks) Count(f *Failure, b *Ban, banned bool) bool {
	p := f.Jail.Policy()
	if p.Prefix6 != Prefix6Auto {
		return banned
	}
	net, ok := groupOf(p, f.ID)
	if !ok {
		return banned
	}
	g, ready := n.count(netKeyOf(f.Jail, net), p, f)
	if !ready || n.spares(f.Jail, net) {
		return banned
	}
	n.grouped.Add(1)
	wide := g.ban(f.Jail, NetID(net), p)
	if banned {
		wide.Ticket = b.Ticket
	}
	if wide.Ticket == nil && p.MaxMatches > 0 {
		wide.Ticket = &Ticket{Matches: []string{string(f.Text)}, Count: 1}
	}
	*b = wide
	return true
}

// count enters a failure into its group, and says whether that is to be banned:
// then it begins anew.
func (n *Networks) count(k netKey, p *Policy, f *Failure) (*group, bool) {
	addr, _ := f.ID.Addr()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.groups == nil {
		// The only error is a size below 1.
		n.groups, _ = simplelru.NewLRU[netKey, *group](n.cfg.Groups, nil)
	}
	g, has := n.groups.Get(k)
	if !has {
		g = new(group)
	}
	if g.counter.count > 0 && f.AtNanos-g.last >= int64(p.FindTime) {
		g.reset()
	}
	g.counter.add(p, f.AtNanos, max(f.Count, 1))
	seen := addMember(g.members[:], addr, f.AtNanos, g.last-int64(p.FindTime))
	if seen == groupMembers && int(g.counter.count) >= p.MaxRetry {
		n.groups.Remove(k)
		return g, true
	}
	if !has && n.groups.Add(k, g) {
		n.evicted.Add(1)
	}
	return nil, false
}

// addMember notes that a member failed, in the place of its own, of one that is
// too old or, if there is none, of the oldest. It returns how many distinct ones
// have failed since the given time.
func addMember(list []member, addr netip.Addr, atNanos, since int64) int {
	at := -1
	for i := range list {
		m := &list[i]
		if m.addr == addr {
			at = i
			break
		}
		if m.addr.IsValid() && m.atNanos < since {
			*m = member{}
		}
		if at < 0 || m.atNanos < list[at].atNanos {
			at = i
		}
	}
	list[at] = member{addr, max(atNanos, list[at].atNanos)}
	seen := 0
	for _, m := range list {
		if m.addr.IsValid() && m.atNanos >= since {
			seen++
		}
	}
	return seen
}

// Promote notes that an ID is banned by its failures, and returns the ban of its
// network in place of b where enough others of it were.
func (n *Networks) Promote(b Ban) Ban {
	p := b.Jail.Policy()
	net, ok := subnetOf(p, b.ID)
	if !ok || !n.noteBanned(netKeyOf(b.Jail, net), p, b) {
		return b
	}
	if n.spares(b.Jail, net) || !n.room(netKeyOf(b.Jail, net), p, b) {
		return b
	}
	n.promoted.Add(1)
	b.ID = NetID(net)
	return b
}

// noteBanned says whether the network is to be banned.
func (n *Networks) noteBanned(k netKey, p *Policy, b Ban) bool {
	in, _ := b.ID.Prefix()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.subnets == nil {
		n.subnets, _ = simplelru.NewLRU[netKey, *subnet](n.cfg.Groups, nil)
	}
	s, ok := n.subnets.Get(k)
	if !ok {
		s = new(subnet)
		if n.subnets.Add(k, s) {
			n.evicted.Add(1)
		}
	}
	if len(s.members) != p.Subnet.Members {
		s.members = append(make([]member, 0, p.Subnet.Members), s.members[:min(len(s.members), p.Subnet.Members)]...)[:p.Subnet.Members]
	}
	return addMember(s.members, in.Addr(), b.AtNanos, b.AtNanos-int64(p.Subnet.Window)) >= p.Subnet.Members
}

// room takes one of the places for banned networks of the jail, if there is any.
func (n *Networks) room(k netKey, p *Policy, b Ban) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	inForce := 0
	for other, until := range n.banned {
		switch {
		case until < b.AtNanos:
			delete(n.banned, other)
		case other.jail == b.Jail && other != k:
			inForce++
		}
	}
	if inForce >= p.Subnet.Most {
		n.capped.Add(1)
		return false
	}
	n.banned[k] = b.UntilNanos
	n.subnets.Remove(k)
	return true
}

func (n *Networks) spares(j *Jail, net netip.Prefix) bool {
	if n.cfg.Spared == nil || !n.cfg.Spared(j, net) {
		return false
	}
	n.spared.Add(1)
	return true
}

// Forget drops what is known of the networks of an ID that a person has freed,
// so that it begins anew as its failures do.
func (n *Networks) Forget(j *Jail, id ID) {
	p := j.Policy()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, net := range append(wider(nil, p, id), id) {
		if !net.prefix.IsValid() {
			continue // a text
		}
		k := netKeyOf(j, net.prefix)
		if n.groups != nil {
			n.groups.Remove(k)
		}
		if n.subnets != nil {
			n.subnets.Remove(k)
		}
		delete(n.banned, k)
	}
}

// decide is what a failure comes to: window, then networks. An ID whose network
// is banned already is that network from then on.
// It sets b where that is a ban.
func (p *Pipeline) decide(f *Failure, b *Ban) (banned bool) {
	if p.cfg.Networks != nil && f.Jail.Policy().Prefix6 == Prefix6Group {
		if net, ok := groupOf(f.Jail.Policy(), f.ID); ok {
			f.ID = NetID(net)
		}
	}
	banned = p.cfg.Window.add(f, b)
	if p.cfg.Networks == nil {
		return banned
	}
	banned = p.cfg.Networks.Count(f, b, banned)
	if banned {
		b.ID = p.cfg.Ledger.standsFor(b.Jail, b.ID)
	}
	return banned
}

// enter gives bans to the ledger, each as that of its network where that has
// had enough of them.
func (p *Pipeline) enter(bans []Ban) {
	if p.cfg.Networks != nil {
		for i := range bans {
			if bans[i].Jail.Policy().Subnet.Members == 0 {
				continue
			}
			if _, held := p.cfg.Ledger.Lookup(bans[i].Jail, bans[i].ID); !held {
				bans[i] = p.cfg.Networks.Promote(bans[i])
			}
		}
	}
	p.cfg.Ledger.enter(bans, p.cfg.Clock.Now())
}

// standsFor returns the ID under which the jail has an ID banned: itself, a text
// of the same letters (from a log whose IDs are no addresses), or a network that
// the jail's policy bans by. An ID that is not banned stands for itself.
func (l *Ledger) standsFor(j *Jail, id ID) ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.find(j, id); h != nil {
		return h.ban.ID
	}
	return id
}

// find returns the ban of what the jail has an ID banned under (standsFor), with
// the ledger locked; nil where there is none.
func (l *Ledger) find(j *Jail, id ID) *held {
	if h := l.bans.get(j, id); h != nil {
		return h
	}
	if id.prefix.IsValid() && len(l.bans.texts) > 0 {
		if h := l.bans.get(j, TextID(id.String())); h != nil {
			return h
		}
	}
	if !l.cfg.Wide {
		return nil
	}
	var buf [2]ID
	for _, net := range wider(buf[:0], j.Policy(), id) {
		if h := l.bans.get(j, net); h != nil {
			return h
		}
	}
	return nil
}
