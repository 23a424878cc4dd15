package service

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// patience is how long a connection that comes about may take.
const patience = 300 * time.Millisecond

// cable joins the test's network namespace (10.0.0.1, fd00::1), where services
// listen, with a client's of several addresses: 10.0.0.2 to .9, 10.1.0.2 to .9,
// fd00::2 to ::9 and fd00:0:0:1::2. The client is the default gateway, as 10.0.0.9.
type cable struct {
	t     *testing.T
	netns int
	pid   int
}

func newCable(t *testing.T) *cable {
	t.Helper()
	testenv.Netns(t)
	testenv.NeedTool(t, "nft")
	netns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(netns) })
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	c := &cable{t, netns, cmd.Process.Pid}
	c.host("link set lo up", fmt.Sprintf("link add server type veth peer name client netns %d", c.pid), "addr add 10.0.0.1/24 dev server",
		"addr add fd00::1/48 dev server nodad", "link set server up", "route add 10.1.0.0/24 dev server", "route add default via 10.0.0.9")
	c.client("link set lo up", "link set client up", "addr add fd00:0:0:1::2/48 dev client nodad")
	for i := 2; i < 10; i++ {
		c.client(fmt.Sprintf("addr add 10.0.0.%d/24 dev client", i), fmt.Sprintf("addr add 10.1.0.%d/24 dev client", i), fmt.Sprintf("addr add fd00::%d/48 dev client nodad", i))
	}
	for _, at := range []string{"10.0.0.1:2222", "10.0.0.1:80", "[fd00::1]:2222", "[fd00::1]:80"} {
		c.serve(at)
	}
	// A new link drops packets until the kernel's link watch comes round.
	for _, way := range [][2]string{{"10.0.0.2", "10.0.0.1:80"}, {"10.1.0.2", "10.0.0.1:80"}, {"fd00::2", "[fd00::1]:80"}} {
		for end := time.Now().Add(10 * time.Second); ; {
			conn, err := c.dial(way[0], way[1])
			if err == nil {
				conn.Close()
				break
			}
			if time.Now().After(end) {
				t.Fatalf("no way from %s: %v", way[0], err)
			}
		}
	}
	return c
}

// container joins a third namespace, and hands on 10.0.0.1:8080 to it (10.2.0.2:80).
func (c *cable) container() {
	c.t.Helper()
	inner := &cable{t: c.t}
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	inner.pid = cmd.Process.Pid
	c.host(fmt.Sprintf("link add bridge type veth peer name eth0 netns %d", inner.pid), "addr add 10.2.0.1/24 dev bridge", "link set bridge up")
	inner.client("link set lo up", "addr add 10.2.0.2/24 dev eth0", "link set eth0 up", "route add default via 10.2.0.1")
	for _, args := range [][]string{
		{"sysctl", "-q", "-w", "net.ipv4.ip_forward=1"}, // of the namespace: sysctl inherits the thread's
		{"nft", "add", "table", "ip", "docker"},
		{"nft", "add", "chain", "ip", "docker", "pre", "{ type nat hook prerouting priority dstnat; }"},
		{"nft", "add", "rule", "ip", "docker", "pre", "ip daddr 10.0.0.1 tcp dport 8080 dnat to 10.2.0.2:80"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			c.t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		file, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", inner.pid))
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			file.Close()
		}
		if err == nil {
			inner.serve("10.2.0.2:80")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		c.t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		conn, err := c.dial("10.1.0.2", "10.0.0.1:8080")
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("no way to the container: %v", err)
		}
	}
}

// host runs ip in the test's namespace, client in the client's.
func (c *cable) host(lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			c.t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
}

func (c *cable) client(lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		args := append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", c.pid), "ip"}, strings.Fields(line)...)
		if out, err := exec.Command("nsenter", args...).CombinedOutput(); err != nil {
			c.t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
}

// serve takes connections and keeps them open until the other end closes them.
func (c *cable) serve(at string) {
	c.t.Helper()
	listener, err := net.Listen("tcp", at)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = conn.Read(make([]byte, 1))
				conn.Close()
			}()
		}
	}()
}

// dial connects from an address of the client's.
func (c *cable) dial(from, to string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread dies with its namespace
		var file *os.File
		if file, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", c.pid)); err != nil {
			return
		}
		defer file.Close()
		if err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			return
		}
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
		conn, err = dialer.Dial("tcp", to)
	}()
	<-done
	return conn, err
}

// passes and fails say whether connections ought to come about.
func (c *cable) passes(to string, from ...string) {
	c.t.Helper()
	for _, f := range from {
		conn, err := c.dial(f, to)
		if err != nil {
			c.t.Errorf("%s cannot reach %s: %v", f, to, err)
			continue
		}
		conn.Close()
	}
}

func (c *cable) fails(to string, from ...string) {
	c.t.Helper()
	for _, f := range from {
		if conn, err := c.dial(f, to); err == nil {
			conn.Close()
			c.t.Errorf("%s reaches %s", f, to)
		}
	}
}
