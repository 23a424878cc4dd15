package sinks

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// netAdmin takes CAP_NET_ADMIN from the test's thread or gives it back.
func netAdmin(t *testing.T, on bool) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if on {
		data[0].Effective |= 1 << unix.CAP_NET_ADMIN
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
}

// TestLostCapability: without CAP_NET_ADMIN orders fail with clear words and
// are kept; with it, everything is carried out; one log line each way.
func TestLostCapability(t *testing.T) {
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprintf("first=%v", first), func(t *testing.T) {
			var log bytes.Buffer
			k := newKernel(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
			k.set("sshd", Action{})
			if !first {
				k.ban("sshd", "192.0.2.9")
			}
			netAdmin(t, false)
			orders := k.bans("sshd", []string{"192.0.2.1", "198.51.100.0/24", "2001:db8::1"})
			for range 3 {
				k.Apply(t.Context(), k.now, orders)
				for _, o := range orders {
					if o.Err == nil || !strings.Contains(o.Err.Error(), "CAP_NET_ADMIN") {
						t.Fatalf("%v: %v", o.Ban.ID, o.Err)
					}
				}
			}
			if enforced, reason := k.State(); enforced || !strings.Contains(reason, "CAP_NET_ADMIN") {
				t.Fatalf("State: %v, %q", enforced, reason)
			}
			k.retry() // too early: nothing happens
			k.now += int64(time.Hour)
			k.retry() // in vain
			netAdmin(t, true)
			k.retry() // too early again
			if enforced, _ := k.State(); enforced {
				t.Fatal("enforced without a try")
			}
			k.now += int64(2 * time.Second)
			orders = k.bans("sshd", []string{"192.0.2.1", "192.0.2.2", "198.51.100.0/24", "2001:db8::1"})
			k.Apply(t.Context(), k.now, orders) // says no, the wait is longer
			k.now += int64(time.Minute)
			k.retry()
			if enforced, reason := k.State(); !enforced {
				t.Fatalf("State: %v", reason)
			}
			want := map[bool]int{true: 4, false: 5}[first]
			if left := k.left("sshd"); len(left) != want {
				t.Errorf("got %v", left)
			}
			for text, n := range map[string]int{"not enforced": 1, "enforced again": 1} {
				if got := strings.Count(log.String(), text); got != n {
					t.Errorf("%q is logged %d times: %s", text, got, &log)
				}
			}
		})
	}
}

// TestNeverPrivileged: to stop without ever having had the right is no error.
func TestNeverPrivileged(t *testing.T) {
	for _, layout := range []Layout{LayoutOwn, LayoutClassic} {
		k := newKernel(t, Config{Layout: layout, Log: slog.New(slog.DiscardHandler)})
		netAdmin(t, false)
		k.set("sshd", Action{})
		orders := k.bans("sshd", []string{"192.0.2.1"})
		k.Apply(t.Context(), k.now, orders)
		if err := k.Reconcile(); orders[0].Err == nil || err == nil {
			t.Errorf("layout %d: %v, %v", layout, orders[0].Err, err)
		}
		if err := k.Close(true); err != nil {
			t.Errorf("layout %d: Close: %v", layout, err)
		}
		netAdmin(t, true)
	}
}

// TestForeignSet: a set of our name and another type: clear words, and the
// other jails go on.
func TestForeignSet(t *testing.T) {
	for layout, c := range map[Layout]struct{ table, set string }{
		LayoutOwn: {"f2bpipe", "addr4-sshd"}, LayoutClassic: {"f2b-table", "addr-set-sshd"},
	} {
		k := newKernel(t, Config{Layout: layout})
		k.nft("add", "table", "inet", c.table)
		k.nft("add", "set", "inet", c.table, c.set, "{ type inet_service; }")
		k.set("sshd", Action{})
		k.set("mail", Action{})
		orders := append(k.bans("mail", addresses(100, true)), k.bans("sshd", addresses(100, true))...)
		orders = append(orders, k.bans("sshd", addresses(10, false))...)
		k.Apply(t.Context(), k.now, orders)
		for _, o := range orders {
			bad := o.Ban.Jail.Name == "sshd" && strings.HasPrefix(o.Ban.ID.String(), "100.")
			if (o.Err != nil) != bad || bad && !strings.Contains(o.Err.Error(), "of that name with another type") {
				t.Fatalf("layout %d: %s %v: %v", layout, o.Ban.Jail.Name, o.Ban.ID, o.Err)
			}
		}
		if enforced, reason := k.State(); enforced || !strings.Contains(reason, c.set) {
			t.Errorf("layout %d: State: %v, %q", layout, enforced, reason)
		}
		if mail, sshd := len(k.left("mail")), len(k.left("sshd")); mail != 100 || sshd != 10 {
			t.Errorf("layout %d: %d and %d elements", layout, mail, sshd)
		}
		k.nft("flush", "ruleset")
		k.ban("mail", "192.0.2.1")
		k.ban("sshd", "192.0.2.1")
		if enforced, reason := k.State(); !enforced {
			t.Errorf("layout %d: State after the set is gone: %q", layout, reason)
		}
	}
}

// TestFullSet: what fits into a set of limited size is in; the rest has errors.
func TestFullSet(t *testing.T) {
	k := newKernel(t, Config{Layout: LayoutClassic})
	k.nft("add", "table", "inet", "f2b-table")
	k.nft("add", "set", "inet", "f2b-table", "addr-set-sshd", "{ type ipv4_addr; flags interval; size 20; }")
	k.set("sshd", Action{})
	orders := k.bans("sshd", addresses(100, true))
	k.Apply(t.Context(), k.now, orders)
	done := 0
	for _, o := range orders {
		switch {
		case o.Err == nil:
			done++
		case !errors.Is(o.Err, unix.ENFILE) || !strings.Contains(o.Err.Error(), "full"):
			t.Fatalf("%v: %v", o.Ban.ID, o.Err)
		}
	}
	if got := len(k.left("sshd")); got != done || done == 0 || done == 100 {
		t.Errorf("%d done, %d elements", done, got)
	}
	for _, o := range orders[:50] {
		if o.Err == nil {
			k.unban("sshd", o.Ban.ID.String())
		}
	}
	k.ban("sshd", "192.0.2.1")
}

// TestForeignChain: our chain's name with another hook is named in the error.
func TestForeignChain(t *testing.T) {
	k := newKernel(t, Config{})
	k.nft("add", "table", "inet", "f2bpipe")
	k.nft("add", "chain", "inet", "f2bpipe", "prerouting", "{ type filter hook output priority 7; }")
	k.set("sshd", Action{})
	orders := []pipeline.Order{k.order(pipeline.VerbBan, "sshd", "192.0.2.1", 60)}
	k.Apply(t.Context(), k.now, orders)
	if err := orders[0].Err; err == nil || !strings.Contains(err.Error(), "add chain inet f2bpipe prerouting: ") {
		t.Errorf("got %v", err)
	}
}

// TestManyDescriptors: the connection works when its descriptors, or all that
// are opened later, are beyond a thousand.
func TestManyDescriptors(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < 2000 {
		t.Skipf("only %d descriptors are allowed", limit.Cur)
	}
	for range 1100 {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
	}
	k := newKernel(t, Config{})
	k.set("sshd", Action{})
	k.ban("sshd", "192.0.2.1", "198.51.100.0/24")
	k.nft("flush", "ruleset")
	k.Compare()
	if left := k.left("sshd"); len(left) != 2 {
		t.Errorf("got %v", left)
	}
}

// old makes an older kernel's refusals: of messages for which lacks holds.
func old(errno unix.Errno, lacks func(kind uint16, data []byte) bool) func(netlink.Message) unix.Errno {
	return func(m netlink.Message) unix.Errno {
		if lacks(uint16(m.Header.Type)&0xff, m.Data) {
			return errno
		}
		return 0
	}
}

// lacksFlag is a kernel without sets of a kind.
func lacksFlag(flag uint32) func(kind uint16, data []byte) bool {
	return func(kind uint16, data []byte) bool {
		return kind == unix.NFT_MSG_NEWSET && number32(attr(data[genHeader:], unix.NFTA_SET_FLAGS))&flag != 0
	}
}

// lacksExpr is a kernel without an expression, looked for in rules.
func lacksExpr(name string) func(kind uint16, data []byte) bool {
	return func(kind uint16, data []byte) bool {
		return kind == unix.NFT_MSG_NEWRULE && bytes.Contains(data, []byte(name+"\x00"))
	}
}

// oldKernels are kernels of today but for one thing.
var oldKernels = map[string]func(kind uint16, data []byte) bool{
	"no destroy":   func(kind uint16, _ []byte) bool { return kind == msgDestroyTable || kind == msgDestroySetElem },
	"no fib":       lacksExpr("fib"),
	"no track":     lacksExpr("ct"),
	"no reject":    lacksExpr("reject"),
	"no timeouts":  lacksFlag(unix.NFT_SET_TIMEOUT),
	"no intervals": lacksFlag(unix.NFT_SET_INTERVAL),
	"nothing": func(kind uint16, data []byte) bool {
		return kind == msgDestroyTable || kind == msgDestroySetElem || lacksFlag(unix.NFT_SET_INTERVAL|unix.NFT_SET_TIMEOUT)(kind, data) ||
			lacksExpr("fib")(kind, data) || lacksExpr("ct")(kind, data) || lacksExpr("reject")(kind, data)
	},
}

// TestOldKernel: with the fallbacks for what an older kernel lacks, everything
// holds as it does otherwise, or the report says what does not.
func TestOldKernel(t *testing.T) {
	for name, lacks := range oldKernels {
		if testing.Short() && name != "nothing" && name != "no destroy" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			k := newKernel(t, Config{Log: slog.New(slog.DiscardHandler)})
			c := newClient(k)
			serve(t, everywhere...)
			k.link.refuse = old(unix.EOPNOTSUPP, lacks)
			k.set("sshd", Action{Ports: []PortRange{{2201, 2201}, {2300, 2400}}, Block: "reject"})
			k.set("manual", Action{})
			k.ban("sshd", "10.0.0.2")
			k.now += 1e9
			k.ban("sshd", "10.0.0.2")
			k.ban("manual", "10.0.0.3")
			members := 1
			if k.features.intervals {
				members = 2
				k.ban("sshd", "10.0.0.8/31", "10.0.0.4/30")
				k.unban("sshd", "192.0.2.1", "10.0.0.4/30")
				c.fails("10.0.0.9", "10.0.0.1:2201")
				c.passes("10.0.0.4", "10.0.0.1:2201")
			} else {
				orders := []pipeline.Order{k.order(pipeline.VerbBan, "sshd", "10.0.0.8/31", 60)}
				k.Apply(t.Context(), k.now, orders)
				if !errors.Is(orders[0].Err, errNoIntervals) {
					t.Errorf("network: %v", orders[0].Err)
				}
			}
			c.fails("10.0.0.2", "10.0.0.1:2201")
			c.fails("10.0.0.3", "10.0.0.1:2202")
			c.passes("10.0.0.2", "10.0.0.1:2202")
			want := time.Duration(0)
			if k.features.timeouts {
				want = time.Hour
			}
			if left := k.left("sshd"); len(left) != members || left["10.0.0.2"] > 0 != (want > 0) || want > 0 && !near(left["10.0.0.2"], want) {
				t.Errorf("got %v", left)
			}
			if limits := k.limits(); (limits == "") != (name == "no destroy") || limits != "" && name != "nothing" && !strings.Contains(limits, map[string]string{
				"no fib": "transit", "no track": "answers", "no reject": "drop", "no timeouts": "by the service", "no intervals": "networks"}[name]) {
				t.Errorf("limits: %q", limits)
			}
			k.nft("flush", "ruleset")
			k.Compare()
			c.fails("10.0.0.2", "10.0.0.1:2201")
			if name == "no destroy" {
				k.apply(k.order(pipeline.VerbBan, "sshd", "192.0.2.7", 1))
				for began := time.Now(); len(k.left("sshd")) > members; {
					if time.Since(began) > 10*time.Second {
						t.Fatal("nothing expires")
					}
				}
			}
			k.unban("sshd", "192.0.2.7", "10.0.0.2")
			c.passes("10.0.0.2", "10.0.0.1:2201")
			if err := k.Close(false); err != nil {
				t.Fatal(err)
			}
			if left := k.nft("list", "ruleset"); (left == "") != !k.features.timeouts {
				t.Errorf("after Close: %s", left)
			}
		})
	}
}

// TestOldKernelClassic: without intervals fail2ban's layout is that of Debian's
// fail2ban, which holds addresses.
func TestOldKernelClassic(t *testing.T) {
	k := newKernel(t, Config{Layout: LayoutClassic, Log: slog.New(slog.DiscardHandler)})
	k.link.refuse = old(unix.EOPNOTSUPP, oldKernels["no intervals"])
	k.set("sshd", Action{Ports: []PortRange{{22, 22}, {25, 25}, {2300, 2400}}})
	k.ban("sshd", "192.0.2.1", "2001:db8::1")
	text := k.nft("list", "ruleset")
	if strings.Contains(text, "interval") || !strings.Contains(text, "elements = { 2001:db8::1 }") || !strings.Contains(text, "tcp dport 2300-2400 ip saddr @addr-set-sshd drop") {
		t.Errorf("got %s", text)
	}
	orders := []pipeline.Order{k.order(pipeline.VerbBan, "sshd", "2001:db8::/64", 60)}
	k.Apply(t.Context(), k.now, orders)
	if !errors.Is(orders[0].Err, errNoIntervals) {
		t.Errorf("network: %v", orders[0].Err)
	}
	k.unban("sshd", "192.0.2.1")
	if err := k.Close(true); err != nil {
		t.Fatal(err)
	}
	if left := k.nft("list", "ruleset"); left != "" {
		t.Errorf("after Close: %s", left)
	}
}

// TestProbe: this kernel can everything, and the question leaves nothing behind.
func TestProbe(t *testing.T) {
	k := newKernel(t, Config{})
	k.unbanUnknown()
	if want := (features{true, true, true, true, true, true, true}); k.features != want {
		t.Errorf("got %+v", k.features)
	}
	if text := k.nft("list", "ruleset"); text != "" {
		t.Errorf("left behind: %s", text)
	}
}

// unbanUnknown is an order that changes nothing.
func (k *kernel) unbanUnknown() {
	k.set("sshd", Action{})
	k.unban("sshd", "192.0.2.1")
}

// TestPause: nothing of ours is in the kernel while paused, orders are kept,
// and all are carried out afterwards.
func TestPause(t *testing.T) {
	for _, layout := range []Layout{LayoutOwn, LayoutClassic} {
		k := newKernel(t, Config{Layout: layout})
		k.guard()
		k.set("sshd", Action{})
		k.ban("sshd", "192.0.2.1", "192.0.2.2", "198.51.100.0/24")
		if err := k.Pause(); err != nil {
			t.Fatal(err)
		}
		if text := k.nft("list", "ruleset"); text != "" {
			t.Errorf("layout %d: paused: %s", layout, text)
		}
		orders := append(k.bans("sshd", []string{"192.0.2.3"}), k.order(pipeline.VerbUnban, "sshd", "192.0.2.1", 0))
		k.Apply(t.Context(), k.now, orders)
		for _, o := range orders {
			if !errors.Is(o.Err, ErrPaused) {
				t.Errorf("layout %d: %v %v: %v", layout, o.Verb, o.Ban.ID, o.Err)
			}
		}
		k.Compare()
		if enforced, reason := k.State(); enforced || reason != ErrPaused.Error() {
			t.Errorf("layout %d: State: %v, %q", layout, enforced, reason)
		}
		if text := k.nft("list", "ruleset"); text != "" {
			t.Errorf("layout %d: still paused: %s", layout, text)
		}
		if err := k.Resume(); err != nil {
			t.Fatal(err)
		}
		left := k.left("sshd")
		if enforced, reason := k.State(); !enforced || len(left) != 3 {
			t.Errorf("layout %d: resumed: %v, %q, %v", layout, enforced, reason, left)
		}
	}
}

// TestDamagedAgain: who was damaged, and put right before the time of the next
// try had come, heals the next damage at once.
func TestDamagedAgain(t *testing.T) {
	k := newKernel(t, Config{})
	k.set("sshd", Action{})
	k.ban("sshd", "192.0.2.1")
	netAdmin(t, false)
	k.Apply(t.Context(), k.now, k.bans("sshd", []string{"192.0.2.2"}))
	netAdmin(t, true)
	if err := errors.Join(k.Pause(), k.Resume()); err != nil {
		t.Fatal(err)
	}
	k.nft("flush", "ruleset")
	k.ban("sshd", "192.0.2.3")
	if left := k.left("sshd"); len(left) != 3 {
		t.Errorf("got %v", left)
	}
}
