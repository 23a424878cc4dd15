package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

var everywhere = []string{"10.0.0.1:2201", "10.0.0.1:2202", "[fd00::1]:2201", "[fd00::1]:2202"}

// TestPackets: a banned client cannot connect to the jail's ports, by address,
// /64 and network; others can, other ports can; an unban lets it in.
func TestPackets(t *testing.T) {
	for _, layout := range []Layout{LayoutOwn, LayoutClassic} {
		t.Run(fmt.Sprint(layout), func(t *testing.T) {
			k := newKernel(t, Config{Layout: layout})
			c := newClient(k)
			serve(t, everywhere...)
			k.set("sshd", Action{Ports: []PortRange{{2201, 2201}}, Protocols: []string{"tcp"}})
			c.passes("10.0.0.2", "10.0.0.1:2201")
			c.passes("fd00::2", "[fd00::1]:2201")
			k.ban("sshd", "10.0.0.2", "fd00::2", "fd00:1::/64", "10.0.0.8/31")
			for _, from := range []string{"10.0.0.2", "10.0.0.8", "10.0.0.9"} {
				c.fails(from, "10.0.0.1:2201")
				c.passes(from, "10.0.0.1:2202")
			}
			for _, from := range []string{"fd00::2", "fd00:1::2", "fd00:1::3"} {
				c.fails(from, "[fd00::1]:2201")
				c.passes(from, "[fd00::1]:2202")
			}
			c.passes("10.0.0.3", "10.0.0.1:2201")
			c.passes("10.0.0.7", "10.0.0.1:2201")
			c.passes("fd00::3", "[fd00::1]:2201")
			k.unban("sshd", "10.0.0.2", "fd00::2", "fd00:1::/64", "10.0.0.8/31")
			c.passes("10.0.0.2", "10.0.0.1:2201")
			c.passes("10.0.0.9", "10.0.0.1:2201")
			c.passes("fd00::2", "[fd00::1]:2201")
			c.passes("fd00:1::3", "[fd00::1]:2201")
		})
	}
}

// TestPacketsAllPorts: without ports everything is refused, and what was
// refused is counted, also over a change of the rules.
func TestPacketsAllPorts(t *testing.T) {
	k := newKernel(t, Config{})
	c := newClient(k)
	serve(t, everywhere...)
	k.set("manual", Action{})
	k.ban("manual", "10.0.0.2")
	c.fails("10.0.0.2", "10.0.0.1:2201")
	c.fails("10.0.0.2", "10.0.0.1:2202")
	c.passes("10.0.0.3", "10.0.0.1:2202")
	packets, bytes := k.Counters("manual")
	if packets < 2 || bytes < 2*40 {
		t.Errorf("counted %d packets, %d bytes", packets, bytes)
	}
	k.set("manual", Action{Block: "reject"})
	if again, _ := k.Counters("manual"); again < packets {
		t.Errorf("counted %d packets before a change, %d after", packets, again)
	}
}

// TestPacketsRejected: each blocktype as the client sees it; nil is silence.
func TestPacketsRejected(t *testing.T) {
	for block, want := range map[string]error{
		"reject":                                syscall.ECONNREFUSED,
		"reject with tcp reset":                 syscall.ECONNREFUSED,
		"reject with icmp type host-prohibited": syscall.EHOSTUNREACH,
		"drop":                                  nil,
	} {
		for _, layout := range []Layout{LayoutOwn, LayoutClassic} {
			if testing.Short() && layout == LayoutClassic {
				continue // its rules are compared with fail2ban's
			}
			k := newKernel(t, Config{Layout: layout})
			c := newClient(k)
			serve(t, everywhere...)
			k.set("sshd", Action{Ports: []PortRange{{2201, 2201}}, Block: block})
			k.ban("sshd", "10.0.0.2", "fd00::2")
			err := c.fails("10.0.0.2", "10.0.0.1:2201")
			var timeout net.Error
			if want != nil && !errors.Is(err, want) || want == nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
				t.Errorf("%s: got %v, want %v", block, err, want)
			}
			c.fails("fd00::2", "[fd00::1]:2201")
			c.passes("10.0.0.3", "10.0.0.1:2201")
		}
	}
}

// TestPacketsExpire: the kernel lets a client in by itself.
func TestPacketsExpire(t *testing.T) {
	k := newKernel(t, Config{})
	c := newClient(k)
	serve(t, everywhere...)
	k.set("sshd", Action{})
	k.apply(k.order(pipeline.VerbBan, "sshd", "10.0.0.2", 1), k.order(pipeline.VerbBan, "sshd", "10.0.0.4/31", 1))
	began := time.Now()
	c.fails("10.0.0.2", "10.0.0.1:2201")
	c.fails("10.0.0.5", "10.0.0.1:2201")
	for _, from := range []string{"10.0.0.2", "10.0.0.5"} {
		for {
			conn, err := c.dial(from, "10.0.0.1:2201")
			if err == nil {
				conn.Close()
				break
			}
			if time.Since(began) > 5*time.Second {
				t.Fatalf("%s is still kept out", from)
			}
		}
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("in after %v", took)
	}
}

// TestPacketsEstablished: a ban cuts a connection that is open, and leaves our
// own connections to the banned address alone.
func TestPacketsEstablished(t *testing.T) {
	k := newKernel(t, Config{})
	c := newClient(k)
	serve(t, everywhere...)
	c.in(func() { serve(t, "10.0.0.2:2203") })
	k.set("manual", Action{})
	k.ban("manual", "192.0.2.1") // the layout stands, so that connections are tracked
	conn, err := c.dial("10.0.0.2", "10.0.0.1:2201")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := echo(conn); err != nil {
		t.Fatalf("before the ban: %v", err)
	}
	k.ban("manual", "10.0.0.2")
	if err := echo(conn); err == nil {
		t.Error("the open connection goes on")
	}
	out, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(context.Background(), "tcp", "10.0.0.2:2203")
	if err != nil {
		t.Fatalf("our own connection to the banned address: %v", err)
	}
	defer out.Close()
	if err := echo(out); err != nil {
		t.Errorf("our own connection to the banned address: %v", err)
	}
}

// TestPacketsOpenBefore: a ban cuts a connection that was open before any
// connection was tracked, even if the server speaks first after the ban.
func TestPacketsOpenBefore(t *testing.T) {
	k := newKernel(t, Config{})
	c := newClient(k)
	listener, err := net.Listen("tcp", "10.0.0.1:2201")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := c.dial("10.0.0.2", "10.0.0.1:2201")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	k.set("sshd", Action{Ports: []PortRange{{2201, 2201}}})
	k.ban("sshd", "10.0.0.2")
	if _, err := server.Write([]byte("wrong password")); err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, make([]byte, 14)); err != nil {
		t.Fatalf("what the server says does not arrive: %v", err)
	}
	if _, err := conn.Write([]byte("another one")); err != nil {
		t.Fatal(err)
	}
	server.SetDeadline(time.Now().Add(2 * patience))
	if n, err := server.Read(make([]byte, 20)); err == nil {
		t.Errorf("the server got %d bytes", n)
	}
}

// TestPacketsKillSockets: the server's process hears at once that a banned
// client's connection has ended, of the jail's ports only, and nobody else's.
func TestPacketsKillSockets(t *testing.T) {
	k := newKernel(t, Config{})
	c := newClient(k)
	k.set("sshd", Action{Ports: []PortRange{{2201, 2201}}, KillSockets: true})
	for _, address := range []string{"10.0.0.1", "::"} { // the second takes IPv4 by mapped addresses
		var ends []net.Conn
		var listeners []net.Listener
		for _, port := range []string{"2201", "2202"} {
			listener, err := net.Listen("tcp", net.JoinHostPort(address, port))
			if err != nil {
				t.Fatal(err)
			}
			listeners = append(listeners, listener)
			for _, from := range []string{"10.0.0.2", "10.0.0.3"} {
				conn, err := c.dial(from, "10.0.0.1:"+port)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				end, err := listener.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer end.Close()
				ends = append(ends, end)
			}
		}
		k.ban("sshd", "10.0.0.2")
		for i, end := range ends {
			end.SetDeadline(time.Now().Add(patience))
			_, err := end.Read(make([]byte, 1))
			if killed := errors.Is(err, syscall.ECONNABORTED); killed != (i == 0) {
				t.Errorf("%s: connection %d: %v", address, i, err)
			}
		}
		k.unban("sshd", "10.0.0.2")
		for _, l := range listeners {
			l.Close()
		}
	}
}

// TestPacketsForwarded: published ports are refused by their original number,
// also at an address that is not the host's; transit only with ScopeAll.
func TestPacketsForwarded(t *testing.T) {
	for _, scope := range []Scope{ScopeLocal, ScopeAll} {
		t.Run(fmt.Sprint(scope), func(t *testing.T) {
			k := newKernel(t, Config{})
			c := newClient(k)
			serve(t, everywhere...)
			router(k, c)
			c.passes("10.0.0.2", "10.0.0.1:8080")
			c.passes("10.0.0.2", "10.9.0.1:8080")
			c.passes("10.0.0.2", "172.17.0.2:80")
			k.set("web", Action{Ports: []PortRange{{2201, 2201}, {8080, 8080}, {81, 81}}, Scope: scope})
			open, err := c.dial("10.0.0.2", "10.9.0.1:8080")
			if err != nil {
				t.Fatal(err)
			}
			defer open.Close()
			k.ban("web", "10.0.0.2")
			c.fails("10.0.0.2", "10.0.0.1:2201")
			c.fails("10.0.0.2", "10.0.0.1:8080")
			c.fails("10.0.0.2", "10.9.0.1:8080")
			c.passes("10.0.0.2", "10.0.0.1:2202")
			c.passes("10.0.0.2", "10.0.0.1:8081") // 81 only behind the translation
			c.passes("10.0.0.2", "172.17.0.2:80") // another port
			if err := echo(open); err == nil {
				t.Error("the open connection to the container goes on")
			}
			if scope == ScopeAll {
				c.fails("10.0.0.2", "172.17.0.2:81")
			} else {
				c.passes("10.0.0.2", "172.17.0.2:81")
			}
			c.passes("10.0.0.3", "10.0.0.1:8080")
			k.unban("web", "10.0.0.2")
			c.passes("10.0.0.2", "10.0.0.1:8080")
		})
	}
}

// TestPacketsThroughHealing: a banned client that tries without pause while
// our table is deleted again and again gets in at most within 100 ms. A
// machine that is busy elsewhere gets two more chances.
func TestPacketsThroughHealing(t *testing.T) {
	k := newKernel(t, Config{})
	c := newClient(k)
	serve(t, everywhere...)
	k.guard()
	k.set("sshd", Action{Block: "reject with tcp reset"})
	k.ban("sshd", append(addresses(1000, true), "10.0.0.2")...)
	var longest time.Duration
	for range 3 {
		if longest = longestGap(k, c); longest <= 100*time.Millisecond {
			break
		}
	}
	if longest > 100*time.Millisecond {
		t.Errorf("in %v after a flush", longest)
	}
	c.fails("10.0.0.2", "10.0.0.1:2201")
}

// longestGap deletes our table 30 times and returns how long after one the
// banned client could still connect.
func longestGap(k *kernel, c neighbour) (longest time.Duration) {
	k.t.Helper()
	another, err := dialLink(k.netns) // a process of its own takes long to start and to end
	if err != nil {
		k.t.Fatal(err)
	}
	defer another.close()
	stop := c.probe("10.0.0.2", "10.0.0.1:2201")
	var flushes []time.Time
	for range 30 {
		before := k.Healed()
		flush := new(tx)
		flush.delTable(ownTable)
		flushes = append(flushes, time.Now())
		if err := another.transact(flush); err != nil {
			k.t.Fatal(err)
		}
		k.healed(before)
	}
	in, tries := stop()
	for _, at := range in {
		i, _ := slices.BinarySearchFunc(flushes, at, time.Time.Compare)
		if i == 0 {
			k.t.Fatalf("in before the first flush")
		}
		longest = max(longest, at.Sub(flushes[i-1]))
	}
	k.t.Logf("%d tries during %d flushes: in %d times, at most %v after a flush began", tries, len(flushes), len(in), longest)
	return longest
}

// TestPacketsThroughRestart: it never gets in while another process takes over.
func TestPacketsThroughRestart(t *testing.T) {
	k := newKernel(t, Config{})
	c := newClient(k)
	serve(t, everywhere...)
	k.set("sshd", Action{Block: "reject with tcp reset"})
	ids := append(addresses(5000, true), "10.0.0.2")
	k.ban("sshd", ids...)
	stop := c.probe("10.0.0.2", "10.0.0.1:2201")
	for range 5 {
		k.reopen(Config{})
		k.set("sshd", Action{Block: "reject with tcp reset"})
		k.ban("sshd", ids...)
		if err := k.Reconcile(); err != nil {
			t.Fatal(err)
		}
	}
	in, tries := stop()
	t.Logf("%d tries", tries)
	if len(in) > 0 || tries < 10 {
		t.Errorf("in %d times of %d", len(in), tries)
	}
}

// TestUnprivileged: with the socket buffers of a process that has rights only
// in a user namespace, ten thousand bans of each family work.
func TestUnprivileged(t *testing.T) {
	if os.Getenv("F2BPIPE_TEST_CHILD") == "1" {
		unprivileged(t)
		return
	}
	testenv.Netns(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestUnprivileged$", "-test.v")
	cmd.Env = append(os.Environ(), "F2BPIPE_TEST_CHILD=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%v: %s", err, out)
	}
}

func unprivileged(t *testing.T) {
	for _, layout := range []Layout{LayoutOwn, LayoutClassic} {
		k := newKernel(t, Config{Layout: layout})
		k.set("sshd", Action{})
		for _, v4 := range []bool{true, false} {
			list := addresses(10_000, v4)
			k.apply(k.bans("sshd", list)...)
			k.now += 1e9
			k.apply(k.bans("sshd", list)...) // each removed and added: twice the size
		}
		if got := len(k.left("sshd")); got != 20_000 {
			t.Errorf("layout %d: %d elements", layout, got)
		}
	}
}
