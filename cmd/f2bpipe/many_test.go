package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/store"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// fill puts n bans of an hour into a new database: fail2ban's data with two
// lines each.
func fill(t *testing.T, path string, n int) {
	t.Helper()
	ctx, j := context.Background(), pipeline.NewJail("login", pipeline.Policy{BanTime: time.Hour})
	st, err := store.Open(ctx, store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	now, c := time.Now().Add(-time.Minute).UnixNano(), new(pipeline.Checkpoint)
	ticket := &pipeline.Ticket{Matches: []string{strings.Repeat("x", 90), strings.Repeat("y", 90)}, Count: 1}
	for i := range n {
		id := pipeline.AddrID(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
		if i%10 == 9 {
			id = pipeline.ParseID(fmt.Sprintf("2001:db8::%x:%x", i>>16, i&0xffff))
		}
		c.Events = append(c.Events, pipeline.Event{Kind: pipeline.EventBan, Ban: pipeline.Ban{Jail: j, ID: id, AtNanos: now, UntilNanos: now + int64(24*time.Hour), Failures: 5, Ticket: ticket}})
	}
	if err := st.Save(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// proc returns a number of /proc/PID/status in kB.
func (h *host) proc(name string) int {
	h.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == name+":" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

// rests waits until the service takes no time of the processor for half a second,
// and returns when that began and what it has taken until then.
func (h *host) rests(begin time.Time) (since, busy time.Duration) {
	h.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; time.Since(begin) < time.Minute; <-tick.C {
		now := cpu(h.t, h.cmd.Process.Pid)
		if now > busy {
			since, busy = time.Since(begin), now
		} else if busy > 0 && time.Since(begin)-since > 500*time.Millisecond {
			if _, err := os.Stat(h.path("sock")); err == nil {
				return since, busy
			}
		}
	}
	h.t.Fatalf("not at rest after a minute: %.2000s", h.stderr)
	return 0, 0
}

// TestManyBans: 100,000 stored bans are in the kernel within two seconds of the
// start, and the service ends within one: what the log says on a machine that
// does nothing else. What is asserted leaves room for one that does.
func TestManyBans(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 5_000
	}
	h := newHost(t, survivingJail)
	fill(t, h.keeps(), n)
	begin := time.Now()
	h.spawn()
	// To ask would cost the service more than to ban: it is done when it rests.
	up, busy := h.rests(begin)
	rss, peak := h.proc("VmRSS"), h.proc("VmHWM")
	if text := h.try("status", "login", "--json"); !strings.Contains(text, fmt.Sprintf(`"enforced":%d,`, n)) {
		t.Fatalf("not enforced: %s\n%.2000s", text[max(0, strings.LastIndex(text, `"enforced"`)):], h.stderr)
	}
	if got := len(h.elements()); got != n {
		t.Errorf("%d elements in the kernel, want %d", got, n)
	}
	stop := time.Now()
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := h.cmd.Wait()
	down := time.Since(stop)
	if err != nil {
		t.Errorf("stop: %v", err)
	}
	if list, _ := filepath.Glob(h.path("db*")); len(list) != 1 {
		t.Errorf("behind stay %v", list)
	}
	t.Logf("%d bans: up in %v (%v of the processor), stopped in %v, resident %d MB, at most %d MB", n, up, busy, down, rss>>10, peak>>10)
	if busy > 6*time.Second || down > 5*time.Second {
		t.Errorf("too slow")
	}
}
