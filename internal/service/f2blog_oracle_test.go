package service

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// Time, process and place in a day do not count; all else is to be the same.
var (
	ofBans  = regexp.MustCompile(`(?m)^.*: (?:NOTICE|INFO|DEBUG|WARNING) +\[(?:sshd|nginx-http-auth)\] (?:(?:Found|Ban|Unban|Ignore|Attempt|Increase|Restore|IP) |\S+ already).*$`)
	process = regexp.MustCompile(`\[\d+\]: `)
)

// banLines returns the lines about bans of a log, without times and process.
func banLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, line := range ofBans.FindAllString(string(text), -1) {
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} `).MatchString(line) {
			t.Errorf("%s: no time in %q", path, line)
		}
		line = line[len("2026-11-22 13:19:17,085 "):]
		out = append(out, stampPattern.ReplaceAllString(process.ReplaceAllString(line, "[PID]: "), "TIME"))
	}
	return out
}

// TestLogIsDebians gives Debian's fail2ban and a service the same failures and
// commands, and compares what both write about them, line by line.
func TestLogIsDebians(t *testing.T) {
	if testing.Short() {
		t.Skip("fail2ban takes seconds")
	}
	testenv.Python(t)
	theirs, ours := oracleSite(t), oracleSite(t)
	for _, s := range []*site{theirs, ours} {
		s.write("jail.local", "[DEFAULT]\nmaxretry = 2\nusedns = no\nignoreip = 198.51.100.0/24 203.0.113.9\n[nginx-http-auth]\nlogpath = DIR/b.log\n")
		s.write("filter.d/plain.conf", "[Definition]\nfailregex = ^ failure from <HOST>$\ndatepattern = {^LN-BEG}%%Y-%%m-%%d %%H:%%M:%%S\n")
		conf, err := os.ReadFile(s.path("fail2ban.conf"))
		if err != nil {
			t.Fatal(err)
		}
		s.write("fail2ban.conf", strings.Replace(string(conf), "loglevel = INFO", "loglevel = DEBUG", 1))
	}
	testenv.StartFail2ban(t, theirs.dir)
	out, err := logtarget.New(logtarget.Config{Target: ours.path("f2b.log"), Level: "DEBUG"})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ours.start(func(c *Config) { c.Fail2ban, c.Socket, c.Out = true, ours.path("s"), out })
	askTheirs, askOurs := testenv.NewAsker(t, theirs.path("s"), theirs.dir), testenv.NewAsker(t, ours.path("s"), ours.dir)

	// Both have written n lines about bans.
	n := 0
	both := func(more int) {
		t.Helper()
		n += more
		tick, late := time.NewTicker(10*time.Millisecond), time.After(15*time.Second)
		defer tick.Stop()
		for _, s := range []*site{theirs, ours} {
			for len(banLines(t, s.path("f2b.log"))) < n {
				select {
				case <-tick.C:
				case <-late:
					t.Fatalf("%d lines wanted, have\n%s\n\nand\n%s", n, strings.Join(banLines(t, theirs.path("f2b.log")), "\n"), strings.Join(banLines(t, ours.path("f2b.log")), "\n"))
				}
			}
		}
	}
	fail := func(log string, ids ...string) {
		t.Helper()
		for _, id := range ids {
			line := fmt.Sprintf("failure from %s", id)
			theirs.log(log, line)
			ours.log(log, line)
		}
	}
	ask := func(line string) {
		t.Helper()
		if a, b := askTheirs.Ask(strings.Fields(line)...), askOurs.Ask(strings.Fields(line)...); a.Stdout != b.Stdout {
			t.Errorf("%s: %q, want %q", line, b.Stdout, a.Stdout)
		}
	}
	// Whom a batch of lines ignores we write before what it finds.
	fail("a.log", "198.51.100.7", "203.0.113.9")
	both(2)
	fail("a.log", "192.0.2.101", "192.0.2.101")
	both(3) // the ban with them
	fail("a.log", "192.0.2.101", "192.0.2.101")
	both(3) // already banned
	fail("b.log", "2001:db8::1", "2001:db8::1")
	both(3)
	ask("set sshd unbanip 192.0.2.101")
	ask("set sshd banip 203.0.113.77")
	both(2)
	ask("set sshd attempt 203.0.113.78 x y")
	both(2)
	ask("unban 203.0.113.77 203.0.113.78")
	both(2)
	ask("set sshd bantime 1")
	ask("set sshd banip 203.0.113.79")
	both(2) // its end too
	got, want := banLines(t, ours.path("f2b.log")), banLines(t, theirs.path("f2b.log"))
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\n\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestIncreaseAndRestoreAreDebians compares what is written of a second ban,
// which lasts longer, of a stop, and of bans that come back after it.
func TestIncreaseAndRestoreAreDebians(t *testing.T) {
	if os.Getenv("F2BPIPE_SOAK") != "1" {
		t.Skip("takes 20 s: F2BPIPE_SOAK=1 runs it")
	}
	testenv.Python(t)
	testenv.Netns(t) // a dry run stores nothing
	netns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(netns)
	theirs, ours := oracleSite(t), oracleSite(t)
	for _, s := range []*site{theirs, ours} {
		s.write("jail.local", "[DEFAULT]\nmaxretry = 2\nbantime = 3\nbantime.increment = true\nusedns = no\n[nginx-http-auth]\nenabled = false\n")
		s.write("filter.d/plain.conf", "[Definition]\nfailregex = ^ failure from <HOST>$\ndatepattern = {^LN-BEG}%%Y-%%m-%%d %%H:%%M:%%S\n")
	}
	// What fail2ban's observer finds about those it knows comes when it likes: see
	// TestObserverIsDebians.
	lines := func(s *site) []string {
		return slices.DeleteFunc(banLines(t, s.path("f2b.log")), func(l string) bool {
			return strings.Contains(l, ", bad - ") || strings.Contains(l, " is bad: ")
		})
	}
	n := 0
	both := func(more int) {
		t.Helper()
		n += more
		tick, late := time.NewTicker(10*time.Millisecond), time.After(15*time.Second)
		defer tick.Stop()
		for _, s := range []*site{theirs, ours} {
			for len(lines(s)) < n {
				select {
				case <-tick.C:
				case <-late:
					t.Fatalf("%d lines wanted, have\n%s\n\nand\n%s", n, strings.Join(lines(theirs), "\n"), strings.Join(lines(ours), "\n"))
				}
			}
		}
	}
	run := func(what func(theirs, ours *testenv.Asker)) {
		t.Helper()
		stopTheirs := testenv.StartFail2ban(t, theirs.dir)
		out := fileLog(t, ours.path("f2b.log"))
		r := ours.start(func(c *Config) {
			c.Fail2ban, c.Socket, c.Out, c.DryRun, c.NetNS = true, ours.path("s"), out, nil, netns
		})
		what(testenv.NewAsker(t, theirs.path("s"), theirs.dir), testenv.NewAsker(t, ours.path("s"), ours.dir))
		r.stop()
		<-r.stopped
		stopTheirs()
	}
	run(func(a, b *testenv.Asker) {
		for range 2 {
			theirs.log("a.log", "failure from 192.0.2.101", "failure from 192.0.2.101")
			ours.log("a.log", "failure from 192.0.2.101", "failure from 192.0.2.101")
			both(4 + n/4) // the second time with its Increase Ban
		}
		for _, who := range []*testenv.Asker{a, b} {
			who.Ask("set", "sshd", "bantime", "600")
			who.Ask("set", "sshd", "banip", "203.0.113.77")
		}
		both(1)
	})
	run(func(a, b *testenv.Asker) { both(0) })
	got, want := lines(ours), lines(theirs)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\n\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
