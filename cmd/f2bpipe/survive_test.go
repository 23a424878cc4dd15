package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/internal/store"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

const survivingJail = "[login]\nenabled = true\nfilter = login\nlogpath = LOG\nmaxretry = 5\nfindtime = 1d\nbantime = 1d\naction = nftables[type=allports]\n"

// keeps makes the host's service keep its database, and returns where.
func (h *host) keeps() string {
	h.write("etc/fail2ban.local", "[Definition]\ndbfile = "+h.path("db")+"\n")
	return h.path("db")
}

// spawn starts the service and does not wait for it.
func (h *host) spawn() {
	h.t.Helper()
	h.stderr = &logged{}
	h.cmd = exec.Command(h.binary, "run", "--config", h.path("etc"), "--socket", h.path("sock"))
	h.cmd.Stderr = h.stderr
	h.cmd.Env = append(os.Environ(), "INVOCATION_ID=")
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
}

// elements returns what the sets of our table hold, each as often as it is there.
func (h *host) elements() map[string]int {
	h.t.Helper()
	var list struct {
		Nftables []struct {
			Set *struct {
				Elem []json.RawMessage
			}
		}
	}
	if err := json.Unmarshal([]byte(h.must("nft", "-j", "list", "ruleset")), &list); err != nil {
		h.t.Fatal(err)
	}
	out := map[string]int{}
	for _, o := range list.Nftables {
		if o.Set == nil {
			continue
		}
		for _, raw := range o.Set.Elem {
			var plain string
			var timed struct{ Elem struct{ Val string } }
			if json.Unmarshal(raw, &plain) != nil && json.Unmarshal(raw, &timed) == nil {
				plain = timed.Elem.Val
			}
			out[plain]++
		}
	}
	return out
}

// banned returns who is banned, as the service says.
func (h *host) banned() (list []service.BanInfo) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.command("banned", "--json")), &list); err != nil {
		h.t.Fatal(err)
	}
	return list
}

// TestKill: a process that is killed at any moment while 2,000 addresses attack,
// its start included, loses no line and counts none twice. After it all: every
// address that was over maxretry is banned, in the kernel and in the database,
// once, and every counter stands where it would stand without a kill.
func TestKill(t *testing.T) {
	kills := 6
	if os.Getenv("F2BPIPE_SOAK") == "1" {
		kills = 200
	} else if testing.Short() {
		kills = 3
	}
	h := newHost(t, survivingJail)
	db := h.keeps()
	rnd := rand.New(rand.NewPCG(uint64(kills), 1))
	lines := map[string]int{} // by address
	var work []string
	for i := range 2000 {
		addr := fmt.Sprintf("10.1.%d.%d", i/250, i%250+1)
		for range 1 + rnd.IntN(9) {
			work = append(work, addr)
			lines[addr]++
		}
	}
	rnd.Shuffle(len(work), func(i, j int) { work[i], work[j] = work[j], work[i] })
	log, err := os.OpenFile(h.path("login.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	write := func(n int) {
		now := time.Now().Format(time.DateTime)
		for _, addr := range work[:n] {
			fmt.Fprintf(log, "%s login failed from %s\n", now, addr)
		}
		work = work[n:]
	}
	total := len(work)
	for kill := range kills {
		h.spawn()
		// From the first instruction on to well into the work.
		end := time.After(time.Duration(rnd.IntN(1000)) * time.Millisecond)
		for share, killed := total/kills*(kill+1), false; !killed; {
			select {
			case <-end:
				killed = true
			case <-time.After(time.Millisecond):
				if done := total - len(work); done < share {
					write(min(1+rnd.IntN(40), share-done))
				}
			}
		}
		if err := h.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = h.cmd.Wait()
		if text := h.stderr.String(); strings.Contains(text, "panic") {
			t.Fatal(text)
		}
	}
	write(len(work))
	h.run()
	over := 0
	for _, n := range lines {
		if n >= 5 {
			over++
		}
	}
	h.until("everybody who is over maxretry is banned", func() bool {
		st := h.status()
		return st.Jails[0].Banned.Current >= over && st.Jails[0].Enforced >= over
	})
	h.until("the log is read", func() bool { return h.status().Sources[0].LagBytes == 0 })
	inKernel, inLedger := h.elements(), map[string]int{}
	for _, b := range h.banned() {
		inLedger[b.IP]++
	}
	h.command("stop")
	h.end()

	st, err := store.Open(context.Background(), store.Config{Path: db})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if st.Foreign() || st.SetAside() != "" {
		t.Errorf("foreign %v, set aside %q", st.Foreign(), st.SetAside())
	}
	jail := pipeline.NewJail("login", pipeline.Policy{MaxRetry: 5, FindTime: 24 * time.Hour, BanTime: 24 * time.Hour})
	inStore, left := map[string]int{}, map[string]int{}
	bans, _, err := st.Bans(context.Background(), time.Now().UnixNano(), func(string) (store.Target, bool) { return store.Target{Jail: jail}, true })
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bans {
		inStore[b.ID.String()]++
	}
	counts, err := st.Counts(context.Background(), func(string) *pipeline.Jail { return jail })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		left[c.ID.String()] = c.Failures
	}
	wrong := 0
	for addr, n := range lines {
		want := 0
		if n >= 5 {
			want = 1
		}
		if inKernel[addr] != want || inLedger[addr] != want || inStore[addr] != want || left[addr] != n%5 {
			if wrong++; wrong < 10 {
				t.Errorf("%s failed %d times: banned %d in the kernel, %d in the ledger, %d in the store; counted since %d, want %d", addr, n, inKernel[addr], inLedger[addr], inStore[addr], left[addr], n%5)
			}
		}
	}
	if len(inKernel) != over || len(inStore) != over {
		t.Errorf("%d in the kernel, %d in the store, want %d", len(inKernel), len(inStore), over)
	}
	t.Logf("%d kills, %d lines, %d bans, %d wrong", kills, total, over, wrong)
}

// try runs one of our commands, which may fail.
func (h *host) try(args ...string) string {
	out, _ := exec.Command(h.binary, append(args, "--socket", h.path("sock"))...).Output()
	return string(out)
}

// cpu returns the processor's time that a process took: fields 14 and 15 of
// /proc/PID/stat, in ticks of 10 ms (proc_pid_stat(5)).
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var user, system int
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
