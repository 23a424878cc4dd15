package service

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/internal/runner"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// recording is an action that writes down what it is told, into DIR/NAME.out.
const recording = `[Definition]
actionstart = echo start <mark> >> DIR/<actname>.out
actionstop = echo stop <mark> >> DIR/<actname>.out
actionreload = echo reload <mark> >> DIR/<actname>.out
actionban = echo ban <ip> <failures> <restored> "<matches>" >> DIR/<actname>.out
actionunban = echo unban <ip> >> DIR/<actname>.out
[Init]
mark = 1
`

// has waits until a file of the site has a text.
func (tr *site) has(name, text string) {
	tr.t.Helper()
	var got []byte
	tr.t.Cleanup(func() {
		if tr.t.Failed() {
			tr.t.Logf("%s: %s", name, got)
		}
	})
	until(tr.t, name+" has "+text, func() bool {
		got, _ = os.ReadFile(tr.path(name))
		return strings.Contains(string(got), text)
	})
}

// TestActions carries out actions of every kind beside the kernel's drop: one
// that hangs delays neither a ban nor another action, and one whose program is
// missing is said to be so.
func TestActions(t *testing.T) {
	testenv.Netns(t)
	testenv.NeedTool(t, "nft")
	netns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(netns)
	tr := newSite(t)
	tr.write("action.d/rec.conf", recording)
	tr.write("action.d/hang.conf", "[Definition]\nactionban = echo hangs >> DIR/hang.out; sleep 300\nactionunban =\n[Init]\ntimeout = 1\n")
	tr.write("action.d/missing.conf", "[Definition]\nactionban = nosuchprogram <ip>\nactionunban =\n")
	tr.write("action.d/py.py", `from fail2ban.server.actions import ActionBase
class Action(ActionBase):
    def __init__(self, jail, name, word):
        super().__init__(jail, name)
        self.word = word
    def write(self, text):
        with open("DIR/py.out", "a") as f:
            f.write(text + "\n")
    def start(self):
        self.write("start %s %s" % (self._jail.name, self.word))
    def stop(self):
        self.write("stop")
    def ban(self, aInfo):
        self.write("ban %(ip)s %(failures)d" % aInfo)
    def unban(self, aInfo):
        raise ValueError("cannot")
`)
	jail := func(rest string) string {
		return jailText("web", "action = hang\n missing\n nftables[port=\"80,443\"]\n nftables[port=53, protocol=udp, actname=dns, name=dns]\n py.py[word=hello]\n rec"+rest)
	}
	tr.write("jail.local", jail(""))
	s := tr.start(func(c *Config) { c.DryRun, c.NetNS, c.Options.Stock = nil, netns, stock.FS() })
	tr.log("web.log", failed("203.0.113.1", "203.0.113.1")...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(strings.Join(s.log.lines, ""))
		}
	})
	tr.has("hang.out", "hangs")
	tr.log("web.log", failed("203.0.113.2", "203.0.113.2")...)
	tr.has("rec.out", "ban 203.0.113.2 2 0 ")
	tr.has("py.out", "ban 203.0.113.2 2")
	until(t, "203.0.113.2 is in the kernel", func() bool { return s.status(t, "web").Enforced == 2 })
	if rules := ruleset(t); strings.Count(rules, "203.0.113.2") < 2 || !strings.Contains(rules, "53") || !strings.Contains(rules, "443") {
		t.Errorf("ruleset: %s", rules)
	}
	state := func(name string) ActionStatus {
		t.Helper()
		for _, a := range s.status(t, "web").Actions {
			if a.Name == name {
				return a
			}
		}
		t.Fatalf("no action %s", name)
		return ActionStatus{}
	}
	if a := state("hang"); a.Pending == 0 {
		t.Errorf("hang does not: %+v", a)
	}
	until(t, "missing is found to be", func() bool { return state("missing").Failed > 0 })
	if a := state("missing"); a.By != byCommands || !strings.Contains(a.Problem, "not installed") {
		t.Errorf("%+v", a)
	}
	s.log.wait(t, 1, "command of an action failed", "missing")
	if a := state("dns"); a.By != byNFTables {
		t.Errorf("%+v", a)
	}

	// Other ports of the second drop take the place of the first ones.
	tr.write("jail.local", strings.ReplaceAll(jail(""), "port=53", "port=54"))
	s.reload(t, "")
	until(t, "the ports are others", func() bool {
		rules := ruleset(t)
		return strings.Count(rules, "203.0.113.2") >= 2 && strings.Contains(rules, "54") && !strings.Contains(rules, `"right": 53`)
	})

	// A reload tells what is the same, and ends and begins what is not.
	tr.write("jail.local", jail("\n rec[actname=more]"))
	s.reload(t, "")
	tr.has("rec.out", "reload 1")
	tr.has("more.out", "start 1")
	tr.has("more.out", "ban 203.0.113.1 2 1 ")
	tr.write("jail.local", strings.ReplaceAll(jail("[mark=2]"), " nftables[port=53, protocol=udp, actname=dns, name=dns]\n", ""))
	s.reload(t, "")
	tr.has("more.out", "stop 1")
	tr.has("rec.out", "unban 203.0.113.1\n")
	tr.has("rec.out", "stop 1\nstart 2\n")
	if rules := ruleset(t); strings.Contains(rules, "dns") {
		t.Errorf("ruleset: %s", rules)
	}
	if n, _, err := (verbs{s.Service}).Unban(t.Context(), "web", []string{"203.0.113.1"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	until(t, "the action in Python fails", func() bool { return strings.Contains(state("py").Problem, "ValueError: cannot") })
	s.end(t)
	tr.has("rec.out", "stop 2")
	tr.has("py.out", "stop")
}

// TestSMTPAction runs fail2ban's own action in Python.
func TestSMTPAction(t *testing.T) {
	const path = "/etc/fail2ban/action.d/smtp.py"
	if _, err := os.Stat(path); err != nil {
		t.Skip(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mails := make(chan string, 4)
	go serveSMTP(l, mails)
	d := runner.Define("sshd", &config.Action{ActName: "smtp", Python: path, Timeout: 20 * time.Second, Params: []config.Param{
		{Name: "host", Value: config.Value{Text: l.Addr().String()}}, {Name: "dest", Value: config.Value{Text: "root@example.org"}},
		{Name: "matches", Value: config.Value{Text: "matches"}},
	}})
	e := new(runner.Engine)
	defer e.Close()
	if _, err := e.Hold(t.Context(), []runner.Definition{d}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		phase runner.Phase
		want  string
	}{{runner.Start, "started"}, {runner.Ban, "touch pwned"}, {runner.Stop, "stopped"}} {
		r, err := e.Run(t.Context(), runner.Call{Digest: d.Digest(), Phase: step.phase, Values: banTags("192.0.2.1")})
		if err != nil || !r.OK {
			t.Fatalf("%s: %+v, %v", step.phase, r, err)
		}
		if mail := <-mails; !strings.Contains(mail, step.want) {
			t.Errorf("%s: %s", step.phase, mail)
		}
	}
}

// serveSMTP takes mails.
func serveSMTP(l net.Listener, mails chan<- string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		in := bufio.NewScanner(conn)
		fmt.Fprint(conn, "220 here\r\n")
		for in.Scan() {
			switch verb, _, _ := strings.Cut(strings.ToUpper(in.Text()), " "); verb {
			case "DATA":
				fmt.Fprint(conn, "354 go on\r\n")
				var mail strings.Builder
				for in.Scan() && in.Text() != "." {
					mail.WriteString(in.Text() + "\n")
				}
				mails <- mail.String()
				fmt.Fprint(conn, "250 taken\r\n")
			case "QUIT":
				fmt.Fprint(conn, "221 bye\r\n")
			default:
				fmt.Fprint(conn, "250 yes\r\n")
			}
		}
		conn.Close()
	}
}

// TestNativeActions says for which actions our sink stands.
func TestNativeActions(t *testing.T) {
	dir := stockTree(t)
	f := func(spec, options, by, note string) {
		t.Helper()
		o := config.Options{Dir: dir, Enable: []string{"x"}, Make: true, Only: "x"}
		o.Overrides.Jail = map[string]string{"action": spec, "failregex": "^x <HOST>$", "filter": "", "backend": "polling", "logpath": ""}
		if k, v, ok := strings.Cut(options, "="); ok {
			o.Overrides.Jail[k] = v
		}
		tree, problems := config.Load(o)
		if problems.Err() != nil {
			t.Fatalf("%s: %v", spec, problems)
		}
		c := tree.Jail("x")
		j, err := compile(c)
		if err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		if a := checkedAction(&c.Actions[0], j); a.By != by || !strings.Contains(a.Reason, note) || note == "" && a.Reason != "" {
			t.Errorf("%s %s: by %q, %q", spec, options, a.By, a.Reason)
		}
	}
	f(`nftables[port=22]`, "", byNFTables, "")
	f(`iptables-multiport[port="22,80", blocktype=DROP]`, "", byNFTables, "")
	f(`iptables-allports[chain="INPUT,FORWARD"]`, "", byNFTables, "")
	f(`firewallcmd-ipset[port=22]`, "", byNFTables, "")
	f(`iptables[port=22]`, "native-actions=no", byCommands, "native-actions")
	f(`iptables[port=22]`, "native-actions=nftables", byCommands, "")
	f(`nftables[port=22]`, "native-actions=nftables", byNFTables, "")
	f(`iptables[port=22, chain=MINE]`, "", byCommands, "chain MINE")
	f(`iptables[port=22, blocktype=TARPIT]`, "", byCommands, "tarpit")
	f(`iptables[port=22, lockingopt="-w 5"]`, "", byCommands, "release")
	f(`nftables[port=22, type=custom]`, "", byCommands, "release")
	f(`iptables-multiport-log[port=22]`, "", byCommands, "")
	f(`dummy`, "", byCommands, "")
	f(`nftables[port=22]`, "", byNFTables, "")
	path := dir + "/action.d/nftables.local"
	if err := os.WriteFile(path, []byte("# a comment\n[Init]\nblocktype = drop\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f(`nftables[port=22]`, "", byNFTables, "")
	if err := os.WriteFile(path, []byte("[Definition]\nactionban = nft <ip>\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f(`nftables[port=22]`, "", byCommands, "release")
}

// What a client streams is known again by the file of its name, and no longer
// when one of its commands is another.
func TestStreamedActionIsRecognized(t *testing.T) {
	o := config.Options{Dir: stockTree(t)}
	a := actionsOf(t, o, []string{`nftables[port="22,80", name=sshd]`})[0]
	a.Params, a.Files, a.Canonical = nil, nil, nil
	config.Recognize(o, &a)
	if !released(&a) {
		t.Error("it is not known")
	}
	if err := setProperty(&a, "actionban", "true"); err != nil {
		t.Fatal(err)
	}
	config.Recognize(o, &a)
	if released(&a) {
		t.Error("it is known still")
	}
}

func TestEscaped(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := escaped(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f("a\nb\tc", `a\nb c`)
	f("\x1b[2J\r\u202eé", `\u001b[2J\u000d\u202eé`)
	f(strings.Repeat("x", 1000), strings.Repeat("x", maxEscaped)+"…")
}

var _ pipeline.Sink = (*aliased)(nil)

// What fail2ban's client streams of an action is the definition that is on disk:
// a runner that takes none from anybody runs it.
func TestStreamedDefinitionIsThatOnDisk(t *testing.T) {
	dir := stockTree(t)
	o := config.Options{Dir: dir, Enable: []string{"x"}, Make: true, Only: "x"}
	o.Overrides.Jail = map[string]string{"failregex": "^x <HOST>$", "filter": "", "backend": "polling", "logpath": "",
		"action": "ufw[timeout=5m]\n iptables-multiport[port=\"22,80\"]\n sendmail-whois[dest=me, norestored=1]\n dummy[actname=d2]\n nftables"}
	tree, problems := config.Load(o)
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	c, streamed := tree.Jail("x"), &config.Jail{Name: "x"}
	for _, command := range tree.Dump() {
		if len(command) < 5 || command[1] != "x" {
			continue
		}
		list, _ := command[len(command)-1].([]any)
		switch {
		case command[0] == "set" && command[2] == "addaction":
			t.Fatalf("%v", command)
		case command[0] == "multi-set" && command[2] == "action":
			if err := addAction(streamed, control.NewAction{Name: command[3].(string)}); err != nil {
				t.Fatal(err)
			}
			for _, pair := range list {
				p := pair.([]any)
				if err := setProperty(&streamed.Actions[len(streamed.Actions)-1], p[0].(string), fmt.Sprint(p[1])); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if len(streamed.Actions) != len(c.Actions) {
		t.Fatalf("%d actions of %d", len(streamed.Actions), len(c.Actions))
	}
	for i := range c.Actions {
		disk, stream := runner.Define("x", &c.Actions[i]), runner.Define("x", &streamed.Actions[i])
		if disk.Digest() != stream.Digest() {
			t.Errorf("%s:\ndisk   %+v\nstream %+v", disk.Name, disk, stream)
		}
	}
}

// TestBansByCommandsAlone: where a jail's actions are commands there is nothing
// for our own sink to do, and no ban of it counts as one that is not enforced;
// where it has no action at all, every ban does. What fail2ban's clients are
// told is the same.
func TestBansByCommandsAlone(t *testing.T) {
	netns := namespace(t)
	tr := newSite(t)
	tr.write("action.d/rec.conf", recording)
	jails := func(action string) string {
		return jailText("web", "action = "+action, "bantime = 1h") + jailText("bare", "action =", "bantime = 1h")
	}
	tr.write("jail.local", jails("rec"))
	s := tr.start(func(c *Config) { c.DryRun, c.NetNS, c.Options.Stock = nil, netns, stock.FS() })
	v := verbs{s.Service}
	tr.log("web.log", failed("203.0.113.1", "203.0.113.1")...)
	tr.has("rec.out", "ban 203.0.113.1 2")
	enforced := func(jail string, current, want int) {
		t.Helper()
		until(t, fmt.Sprintf("%s has %d bans, %d enforced", jail, current, want), func() bool {
			st := s.status(t, jail)
			return st.Banned.Current == current && st.Enforced == want
		})
	}
	enforced("web", 1, 1)
	done, err := v.ban(t.Context(), BanArgs{Jail: "web", IDs: []string{"203.0.113.2", "somebody"}})
	if err != nil || done.Changed != 2 || len(done.Refused) != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	enforced("web", 3, 3)
	done, err = v.ban(t.Context(), BanArgs{Jail: "bare", IDs: []string{"203.0.113.3"}})
	if err != nil || len(done.Refused) != 1 || !strings.Contains(done.Refused[0].Problem, "no action of the jail drops packets") {
		t.Errorf("%+v, %v", done, err)
	}
	enforced("bare", 1, 0)
	// Now our sink drops too, and then no longer.
	tr.write("jail.local", jails("rec\n nftables[port=80]"))
	s.reload(t, "")
	until(t, "203.0.113.2 is in the kernel", func() bool { return strings.Contains(ruleset(t), "203.0.113.2") })
	enforced("web", 3, 2) // somebody has no packets
	tr.write("jail.local", jails("rec"))
	s.reload(t, "")
	enforced("web", 3, 3)
	if n, err := v.UnbanEverywhere(t.Context(), []string{"203.0.113.1", "203.0.113.3"}); n != 2 || err != nil {
		t.Errorf("freed %d, %v", n, err)
	}
	if n, err := v.UnbanAll(t.Context()); n != 2 || err != nil {
		t.Errorf("freed %d, %v", n, err)
	}
	if n := s.log.times("Not enforced", "203.0.113.1"); n != 0 {
		t.Errorf("%d lines say that a ban by a command is not enforced", n)
	}
}
