package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// attackers writes n lines of as many addresses to the log, in one go.
func (h *host) attackers(first, n int) {
	h.t.Helper()
	var b strings.Builder
	now := time.Now().Format(time.DateTime)
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "%s login failed from 100.%d.%d.%d\n", now, i>>16, i>>8&255, i&255)
	}
	f, err := os.OpenFile(h.path("login.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(b.String()); err != nil {
		h.t.Fatal(err)
	}
}

// enforced waits until the jail login enforces n bans.
func (h *host) enforced(n int) {
	h.t.Helper()
	h.until(fmt.Sprintf("%d bans are enforced", n), func() bool { return h.status().Jails[0].Enforced == n })
}

// TestUserNamespace: with rights in a user namespace alone, so that the
// kernel's default bounds the socket's buffers, ten thousand bans of one burst hold.
func TestUserNamespace(t *testing.T) {
	if testing.Short() {
		t.Skip("ten thousand bans; the sink's own test does it too")
	}
	h := newHost(t, strings.Replace(plainJail, "maxretry = 2", "maxretry = 1", 1))
	h.attr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	h.run()
	h.attackers(0, 10_000)
	h.enforced(10_000)
	out := h.must("nsenter", "-U", "-n", "-t", fmt.Sprint(h.cmd.Process.Pid), "nft", "-t", "list", "ruleset")
	if !strings.Contains(out, "addr4-login") {
		t.Errorf("ruleset: %s", out)
	}
	if st := h.status(); !st.Enforced {
		t.Errorf("not enforced: %s", st.Reason)
	}
}

// probe connects from a banned address without pause and returns, when it is
// stopped, how often it got in and was tried.
func (h *host) probe(from, to string) (stop func() (in, tries int)) {
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var in, tries int
	var probing sync.WaitGroup
	probing.Go(func() {
		defer ns.Close()
		runtime.LockOSThread() // never unlocked: the thread ends in its namespace
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			h.t.Error(err)
			return
		}
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 200 * time.Millisecond}
		for ctx.Err() == nil {
			conn, err := dialer.Dial("tcp", to)
			if err == nil {
				in++
				conn.Close()
			}
			tries++
		}
	})
	return func() (int, int) {
		cancel()
		probing.Wait()
		return in, tries
	}
}

// serve accepts connections until the test ends.
func (h *host) serve(address string) {
	h.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				conn.Close()
			}
		}
	}()
}

// again ends the service in a way and starts it.
func (h *host) again(how string) {
	h.t.Helper()
	switch how {
	case "crash":
		_ = h.cmd.Process.Kill()
		<-h.ended
	case "restart in place":
		client := h.path("fail2ban-client")
		if err := os.Symlink(h.binary, client); err != nil {
			h.t.Fatal(err)
		}
		h.must(client, "-c", h.path("etc"), "-s", h.path("sock"), "restart")
		return
	case "upgrade":
		fresh := h.path("f2bpipe-new")
		h.must("cp", h.binary, fresh)
		h.binary = fresh
		fallthrough
	default:
		_ = h.cmd.Process.Signal(syscall.SIGTERM)
		h.end()
	}
	h.run()
}

// TestNoGapAtRestart: a banned client that tries without pause never gets in
// while the service is restarted, replaced after a crash, and upgraded to
// another program, with many more bans to take up.
func TestNoGapAtRestart(t *testing.T) {
	many := 5_000
	switch {
	case os.Getenv("F2BPIPE_SOAK") == "1":
		many = 100_000
	case testing.Short():
		many = 1_000
	}
	h := newHost(t, strings.Replace(plainJail, "maxretry = 2", "maxretry = 1", 1)+"port = 2222\nblocktype = reject\nbantime = 1h\n")
	h.write("etc/fail2ban.local", "[Definition]\ndbfile = "+h.path("db.sqlite3")+"\n")
	h.serve("127.0.0.1:2222")
	h.run()
	h.attackers(0, many)
	h.command("ban", "--force", "--jail", "login", "127.0.0.2")
	h.enforced(many + 1)
	stop := h.probe("127.0.0.2", "127.0.0.1:2222")
	for _, how := range []string{"restart", "crash", "upgrade", "restart in place"} {
		h.again(how)
		began := time.Now()
		h.enforced(many + 1)
		t.Logf("%s: %d bans enforced again %v after the service answered", how, many+1, time.Since(began))
	}
	in, tries := stop()
	t.Logf("%d tries", tries)
	if in > 0 || tries < 20 {
		t.Errorf("in %d times of %d", in, tries)
	}
	h.command("stop")
	h.end()
	if text := h.ruleset(); text != "" {
		t.Errorf("after the stop: %.300s", text)
	}
}

// TestNoGapAfterCrash: a ban that the kernel has, and the store not yet when
// the service dies, stays until its line has been read again.
func TestNoGapAfterCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the settling")
	}
	h := newHost(t, strings.Replace(plainJail, "maxretry = 2", "maxretry = 1", 1)+"port = 2222\nblocktype = reject\nignoreself = false\nguard = no\n")
	h.write("etc/fail2ban.local", "[Definition]\ndbfile = "+h.path("db.sqlite3")+"\n")
	h.serve("127.0.0.1:2222")
	h.run()
	banned := func() bool {
		return exec.Command("nft", "get", "element", "inet", "f2bpipe", "addr4-login", "{ 127.0.0.2 }").Run() == nil
	}
	f, err := os.OpenFile(h.path("login.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s login failed from 127.0.0.2\n", time.Now().Format(time.DateTime)); err != nil {
		t.Fatal(err)
	}
	h.until("the attacker is banned", banned)
	_ = h.cmd.Process.Kill()
	<-h.ended
	h.must("nft", "add set inet f2bpipe addr4-gone { type ipv4_addr; }")
	stop := h.probe("127.0.0.2", "127.0.0.1:2222")
	h.run()
	h.enforced(1)
	h.until("what a process before left is cleared", func() bool { return !strings.Contains(h.must("nft", "list", "sets"), "addr4-gone") })
	if in, tries := stop(); in > 0 || tries < 10 {
		t.Errorf("in %d times of %d", in, tries)
	}
}

// TestWithoutNetfilter: where nf_tables' socket is refused, blackhole routes
// take its place, and status says in what they are coarser.
func TestWithoutNetfilter(t *testing.T) {
	if program := os.Getenv("F2BPIPE_TEST_EXEC"); program != "" {
		if err := testenv.RefuseNetfilter(unix.EPROTONOSUPPORT); err != nil {
			t.Fatal(err)
		}
		t.Fatal(syscall.Exec(program, append([]string{program}, strings.Fields(os.Getenv("F2BPIPE_TEST_ARGS"))...), os.Environ()))
	}
	h := newHost(t, plainJail)
	h.write("sealed", "#!/bin/sh\nexport F2BPIPE_TEST_EXEC="+h.binary+" F2BPIPE_TEST_ARGS=\"$*\"\nexec "+os.Args[0]+" -test.run='^TestWithoutNetfilter$'\n")
	if err := os.Chmod(h.path("sealed"), 0o755); err != nil {
		t.Fatal(err)
	}
	ours := h.binary
	h.binary = h.path("sealed")
	h.start()
	h.binary = ours
	h.answers()
	h.command("ban", "192.0.2.1", "2001:db8::1", "198.51.100.0/24")
	st := h.status()
	if !st.Enforced || st.Kernel.By != "routes" || !strings.Contains(st.Kernel.Coarse, "every port") {
		t.Errorf("enforced %v (%s), %+v", st.Enforced, st.Reason, st.Kernel)
	}
	if out := h.command("status"); !strings.Contains(out, "enforced by routes: ") {
		t.Errorf("status: %s", out)
	}
	routes := h.must("ip", "route") + h.must("ip", "-6", "route")
	for _, want := range []string{"blackhole 192.0.2.1", "blackhole 198.51.100.0/24", "blackhole 2001:db8::1"} {
		if !strings.Contains(routes, want) {
			t.Errorf("no %s in:\n%s", want, routes)
		}
	}
	h.command("unban", "192.0.2.1")
	if out := h.must("ip", "route"); strings.Contains(out, "192.0.2.1") {
		t.Errorf("after unban: %s", out)
	}
	_ = h.cmd.Process.Signal(syscall.SIGTERM) // they would never end
	h.end()
	if out := h.must("ip", "route") + h.must("ip", "-6", "route"); strings.Contains(out, "blackhole") {
		t.Errorf("after the end: %s", out)
	}
}
