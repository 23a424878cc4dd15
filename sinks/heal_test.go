package sinks

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// guard runs the sink's watch until the test ends.
func (k *kernel) guard() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	k.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// healed waits until the sink has put something back since it had so often.
func (k *kernel) healed(before int64) time.Duration {
	k.t.Helper()
	began := time.Now()
	for k.Healed() == before {
		if time.Since(began) > 10*time.Second {
			k.t.Fatalf("not healed: %s", k.nft("list", "ruleset"))
		}
	}
	return time.Since(began)
}

// foreign are ways in which others take away what is ours.
var foreign = []struct {
	name string
	args []string
}{
	{"flush ruleset", []string{"flush", "ruleset"}},
	{"delete table", []string{"delete", "table", "inet", "f2bpipe"}},
	{"flush table", []string{"flush", "table", "inet", "f2bpipe"}},
	{"flush chain", []string{"flush", "chain", "inet", "f2bpipe", "jail-sshd"}},
	{"flush dispatch", []string{"flush", "chain", "inet", "f2bpipe", "local-tcp"}},
	{"flush set", []string{"flush", "set", "inet", "f2bpipe", "addr4-sshd"}},
	{"delete element", []string{"delete", "element", "inet", "f2bpipe", "addr4-sshd", "{ 100.0.0.1 }"}},
	{"delete network", []string{"delete", "element", "inet", "f2bpipe", "net4-sshd", "{ 198.51.100.0/24 }"}},
	{"insert accept", []string{"insert", "rule", "inet", "f2bpipe", "prerouting", "accept"}},
	{"make dormant", []string{"add", "table", "inet", "f2bpipe", "{ flags dormant; }"}},
}

// sorted is the ruleset without elements, its lines sorted: the order of sets
// and of jails in a chain means nothing.
func (k *kernel) sorted() string {
	lines := strings.Split(k.nft("-t", "list", "ruleset"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestHealing: whoever takes our table, chains, rules or elements away, they
// are back as they were; what others own does not stir us.
func TestHealing(t *testing.T) {
	for _, f := range foreign {
		t.Run(f.name, func(t *testing.T) {
			k := newKernel(t, Config{})
			k.guard()
			testHealing(k, f.args)
		})
	}
}

func testHealing(k *kernel, args []string) {
	k.t.Helper()
	k.set("sshd", Action{Ports: []PortRange{{22, 22}}})
	k.set("mail", Action{Ports: []PortRange{{25, 25}}})
	list := addresses(10, true)
	k.ban("sshd", list...)
	k.ban("sshd", "198.51.100.0/24", "2001:db8::1", "2001:db8:1::/64")
	k.ban("mail", "192.0.2.1")
	want := k.sorted()
	k.nft("add", "table", "inet", "another")
	k.nft("delete", "table", "inet", "another")
	if healed := k.Healed(); healed != 0 {
		k.t.Fatalf("another's table: healed %d times", healed)
	}
	k.nft(args...)
	k.t.Logf("healed after %v", k.healed(0))
	if got := k.sorted(); got != want {
		k.t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	k.wantSet("addr4-sshd", list...)
	k.wantSet("net4-sshd", "198.51.100.0/24")
	k.wantSet("pfx6-sshd", "2001:db8:1::")
	k.wantSet("addr4-mail", "192.0.2.1")
	if left := k.left("sshd")[list[0]]; !near(left, time.Hour) {
		k.t.Errorf("%v left", left)
	}
}

// TestHealingWithoutWatch: the same, found by a comparison or by the next order.
func TestHealingWithoutWatch(t *testing.T) {
	for _, f := range foreign {
		t.Run(f.name, func(t *testing.T) {
			if f.name == "make dormant" {
				t.Skip("only the watch sees it")
			}
			k := newKernel(t, Config{})
			k.set("sshd", Action{Ports: []PortRange{{22, 22}}})
			list := addresses(10, true)
			k.ban("sshd", append(list, "198.51.100.0/24")...)
			k.Compare()
			if healed := k.Healed(); healed != 0 {
				t.Fatalf("healed %d times before anything was done", healed)
			}
			k.nft(f.args...)
			k.Compare()
			if healed := k.Healed(); healed != 1 {
				t.Fatalf("healed %d times", healed)
			}
			k.wantSet("addr4-sshd", list...)
			k.wantSet("net4-sshd", "198.51.100.0/24")
			k.nft("flush", "ruleset")
			k.ban("sshd", "192.0.2.1")
			k.wantSet("addr4-sshd", append(list, "192.0.2.1")...)
		})
	}
}

// TestCompareMany: sets that are too large to list are sampled.
func TestCompareMany(t *testing.T) {
	for _, layout := range []Layout{LayoutOwn, LayoutClassic} {
		k := newKernel(t, Config{Layout: layout})
		k.set("sshd", Action{})
		k.apply(k.bans("sshd", addresses(listLimit+2000, true))...)
		k.Compare()
		if healed := k.Healed(); healed != 0 {
			t.Fatalf("layout %d: healed %d times", layout, healed)
		}
		for _, s := range k.jailSets() {
			k.nft("flush", "set", "inet", s.tb.name, s.name)
		}
		k.Compare()
		if left := len(k.left("sshd")); k.Healed() != 1 || left != listLimit+2000 {
			t.Fatalf("layout %d: healed %d times, %d elements", layout, k.Healed(), left)
		}
	}
}

// TestHealingMany: a hundred thousand bans are back within a second.
func TestHealingMany(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	k := newKernel(t, Config{})
	k.guard()
	k.set("sshd", Action{})
	k.apply(k.bans("sshd", addresses(n, true))...)
	k.nft("flush", "ruleset")
	took := k.healed(0)
	t.Logf("%d bans were back after %v", n, took)
	elements, err := k.Elements("sshd")
	if err != nil || len(elements) != n {
		t.Fatalf("%d elements, %v", len(elements), err)
	}
	patience := 5 * time.Second // of a busy machine
	if os.Getenv("F2BPIPE_SOAK") == "1" {
		patience = time.Second
	}
	if took > patience {
		t.Errorf("took %v", took)
	}
}

// TestHealingFight: who flushes in a loop is told once a minute how to stop us,
// and in the end everything is enforced.
func TestHealingFight(t *testing.T) {
	var log bytes.Buffer
	k := newKernel(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	k.guard()
	k.set("sshd", Action{})
	for i := range 20 {
		before := k.Healed()
		k.ban("sshd", fmt.Sprintf("192.0.2.%d", i))
		k.nft("flush", "ruleset")
		k.healed(before)
	}
	if got := len(k.left("sshd")); got != 20 {
		t.Errorf("%d elements", got)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := strings.Count(log.String(), "f2bpipe pause"); n != 1 {
		t.Errorf("hinted %d times: %s", n, &log)
	}
}

func TestHealingClassic(t *testing.T) {
	for _, args := range [][]string{
		{"flush", "ruleset"},
		{"flush", "set", "inet", "f2b-table", "addr-set-sshd"},
		{"flush", "chain", "inet", "f2b-table", "f2b-chain"},
		{"delete", "element", "inet", "f2b-table", "addr-set-sshd", "{ 192.0.2.1 }"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			k := newKernel(t, Config{Layout: LayoutClassic})
			k.guard()
			k.set("sshd", Action{Ports: []PortRange{{22, 22}}})
			k.ban("sshd", "192.0.2.1", "198.51.100.0/24")
			k.ban("sshd", "2001:db8::1")
			want := k.nft("list", "ruleset")
			k.nft(args...)
			k.healed(0)
			if got := k.nft("list", "ruleset"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// TestReconcile: what a process before us left protects until it is known what
// is wanted; then the rest is gone, and at no size is a set listed or emptied.
func TestReconcile(t *testing.T) {
	sizes := []int{10, maxOrders, maxOrders + 1, 12_000}
	if testing.Short() {
		sizes = []int{10, maxOrders + 1}
	}
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			k := newKernel(t, Config{})
			k.set("sshd", Action{Ports: []PortRange{{22, 22}}})
			k.set("gone", Action{Ports: []PortRange{{25, 25}}})
			k.apply(k.bans("sshd", addresses(size+5, true))...)
			k.ban("sshd", "198.51.100.0/24", "2001:db8::1")
			k.ban("gone", "192.0.2.1")
			k.reopen(Config{})
			k.set("sshd", Action{Ports: []PortRange{{22, 22}, {2222, 2222}}})
			kept := addresses(size, true)
			k.apply(k.bans("sshd", kept[:1])...)
			if got := len(k.left("sshd")); got != size+5+2 {
				t.Fatalf("%d elements after the first ban", got)
			}
			if rules := k.nft("list", "chain", "inet", "f2bpipe", "local-tcp"); !strings.Contains(rules, "{ 22, 2222 } jump jail-sshd") {
				t.Fatalf("rules: %s", rules)
			}
			k.apply(k.bans("sshd", kept)...)
			if err := k.Reconcile(); err != nil {
				t.Fatal(err)
			}
			k.wantSet("addr4-sshd", kept...)
			k.wantSet("net4-sshd")
			k.wantSet("addr6-sshd")
			text := k.nft("-t", "list", "ruleset")
			if strings.Contains(text, "gone") || strings.Contains(text, "refill") || strings.Count(text, "@addr4-sshd") != 1 {
				t.Errorf("rules: %s", text)
			}
			k.unban("sshd", kept[0])
			k.wantSet("addr4-sshd", kept[1:]...)
		})
	}
}

// TestReconcileNothing: no ban is wanted, and none is left.
func TestReconcileNothing(t *testing.T) {
	for _, layout := range []Layout{LayoutOwn, LayoutClassic} {
		k := newKernel(t, Config{Layout: layout})
		k.set("sshd", Action{})
		k.ban("sshd", "192.0.2.1", "198.51.100.0/24")
		k.reopen(Config{Layout: layout})
		k.set("sshd", Action{})
		if err := k.Reconcile(); err != nil {
			t.Fatal(err)
		}
		for name, members := range k.listed() {
			if len(members) > 0 {
				t.Errorf("set %s: %v", name, members)
			}
		}
		k.ban("sshd", "192.0.2.2")
		if left := k.left("sshd"); len(left) != 1 {
			t.Errorf("got %v", left)
		}
	}
}

// TestChangedWhileAway: a jail that a process before us left with other ports
// has its own ones, although nobody was banned when that was looked at.
func TestChangedWhileAway(t *testing.T) {
	look := map[string]func(k *kernel) error{
		"Reconcile": func(k *kernel) error { return k.Reconcile() },
		"Compare":   func(k *kernel) error { k.Look(); k.Compare(); return nil },
	}
	for name, f := range look {
		k := newKernel(t, Config{})
		k.set("sshd", Action{Ports: []PortRange{{22, 22}}})
		k.ban("sshd", "192.0.2.1")
		k.reopen(Config{})
		k.set("sshd", Action{Ports: []PortRange{{2222, 2222}}})
		if err := f(k); err != nil {
			t.Fatal(err)
		}
		k.ban("sshd", "192.0.2.2")
		if rules := k.nft("list", "chain", "inet", "f2bpipe", "local-tcp"); !strings.Contains(rules, "tcp dport 2222 jump jail-sshd") || strings.Contains(rules, "dport 22 ") {
			t.Errorf("%s: rules: %s", name, rules)
		}
	}
}

// TestUnbanAfterRestart: what a process before us banned can be unbanned before
// anything else is ordered.
func TestUnbanAfterRestart(t *testing.T) {
	k := newKernel(t, Config{})
	k.set("sshd", Action{})
	k.ban("sshd", "192.0.2.1", "192.0.2.2")
	k.reopen(Config{})
	k.set("sshd", Action{})
	k.unban("sshd", "192.0.2.1")
	k.wantSet("addr4-sshd", "192.0.2.2")
}

// TestChangedAction: other ports, another verdict: the bans stay.
func TestChangedAction(t *testing.T) {
	for _, layout := range []Layout{LayoutOwn, LayoutClassic} {
		k := newKernel(t, Config{Layout: layout})
		k.set("sshd", Action{Ports: []PortRange{{22, 22}}})
		k.set("mail", Action{Ports: []PortRange{{25, 25}}})
		k.ban("sshd", "192.0.2.1")
		k.ban("mail", "192.0.2.2")
		k.set("sshd", Action{Ports: []PortRange{{22, 22}, {2222, 2222}}, Block: "reject", Classic: Classic{Set4: "other"}})
		text := k.nft("-t", "list", "ruleset")
		if !strings.Contains(text, "{ 22, 2222 }") || !strings.Contains(text, "reject") || !strings.Contains(text, "tcp dport 25") {
			t.Errorf("layout %d: %s", layout, text)
		}
		if left := k.left("sshd"); len(left) != 1 {
			t.Errorf("layout %d: %v", layout, left)
		}
	}
}

// TestRemoveJail: the others stay.
func TestRemoveJail(t *testing.T) {
	k := newKernel(t, Config{})
	k.set("sshd", Action{Ports: []PortRange{{22, 22}, {23, 23}}})
	k.set("mail", Action{Ports: []PortRange{{25, 25}, {26, 26}}})
	k.ban("mail", "192.0.2.2")
	want := k.nft("-t", "list", "ruleset")
	k.ban("sshd", "192.0.2.1", "198.51.100.0/24")
	if err := k.RemoveJail("sshd"); err != nil {
		t.Fatal(err)
	}
	if got := k.nft("-t", "list", "ruleset"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	orders := []pipeline.Order{k.order(pipeline.VerbBan, "sshd", "192.0.2.9", 60)}
	k.Apply(t.Context(), k.now, orders)
	if orders[0].Err != ErrUnknownJail {
		t.Errorf("ban in a removed jail: %v", orders[0].Err)
	}
}
