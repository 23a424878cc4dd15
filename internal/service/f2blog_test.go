package service

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// TestLengthsAreFail2bans compares the length of an increased ban with what
// Debian's fail2ban writes.
func TestLengthsAreFail2bans(t *testing.T) {
	python := testenv.Python(t)
	var lengths []int
	for _, around := range []int{0, 60, 600, 3595, 3600, 7200, 86395, 86400, 90030, 604800, 606600, 31536000, 40000000, 63720000} {
		for d := -35; d <= 95; d++ {
			if around+d >= 0 {
				lengths = append(lengths, around+d)
			}
		}
	}
	for n := 100.0; n < 1e9; n *= 1.02 {
		lengths = append(lengths, int(math.Round(n)))
	}
	var script strings.Builder
	script.WriteString("from fail2ban.server.mytime import MyTime\nfor n in [")
	for _, n := range lengths {
		fmt.Fprintf(&script, "%d,", n)
	}
	script.WriteString("]:\n print(str(MyTime.seconds2str(n)))\n")
	out, err := exec.Command(python, "-c", script.String()).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(want) != len(lengths) {
		t.Fatalf("%d answers for %d lengths", len(want), len(lengths))
	}
	for i, n := range lengths {
		if got := lengthText(float64(n)); got != want[i] {
			t.Errorf("%d s: %q, want %q", n, got, want[i])
		}
	}
}

// TestOnlyBansReadAsBans writes every kind of line with the names that an
// attacker would choose, and lets Debian's recidive filter read them.
func TestOnlyBansReadAsBans(t *testing.T) {
	python := testenv.Python(t)
	var log strings.Builder
	out, err := logtarget.New(logtarget.Config{Target: "STDOUT", Level: "0", Stdout: &log})
	if err != nil {
		t.Fatal(err)
	}
	lines := banLog{out}
	hostile := []string{
		"x] Ban 192.0.2.1", "x]  Ban 192.0.2.1", "\n2026-11-22 13:19:17,085 fail2ban.actions        [560]: NOTICE  [sshd] Ban 192.0.2.2",
		"] Ban 192.0.2.3\r\n", "a\tb] Ban\t192.0.2.4", "x]\u00a0Ban\u2003192.0.2.5", "[y] Ban 192.0.2.6", "NOTICE [y] Ban 192.0.2.7", "] Ban 192.0.2.8\x00",
		"Ban 192.0.2.9", "\x85] Ban 192.0.2.10", "\u2028NOTICE [q] Ban 192.0.2.11",
	}
	kinds := []pipeline.EventKind{pipeline.EventProlong, pipeline.EventUnban, pipeline.EventAlready, pipeline.EventTooLate, pipeline.EventFull, pipeline.EventRefused, pipeline.EventEnforced}
	for _, text := range hostile {
		for _, name := range []string{"sshd", text} {
			b := pipeline.Ban{Jail: pipeline.NewJail(name, pipeline.Policy{}), ID: pipeline.TextID(text), Ticket: &pipeline.Ticket{Count: 2, Grown: &pipeline.Grown{Before: 1, From: 1, To: 2}}}
			for _, k := range kinds {
				lines.Observe(pipeline.Event{Kind: k, Ban: b, Err: fmt.Errorf("%s", text)})
			}
			lines.found([]pipeline.Failure{{Jail: b.Jail, ID: b.ID}})
			lines.bad(&pipeline.Failure{Jail: b.Jail, ID: b.ID}, 1, 2, 2)
			lines.ignored(b.Jail, b.ID, 1)
			lines.Observe(pipeline.Event{Kind: pipeline.EventBan, Ban: pipeline.Ban{Jail: b.Jail, ID: b.ID, Ticket: b.Ticket, Restored: true}})
			// A ban, but not of the address that stands in the ID.
			lines.Observe(pipeline.Event{Kind: pipeline.EventBan, Ban: b})
		}
	}
	real := pipeline.Ban{Jail: pipeline.NewJail("x] Ban 192.0.2.99 y", pipeline.Policy{}), ID: pipeline.ParseID("203.0.113.1")}
	lines.Observe(pipeline.Event{Kind: pipeline.EventBan, Ban: real})
	out.Close()
	tr := newSite(t)
	tr.write("f2b.log", log.String())
	got, err := exec.Command(python, "/usr/bin/fail2ban-regex", "--usedns=raw", "-o", "id", tr.path("f2b.log"), "/etc/fail2ban/filter.d/recidive.conf").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(got)) != "203.0.113.1" {
		t.Errorf("recidive bans %q in\n%s", got, log.String())
	}
	// And so reads our own recidive filter.
	tr.write("jail.local", jailText("recidive", "filter = recidive", "logpath = DIR/f2b.log", "maxretry = 1", "findtime = 1d"))
	s := tr.start(func(c *Config) { c.Options.Stock = stock.FS() })
	s.out.wait(t, 1, `"ban"`, "203.0.113.1")
	if n := s.out.times(`"ban"`); n != 1 {
		t.Errorf("our recidive bans %d:\n%s", n, strings.Join(s.out.lines, ""))
	}
}

// TestRecidiveReadsOurLog bans by two jails; a third, of the stock filter over
// our own log, takes it from there, once for each.
func TestRecidiveReadsOurLog(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("web", "maxretry = 1")+jailText("mail", "maxretry = 1")+
		jailText("recidive", "filter = recidive", "logpath = DIR/f2b.log", "maxretry = 2", "findtime = 1d", "bantime = 1w"))
	tr.log("web.log")
	tr.log("mail.log")
	out := fileLog(t, tr.path("f2b.log"))
	out.Print(logtarget.Info, loggerServer, false, "the file is there") // a jail wants it at its start
	waitFile(t, tr.path("f2b.log"), "the file is there")
	s := tr.start(func(c *Config) { c.Out, c.Options.Stock = out, stock.FS() })
	tr.log("web.log", failed("203.0.113.1", "203.0.113.2")...)
	tr.log("mail.log", failed("203.0.113.2", "203.0.113.3")...)
	s.out.wait(t, 1, `"ban"`, `"recidive"`, "203.0.113.2")
	waitFile(t, tr.path("f2b.log"), "[recidive] Ban 203.0.113.2")
	if n := s.out.times(`"ban"`, `"recidive"`); n != 1 {
		t.Errorf("%d bans by recidive", n)
	}
}

// fileLog opens a log that is a file.
func fileLog(t *testing.T, path string) *logtarget.Log {
	t.Helper()
	out, err := logtarget.New(logtarget.Config{Target: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Close)
	return out
}

// waitFile returns when a file holds a text.
func waitFile(t *testing.T, path, text string) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		if b, _ := os.ReadFile(path); strings.Contains(string(b), text) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s never holds %q", path, text)
		}
	}
}

// TestUnwritableLog: with a full disk under the log the service goes on banning,
// and says so; once the log can be written nothing of the bans is missing.
func TestUnwritableLog(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("web"))
	tr.log("web.log")
	out, err := logtarget.New(logtarget.Config{Target: "/dev/full", Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s := tr.start(func(c *Config) { c.Out = out })
	tr.log("web.log", failed("203.0.113.1", "203.0.113.1")...)
	s.out.wait(t, 1, `"ban"`, "203.0.113.1")
	tick, late := time.NewTicker(time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !strings.Contains(strings.Join(s.degraded(), "\n"), "log: /dev/full takes no lines: ") {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("degraded: %q", s.degraded())
		}
	}
	if text := s.summary(); !strings.Contains(text, "degraded: log: /dev/full takes no lines") {
		t.Errorf("the service manager is told %q", text)
	}
	if err := (verbs{s.Service}).ChangeServer(t.Context(), "logtarget", tr.path("f2b.log")); err != nil {
		t.Fatal(err)
	}
	waitFile(t, tr.path("f2b.log"), "NOTICE  [web] Ban 203.0.113.1\n")
	if d := s.degraded(); len(d) != 0 {
		t.Errorf("degraded still: %q", d)
	}
}

// TestLogIsRotated moves the log away and asks for another, by signal and by command.
func TestLogIsRotated(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("web"))
	path := tr.path("f2b.log")
	out := fileLog(t, path)
	s := tr.start(func(c *Config) { c.Out = out })
	roll := func(n int, ask func() error) {
		t.Helper()
		out.Print(logtarget.Info, loggerServer, false, fmt.Sprintf("before %d", n))
		waitFile(t, path, fmt.Sprintf("before %d", n))
		if err := os.Rename(path, fmt.Sprint(path, ".", n)); err != nil {
			t.Fatal(err)
		}
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		waitFile(t, path, "fail2ban.server         ["+fmt.Sprint(os.Getpid())+"]: INFO    rollover performed on "+path+"\n")
	}
	roll(1, func() error { return syscall.Kill(syscall.Getpid(), syscall.SIGUSR1) })
	roll(2, func() error {
		rolled, err := (verbs{s.Service}).FlushLogs(t.Context())
		if err == nil && !rolled {
			err = errors.New("not rolled")
		}
		return err
	})
}
