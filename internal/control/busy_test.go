package control

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Who finds the server's queue full waits for it.
func TestDialWaitsForABusyServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(l)
	if err := syscall.Bind(l, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(l, 0); err != nil { // room for one
		t.Fatal(err)
	}
	first, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	timer := time.AfterFunc(50*time.Millisecond, func() {
		if fd, _, err := syscall.Accept(l); err == nil {
			_ = syscall.Close(fd)
		}
	})
	defer timer.Stop()
	start := time.Now()
	second, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("the queue was not full: connected after %v", took)
	}
}
