package sinks

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// start is the clock that tests give to Apply; the kernel counts from when it is told.
const start = int64(1_750_000_000e9)

// kernel is a sink in a network namespace of its own.
type kernel struct {
	*NFTables
	t     testing.TB
	jails map[string]*pipeline.Jail
	netns int
	now   int64
}

// newKernel opens a sink in a fresh namespace; t's goroutine stays in it.
func newKernel(t testing.TB, cfg Config) *kernel {
	t.Helper()
	testenv.Netns(t)
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	k := &kernel{t: t, jails: make(map[string]*pipeline.Jail), netns: fd, now: start}
	k.reopen(cfg)
	return k
}

// reopen closes the sink as a restart does and opens another beside its kernel state.
func (k *kernel) reopen(cfg Config) {
	k.t.Helper()
	if k.NFTables != nil {
		if err := k.Close(false); err != nil {
			k.t.Fatal(err)
		}
	}
	cfg.NetNS = k.netns
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return time.Unix(0, k.now) }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(testWriter{k.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	n, err := OpenNFTables(cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	k.NFTables = n
	k.t.Cleanup(func() { n.Close(false) })
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// set declares a jail.
func (k *kernel) set(name string, a Action) {
	k.t.Helper()
	if err := k.SetJail(name, a); err != nil {
		k.t.Fatal(err)
	}
}

// order makes an order; forSeconds < 0 is a permanent ban.
func (k *kernel) order(verb pipeline.Verb, jail, id string, forSeconds int) pipeline.Order {
	if k.jails[jail] == nil {
		k.jails[jail] = pipeline.NewJail(jail, pipeline.Policy{MaxRetry: 5})
	}
	until := pipeline.Permanent
	if forSeconds >= 0 {
		until = k.now + int64(forSeconds)*1e9
	}
	return pipeline.Order{Verb: verb, Ban: pipeline.Ban{
		Jail: k.jails[jail], ID: pipeline.ParseID(id), AtNanos: k.now, UntilNanos: until,
	}}
}

// apply carries out orders and fails where one has an error.
func (k *kernel) apply(orders ...pipeline.Order) {
	k.t.Helper()
	k.Apply(context.Background(), k.now, orders)
	for _, o := range orders {
		if o.Err != nil {
			k.t.Fatalf("%v %v: %v", o.Verb, o.Ban.ID, o.Err)
		}
	}
}

func (k *kernel) ban(jail string, ids ...string) {
	k.t.Helper()
	var orders []pipeline.Order
	for _, id := range ids {
		orders = append(orders, k.order(pipeline.VerbBan, jail, id, 3600))
	}
	k.apply(orders...)
}

func (k *kernel) unban(jail string, ids ...string) {
	k.t.Helper()
	var orders []pipeline.Order
	for _, id := range ids {
		orders = append(orders, k.order(pipeline.VerbUnban, jail, id, 0))
	}
	k.apply(orders...)
}

// nft runs nft in the test's namespace: a child inherits the locked thread's.
func (k *kernel) nft(args ...string) string {
	k.t.Helper()
	return run(k.t, "nft", args...)
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// listed is what `nft -j list ruleset` says of each set: its elements as text,
// sorted; ranges as FIRST-LAST.
func (k *kernel) listed() map[string][]string {
	k.t.Helper()
	var ruleset struct {
		Nftables []struct {
			Set *struct {
				Name string            `json:"name"`
				Elem []json.RawMessage `json:"elem"`
			} `json:"set"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(k.nft("-j", "list", "ruleset")), &ruleset); err != nil {
		k.t.Fatal(err)
	}
	sets := make(map[string][]string)
	for _, item := range ruleset.Nftables {
		if item.Set == nil {
			continue
		}
		members := []string{}
		for _, raw := range item.Set.Elem {
			members = append(members, elemText(k.t, raw))
		}
		slices.Sort(members)
		sets[item.Set.Name] = members
	}
	return sets
}

func elemText(t testing.TB, raw json.RawMessage) string {
	t.Helper()
	var plain string
	if json.Unmarshal(raw, &plain) == nil {
		return plain
	}
	var object struct {
		Elem   *struct{ Val json.RawMessage }
		Prefix *struct {
			Addr string
			Len  int
		}
		Range []string
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatalf("element %s: %v", raw, err)
	}
	switch {
	case object.Elem != nil:
		return elemText(t, object.Elem.Val)
	case object.Prefix != nil:
		return fmt.Sprintf("%s/%d", object.Prefix.Addr, object.Prefix.Len)
	}
	return strings.Join(object.Range, "-")
}

// wantSet compares a set as nft lists it. While the kernel's hash table grows
// in the background, a listing has some elements twice and lacks as many: such
// a listing is taken again.
func (k *kernel) wantSet(name string, want ...string) {
	k.t.Helper()
	slices.Sort(want)
	got := k.listed()[name]
	for range 20 {
		if len(slices.Compact(slices.Clone(got))) == len(got) {
			break
		}
		got = k.listed()[name]
	}
	if !slices.Equal(got, want) {
		k.t.Fatalf("set %s: got %d %v, want %d %v", name, len(got), head(got), len(want), head(want))
	}
}

func head(list []string) []string { return list[:min(len(list), 20)] }

// addresses makes n addresses of a family.
func addresses(n int, v4 bool) []string {
	list := make([]string, n)
	for i := range list {
		if v4 {
			list[i] = netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}).String()
		} else {
			list[i] = netip.AddrFrom16([16]byte{0x20, 1, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}).String()
		}
	}
	return list
}
