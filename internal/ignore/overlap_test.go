package ignore

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// TestOverlaps asks of networks whether anybody in them is ignored, by each kind
// of rule.
func TestOverlaps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("203.0.113.64/26 # a customer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := New(Config{Lookup: nobody{}, Own: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("2001:db8:5::1")}, nil }})
	j, other := pipeline.NewJail("a", pipeline.Policy{}), pipeline.NewJail("b", pipeline.Policy{})
	g.SetJails(map[*pipeline.Jail]Rules{
		j:     {Self: true, Items: []string{"192.0.2.7", "10.0.0.0/8", "2001:db8:1:2::/64", "some-id", "file:" + path}},
		other: {},
	})
	// A file is read when a failure asks for it.
	g.Ignores(&pipeline.Failure{Jail: j, ID: pipeline.ParseID("198.51.100.1")})
	f := func(network string, want bool) {
		t.Helper()
		p := netip.MustParsePrefix(network)
		if got := g.Overlaps(j, p); got != want {
			t.Errorf("%s: %v, want %v", network, got, want)
		}
		if g.Overlaps(other, p) {
			t.Errorf("%s: a jail without rules spares it", network)
		}
	}
	f("192.0.2.0/24", true)
	f("192.0.3.0/24", false)
	f("10.1.2.0/24", true)
	f("11.1.2.0/24", false)
	f("2001:db8:1:2::/64", true)
	f("2001:db8:1::/48", true)
	f("2001:db8:1:3::/64", false)
	f("2001:db8:5::/64", true)
	f("203.0.113.0/24", true)
	f("203.0.113.0/26", false)
	if g.Overlaps(pipeline.NewJail("c", pipeline.Policy{}), netip.MustParsePrefix("192.0.2.0/24")) {
		t.Error("a jail that is not known spares somebody")
	}
}

// TestTrieOverlapsAsNetip compares the trie with a look at every network.
func TestTrieOverlapsAsNetip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() netip.Prefix {
		// Few addresses, so that they meet.
		b := [4]byte{10, byte(r.IntN(4)), byte(r.IntN(4) << 6), byte(r.IntN(256))}
		return netip.PrefixFrom(netip.AddrFrom4(b), 6+r.IntN(27)).Masked()
	}
	both := [2]int{}
	for range 300 {
		var tr trie
		var list []netip.Prefix
		for i := range r.IntN(12) {
			p := random()
			tr.put(p, int32(i))
			list = append(list, p)
		}
		for range 50 {
			p, want := random(), 0
			for _, q := range list {
				if q.Overlaps(p) {
					want = 1
				}
			}
			both[want]++
			if got := tr.overlaps(p); got != (want == 1) {
				t.Fatalf("%v in %v: %v", p, list, got)
			}
		}
	}
	if min(both[0], both[1]) < 1000 {
		t.Errorf("%v answers of both kinds", both)
	}
}
