package sinks

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

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

// TestOldKernel: with the fallbacks for what an older kernel lacks, everything
// holds as it does otherwise.
func TestOldKernel(t *testing.T) {
	for name, f := range map[string]features{
		"no destroy": {fib: true, track: true, reject: true},
		"no fib":     {destroy: true, track: true, reject: true},
		"no track":   {destroy: true, fib: true, reject: true},
		"no reject":  {destroy: true, fib: true, track: true},
		"nothing":    {},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKernel(t, Config{})
			c := newClient(k)
			serve(t, everywhere...)
			f.probed = true
			k.features = f
			k.set("sshd", Action{Ports: []PortRange{{2201, 2201}}, Block: "reject"})
			k.set("manual", Action{})
			k.ban("sshd", "10.0.0.2", "10.0.0.8/31")
			k.now += 1e9
			k.ban("sshd", "10.0.0.2", "10.0.0.8/31", "10.0.0.4/30")
			k.unban("sshd", "192.0.2.1", "10.0.0.4/30")
			k.ban("manual", "10.0.0.3")
			c.fails("10.0.0.2", "10.0.0.1:2201")
			c.fails("10.0.0.9", "10.0.0.1:2201")
			c.fails("10.0.0.3", "10.0.0.1:2202")
			c.passes("10.0.0.4", "10.0.0.1:2201")
			c.passes("10.0.0.2", "10.0.0.1:2202")
			if left := k.left("sshd"); len(left) != 2 || !near(left["10.0.0.2"], time.Hour) {
				t.Errorf("got %v", left)
			}
			k.nft("flush", "ruleset")
			k.Compare()
			c.fails("10.0.0.2", "10.0.0.1:2201")
			k.apply(k.order(pipeline.VerbBan, "sshd", "192.0.2.7", 1), k.order(pipeline.VerbBan, "sshd", "192.0.3.0/24", 1))
			for began := time.Now(); len(k.left("sshd")) > 2; {
				if time.Since(began) > 10*time.Second {
					t.Fatal("nothing expires")
				}
			}
			k.unban("sshd", "192.0.2.7", "192.0.3.0/24", "10.0.0.2")
			c.passes("10.0.0.2", "10.0.0.1:2201")
		})
	}
}

// TestProbe: this kernel can everything, and the question leaves nothing behind.
func TestProbe(t *testing.T) {
	k := newKernel(t, Config{})
	k.unbanUnknown()
	if want := (features{true, true, true, true, true}); k.features != want {
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
