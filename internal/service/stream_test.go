package service

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// ofJail are the options of a jail that are read back after a stream.
var ofJail = []string{"logpath", "logencoding", "journalmatch", "ignoreself", "ignoreip", "ignorecommand", "ignorecache", "prefregex", "failregex",
	"ignoreregex", "findtime", "bantime", "maxretry", "maxmatches", "maxlines", "datepattern", "usedns", "logtimezone", "actions",
	"bantime.increment", "bantime.factor", "bantime.formula", "bantime.multipliers", "bantime.maxtime", "bantime.rndtime", "bantime.overalljails"}

// stockSite is Debian's configuration with these jails (none named: all),
// whose only action does nothing.
func stockSite(t *testing.T, jails ...string) *site {
	t.Helper()
	tr := oracleSite(t)
	for _, name := range []string{"jail.conf", "filter.d", "action.d"} {
		if out, err := exec.Command("cp", "-r", "/etc/fail2ban/"+name, tr.dir).CombinedOutput(); err != nil {
			t.Skipf("Debian's configuration: %s", out)
		}
	}
	for _, name := range []string{"paths-debian.conf", "paths-common.conf"} {
		if out, err := exec.Command("cp", "/etc/fail2ban/"+name, tr.dir).CombinedOutput(); err != nil {
			t.Skipf("Debian's configuration: %s", out)
		}
	}
	text := "[DEFAULT]\nbackend = polling\nlogpath = DIR/a.log\naction = nothing[port=\"%(port)s\"]\nbantime = 1h\nfindtime = 20m\nignoreip = 127.0.0.1/8 ::1 10.1.2.3/255.255.0.0\n" +
		"bantime.increment = true\nbantime.factor = 2\nbantime.maxtime = 5w\nbantime.multipliers = 1 2 4\nignorecache = key=\"<ip>\", max-count=50, max-time=2m\n"
	if len(jails) == 0 {
		text += "enabled = true\n"
	}
	for _, j := range jails {
		text += "[" + j + "]\nenabled = true\nbackend = polling\nlogpath = DIR/a.log\n"
	}
	tr.write("jail.local", text)
	return tr
}

// TestStreamOracle sends what fail2ban's client makes of Debian's configuration
// to Debian's server and to ours, and reads every option of every jail back from
// both. F2BPIPE_SOAK=1 takes all jails of it.
func TestStreamOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("fail2ban takes seconds")
	}
	python := testenv.Python(t)
	jails := []string{"sshd", "postfix", "apache-auth", "mongodb-auth"}
	if os.Getenv("F2BPIPE_SOAK") == "1" {
		jails = nil
	}
	theirSite, ourSite := stockSite(t, jails...), oracleSite(t)
	ourSite.write("jail.conf", "") // only what comes by the stream
	out, err := exec.Command(python, "testdata/stream.py", theirSite.dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var stream []any
	if err := json.Unmarshal(out, &stream); err != nil {
		t.Fatal(err)
	}
	empty := oracleSite(t)
	empty.write("jail.conf", "[DEFAULT]\n")
	testenv.StartFail2ban(t, empty.dir)
	ours := ourSite.start(func(c *Config) { c.Fail2ban, c.Socket = true, ourSite.path("s") })
	theirs, mine := testenv.NewAsker(t, empty.path("s"), empty.dir), testenv.NewAsker(t, ourSite.path("s"), ourSite.dir)
	// Each server keeps its own log and database.
	stream = slices.DeleteFunc(stream, func(c any) bool { return slices.Contains([]any{"dbfile", "logtarget"}, c.([]any)[1]) })
	for _, a := range []*testenv.Asker{theirs, mine} {
		if got := a.Send("server-stream", stream); got.Repr != "(0, None)" {
			t.Fatalf("server-stream: %s", got.Repr)
		}
	}
	compared := 0
	compare := func(words ...string) {
		t.Helper()
		want, got := theirs.Ask(words...), mine.Ask(words...)
		compared++
		if want.Code != 0 || got.Repr != want.Repr || got.Stdout != want.Stdout || got.Code != want.Code {
			t.Errorf("%s\n got %d %s\nwant %d %s", strings.Join(words, " "), got.Code, got.Repr, want.Code, want.Repr)
		}
	}
	compare("status")
	names := ours.jails()
	for _, j := range names {
		if j.builtIn() {
			continue
		}
		name := j.config.Name
		compare("status", name)
		for _, option := range ofJail {
			compare("get", name, option)
		}
		for _, action := range j.config.Actions {
			for _, property := range []string{"port", "name", "actname", "actionban", "actionunban", "timeout"} {
				compare("get", name, "action", action.ActName, property)
			}
			compare("get", name, "actionproperties", action.ActName)
		}
	}
	t.Logf("%d jails, %d answers compared", len(names)-1, compared)
}
