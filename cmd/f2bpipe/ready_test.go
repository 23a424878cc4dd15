package main

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadyInForce: when systemd is told that the service is ready, every stored
// ban is in the kernel. The network may come up then.
func TestReadyInForce(t *testing.T) {
	n := 30_000
	if testing.Short() {
		n = 5_000
	}
	h := newHost(t, survivingJail)
	fill(t, h.keeps(), n)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: h.path("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", h.path("notify"))
	h.spawn()
	if err := manager.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 4096)
	for told := ""; !strings.Contains(told, "READY=1"); {
		size, err := manager.Read(message)
		if err != nil {
			t.Fatalf("systemd is not told: %v: %.2000s", err, h.stderr)
		}
		told = string(message[:size])
	}
	// Halted, it adds nothing while the kernel is read.
	if err := h.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if got := len(h.elements()); got != n {
		t.Errorf("ready with %d of %d bans in the kernel", got, n)
	}
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Wait()
}
