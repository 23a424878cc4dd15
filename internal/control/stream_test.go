package control

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// TestStream lets the original client read a configuration and reload us with
// it.
func TestStream(t *testing.T) {
	dir := testenv.Fail2banConf(t)
	f := oracleFake(t, dir)
	path, _ := serve(t, &Server{Handler: &Dispatcher{Verbs: f}})
	client := testenv.NewAsker(t, path, dir)
	if got := client.Ask("reload", "--restart", "--if-exists", "sshd"); got.Code != 0 || got.Stdout != "OK\n" {
		t.Fatalf("reload: %+v", got)
	}
	if got := client.Ask("reload", "--unban"); got.Code != 0 || got.Stdout != "OK\n" {
		t.Fatalf("reload: %+v", got)
	}
	if want := []ReloadOptions{{Jail: "sshd", Restart: true, IfExists: true}, {Unban: true}}; !reflect.DeepEqual(f.reloads, want) {
		t.Errorf("options %+v, want %+v", f.reloads, want)
	}
	jail := func(name string) *StreamJail {
		property := func(name string) StreamProperty { return StreamProperty{Name: name} }
		return &StreamJail{Name: name, Added: true, Backend: "polling", Started: true,
			Changes: []Change{
				{Option: "usedns", Values: []string{"no"}},
				{Option: "ignoreregex", Op: Add, Values: []string{"^harmless"}},
				{Option: "failregex", Op: Add, Values: []string{`^failure from (?P<fid>\S+)$`, `^other failure from (?P<fid>\S+)$`}},
				{Option: "maxretry", Values: []string{"5"}},
				{Option: "findtime", Values: []string{"10m"}},
				{Option: "bantime", Values: []string{"10m"}},
				{Option: "ignorecommand", Values: []string{""}},
				{Option: "ignoreself", Values: []string{"false"}},
				{Option: "logpath", Op: Add, Values: []string{dir + "/a.log"}},
			},
			Actions: []*StreamAction{{NewAction: NewAction{Name: "nothing"}, Added: true, Properties: []StreamProperty{
				property("actionstart"), property("actionstop"), property("actioncheck"), property("actionban"), property("actionunban"),
				{"name", name}, {"actname", "nothing"},
			}}},
		}
	}
	if len(f.streams) != 2 {
		t.Fatalf("%d streams", len(f.streams))
	}
	equal := func(got, want any) {
		t.Helper()
		g, _ := json.MarshalIndent(got, "", " ")
		w, _ := json.MarshalIndent(want, "", " ")
		if !bytes.Equal(g, w) {
			t.Errorf("got %s\nwant %s", g, w)
		}
	}
	equal(f.streams[0].Jails, []*StreamJail{jail("sshd")})
	equal(f.streams[1].Jails, []*StreamJail{jail("sshd"), jail("nginx-http-auth")})
	equal(f.streams[1].Server, []ServerChange{{"syslogsocket", "auto"}, {"loglevel", "INFO"}, {"logtarget", dir + "/f2b.log"},
		{"allowipv6", "auto"}, {"dbfile", dir + "/db.sqlite3"}, {"dbmaxmatches", "10"}, {"dbpurgeage", "1d"}})
}

// TestStreamStock streams all jails of Debian's configuration, as the client
// does.
func TestStreamStock(t *testing.T) {
	f := newFake()
	path, _ := serve(t, &Server{Handler: &Dispatcher{Verbs: f}})
	out := python(t, `
import sys, os, shutil, tempfile, logging
from fail2ban.client.configurator import Configurator
from fail2ban.client.csocket import CSocket
logging.disable(logging.CRITICAL)
dir = tempfile.mkdtemp()
try:
    shutil.copytree("/etc/fail2ban", dir, dirs_exist_ok=True)
    with open(dir + "/jail.local", "w") as f:
        f.write("[DEFAULT]\nenabled = true\n")
    c = Configurator()
    c.setBaseDir(dir)
    c.readAll()
    c.getOptions(None)
    c.convertToProtocol(allow_no_files=True)
    stream = c.getConfigStream()
finally:
    shutil.rmtree(dir)
s = CSocket(sys.stdin.read())
for request in (["server-stream", stream], ["reload", "--all", [], stream]):
    print(s.send(request))
print(*[cmd[1] for cmd in stream if cmd[0] == "add"])
print(sum(1 for cmd in stream if cmd[0] in ("set", "multi-set", "add", "start")))
`, []byte(path))
	lines := strings.Split(string(out), "\n")
	if lines[0] != "(0, None)" || lines[1] != "(0, 'OK')" {
		t.Fatalf("replies %q", lines[:2])
	}
	var names []string
	commands := len(f.streams[0].Server)
	for _, j := range f.streams[0].Jails {
		names = append(names, j.Name)
		commands += 2 + len(j.Changes) // add and start
		for _, a := range j.Actions {
			commands += 2 // addaction and its properties
			if len(a.Properties) == 0 {
				commands--
			}
		}
		if !j.Added || !j.Started || len(j.Changes) < 5 {
			t.Errorf("jail %+v", j)
		}
	}
	if got := strings.Join(names, " "); got != lines[2] {
		t.Errorf("jails %s\nwant %s", got, lines[2])
	}
	if want := lines[3]; strconv.Itoa(commands) != want {
		t.Errorf("%d commands, want %s", commands, want)
	}
	t.Logf("%d jails, %d commands", len(names), commands)
}

// TestStreamCommands sends the commands of a stream one by one.
func TestStreamCommands(t *testing.T) {
	f := goldenService(t)
	d := &Dispatcher{Verbs: f}
	stream := func(cmds ...any) (any, error) {
		return d.Handle(t.Context(), []any{"server-stream", cmds})
	}
	list := func(v ...any) []any { return v }
	v, err := stream(
		list("set", "thread", Dict{{"stacksize", int64(64)}}),
		list("add", "j", "auto"),
		list("set", "j", "bantime.increment", true),
		list("set", "j", "addjournalmatch", "_COMM=x", "+", "_COMM=y"),
		list("set", "j", "addlogpath", "/f", "tail"),
		list("set", "j", "addaction", "py", "/a.py", `{"k": 1}`),
		list("multi-set", "j", "action", "py", list(list("timeout", int64(5)), list("flush"))),
		list("set", "j", "action", "py", "x", nil),
		list("config-error", "wrong"),
		list("start", "j"),
	)
	if v != nil || err != nil {
		t.Fatalf("%v, %v", v, err)
	}
	want := &Stream{
		Server: []ServerChange{{"thread.stacksize", "64"}},
		Errors: []string{"wrong"},
		Jails: []*StreamJail{{Name: "j", Added: true, Backend: "auto", Started: true,
			Changes: []Change{
				{Option: "bantime.increment", Values: []string{"true"}},
				{Option: "journalmatch", Op: Add, Values: []string{"_COMM=x", "+", "_COMM=y"}},
				{Option: "logpath", Op: Add, Values: []string{"/f"}, Tail: true},
			},
			Actions: []*StreamAction{{NewAction: NewAction{Name: "py", File: "/a.py", Args: json.RawMessage(`{"k": 1}`)}, Added: true,
				Properties: []StreamProperty{{"timeout", "5"}, {"flush", ""}, {"x", ""}}}},
		}},
	}
	if !reflect.DeepEqual(f.streams[0], want) {
		t.Errorf("got %+v", f.streams[0])
	}
	// One wrong command, and nothing of the stream is handed on.
	bad := func(want string, cmd ...any) {
		t.Helper()
		if _, err := stream(list("add", "k"), cmd); err == nil || Repr(err) != want {
			t.Errorf("%v: got %v, want %s", cmd, err, want)
		}
	}
	bad("Exception(\"Invalid command 'stop' in a configuration stream\")", "stop", "k")
	bad("Exception(\"Invalid command 'nothing' (no set action or not yet implemented)\")", "set", "k", "nothing", "1")
	bad("DuplicateJailException('k')", "add", "k", "auto")
	bad("IndexError('list index out of range')", "set", "k")
	bad("ValueError(\"invalid literal for int() with base 10: 'x'\")", "set", "k", "maxretry", "x")
	bad("ValueError(\"no JSON object: '[1]'\")", "set", "k", "addaction", "a", "f", "[1]")
	bad("KeyError(\"unknown option 'x'\")", "set", "thread", Dict{{"x", int64(1)}})
	if len(f.streams) != 1 {
		t.Errorf("%d streams", len(f.streams))
	}
	if _, err := d.Handle(t.Context(), list("reload", "--all", list("--what"), list())); err == nil {
		t.Error("an unknown option of reload: no error")
	}
}
