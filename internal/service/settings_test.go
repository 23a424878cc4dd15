package service

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// command sends a line of words to a service.
func (r *running) command(t *testing.T, line string) any {
	t.Helper()
	var words []any
	for _, w := range strings.Split(line, "|") {
		words = append(words, w)
	}
	return ask(t, r.socket, words...)
}

// TestSettingsTakeEffect changes a running jail by fail2ban's commands: what
// its lines cause changes with it, and what it has counted stays.
func TestSettingsTakeEffect(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("web", "maxretry = 3")+
		jailText("beside", "maxretry = 100", "logpath = DIR/second.log", "failregex = ^ login refused from <HOST>$"))
	tr.log("web.log", "begin")
	tr.log("second.log", "begin")
	s := tr.start()
	set := func(line string) {
		t.Helper()
		s.command(t, "set|web|"+line)
	}
	banned := func(ip string) {
		t.Helper()
		s.out.wait(t, 1, `"ban"`, `"web"`, `"`+ip+`"`)
	}
	// One failure more than was counted, and the new maxretry is reached.
	tr.log("web.log", failed("203.0.113.1", "203.0.113.1")...)
	s.log.wait(t, 2, "[web] Found 203.0.113.1 ")
	set("maxretry|3")
	tr.log("web.log", failed("203.0.113.1")...)
	banned("203.0.113.1")
	set("maxretry|1")
	tr.log("web.log", failed("203.0.113.2")...)
	banned("203.0.113.2")
	// Another expression beside the first, and the first gone.
	set("addfailregex|^ login refused from <HOST>$")
	tr.log("web.log", "login refused from 203.0.113.3")
	banned("203.0.113.3")
	set("delfailregex|0")
	set("addignoreregex|from 203\\.0\\.113\\.5$")
	tr.log("web.log", "login failed from 203.0.113.4", "login refused from 203.0.113.5", "login refused from 203.0.113.6")
	banned("203.0.113.6")
	// Another file.
	set("addlogpath|" + tr.path("second.log"))
	tr.log("second.log", "login refused from 203.0.113.7")
	banned("203.0.113.7")
	set("dellogpath|" + tr.path("web.log"))
	tr.log("web.log", "login refused from 203.0.113.8")
	tr.log("second.log", "login refused from 203.0.113.9")
	banned("203.0.113.9")
	// Whom it does not count.
	set("addignoreip|203.0.113.64/26|198.51.100.1")
	tr.log("second.log", "login refused from 203.0.113.65", "login refused from 198.51.100.1", "login refused from 203.0.113.10")
	banned("203.0.113.10")
	set("delignoreip|198.51.100.1")
	tr.log("second.log", "login refused from 198.51.100.1")
	banned("198.51.100.1")
	// At rest: what is written then is not looked at.
	set("idle|on")
	tr.log("second.log", "login refused from 203.0.113.11")
	s.log.wait(t, 1, "[beside] Found 203.0.113.11 ")
	set("idle|off")
	tr.log("second.log", "login refused from 203.0.113.12")
	banned("203.0.113.12")
	// By another length.
	set("bantime|-1")
	tr.log("second.log", "login refused from 203.0.113.13")
	s.out.wait(t, 1, `"ban"`, `"203.0.113.13"`, `"until":null`)

	for _, ip := range []string{"203.0.113.4", "203.0.113.5", "203.0.113.8", "203.0.113.65", "203.0.113.11"} {
		if s.out.times(`"`+ip+`"`) > 0 {
			t.Errorf("%s was banned", ip)
		}
	}
	// A reload takes all of it back.
	s.reload(t, "")
	if got := s.command(t, "get|web|maxretry"); got != int64(3) {
		t.Errorf("maxretry after a reload: %v", got)
	}
}

// TestJailByCommands makes a jail, configures and starts it, and stops it again.
func TestJailByCommands(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("web"))
	tr.log("new.log", failed("203.0.113.1", "203.0.113.1")...)
	s := tr.start()
	s.command(t, "add|new|polling")
	s.command(t, "set|new|addfailregex|^ login failed from <HOST>$")
	s.command(t, "set|new|datepattern|{^LN-BEG}%Y-%m-%d %H:%M:%S")
	s.command(t, "set|new|maxretry|2")
	s.command(t, "set|new|addlogpath|"+tr.path("new.log"))
	if got := s.command(t, "status"); !strings.Contains(control.Repr(got), "new") {
		t.Errorf("status: %s", control.Repr(got))
	}
	if j := s.jail("new"); j == nil || j.reads() || len(s.inputList()) > 0 {
		t.Error("it reads before it is started")
	}
	s.command(t, "start|new")
	s.out.wait(t, 1, `"ban"`, `"new"`, "203.0.113.1")
	s.command(t, "stop|new")
	s.out.wait(t, 1, `"unban"`, `"new"`, "203.0.113.1")
	if s.jail("new") != nil {
		t.Error("it is still there")
	}
}

// TestSettingsRefused sends what cannot be: the jail stays as it was.
func TestSettingsRefused(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("web"))
	tr.log("web.log", "begin")
	s := tr.start()
	before := s.jail("web")
	refused := func(class, want, line string) {
		t.Helper()
		client, err := control.Dial(t.Context(), s.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		var words []any
		for _, w := range strings.Split(line, "|") {
			words = append(words, w)
		}
		_, err = client.Call(t.Context(), words)
		e, ok := err.(*control.Exception)
		if !ok || e.Name != class || !strings.Contains(e.Error(), want) {
			t.Errorf("%s: %T %v, want a %s with %q", line, err, err, class, want)
		}
		if s.jail("web") != before {
			t.Fatalf("%s: the jail is another one", line)
		}
	}
	refused("RegexException", "unterminated subpattern", "set|web|addfailregex|^( <HOST>")
	refused("RegexException", "unterminated subpattern", "set|web|prefregex|^(")
	refused("RegexException", "No failure-id group", "set|web|addfailregex|^nobody$")
	refused("RegexException", "empty", "set|web|addfailregex| ")
	refused("Exception", "time zone", "set|web|logtimezone|Nowhere/Land")
	refused("Exception", "encoding", "set|web|logencoding|no-such-code")
	refused("NameError", "'never' is not defined", "set|web|findtime|never")
	refused("ValueError", "findtime", "set|web|findtime|0")
	refused("ValueError", "invalid literal", "set|web|maxretry|many")
	refused("ValueError", "bantime.formula", "set|web|bantime.formula|open('/etc/passwd')")
	refused("ValueError", "int() with base 10: 'two'", "set|web|bantime.multipliers|1 two")
	refused("FileNotFoundError", "No such file or directory", "set|web|addlogpath|"+tr.path("nowhere.log"))
	refused("ValueError", "not in list", "set|web|delignoreip|192.0.2.1")
	refused("KeyError", "Invalid Action name", "set|web|delaction|none")
	refused("ValueError", "Unknown backend", "add|new|tape")
	refused("DuplicateJailException", "web", "add|web|polling")
	refused("ValueError", "Invalid log level", "set|loglevel|LOUD")
	refused("Exception", "Failed to change log target", "set|logtarget|/nowhere/at/all/f2b.log")
	refused("RuntimeError", "Cannot change database", "set|dbfile|/elsewhere")
}

// TestPipeKeepsItsJails asks a pipe's service to change its jails.
func TestPipeKeepsItsJails(t *testing.T) {
	s := newService(Config{Log: slog.New(slog.DiscardHandler)}, pipeline.WallClock())
	s.setJails(withManual(nil))
	v := verbs{s}
	for _, err := range []error{
		v.ChangeJail(t.Context(), Manual, control.Change{Option: "maxretry", Values: []string{"3"}}), v.AddJail(t.Context(), "new", "auto"),
		v.StopJail(t.Context(), Manual), v.StopAllJails(t.Context()), v.Configure(t.Context(), &control.Stream{}),
	} {
		if !errors.Is(err, ErrNoReload) {
			t.Errorf("got %v", err)
		}
	}
}

// TestCallAction runs commands of an action by fail2ban's command.
func TestCallAction(t *testing.T) {
	testenv.Netns(t)
	netns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(netns)
	tr := newSite(t)
	tr.write("action.d/note.conf", "[Definition]\nactionban = echo ban <ip> <F-USER> >>DIR/out\nactionflush = echo flush <family> >>DIR/out\nactionstop = exit 3\nactionunban =\n")
	tr.write("jail.local", jailText("web", "action = note"))
	tr.log("web.log", "begin")
	s := tr.start(func(c *Config) { c.DryRun, c.NetNS = nil, netns })
	call := func(want any, line string) {
		t.Helper()
		if got := s.command(t, "set|web|action|note|"+line); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
	call(true, `ban|{"aInfo":{"ip":"2001:db8::1","F-USER":"o'$(id)","family":"inet6"}}`)
	call(true, "flush")
	call(true, "unban")
	for _, line := range []string{"stop", "escapeTag", "ban|[]"} {
		client, err := control.Dial(t.Context(), s.socket)
		if err != nil {
			t.Fatal(err)
		}
		words := []any{"set", "web", "action", "note"}
		for _, w := range strings.Split(line, "|") {
			words = append(words, w)
		}
		if _, err := client.Call(t.Context(), words); err == nil {
			t.Errorf("%s: no error", line)
		}
		_ = client.Close()
	}
	text, err := os.ReadFile(tr.path("out"))
	if want := "ban 2001:db8::1 o'$(id)\nflush inet4\n"; err != nil || string(text) != want {
		t.Errorf("got %q, %v, want %q", text, err, want)
	}
}
