package service

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// knownBad makes, by fail2ban's own code, a database in which an address
// 192.0.2.N was banned N times in jail sshd, the last time an hour ago.
const knownBad = `
import sqlite3, sys, time
sys.path.insert(0, '/usr/lib/python3/dist-packages')
from fail2ban.server.database import Fail2BanDb
Fail2BanDb(sys.argv[1]).close()
db, at = sqlite3.connect(sys.argv[1]), int(sys.argv[2]) - 3600
db.execute("INSERT INTO jails(name, enabled) VALUES ('sshd', 1)")
for n in range(1, 31):
    row = ('192.0.2.%d' % n, 'sshd', at, 600, n, '{"matches": [], "failures": 9}')
    db.execute("INSERT INTO bips(ip, jail, timeofban, bantime, bancount, data) VALUES (?, ?, ?, ?, ?, ?)", row)
    db.execute("INSERT INTO bans(jail, ip, timeofban, bantime, bancount, data) VALUES (?, ?, ?, ?, ?, ?)", (row[1], row[0], *row[2:]))
db.commit()
`

// TestObserverIsDebians gives Debian's fail2ban and a service, over the same
// database, failures of addresses that were banned before: what bantime.increment
// makes of them is logged in the same words. Each logger's lines are compared
// in their order; fail2ban's observer is a thread of its own, and its lines come
// before or after the others'.
func TestObserverIsDebians(t *testing.T) {
	if testing.Short() {
		t.Skip("fail2ban takes seconds")
	}
	testenv.Python(t)
	netns := namespace(t) // a dry run has no database
	theirs, ours := oracleSite(t), oracleSite(t)
	now := fmt.Sprint(time.Now().Unix())
	for _, s := range []*site{theirs, ours} {
		s.write("jail.local", "[DEFAULT]\nbantime.increment = true\nbantime = 10m\n[sshd]\nmaxretry = 9\nbantime.maxtime = 1w\n"+
			"[nginx-http-auth]\nlogpath = DIR/b.log\nmaxretry = 1\nbantime.overalljails = true\nbantime.multipliers = 1 1 5 300 100000\n")
		s.write("filter.d/plain.conf", "[Definition]\nfailregex = ^ failure from <HOST>$\ndatepattern = {^LN-BEG}%%Y-%%m-%%d %%H:%%M:%%S\n")
		if text, err := exec.Command("/usr/bin/python3", "-c", knownBad, s.path("db.sqlite3"), now).CombinedOutput(); err != nil {
			t.Fatalf("make a database: %v: %s", err, text)
		}
	}
	testenv.StartFail2ban(t, theirs.dir)
	out := fileLog(t, ours.path("f2b.log"))
	ours.start(func(c *Config) {
		c.Fail2ban, c.Socket, c.Out, c.DryRun, c.NetNS = true, ours.path("s"), out, nil, netns
	})

	n := 0
	both := func(more int) {
		t.Helper()
		n += more
		until(t, fmt.Sprintf("%d lines", n), func() bool {
			return len(banLines(t, theirs.path("f2b.log"))) >= n && len(banLines(t, ours.path("f2b.log"))) >= n
		})
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("theirs:\n%s\nours:\n%s", strings.Join(banLines(t, theirs.path("f2b.log")), "\n"), strings.Join(banLines(t, ours.path("f2b.log")), "\n"))
		}
	})
	fail := func(log, id string, lines int) {
		t.Helper()
		for _, s := range []*site{theirs, ours} {
			s.log(log, "failure from "+id)
		}
		both(lines)
	}
	ban := func(jail, id string, lines int) {
		t.Helper()
		for _, s := range []*site{theirs, ours} {
			testenv.NewAsker(t, s.path("s"), s.dir).Ask("set", jail, "banip", id)
		}
		both(lines)
	}
	fail("a.log", "192.0.2.200", 1)                                      // nobody knows it
	for _, id := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} { // counts 2, 3, 5
		fail("a.log", id, 2)
	}
	fail("a.log", "192.0.2.3", 5)                                         // the second 5 of 9: with its ban, what is known, and what it grows to
	for _, id := range []string{"192.0.2.4", "192.0.2.5", "192.0.2.21"} { // 9.0 of 9, and more; 21 at the longest time
		fail("a.log", id, 5)
	}
	ban("sshd", "192.0.2.6", 3)
	ban("sshd", "192.0.2.201", 1)
	// Of all jails' bans, with the multipliers of this one.
	fail("b.log", "192.0.2.1", 3) // banned once: times 1
	fail("b.log", "192.0.2.2", 4)
	fail("b.log", "192.0.2.7", 4) // times 100000
	fail("b.log", "192.0.2.30", 4)

	for _, logger := range []string{"fail2ban.observer", "fail2ban.filter", "fail2ban.actions"} {
		of := func(s *site) string {
			return strings.Join(slices.DeleteFunc(banLines(t, s.path("f2b.log")), func(l string) bool { return !strings.HasPrefix(l, logger) }), "\n")
		}
		if got, want := of(ours), of(theirs); got != want {
			t.Errorf("%s: got\n%s\n\nwant\n%s", logger, got, want)
		}
	}
}
