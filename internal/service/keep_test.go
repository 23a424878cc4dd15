package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// namespace moves the test into a network namespace of its own and returns it.
func namespace(t *testing.T) int {
	t.Helper()
	testenv.Netns(t)
	testenv.NeedTool(t, "nft")
	netns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(netns) })
	return netns
}

// keeper is a site whose service keeps what it knows, and bans in a namespace.
func keeper(t *testing.T) (tr *site, start func() *running) {
	t.Helper()
	netns := namespace(t)
	tr = newSite(t)
	tr.write("fail2ban.local", "[Definition]\ndbfile = DIR/db/fail2ban.sqlite3\n")
	tr.write("action.d/nftables.conf", stockNFTables(tr.t))
	tr.write("filter.d/session.conf", `[Definition]
failregex = ^ (?:session <F-MLFID>\d+</F-MLFID>)? <F-NOFAIL>user</F-NOFAIL> <F-USER>\S+</F-USER>$
            ^ (?:session <F-MLFID>\d+</F-MLFID>)? failed from <HOST>$
datepattern = {^LN-BEG}%%Y-%%m-%%d %%H:%%M:%%S
`)
	return tr, func() *running { return tr.start(func(c *Config) { c.DryRun, c.NetNS = nil, netns }) }
}

// end stops a service by command and waits for it.
func (r *running) end(t *testing.T) {
	t.Helper()
	if err := (verbs{r.Service}).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-r.stopped; err != nil {
		t.Fatal(err)
	}
}

// input returns the input of a path, nil where it is not there yet.
func (r *running) input(path string) *input {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inputs[path]
}

const drop = `action = nftables[port="80"]`

// What is known is known after a restart: bans, what led to them, counts, open
// sessions, and where the logs go on. Nothing but the database stays behind.
func TestRestart(t *testing.T) {
	tr, start := keeper(t)
	tr.write("jail.local", jailText("web", drop, "maxretry = 3")+jailText("auth", drop, "filter = session", "maxretry = 1")+
		jailText("two", drop, "maxretry = 2", "logpath = DIR/web.log", "bantime = -1"))
	tr.log("web.log", "begin")
	tr.log("auth.log", "begin")
	s := start()
	tr.log("web.log", failed("203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2")...)
	tr.log("auth.log", "session 77 user joe", "session 78 user ann")
	s.log.wait(t, 1, "[two] Found 203.0.113.2")
	s.log.wait(t, 1, "[web] Ban 203.0.113.1")
	if n, err := (verbs{s.Service}).Ban(t.Context(), Manual, []string{"198.51.100.0/24"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	until(t, "the sessions are read", func() bool {
		in := s.input(tr.path("auth.log"))
		return in != nil && in.Lines.Load() >= 2
	})
	s.end(t)
	if list, _ := os.ReadDir(tr.path("db")); len(list) != 1 {
		t.Errorf("behind stay %v", list)
	}
	tr.log("web.log", failed("203.0.113.2")...) // while nobody watches
	tr.log("auth.log", "session 77 failed from 203.0.113.7", "session 79 failed from 203.0.113.9")

	s = start()
	s.log.wait(t, 1, "[web] Restore Ban 203.0.113.1")
	s.log.wait(t, 1, "[two] Restore Ban 203.0.113.1")
	s.log.wait(t, 1, "[manual] Restore Ban 198.51.100.0/24")
	s.log.wait(t, 1, "[two] Ban 203.0.113.2")
	s.log.wait(t, 1, "[auth] Ban 203.0.113.7")
	if n := s.log.times("Found 203.0.113.1"); n != 0 {
		t.Errorf("%d lines were read twice", n)
	}
	until(t, "the bans are in the kernel", func() bool { return s.status(t, "web").Enforced == 1 })
	web := s.status(t, "web")
	if web.Failed.Current != 1 || web.Banned.Current != 1 || web.Enforced != 1 {
		t.Errorf("web %+v", web)
	}
	if n := s.window.Count(s.jail("web").identity, pipeline.ParseID("203.0.113.2")); n != 2 {
		t.Errorf("203.0.113.2 has failed %d times, want 2", n)
	}
	b, _ := s.ledger.Lookup(s.jail("auth").identity, pipeline.ParseID("203.0.113.7"))
	if b.Ticket == nil || b.Ticket.Fields["user"] != "joe" {
		t.Errorf("the session is lost: %+v", b.Ticket)
	}
	if b, _ := s.ledger.Lookup(s.jail("two").identity, pipeline.ParseID("203.0.113.1")); b.UntilNanos != pipeline.Permanent || !b.Restored {
		t.Errorf("ban %+v", b)
	}
	for _, part := range []string{"203.0.113.1", "203.0.113.2", "203.0.113.7", "198.51.100.0"} {
		until(t, part+" is in the kernel", func() bool { return strings.Contains(ruleset(t), part) })
	}
	st, err := verbs{s.Service}.status(StatusArgs{})
	if err != nil || st.Store.File != tr.path("db/fail2ban.sqlite3") || st.Store.Bytes == 0 || st.Store.Error != "" || len(st.Degraded) > 0 {
		t.Errorf("store %+v, degraded %v", st.Store, st.Degraded)
	}
	s.end(t)
}

// Jails of one log that were not equally far: each counts what it has not counted.
func TestPlacesDiffer(t *testing.T) {
	tr, start := keeper(t)
	one := jailText("one", drop, "maxretry = 9", "logpath = DIR/x.log")
	two := jailText("two", drop, "maxretry = 9", "logpath = DIR/x.log")
	tr.write("jail.local", one)
	tr.log("x.log", failed("203.0.113.1", "203.0.113.1", "203.0.113.2")...)
	s := start()
	s.log.wait(t, 1, "[one] Found 203.0.113.2")
	s.end(t)
	tr.log("x.log", failed("203.0.113.2", "203.0.113.3")...)
	tr.write("jail.local", one+two)
	s = start()
	s.log.wait(t, 1, "[two] Found 203.0.113.3")
	tr.log("x.log", failed("203.0.113.1", "203.0.113.4")...)
	s.log.wait(t, 1, "[two] Found 203.0.113.4")
	// What is found is counted after it was said, and no more comes then.
	for _, jail := range []string{"one", "two"} {
		until(t, jail+" counts 203.0.113.4", func() bool {
			return s.window.Count(s.jail(jail).identity, pipeline.ParseID("203.0.113.4")) > 0
		})
	}
	f := func(jail, id string, want int) {
		t.Helper()
		if got := s.window.Count(s.jail(jail).identity, pipeline.ParseID(id)); got != want {
			t.Errorf("%s: %s has failed %d times, want %d", jail, id, got, want)
		}
	}
	for _, jail := range []string{"one", "two"} {
		f(jail, "203.0.113.1", 3)
		f(jail, "203.0.113.2", 2)
		f(jail, "203.0.113.3", 1)
		f(jail, "203.0.113.4", 1)
	}
	s.end(t)
}

// Bans grow as Debian's fail2ban makes them grow: measured with bantime 3 and
// maxretry 3 it banned for 3, 6 and 12 s, after 3, 2 and 1 failures, and wrote
// bancount 1, 2 and 3.
func TestIncrement(t *testing.T) {
	tr, start := keeper(t)
	tr.write("jail.local", jailText("web", drop, "maxretry = 3", "bantime = 3", "bantime.increment = true", "logpath = DIR/none.log")+
		jailText("plain", drop, "bantime = 3", "logpath = DIR/none.log"))
	s := start()
	id, clock := pipeline.ParseID("203.0.113.1"), s.clock.Now()-int64(time.Minute)
	// fail counts failures at a moment until there is a ban, and says what it is.
	fail := func(jail string, at time.Duration) string {
		j := s.jail(jail).identity
		for n := 1; n < 9; n++ {
			f := pipeline.Failure{Jail: j, ID: id, AtNanos: clock + int64(at), Count: 1, Text: []byte("a line")}
			s.history.Weigh(&f)
			b, banned := s.window.Add(&f)
			if !banned {
				continue
			}
			s.history.Decide(&b)
			return fmt.Sprintf("%d failures, %v, %d", n, time.Duration(b.UntilNanos-b.AtNanos), b.Ticket.Count)
		}
		return "no ban"
	}
	f := func(jail string, at time.Duration, want string) {
		t.Helper()
		if got := fail(jail, at); got != want {
			t.Errorf("%s at %v: %s, want %s", jail, at, got, want)
		}
	}
	f("web", 0, "3 failures, 3s, 1")
	f("plain", 0, "2 failures, 3s, 1")
	f("web", 7*time.Second, "2 failures, 6s, 2")
	f("plain", 8*time.Second, "2 failures, 3s, 1")
	f("web", 19*time.Second, "1 failures, 12s, 3")
	f("web", 19*time.Second, "3 failures, 24s, 3") // lines that were read again raise nothing
	f("web", 50*time.Second, "1 failures, 24s, 4")

	// A ban by command counts too, and after a restart all is known.
	for want := range 2 {
		if n, err := (verbs{s.Service}).Ban(t.Context(), "web", []string{"203.0.113.2"}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		b, _ := s.ledger.Lookup(s.jail("web").identity, pipeline.ParseID("203.0.113.2"))
		if d := time.Duration(b.UntilNanos - b.AtNanos); d != 3*time.Second<<want {
			t.Errorf("ban %d lasts %v", want, d)
		}
		s.end(t)
		if want > 0 {
			break
		}
		// The ban is over; its count is not.
		rewind(t, tr.path("db/fail2ban.sqlite3"), "203.0.113.2", 100)
		s = start()
	}
	s = start()
	// Whoever is freed by command begins anew.
	v := verbs{s.Service}
	if n, _, err := v.Unban(t.Context(), "web", []string{"203.0.113.2"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := v.Ban(t.Context(), "web", []string{"203.0.113.2"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	b, _ := s.ledger.Lookup(s.jail("web").identity, pipeline.ParseID("203.0.113.2"))
	if d := time.Duration(b.UntilNanos - b.AtNanos); d != 3*time.Second {
		t.Errorf("ban after the unban lasts %v", d)
	}
	s.end(t)
}

// rewind lets an ID's bans have begun so many seconds earlier.
func rewind(t *testing.T, path, ip string, seconds int) {
	t.Helper()
	sqlite(t, path, fmt.Sprintf("UPDATE bips SET timeofban = timeofban - %d WHERE ip = '%s'; UPDATE bans SET timeofban = timeofban - %d WHERE ip = '%s'", seconds, ip, seconds, ip))
}

func TestIncrementLength(t *testing.T) {
	f := func(options string, banTime float64, count int, want float64) {
		t.Helper()
		tr := newSite(t)
		tr.write("jail.local", jailText("web", strings.Split("bantime.increment = true\n"+options, "\n")...))
		r := read(config.Options{Dir: tr.dir})
		if len(r.jails) != 1 {
			t.Fatalf("%s: %v", options, r.problems)
		}
		got, err := r.jails[0].increment.length(banTime, count, 0.5)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", options, got, err, want)
		}
	}
	f("", 600, 1, 1200)
	f("", 600, 25, 600<<20)
	f("bantime.factor = 2", 600, 3, 9600)
	f("bantime.factor = 0.1", 600, 1, 600) // never shorter
	f("bantime.maxtime = 1h", 600, 9, 3600)
	f("bantime.maxtime = 1h\nbantime.rndtime = 10", 600, 9, 3605)
	f("bantime.multipliers = 1 2 4 8", 600, 2, 2400)
	f("bantime.multipliers = 1 2 4 8\nbantime.factor = 3", 600, 99, 14400)
	f("bantime.formula = ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)\nbantime.factor = 2.0 / 2.885385", 60, 1, 120.00014649367868)
}

// A store that cannot be used is said, and the service bans.
func TestDegraded(t *testing.T) {
	tr, start := keeper(t)
	tr.write("jail.local", jailText("web", drop))
	tr.log("web.log", "begin")
	f := func(want ...string) {
		t.Helper()
		s := start()
		defer s.end(t)
		addr := fmt.Sprintf("203.0.113.%d", time.Now().UnixNano()%200+1)
		tr.log("web.log", failed(addr, addr)...)
		s.log.wait(t, 1, "[web] Ban "+addr)
		until(t, addr+" is in the kernel", func() bool { return strings.Contains(ruleset(t), addr) })
		until(t, fmt.Sprintf("degraded says %q", want), func() bool {
			st, err := verbs{s.Service}.status(StatusArgs{})
			return err == nil && !slices.ContainsFunc(want, func(part string) bool { return !strings.Contains(strings.Join(st.Degraded, "\n"), part) })
		})
	}
	tr.write("fail2ban.local", "[Definition]\ndbfile = DIR/no/such/folder/db\n")
	f("store: bans, history and positions are not kept", "mkdir -p")
	tr.write("file", "")
	tr.write("fail2ban.local", "[Definition]\ndbfile = DIR/db\n")
	if err := os.Mkdir(tr.path("db"), 0o755); err != nil {
		t.Fatal(err)
	}
	f("is no file")

	small := tr.path("small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", small, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("no tmpfs: ", err)
	}
	defer unix.Unmount(small, unix.MNT_DETACH)
	tr.write("fail2ban.local", "[Definition]\ndbfile = DIR/small/db\n")
	start().end(t)
	if err := unix.Mount("none", small, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	f("store: nothing can be written to the database", "writable")
	if err := unix.Mount("none", small, "tmpfs", unix.MS_REMOUNT, "size=256k"); err != nil {
		t.Fatal(err)
	}
	// What room there is gets filled; the first checkpoint finds none.
	if err := os.WriteFile(filepath.Join(small, "filler"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	filler, err := os.OpenFile(filepath.Join(small, "filler"), os.O_WRONLY, 0)
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	f("store: nothing can be written to the database", "disk is full", "df "+small)
	if err := os.Remove(filepath.Join(small, "filler")); err != nil {
		t.Fatal(err)
	}
	s := start() // there is room again
	if st, err := (verbs{s.Service}).status(StatusArgs{}); err != nil || len(st.Degraded) > 0 {
		t.Errorf("%v, %v", st.Degraded, err)
	}
	s.end(t)
}

// Two services on one socket or one database are refused, with what helps.
func TestTwoAtOnce(t *testing.T) {
	tr, start := keeper(t)
	tr.write("jail.local", jailText("web", drop))
	s := start()
	cfg := s.cfg
	run := func(want ...string) {
		t.Helper()
		other, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = other.Run(t.Context())
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("no %q in %v", part, err)
			}
		}
	}
	run("a server is running on this socket", "pid "+fmt.Sprint(os.Getpid()), "f2bpipe stop")
	s.end(t)
	path := tr.path("db/fail2ban.sqlite3")
	python := testenv.Python(t)
	tr.write("fail2ban-server", "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1])\nc.execute('SELECT * FROM bips')\nprint('open', flush=True)\ntime.sleep(60)\n")
	hold := startChild(t, python, tr.path("fail2ban-server"), path)
	defer hold()
	run("database is in use", "systemctl disable --now fail2ban")
	if _, err := os.Stat(cfg.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

// Without a file there is no history in the next run, and within one there is.
func TestNoFile(t *testing.T) {
	tr, start := keeper(t)
	tr.write("jail.local", jailText("web", drop, "bantime.increment = true"))
	for _, file := range []string{"None", ":memory:"} {
		tr.write("fail2ban.local", "[Definition]\ndbfile = "+file+"\n")
		s := start()
		v := verbs{s.Service}
		if n, err := v.Ban(t.Context(), "web", []string{"203.0.113.1"}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		st, err := v.status(StatusArgs{})
		if err != nil || st.Store.File != file || len(st.Degraded) > 0 || st.Store.History != 1 {
			t.Errorf("%s: %+v %v, %v", file, st.Store, st.Degraded, err)
		}
		s.end(t)
	}
	if list, _ := filepath.Glob(tr.path("*sqlite*")); len(list) > 0 {
		t.Errorf("there is %v", list)
	}
}

// What is older than dbpurgeage goes, from the database and from the history.
func TestPurgeHistory(t *testing.T) {
	h := newHistory(banLog{outOf(Config{})})
	h.known = map[knownKey]past{
		{"a", pipeline.ParseID("192.0.2.1")}: {count: 1, at: 1000, length: 10},
		{"a", pipeline.ParseID("192.0.2.2")}: {count: 1, at: 1000, length: -1},
		{"a", pipeline.ParseID("192.0.2.3")}: {count: 1, at: 1000, length: 400},
		{"a", pipeline.ParseID("192.0.2.4")}: {count: 1, at: 1900, length: 10},
	}
	h.purge(3000*1e9, 1200*time.Second)
	if h.size() != 3 {
		t.Errorf("%v", h.known)
	}
}

// A ban is on disk 100 ms after the kernel has it. On a machine that does other
// things too the figure says how busy it was; what is asserted is that it comes.
func TestOnDisk(t *testing.T) {
	tr, start := keeper(t)
	tr.write("jail.local", jailText("web", drop, "bantime = -1"))
	s := start()
	var took []time.Duration
	for i := range 20 {
		id := fmt.Sprintf("203.0.113.%d", i+1)
		if n, err := (verbs{s.Service}).Ban(t.Context(), "web", []string{id}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		begin := time.Now()
		until(t, id+" is on disk", func() bool {
			_, found, err := s.keep.store.History(t.Context(), "web", pipeline.ParseID(id))
			return found && err == nil
		})
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("on disk after %v (median), %v (longest)", took[len(took)/2], took[len(took)-1])
	s.end(t)
}

// A pipe that is the service while it lasts keeps its bans too, and knows those
// before it; where its lines stand is nobody's business.
func TestPipeKeeps(t *testing.T) {
	tr, start := keeper(t)
	tr.write("jail.local", jailText("web", drop, "bantime = 1h", "bantime.increment = true"))
	tr.log("web.log", failed("203.0.113.1", "203.0.113.1", "203.0.113.2")...)
	s := start()
	s.log.wait(t, 1, "[web] Ban 203.0.113.1")
	s.log.wait(t, 1, "[web] Found 203.0.113.2")
	cfg := s.cfg
	s.end(t)
	rewind(t, tr.path("db/fail2ban.sqlite3"), "203.0.113.1", 7200) // it is over
	pipe := func(lines ...string) *Piped {
		t.Helper()
		in := ""
		for _, line := range lines {
			in += time.Now().Format(time.DateTime) + " " + line + "\n"
		}
		p := Pipe{Config: cfg, Names: []string{"web"}, In: strings.NewReader(in)}
		out, err := p.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := pipe(failed("203.0.113.1")...); out.Bans != 1 {
		t.Errorf("one who was banned once is not banned after one failure: %+v", out)
	}
	if out := pipe(failed("203.0.113.1", "203.0.113.2")...); out.Bans != 0 || out.NotEnforced != 0 {
		t.Errorf("the second pipe: %+v", out)
	}
	s = start()
	b, _ := s.ledger.Lookup(s.jail("web").identity, pipeline.ParseID("203.0.113.1"))
	if d := time.Duration(b.UntilNanos - b.AtNanos); d != 2*time.Hour || !b.Restored {
		t.Errorf("the ban of the pipe: %v, %+v", d, b)
	}
	if n := s.window.Count(s.jail("web").identity, pipeline.ParseID("203.0.113.2")); n != 0 {
		t.Errorf("203.0.113.2 has failed %d times: those of a pipe are nobody's, and somebody else's write has dropped those of the log", n)
	}
	s.end(t)
}
