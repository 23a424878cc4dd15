package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// neighbour is another network namespace, kept by a process that sleeps.
type neighbour struct {
	t   testing.TB
	pid int
}

func newNeighbour(t testing.TB) neighbour {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	n := neighbour{t, cmd.Process.Pid}
	n.ip("link", "set", "lo", "up")
	return n
}

// ip runs ip in the neighbour's namespace.
func (n neighbour) ip(args ...string) {
	n.t.Helper()
	run(n.t, "nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", n.pid), "ip"}, args...)...)
}

// in calls f on a thread in the neighbour's namespace.
func (n neighbour) in(f func()) {
	n.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with its namespace
		file, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", n.pid))
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			file.Close()
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		n.t.Fatal(err)
	}
}

// patience is how long a dropped connection is tried.
const patience = 250 * time.Millisecond

// dial connects from an address of the neighbour's.
func (n neighbour) dial(from, to string) (conn net.Conn, err error) {
	n.t.Helper()
	n.in(func() {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
		conn, err = dialer.Dial("tcp", to)
	})
	return conn, err
}

// passes and fails say whether a connection ought to come about.
func (n neighbour) passes(from, to string) {
	n.t.Helper()
	conn, err := n.dial(from, to)
	if err != nil {
		n.t.Errorf("from %s to %s: %v", from, to, err)
		return
	}
	conn.Close()
}

func (n neighbour) fails(from, to string) error {
	n.t.Helper()
	conn, err := n.dial(from, to)
	if err == nil {
		conn.Close()
		n.t.Errorf("from %s to %s: connected", from, to)
	}
	return err
}

// serve accepts connections at the addresses and echoes, in the calling
// thread's namespace.
func serve(t testing.TB, addresses ...string) {
	t.Helper()
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					io.Copy(conn, conn)
					conn.Close()
				}()
			}
		}()
	}
}

// newClient joins the test's namespace (10.0.0.1, fd00::1) and a client's with
// several addresses (10.0.0.2 to .9, fd00::2 to ::9, fd00:1::2, ::3) by a cable.
func newClient(k *kernel) neighbour {
	k.t.Helper()
	c := newNeighbour(k.t)
	run(k.t, "ip", "link", "set", "lo", "up")
	run(k.t, "ip", "link", "add", "server", "type", "veth", "peer", "name", "client", "netns", fmt.Sprint(c.pid))
	run(k.t, "ip", "addr", "add", "10.0.0.1/24", "dev", "server")
	run(k.t, "ip", "addr", "add", "fd00::1/16", "dev", "server", "nodad")
	run(k.t, "ip", "link", "set", "server", "up")
	for i := 2; i < 10; i++ {
		c.ip("addr", "add", fmt.Sprintf("10.0.0.%d/24", i), "dev", "client")
		c.ip("addr", "add", fmt.Sprintf("fd00::%d/16", i), "dev", "client", "nodad")
	}
	c.ip("addr", "add", "fd00:1::2/16", "dev", "client", "nodad")
	c.ip("addr", "add", "fd00:1::3/16", "dev", "client", "nodad")
	c.ip("link", "set", "client", "up")
	// A new link drops packets until the kernel's link watch comes round.
	for _, closed := range []struct{ from, to string }{{"10.0.0.2", "10.0.0.1:1"}, {"fd00::2", "[fd00::1]:1"}} {
		began := time.Now()
		for {
			_, err := c.dial(closed.from, closed.to)
			if errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
			if time.Since(began) > 10*time.Second {
				k.t.Fatalf("no way from %s to %s: %v", closed.from, closed.to, err)
			}
		}
	}
	return c
}

// probe connects from an address without pause until stop is called, which
// returns the times at which it got in and the number of tries.
func (n neighbour) probe(from, to string) (stop func() (in []time.Time, tries int)) {
	ctx, cancel := context.WithCancel(context.Background())
	var in []time.Time
	var tries int
	var probing sync.WaitGroup
	probing.Go(func() {
		n.in(func() {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
			for ctx.Err() == nil {
				if conn, err := dialer.Dial("tcp", to); err == nil {
					in = append(in, time.Now())
					conn.Close()
				}
				tries++
			}
		})
	})
	return func() ([]time.Time, int) {
		cancel()
		probing.Wait()
		return in, tries
	}
}

// echo sends a text and waits for it.
func echo(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(2 * patience))
	if _, err := conn.Write([]byte("hello")); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 5))
	return err
}

// router makes the test's namespace forward to a container (172.17.0.2:80):
// by its own address 10.0.0.1:8080, by an address that it does not have
// (10.9.0.1:8080), and by the container's.
func router(k *kernel, c neighbour) {
	k.t.Helper()
	inner := newNeighbour(k.t)
	run(k.t, "ip", "link", "add", "bridge", "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(inner.pid))
	run(k.t, "ip", "addr", "add", "172.17.0.1/16", "dev", "bridge")
	run(k.t, "ip", "link", "set", "bridge", "up")
	inner.ip("addr", "add", "172.17.0.2/16", "dev", "eth0")
	inner.ip("link", "set", "eth0", "up")
	inner.ip("route", "add", "default", "via", "172.17.0.1")
	c.ip("route", "add", "default", "via", "10.0.0.1")
	run(k.t, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1") // of the namespace: sysctl inherits the thread's
	inner.in(func() { serve(k.t, "172.17.0.2:80", "172.17.0.2:81") })
	k.nft("add", "table", "ip", "docker")
	k.nft("add", "chain", "ip", "docker", "pre", "{ type nat hook prerouting priority dstnat; }")
	k.nft("add", "rule", "ip", "docker", "pre", "ip daddr { 10.0.0.1, 10.9.0.1 } tcp dport 8080 dnat to 172.17.0.2:80")
	k.nft("add", "rule", "ip", "docker", "pre", "ip daddr 10.0.0.1 tcp dport 8081 dnat to 172.17.0.2:81")
}
