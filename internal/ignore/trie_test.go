package ignore

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// randomAddr returns an address whose bits are mostly those of few others, so
// that networks meet.
func randomAddr(r *rand.Rand) netip.Addr {
	if r.IntN(2) == 0 {
		var b [4]byte
		for i := range b {
			b[i] = byte(r.IntN(3)) << (r.IntN(8))
		}
		return netip.AddrFrom4(b)
	}
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	for i := 4; i < len(b); i++ {
		b[i] = byte(r.IntN(2)) << (r.IntN(8))
	}
	return netip.AddrFrom16(b)
}

func TestTrieAgainstNetip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		var v4, v6 trie
		var nets []netip.Prefix
		for i := range r.IntN(200) {
			a := randomAddr(r)
			p := netip.PrefixFrom(a, r.IntN(a.BitLen()+1)).Masked()
			nets = append(nets, p)
			if a.Is4() {
				v4.put(p, int32(i))
			} else {
				v6.put(p, int32(i))
			}
		}
		if n := len(v4.nodes) + len(v6.nodes); n > 2*len(nets) {
			t.Fatalf("%d nodes for %d networks", n, len(nets))
		}
		for range 200 {
			a := randomAddr(r)
			if len(nets) > 0 && r.IntN(2) == 0 {
				a = nets[r.IntN(len(nets))].Addr()
			}
			want := int32(none)
			for i, p := range nets {
				if p.Contains(a) {
					want = min(want, int32(i))
				}
			}
			got := v6.find(a)
			if a.Is4() {
				got = v4.find(a)
			}
			if got != want {
				t.Fatalf("round %d: %s in %v: place %d, want %d", round, a, nets, got, want)
			}
		}
	}
}

func TestItems(t *testing.T) {
	f := func(item, id string, want bool) {
		t.Helper()
		var l list
		l.add(item, 0)
		if got := l.find(pipeline.ParseID(id)) < none; got != want {
			t.Errorf("%s covers %s: %v", item, id, got)
		}
	}
	f("192.0.2.1", "192.0.2.1", true)
	f("192.0.2.1", "::ffff:192.0.2.1", true)
	f("::ffff:192.0.2.1", "192.0.2.1", true)
	f("192.0.2.1/32", "192.0.2.1", true)
	f("192.0.2.77/24", "192.0.2.1", true)
	f("192.0.2.0/255.255.255.0", "192.0.2.1", true)
	f("192.0.2.0/255.255.255.0", "192.0.3.1", false)
	f("192.0.2.0/255.0.255.0", "192.0.2.1", false)
	f("192.0.2.0/33", "192.0.2.0", false)
	f("192.0.2.0/-1", "192.0.2.0", false)
	f("0.0.0.0/0", "192.0.2.1", true)
	f("0.0.0.0/0", "2001:db8::1", false)
	f("::/0", "192.0.2.1", false)
	f("::/0", "2001:db8::1", true)
	f("[2001:db8::1]", "2001:db8::1", true)
	f("2001:db8::/ffff:ffff::", "2001:db8:1::1", true)
	f("2001:db8::/32", "2001:db9::1", false)
	f("192.0.2.0/24", "192.0.2.0/25", true)
	f("192.0.2.0/25", "192.0.2.0/24", true) // fail2ban looks at the address alone
	f("192.0.2.0", "192.0.2.0/24", false)
	f("joe", "joe", true)
	f("joe", "Joe", false)
	f("", "", true)
}

// manyNetworks is a list of 100,000 networks and an address in none of them.
func manyNetworks(t testing.TB) (*Guard, *pipeline.Failure, *pipeline.Failure) {
	t.Helper()
	items := make([]string, 0, 100_000)
	for i := range 50_000 {
		items = append(items, fmt.Sprintf("10.%d.%d.0/25", i>>8, i&255), fmt.Sprintf("2001:db8:%x::/48", i))
	}
	g := New(Config{Lookup: nobody{}, Own: noAddrs})
	j := pipeline.NewJail("sshd", pipeline.Policy{MaxRetry: 5, FindTime: time.Minute})
	g.SetJails(map[*pipeline.Jail]Rules{j: {Self: true, Items: items}})
	failure := func(a string) *pipeline.Failure {
		return &pipeline.Failure{Jail: j, ID: pipeline.ParseID(a)}
	}
	return g, failure("10.195.7.200"), failure("2001:db8:c34f::1")
}

func BenchmarkIgnores(b *testing.B) {
	g, free, ignored := manyNetworks(b)
	b.ReportAllocs()
	for b.Loop() {
		g.Ignores(free)
		g.Ignores(ignored)
	}
}

func TestManyNetworks(t *testing.T) {
	g, free, ignored := manyNetworks(t)
	if g.Ignores(free) || !g.Ignores(ignored) {
		t.Error("100,000 networks: wrong answer")
	}
	r := g.jail(free.Jail).rules.Load()
	if n := len(r.list.v4.nodes) + len(r.list.v6.nodes); n > 200_000 {
		t.Errorf("%d nodes", n)
	}
	if raceEnabled {
		t.Skip("allocations are not counted under -race")
	}
	if n := testing.AllocsPerRun(100, func() { g.Ignores(free); g.Ignores(ignored) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
