package sinks

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// fallen is a Kernel on a kernel whose nf_tables refuses everything.
type fallen struct {
	*kernel
	*Kernel
	log *bytes.Buffer
}

func newFallen(t *testing.T, refuse func(kind uint16, data []byte) bool) fallen {
	t.Helper()
	f := fallen{kernel: newKernel(t, Config{}), log: new(bytes.Buffer)}
	f.open(refuse)
	return f
}

// open opens another beside its kernel state.
func (f *fallen) open(refuse func(kind uint16, data []byte) bool) {
	f.t.Helper()
	log := slog.New(slog.NewTextHandler(f.log, nil))
	k, err := OpenKernel(Config{NetNS: f.netns, Log: log, Now: func() time.Time { return time.Unix(0, f.now) }})
	if err != nil {
		f.t.Fatal(err)
	}
	k.nft.link.refuse = old(unix.EOPNOTSUPP, refuse)
	f.Kernel = k
	f.t.Cleanup(func() { k.Close(false) })
	for _, name := range []string{"sshd", "manual"} {
		if err := k.SetJail(name, Action{}); err != nil {
			f.t.Fatal(err)
		}
	}
}

// orders carries orders out and fails where one has an error.
func (f *fallen) orders(orders ...pipeline.Order) {
	f.t.Helper()
	f.Kernel.Apply(f.t.Context(), f.now, orders)
	for _, o := range orders {
		if o.Err != nil {
			f.t.Fatalf("%v %v: %v", o.Verb, o.Ban.ID, o.Err)
		}
	}
}

func (f *fallen) bans(jail string, forSeconds int, ids ...string) (orders []pipeline.Order) {
	for _, id := range ids {
		orders = append(orders, f.order(pipeline.VerbBan, jail, id, forSeconds))
	}
	return orders
}

func (f *fallen) unbans(jail string, ids ...string) (orders []pipeline.Order) {
	for _, id := range ids {
		orders = append(orders, f.order(pipeline.VerbUnban, jail, id, 0))
	}
	return orders
}

var (
	noNFTables = func(uint16, []byte) bool { return true }
	noInet     = func(kind uint16, data []byte) bool {
		return kind == unix.NFT_MSG_NEWTABLE && data[0] == unix.NFPROTO_INET
	}
)

// TestFallbacks: without nf_tables bans hold all the same, for every jail that
// wants them, through healing, a pause and a restart; at the end nothing is left.
func TestFallbacks(t *testing.T) {
	for _, c := range []struct {
		by     string
		refuse func(uint16, []byte) bool
		only   func(netns int) (backend, error)
		broken func(f *fallen) // what somebody else does
	}{
		{"ipset", noNFTables, newIPSet, func(f *fallen) { run(f.t, "iptables-legacy", "-t", "mangle", "-F") }},
		{"ipset", noInet, newIPSet, func(f *fallen) { run(f.t, "ip6tables-legacy", "-t", "mangle", "-F") }},
		{"routes", noNFTables, newRoutes, func(f *fallen) { run(f.t, "ip", "route", "flush", "type", "blackhole") }},
	} {
		t.Run(c.by, func(t *testing.T) {
			if c.by == "ipset" {
				testenv.NeedIptables(t)
			}
			defer func(all []func(int) (backend, error)) { backends = all }(backends)
			backends = []func(int) (backend, error){c.only}
			f := newFallen(t, c.refuse)
			testFallback(&f, c.by, c.refuse, c.broken)
		})
	}
}

func testFallback(f *fallen, by string, refuse func(uint16, []byte) bool, broken func(*fallen)) {
	t, c := f.t, newClient(f.kernel)
	serve(t, everywhere...)
	c.passes("10.0.0.2", "10.0.0.1:2201")
	f.orders(f.bans("sshd", 3600, "10.0.0.2", "fd00::2", "10.0.0.8/31", "10.0.0.8/30")...)
	f.orders(f.bans("manual", 60, "10.0.0.2")...)
	f.shut(c, "banned")
	if enforced, reason := f.State(); !enforced {
		t.Errorf("not enforced: %s", reason)
	}
	if got, limits := f.By(); got != by || !strings.Contains(limits, "every port") {
		t.Errorf("by %q, %q", got, limits)
	}
	f.orders(f.unbans("sshd", "10.0.0.8/31", "10.0.0.2")...)
	f.shut(c, "of one jail, of one network") // manual and the /30 hold them
	broken(f)
	f.other.Load().tick(true)
	f.shut(c, "healed")
	testFallbackPause(f, c)
	if err := f.Kernel.Close(false); err != nil {
		t.Fatal(err)
	}
	if by == "ipset" {
		f.shut(c, "closed without removal")
	}
	f.open(refuse)
	f.orders(f.bans("sshd", 60, "10.0.0.2", "fd00::2", "10.0.0.8/30")...)
	if err := f.Kernel.Reconcile(); err != nil {
		t.Fatal(err)
	}
	f.shut(c, "after a restart")
	c.passes("10.0.0.7", "10.0.0.1:2201")
	if err := f.Kernel.RemoveJail("sshd"); err != nil {
		t.Fatal(err)
	}
	c.passes("10.0.0.2", "10.0.0.1:2201")
	f.orders(f.bans("manual", -1, "10.0.0.2")...)
	if err := f.Kernel.Close(true); err != nil {
		t.Fatal(err)
	}
	c.passes("10.0.0.2", "10.0.0.1:2201")
	if found, err := RemoveLeft(f.netns); found || err != nil {
		t.Errorf("left behind: %v, %v", found, err)
	}
	if n := strings.Count(f.log.String(), "bans are coarser"); n != 2 {
		t.Errorf("said %d times:\n%s", n, f.log)
	}
}

// shut says that those who are banned throughout cannot connect, and another can.
func (f *fallen) shut(c neighbour, when string) {
	f.t.Helper()
	var dials sync.WaitGroup
	for from, to := range map[string]string{"10.0.0.2": "10.0.0.1:2202", "10.0.0.9": "10.0.0.1:2201", "fd00::2": "[fd00::1]:2201"} {
		dials.Go(func() {
			if conn, err := c.dial(from, to); err == nil {
				conn.Close()
				f.t.Errorf("%s: %s connects to %s", when, from, to)
			}
		})
	}
	dials.Wait()
	c.passes("10.0.0.3", "10.0.0.1:2201")
}

func testFallbackPause(f *fallen, c neighbour) {
	t := f.t
	if err := f.Kernel.Pause(); err != nil {
		t.Fatal(err)
	}
	c.passes("10.0.0.2", "10.0.0.1:2201")
	paused := f.bans("sshd", 60, "10.0.0.7")
	if f.Kernel.Apply(t.Context(), f.now, paused); !errors.Is(paused[0].Err, ErrPaused) {
		t.Errorf("paused: %v", paused[0].Err)
	}
	if err := f.Kernel.Resume(); err != nil {
		t.Fatal(err)
	}
	f.shut(c, "resumed")
	c.fails("10.0.0.7", "10.0.0.1:2201")
}

// TestFallbackMany: a hundred thousand, and as many taken up again.
func TestFallbackMany(t *testing.T) {
	testenv.NeedIptables(t)
	f := newFallen(t, noNFTables)
	ids := addresses(20_000, true)
	began := time.Now()
	f.orders(f.bans("sshd", 3600, ids...)...)
	t.Logf("%d bans in %v", len(ids), time.Since(began))
	began = time.Now()
	if err := f.Kernel.Reconcile(); err != nil {
		t.Fatal(err)
	}
	t.Logf("replaced in %v", time.Since(began))
	if lines := strings.Count(run(t, "ipset", "list", "f2bpipe4"), " timeout 3"); lines != len(ids) {
		t.Errorf("%d elements", lines)
	}
	if found, err := RemoveLeft(f.netns); !found || err != nil {
		t.Errorf("RemoveLeft: %v, %v", found, err)
	}
}

// TestRouteOfOthers: a route that somebody else made is left alone.
func TestRouteOfOthers(t *testing.T) {
	f := newFallen(t, noNFTables)
	defer func(all []func(int) (backend, error)) { backends = all }(backends)
	backends = []func(int) (backend, error){newRoutes}
	newClient(f.kernel)
	orders := f.bans("sshd", 60, "10.0.0.0/24", "192.0.2.1")
	f.Kernel.Apply(t.Context(), f.now, orders)
	if orders[0].Err == nil || !strings.Contains(orders[0].Err.Error(), "did not make") || orders[1].Err != nil {
		t.Errorf("got %v, %v", orders[0].Err, orders[1].Err)
	}
	if routes := run(t, "ip", "route"); !strings.Contains(routes, "blackhole 192.0.2.1") || !strings.Contains(routes, "10.0.0.0/24 dev") {
		t.Errorf("routes: %s", routes)
	}
}

// TestFallbackWithoutRight: nothing is chosen before it may be tried.
func TestFallbackWithoutRight(t *testing.T) {
	f := newFallen(t, noNFTables)
	netAdmin(t, false)
	orders := f.bans("sshd", 60, "192.0.2.1")
	f.Kernel.Apply(t.Context(), f.now, orders)
	enforced, reason := f.State()
	if by, _ := f.By(); orders[0].Err == nil || enforced || by != "" || !strings.Contains(reason, "CAP_NET_ADMIN") {
		t.Errorf("%v; %v, %q, by %q", orders[0].Err, enforced, reason, by)
	}
	netAdmin(t, true)
	f.now += 2e9
	f.other.Load().tick(false)
	if enforced, reason := f.State(); !enforced {
		t.Errorf("with the right: %s", reason)
	}
}

// TestSeccomp: where the socket of nf_tables is refused (a kernel without
// netfilter, a container's profile), routes are left.
func TestSeccomp(t *testing.T) {
	if os.Getenv("F2BPIPE_TEST_CHILD") == "" {
		testenv.Netns(t)
		for _, errno := range []string{"93", "1"} { // EPROTONOSUPPORT, EPERM
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestSeccomp$", "-test.v")
			cmd.Env = append(os.Environ(), "F2BPIPE_TEST_CHILD="+errno)
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
				t.Errorf("errno %s: %v: %s", errno, err, out)
			}
		}
		return
	}
	errno := unix.EPROTONOSUPPORT
	if os.Getenv("F2BPIPE_TEST_CHILD") == "1" {
		errno = unix.EPERM
	}
	if err := testenv.RefuseNetfilter(errno); err != nil {
		t.Fatal(err)
	}
	k, err := OpenKernel(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.SetJail("sshd", Action{}); err != nil {
		t.Fatal(err)
	}
	go k.Run(t.Context())
	orders := []pipeline.Order{{Verb: pipeline.VerbBan, Ban: pipeline.Ban{
		Jail: pipeline.NewJail("sshd", pipeline.Policy{}), ID: pipeline.ParseID("192.0.2.1"), UntilNanos: pipeline.Permanent,
	}}}
	k.Apply(t.Context(), time.Now().UnixNano(), orders)
	if by, _ := k.By(); orders[0].Err != nil || by != "routes" {
		t.Errorf("%v, by %q", orders[0].Err, by)
	}
	if err := k.SetJail("x", Action{Block: "nonsense"}); err == nil {
		t.Error("a blocktype that means nothing is taken")
	}
	if err := k.Close(true); err != nil {
		t.Error(err)
	}
}
