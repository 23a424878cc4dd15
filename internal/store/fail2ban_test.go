package store

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// These tests run Debian's fail2ban on a socket and in a directory of its own.
// Its jails have an action that does nothing: no firewall is touched.

// f2bJails are the jails of the test: name, bantime, further options.
var f2bJails = []struct {
	name      string
	bantime   time.Duration
	increment bool
}{
	{"plain", 10 * 24 * time.Hour, false},
	{"perm", -1, false},
	{"incr", 24 * time.Hour, true},
}

// peer is a fail2ban with its directory.
type peer struct {
	t      *testing.T
	python string
	dir    string
}

func newPeer(t *testing.T) *peer {
	p := &peer{t, testenv.Python(t), t.TempDir()}
	conf := "[DEFAULT]\nbackend = polling\nfilter = f\nusedns = no\naction = dummy\nenabled = true\nlogpath = " + p.path("log") + "\n"
	for _, j := range f2bJails {
		bantime := int64(-1)
		if j.bantime > 0 {
			bantime = int64(j.bantime.Seconds())
		}
		conf += fmt.Sprintf("[%s]\nbantime = %d\nbantime.increment = %v\n", j.name, bantime, j.increment)
	}
	for name, content := range map[string]string{
		"jail.conf":           conf,
		"fail2ban.conf":       "[Definition]\nloglevel = INFO\nlogtarget = " + p.path("f2b.log") + "\nsyslogsocket = auto\nsocket = " + p.path("sock") + "\npidfile = " + p.path("pid") + "\ndbfile = " + p.db() + "\ndbpurgeage = 30d\ndbmaxmatches = 10\n",
		"filter.d/f.conf":     "[Definition]\nfailregex = ^ failure from <HOST>$\n",
		"action.d/dummy.conf": "[Definition]\nactionstart =\nactionstop =\nactioncheck =\nactionban =\nactionunban =\n",
		"log":                 "2026-11-01 00:00:00 nothing\n",
	} {
		must(t, os.MkdirAll(filepath.Dir(p.path(name)), 0o755))
		must(t, os.WriteFile(p.path(name), []byte(content), 0o644))
	}
	return p
}

func (p *peer) path(name string) string { return filepath.Join(p.dir, name) }
func (p *peer) db() string              { return p.path("fail2ban.sqlite3") }

// client runs fail2ban-client and returns what it prints.
func (p *peer) client(args ...string) (string, error) {
	cmd := exec.Command(p.python, append([]string{"/usr/bin/fail2ban-client", "-c", p.dir, "-s", p.path("sock"), "-p", p.path("pid")}, args...)...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// start starts the server and returns what stops it.
func (p *peer) start() (stop func()) {
	p.t.Helper()
	cmd := exec.Command(p.python, "/usr/bin/fail2ban-server", "-xf", "-c", p.dir, "-s", p.path("sock"), "-p", p.path("pid"), "start")
	cmd.Env = append(os.Environ(), "TZ=UTC")
	must(p.t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	p.t.Cleanup(func() { // also where the test ends early
		cmd.Process.Kill()
		<-ended
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		if out, err := p.client("ping"); err == nil && strings.Contains(out, "pong") {
			break
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(p.path("f2b.log"))
			p.t.Fatalf("fail2ban did not start: %s", log)
		}
	}
	return func() {
		if out, err := p.client("stop"); err != nil {
			p.t.Fatalf("fail2ban-client stop: %v: %s", err, out)
		}
		<-ended
	}
}

// banned returns `get JAIL banip --with-time` of all jails, sorted, as soon as there are want of them.
func (p *peer) banned(want int) []string {
	p.t.Helper()
	var list []string
	deadline := time.Now().Add(60 * time.Second)
	for len(list) != want && time.Now().Before(deadline) {
		list = nil
		for _, j := range f2bJails {
			out, err := p.client("get", j.name, "banip", "--with-time")
			if err != nil {
				p.t.Fatalf("get %s banip: %v: %s", j.name, err, out)
			}
			for _, line := range strings.Split(out, "\n") {
				if line = strings.Join(strings.Fields(line), " "); line != "" {
					list = append(list, j.name+" "+line)
				}
			}
		}
	}
	slices.Sort(list)
	if len(list) != want {
		p.t.Fatalf("fail2ban has %d bans, want %d: %.500q", len(list), want, list)
	}
	return list
}

// f2bBan is a ban as both sides make it.
type f2bBan struct {
	Jail    string   `json:"jail"`
	IP      string   `json:"ip"`
	Time    int64    `json:"time"`
	Bantime int64    `json:"bantime"`
	Count   int      `json:"count"`
	Matches []string `json:"matches"`
}

// f2bBans are a thousand bans: IPv4, IPv6, networks, texts; permanent and incremented.
func f2bBans(begin int64) []f2bBan {
	var list []f2bBan
	for i := range 1000 {
		b := f2bBan{Jail: f2bJails[i%3].name, Time: begin - int64(i), Bantime: int64(f2bJails[i%3].bantime / time.Second), Count: 1}
		switch i % 7 {
		case 0, 1, 2:
			b.IP = fmt.Sprintf("192.0.%d.%d", i/250, i%250)
		case 3:
			b.IP = fmt.Sprintf("2001:db8::%x:0:1", i)
		case 4:
			b.IP = fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)
		case 5:
			b.IP = fmt.Sprintf("2001:db8:%x::/48", i)
		case 6:
			b.IP = fmt.Sprintf("user-%d é \"x\"", i)
		}
		if i == 3 {
			b.IP = "::192.0.2.1"
		}
		switch b.Jail {
		case "perm":
			b.Bantime = -1
		case "incr":
			b.Count = 1 + i%5
			b.Bantime <<= b.Count - 1
			if i%11 == 0 {
				b.Bantime = -1
			}
		}
		b.Matches = []string{"line \t\"1\"", fmt.Sprint("line ", i), "é"}
		list = append(list, b)
	}
	return list
}

// write makes fail2ban's own code write bans and a position.
func (p *peer) write(list []f2bBan) {
	p.t.Helper()
	const script = `
import json, sys
from fail2ban.server.database import Fail2BanDb
from fail2ban.server.ticket import FailTicket
from fail2ban.server.filter import FileContainer
class Actions:
    def getBanTime(self): return 1
class Jail:
    def __init__(self, name): self.name = name; self.actions = Actions()
db, jails = Fail2BanDb(sys.argv[1]), {}
for b in json.load(sys.stdin):
    if b["jail"] not in jails:
        jails[b["jail"]] = Jail(b["jail"]); db.addJail(jails[b["jail"]])
    t = FailTicket(b["ip"], b["time"], b["matches"], {"failures": 5, "user": "root"})
    t.setBanTime(b["bantime"]); t.setBanCount(b["count"])
    db.addBan(jails[b["jail"]], t)
log = FileContainer(sys.argv[2], "UTF-8"); log.setPos(20)
for j in jails.values(): db.updateLog(j, log)
db.close()
`
	in, err := json.Marshal(list)
	must(p.t, err)
	cmd := exec.Command(p.python, "-c", script, p.db(), p.path("log"))
	cmd.Stdin = strings.NewReader(string(in))
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("fail2ban's database: %v: %s", err, out)
	}
}

// targets returns f2bJails for Store.Bans.
func targets() map[string]Target {
	m := make(map[string]Target)
	for _, j := range f2bJails {
		m[j.name] = Target{Jail: pipeline.NewJail(j.name, pipeline.Policy{BanTime: j.bantime}), Increment: j.increment}
	}
	return m
}

// asFail2ban returns the bans of a store as peer.banned does.
func asFail2ban(t *testing.T, s *Store, nowNanos int64) []string {
	t.Helper()
	jails := targets()
	list, skipped, err := s.Bans(context.Background(), nowNanos, func(name string) (Target, bool) { j, ok := jails[name]; return j, ok })
	must(t, err)
	equal(t, "skipped", skipped, 0)
	lines := make([]string, len(list))
	for i, r := range list {
		length, until := int64(-1), "9999-12-31 23:59:59"
		if r.UntilNanos != pipeline.Permanent {
			length, until = (r.UntilNanos-r.AtNanos)/1e9, time.Unix(0, r.UntilNanos).UTC().Format(time.DateTime)
		}
		lines[i] = strings.Join(strings.Fields(fmt.Sprintf("%s %s %s + %d = %s", r.Jail.Name, idText(r.ID),
			time.Unix(0, r.AtNanos).UTC().Format(time.DateTime), length, until)), " ")
	}
	slices.Sort(lines)
	return lines
}

// fail2ban → store → fail2ban: each has the bans, the counts and the position of the other.
func TestFromFail2banAndBack(t *testing.T) {
	ctx, p := context.Background(), newPeer(t)
	begin := time.Now().Unix() - 3600
	list := f2bBans(begin)
	p.write(list)
	stop := p.start()
	want := p.banned(len(list))
	if _, err := Open(ctx, Config{Path: p.db()}); err == nil || !strings.Contains(err.Error(), "systemctl disable --now fail2ban") {
		t.Errorf("while fail2ban runs: %v", err)
	}
	stop()

	jails := targets()
	cfg := Config{Path: p.db(), Jails: func(*pipeline.Input) []*pipeline.Jail { return []*pipeline.Jail{jails["plain"].Jail} }}
	s := open(t, cfg)
	equal(t, "set aside", s.SetAside(), "")
	equal(t, "bans taken over", asFail2ban(t, s, time.Now().UnixNano()), want)
	for _, b := range list {
		h, ok, err := s.History(ctx, b.Jail, pipeline.ParseID(b.IP))
		must(t, err)
		if !ok || h.Count != b.Count || h.AtNanos != b.Time*1e9 {
			t.Fatalf("history of %+v: %+v %v", b, h, ok)
		}
	}
	pos, ok, err := s.Position(ctx, "perm", p.path("log"))
	must(t, err)
	if !ok || pos.Offset == 0 || len(pos.Mark) != 40 {
		t.Errorf("position: %+v %v", pos, ok)
	}
	pos.Offset = 7
	input := pipeline.NewInput(p.path("log"), nil)
	must(t, s.Save(ctx, &pipeline.Checkpoint{Inputs: []pipeline.InputEnd{{Input: input, End: pos}}}))
	must(t, s.Close())

	stop = p.start()
	equal(t, "bans given back", p.banned(len(list)), want)
	log, err := os.ReadFile(p.path("f2b.log"))
	must(t, err)
	if !strings.Contains(string(log), "(pos = 7, hash = "+pos.Mark) {
		t.Errorf("fail2ban does not go on at our position")
	}
	stop()

	s = open(t, cfg)
	equal(t, "fail2ban's run is seen", s.Foreign(), true)
	equal(t, "bans", asFail2ban(t, s, time.Now().UnixNano()), want)
	if t.Failed() {
		t.Logf("%.2000s", log)
	}
}

// store → fail2ban → store, with a file that we made.
func TestToFail2banAndBack(t *testing.T) {
	ctx, p := context.Background(), newPeer(t)
	list := f2bBans(time.Now().Unix() - 3600)
	jails, c := targets(), new(pipeline.Checkpoint)
	for _, b := range list {
		ban := pipeline.Ban{Jail: jails[b.Jail].Jail, ID: pipeline.ParseID(b.IP), AtNanos: b.Time*1e9 + 4e8, UntilNanos: pipeline.Permanent, Failures: 5}
		if b.Bantime >= 0 {
			ban.UntilNanos = ban.AtNanos + b.Bantime*1e9
		}
		ban.Ticket = &pipeline.Ticket{Count: b.Count, Matches: b.Matches, Fields: map[string]string{"user": "root"}}
		c.Events = append(c.Events, pipeline.Event{Kind: pipeline.EventBan, Ban: ban})
	}
	s := open(t, Config{Path: p.db()})
	must(t, s.Save(ctx, c))
	want := asFail2ban(t, s, time.Now().UnixNano())
	equal(t, "bans", len(want), len(list))
	must(t, s.Close())
	ours := dump(t, p.db())
	must(t, os.Remove(p.db()))
	p.write(list)
	equal(t, "fail2ban's rows of the same bans", dump(t, p.db()), ours)

	must(t, os.Remove(p.db()))
	s = open(t, Config{Path: p.db()})
	must(t, s.Save(ctx, c))
	must(t, s.Close())
	stop := p.start()
	equal(t, "bans in fail2ban", p.banned(len(list)), want)
	if out, err := p.client("set", "plain", "unbanip", "192.0.0.0"); err != nil || out != "1" {
		t.Errorf("unbanip: %q %v", out, err)
	}
	stop()
	s = open(t, Config{Path: p.db()})
	equal(t, "bans after one was unbanned", len(asFail2ban(t, s, time.Now().UnixNano())), len(list)-1)
}

// dump returns bans and bips with the types of their values, as fail2ban sees them.
func dump(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("/usr/bin/python3", "-c", `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for table in ("bans", "bips"):
    for row in db.execute("SELECT ip, jail, timeofban, bantime, bancount, data FROM %s ORDER BY timeofban" % table):
        print(table, row)
print(db.execute("PRAGMA integrity_check").fetchall(), db.execute("SELECT version FROM fail2banDb").fetchall())
`, path).CombinedOutput()
	if err != nil {
		t.Fatalf("dump: %v: %s", err, out)
	}
	return string(out)
}
