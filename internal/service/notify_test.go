package service

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestNotify(t *testing.T) {
	tr := newSite(t)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: tr.path("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", tr.path("notify"))
	t.Setenv("WATCHDOG_USEC", strconv.Itoa(int(100*time.Millisecond/time.Microsecond)))
	// expect returns the next message that has all of the parts.
	expect := func(parts ...string) string {
		t.Helper()
		buf := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
	message:
		for {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("no message with %q: %v", parts, err)
			}
			for _, p := range parts {
				if !strings.Contains(string(buf[:n]), p) {
					continue message
				}
			}
			return string(buf[:n])
		}
	}
	tr.write("jail.local", jailText("one"))
	s := tr.start()
	expect("READY=1\nSTATUS=2 jails, 0 bans, 0 bytes (0.0 s) behind, NOT ENFORCED: dry run")
	// A sign of life comes twice as often as it is wanted.
	first := time.Now()
	expect("WATCHDOG=1")
	expect("WATCHDOG=1")
	if took := time.Since(first); took < 50*time.Millisecond {
		t.Errorf("two signs of life within %v", took)
	}
	if _, err := (verbs{s.Service}).Ban(t.Context(), "one", []string{"203.0.113.1"}); err != nil {
		t.Fatal(err)
	}
	expect("STATUS=2 jails, 1 bans", "WATCHDOG=1")
	s.reload(t, "")
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1")
	begin := time.Now()
	s.stop()
	expect("STOPPING=1")
	if err := <-s.stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the stop took %v", took)
	}
}
