package pipeline

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// netRig is a window, networks and ledger that failures are put through.
type netRig struct {
	t    *testing.T
	line *Pipeline
	jail *Jail
	at   int64
}

func newNetRig(t *testing.T, p Policy, cfg NetworksConfig) *netRig {
	ledger := NewLedger(LedgerConfig{Wide: true})
	r := &netRig{t: t, jail: NewJail("sshd", p), at: int64(1_800_000_000) * int64(time.Second)}
	r.line = New(Config{Window: NewWindow(WindowConfig{}), Networks: NewNetworks(cfg), Ledger: ledger, Clock: LogClock()})
	return r
}

// fail counts failures, a second apart, and returns whom they banned.
func (r *netRig) fail(ids ...string) (banned []string) {
	r.t.Helper()
	for _, id := range ids {
		r.at += int64(time.Second)
		r.line.cfg.Clock.Advance(r.at)
		list := make([]Ban, 1)
		if r.line.add(&Failure{Jail: r.jail, ID: ParseID(id), AtNanos: r.at, Count: 1}, &list[0]) {
			r.line.enter(list)
			banned = append(banned, list[0].ID.String())
		}
	}
	return banned
}

func (r *netRig) want(got []string, want ...string) {
	r.t.Helper()
	if !slices.Equal(got, want) {
		r.t.Errorf("banned %q, want %q", got, want)
	}
}

func repeat(n int, ids ...string) (out []string) {
	for range n {
		out = append(out, ids...)
	}
	return out
}

var sixPolicy = Policy{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute, Prefix6: Prefix6Auto}

// TestPrefix6Auto counts addresses singly, and the /64 as one once three
// distinct members have failed.
func TestPrefix6Auto(t *testing.T) {
	r := newNetRig(t, sixPolicy, NetworksConfig{})
	r.want(r.fail(repeat(5, "2001:db8::1")...), "2001:db8::1")
	r.want(r.fail(repeat(5, "2001:db8::2")...), "2001:db8::2")
	// The third member's first failure: the /64 has failed eleven times.
	r.want(r.fail("2001:db8::3"), "2001:db8::/64")
	// Every member is banned with it: a leak of the network, no ban of its own.
	r.want(r.fail(repeat(5, "2001:db8::4")...), "2001:db8::/64")
	if totals := r.line.cfg.Ledger.Totals(r.jail); totals.Current != 3 || totals.Leaks != 1 {
		t.Errorf("totals %+v", totals)
	}
	// One that changes its address with each try, a member never twice.
	r = newNetRig(t, sixPolicy, NetworksConfig{})
	for i := range 4 {
		r.want(r.fail(fmt.Sprintf("2001:db8:1::%x", i)))
	}
	r.want(r.fail("2001:db8:1::ffff"), "2001:db8:1::/64")
	// Two members, and IPv4, are never more than themselves.
	r.want(r.fail(repeat(4, "2001:db8:2::1", "2001:db8:2::2")...))
	r.want(r.fail(repeat(4, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")...))
	// Members that failed before findtime count no more.
	r.want(r.fail("2001:db8:3::1", "2001:db8:3::1", "2001:db8:3::2", "2001:db8:3::2"))
	r.at += int64(9*time.Minute + 58*time.Second)
	r.want(r.fail("2001:db8:3::2"))
	r.at += int64(time.Minute)
	r.want(r.fail("2001:db8:3::3"))
}

// TestPrefix6Others takes the two other values of ipv6-prefix.
func TestPrefix6Others(t *testing.T) {
	p := sixPolicy
	p.Prefix6 = Prefix6Single
	r := newNetRig(t, p, NetworksConfig{})
	r.want(r.fail(repeat(4, "2001:db8::1", "2001:db8::2", "2001:db8::3")...))
	r.want(r.fail("2001:db8::3"), "2001:db8::3")
	p.Prefix6 = Prefix6Group
	r = newNetRig(t, p, NetworksConfig{})
	r.want(r.fail("2001:db8::1", "2001:db8::2", "2001:db8::1", "2001:db8::1"))
	r.want(r.fail("2001:db8::3"), "2001:db8::/64")
	r.want(r.fail(repeat(5, "192.0.2.1")...), "192.0.2.1")
}

// TestMembersAnswerForTheirNetwork asks for members and frees them.
func TestMembersAnswerForTheirNetwork(t *testing.T) {
	r := newNetRig(t, sixPolicy, NetworksConfig{})
	r.fail(repeat(5, "2001:db8::1")...)
	r.want(r.fail("2001:db8::2", "2001:db8::3", "2001:db8::2"), "2001:db8::/64")
	l := r.line.cfg.Ledger
	for _, id := range []string{"2001:db8::1", "2001:db8::77", "2001:db8::/64"} {
		if _, ok := l.Lookup(r.jail, ParseID(id)); !ok {
			t.Errorf("%s is not banned", id)
		}
	}
	if _, ok := l.Lookup(r.jail, ParseID("2001:db8:0:1::1")); ok {
		t.Error("a neighbour is banned")
	}
	// The member's own ban and its network's.
	n, err := l.Unban(context.Background(), r.jail, []ID{ParseID("2001:db8::1")}, r.at)
	if n != 2 || err != nil {
		t.Errorf("%d freed, %v", n, err)
	}
	if _, ok := l.Lookup(r.jail, ParseID("2001:db8::77")); ok {
		t.Error("the network is still banned")
	}
	// As fail2ban has it: a network that nobody's policy bans by is no member's.
	p := sixPolicy
	p.Prefix6 = Prefix6Single
	r.jail.SetPolicy(p)
	if _, err := l.Ban(context.Background(), r.jail, []ID{ParseID("2001:db8::/64")}, r.at, Permanent); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.Lookup(r.jail, ParseID("2001:db8::1")); ok {
		t.Error("a member answers for a network that was banned by command")
	}
}

// TestNetworksSpare never bans a network whole that somebody is in who is not
// to be banned; its members go on being banned singly.
func TestNetworksSpare(t *testing.T) {
	friend := netip.MustParseAddr("2001:db8::f00d")
	spared := func(_ *Jail, net netip.Prefix) bool {
		return net.Contains(friend) || net.Contains(netip.MustParseAddr("198.51.100.9"))
	}
	p := sixPolicy
	p.Subnet = Subnet{Members: 3, Window: time.Hour, Bits4: 24, Bits6: 56, Most: 10}
	r := newNetRig(t, p, NetworksConfig{Spared: spared})
	r.want(r.fail("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5"))
	r.want(r.fail(repeat(4, "2001:db8::1")...), "2001:db8::1")
	for i := range 6 {
		ip := fmt.Sprintf("198.51.100.%d", 100+i)
		r.want(r.fail(repeat(5, ip)...), ip)
	}
	if s := r.line.cfg.Networks.Stats(); s.Spared == 0 || s.Groups+s.Subnets != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestSubnetBan bans the network of enough distinct banned members, within the
// window and under the cap.
func TestSubnetBan(t *testing.T) {
	p := Policy{MaxRetry: 1, FindTime: time.Minute, BanTime: time.Hour, Subnet: Subnet{Members: 3, Window: 10 * time.Minute, Bits4: 24, Bits6: 48, Most: 2}}
	r := newNetRig(t, p, NetworksConfig{})
	r.want(r.fail("192.0.2.1", "192.0.2.2", "192.0.2.1"), "192.0.2.1", "192.0.2.2", "192.0.2.1")
	r.want(r.fail("192.0.2.3"), "192.0.2.0/24")
	r.want(r.fail("192.0.2.4"), "192.0.2.0/24") // a leak
	if totals := r.line.cfg.Ledger.Totals(r.jail); totals.Current != 3 || totals.Leaks != 2 {
		t.Errorf("totals %+v", totals)
	}
	// Outside the window two are two.
	r.want(r.fail("198.51.100.1", "198.51.100.2"), "198.51.100.1", "198.51.100.2")
	r.at += int64(10 * time.Minute)
	r.want(r.fail("198.51.100.3"), "198.51.100.3")
	r.want(r.fail("2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1"), "2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1::/48")
	// Two networks are banned: there is no room for a third until one has ended.
	r.want(r.fail("203.0.113.1", "203.0.113.2", "203.0.113.3"), "203.0.113.1", "203.0.113.2", "203.0.113.3")
	if s := r.line.cfg.Networks.Stats(); s.Subnets != 2 || s.Capped != 1 {
		t.Errorf("stats %+v", s)
	}
	r.at += int64(51 * time.Minute)
	r.line.cfg.Ledger.Expire(r.at)
	r.want(r.fail("203.0.113.4", "203.0.113.5", "203.0.113.6"), "203.0.113.4", "203.0.113.5", "203.0.113.0/24")
}

// TestNetworksAreBounded floods the stage with networks.
func TestNetworksAreBounded(t *testing.T) {
	r := newNetRig(t, sixPolicy, NetworksConfig{Groups: 100})
	for i := range 10_000 {
		r.fail(fmt.Sprintf("2001:db8:%x:%x::1", i>>8, i&255))
	}
	if s := r.line.cfg.Networks.Stats(); s.Watching != 100 || s.Evicted != 9_900 {
		t.Errorf("stats %+v", s)
	}
	// Who comes again within the room is remembered.
	r.want(r.fail("2001:db8:ffff::1", "2001:db8:ffff::2", "2001:db8:ffff::3", "2001:db8:ffff::4"))
	r.want(r.fail("2001:db8:ffff::5"), "2001:db8:ffff::/64")
}

// TestTextIDsAreFound frees and finds by command what a log named as a text.
func TestTextIDsAreFound(t *testing.T) {
	r := newNetRig(t, sixPolicy, NetworksConfig{})
	l := r.line.cfg.Ledger
	for range 5 {
		r.at++
		var b Ban
		if r.line.add(&Failure{Jail: r.jail, ID: TextID("192.0.2.7"), AtNanos: r.at, Count: 1}, &b) {
			r.line.enter([]Ban{b})
		}
	}
	if _, ok := l.Lookup(r.jail, ParseID("192.0.2.7")); !ok {
		t.Error("not found")
	}
	if n, _ := l.Unban(context.Background(), r.jail, []ID{ParseID("192.0.2.7")}, r.at); n != 1 {
		t.Errorf("%d freed", n)
	}
}
