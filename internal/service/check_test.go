package service

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// tree writes files, NAME and CONTENT in turn, and returns what reads them over
// the embedded configuration.
func tree(t *testing.T, files ...string) config.Options {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "etc")
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return config.Options{Dir: dir, Stock: stock.FS(), Superseded: stock.Superseded}
}

// problemsText returns problems without the name of the folder.
func problemsText(o config.Options, problems config.Problems) []string {
	var out []string
	for _, p := range problems {
		out = append(out, strings.ReplaceAll(p.Error(), o.Dir+"/", ""))
	}
	return out
}

const broken = `[DEFAULT]
logpath = /dev/null
action = %(action_)s
[good]
enabled = true
filter = sshd
[regex]
enabled = true
filter =
failregex = ^ok <HOST>$
            ^no (<HOST>$
            ^nobody$
ignoreregex = ^[$
datepattern = {^LN-BEG}%%Y
              %%Y(
logtimezone = Mars
logencoding = utf-99
[ports]
enabled = true
filter = sshd
port = nosuchservice
[text]
enabled = true
filter = sshd
maxretry = many
failregex = ^also wrong (<HOST>$
[off]
failregex = (
`

// What does not compile is reported with its place, all in one go, also of a
// jail that is disabled already.
func TestCheckFindsWhatDoesNotCompile(t *testing.T) {
	o := tree(t, "jail.local", broken)
	c := Check(o, "")
	want := []string{
		"jail.local:25: [text] maxretry = many: expected a whole number",
		`jail.local:11: [regex] failregex = ^no (<HOST>$: missing ), unterminated subpattern at position 4`,
		"jail.local:12: [regex] failregex = ^nobody$: no failure-id group: expected <HOST>, <ADDR>, <F-ID> or <F-MLFID> in it or in prefregex",
		`jail.local:13: [regex] ignoreregex = ^[$: unterminated character set at position 1`,
		"jail.local:15: [regex] datepattern = %Y(",
		"jail.local:16: [regex] logtimezone = Mars",
		"jail.local:17: [regex] logencoding = utf-99",
		`jail.local:21: [ports] port = nosuchservice: action nftables: read port "nosuchservice"`,
		"jail.local:25: [text] maxmatches = many", // stock: %(maxretry)s
		"jail.local:26: [text] failregex = ^also wrong (<HOST>$: missing ), unterminated subpattern at position 12",
	}
	got := problemsText(o, config.Problems(c.Problems).Errors())
	for _, w := range want {
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, w) }) {
			t.Errorf("no problem %q", w)
		}
	}
	if len(got) != len(want) || c.Errors != len(want) {
		t.Errorf("%d errors, counted %d, want %d:\n%s", len(got), c.Errors, len(want), strings.Join(got, "\n"))
	}
	var disabled []string
	for _, j := range c.Jails {
		if j.Disabled {
			disabled = append(disabled, j.Name)
		}
	}
	if len(c.Jails) != 4 || !slices.Equal(disabled, []string{"regex", "ports", "text"}) {
		t.Errorf("%d jails, disabled %v", len(c.Jails), disabled)
	}
}

// A jail that an error disables leaves the others running, and the log says so.
func TestNewLeavesBrokenJailsOut(t *testing.T) {
	o := tree(t, "jail.local", broken)
	var log bytes.Buffer
	s, err := New(Config{Options: o, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, j := range s.jails() {
		names = append(names, j.config.Name)
	}
	if !slices.Equal(names, []string{"good", Manual}) {
		t.Errorf("jails %v", names)
	}
	for _, name := range []string{"regex", "ports", "text"} {
		if n := strings.Count(log.String(), `msg="jail disabled: its configuration has errors" jail=`+name+"\n"); n != 1 {
			t.Errorf("%s: said %d times to be disabled", name, n)
		}
	}
	for _, text := range []string{"jail.local:11: [regex] failregex = ^no (<HOST>$: missing )", "jail.local:25: [text] maxretry = many"} {
		if n := strings.Count(log.String(), text); n != 1 {
			t.Errorf("%q is logged %d times", text, n)
		}
	}
}

// What a jail would do: the file that was taken, the actions, the logs, the
// regular expressions that cost most.
func TestCheckDescribesJails(t *testing.T) {
	released, err := os.ReadFile("/etc/fail2ban/filter.d/dovecot.conf")
	if err != nil || !stock.Superseded("filter.d/dovecot.conf", released) {
		t.Skip("Debian's fail2ban is absent")
	}
	logs := t.TempDir()
	for _, name := range []string{"b.log", "a.log"} {
		if err := os.WriteFile(filepath.Join(logs, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := tree(t, "filter.d/dovecot.conf", string(released), "filter.d/plain.local", "[Definition]\nfailregex = ^\\w+ <HOST>$\n ^login of <HOST>$\n",
		"filter.d/pre.conf", "[Definition]\nprefregex = ^web: <F-CONTENT>.+</F-CONTENT>$\nfailregex = ^\\w+ <HOST>$\n",
		"filter.d/multi.conf", "[Definition]\nprefregex = ^web: <F-CONTENT>.+</F-CONTENT>$\nfailregex = ^\\w+ <HOST>$\nmaxlines = 3\n",
		"jail.local", `[DEFAULT]
logpath = `+logs+`/*.log
          `+logs+`/later.log tail
[dovecot]
enabled = true
[plain]
enabled = true
action = iptables-multiport[name=p-tcp, actname=t, protocol=tcp, port="80,443"]
         iptables-multiport[name=p-udp, actname=u, protocol=udp, port="80,443"]
         iptables-multiport[name=p-o, actname=o, protocol=tcp, port=25]
         dummy
[pre]
enabled = true
[multi]
enabled = true
[journal]
enabled = true
filter = sshd
backend = systemd
[either]
enabled = true
filter = sshd
logpath = `+logs+`/none.log
[files]
enabled = true
filter = sshd
backend = polling
logpath = `+logs+`/none.log
`)
	c := Check(o, "")
	if c.Errors != 0 || len(c.Jails) != 7 {
		t.Fatalf("%d jails, problems: %v", len(c.Jails), c.Problems)
	}
	jail := map[string]CheckedJail{}
	for _, j := range c.Jails {
		jail[j.Name] = j
	}
	if f := jail["dovecot"].Filter; f.File != "stock:filter.d/dovecot.conf" || f.Replaces != o.Dir+"/filter.d/dovecot.conf" || !f.Stock || f.Name != "dovecot[mode=normal]" {
		t.Errorf("dovecot: %+v", f)
	}
	plain := jail["plain"]
	if f := plain.Filter; f.File != o.Dir+"/filter.d/plain.local" || f.Stock || f.Replaces != "" || f.Regexes != 2 {
		t.Errorf("plain: %+v", f)
	}
	if len(plain.Slow) != 1 || plain.Slow[0] != (SlowRegex{0, o.Dir + "/filter.d/plain.local", 2, `^\w+ <HOST>$`, CostEveryLine}) {
		t.Errorf("plain: slow %+v", plain.Slow)
	}
	var by []string
	for _, a := range plain.Actions {
		by = append(by, a.Name+" "+a.By)
		if (a.By == "") == (a.Reason == "") || !strings.HasSuffix(a.File, ".conf") {
			t.Errorf("action %+v", a)
		}
	}
	if !slices.Equal(by, []string{"t nftables", "u nftables", "o nftables", "dummy command"}) {
		t.Errorf("plain: actions %q", by)
	}
	if l := plain.Logs; len(l) != 2 || !slices.Equal(l[0].Files, []string{logs + "/a.log", logs + "/b.log"}) || l[0].Tail || len(l[1].Files) != 0 || !l[1].Tail || plain.Journal != nil {
		t.Errorf("plain: logs %+v, journal %v", l, plain.Journal)
	}
	if s := jail["pre"].Slow; len(s) != 1 || s[0].Cost != CostPrefregex {
		t.Errorf("pre: slow %+v", s)
	}
	if j := jail["multi"]; len(j.Slow) != 1 || j.Slow[0].Cost != CostEveryLine || j.Filter.MaxLines != 3 {
		t.Errorf("multi: slow %+v, %+v", j.Slow, j.Filter)
	}
	for _, name := range []string{"journal", "either"} {
		if j := jail[name].Journal; j == nil || len(j.Matches) == 0 || j.Matches[0][0] != "_SYSTEMD_UNIT=ssh.service" {
			t.Errorf("%s: journal %+v", name, j)
		}
	}
	if len(jail["journal"].Logs) != 0 || len(jail["either"].Logs) != 1 || jail["files"].Journal != nil {
		t.Errorf("journal %+v, either %+v, files %+v", jail["journal"], jail["either"], jail["files"])
	}
}

// TCP and UDP of one jail are dropped together.
func TestDropActionsOfOneJailJoin(t *testing.T) {
	tree, problems := config.Load(tree(t, "jail.local", `[x]
enabled = true
filter = sshd
logpath = /dev/null
action = iptables-multiport[name=t, actname=t, protocol=tcp, port="5060,5061"]
         iptables-multiport[name=u, actname=u, protocol=udp, port="5060,5061"]
`))
	if len(problems.Errors()) > 0 {
		t.Fatal(problems)
	}
	j, err := compile(tree.Jail("x"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(j.drop.Protocols, []string{"tcp", "udp"}) || len(j.drop.Ports) != 2 || len(j.other) != 0 {
		t.Errorf("drop %+v, other %v", j.drop, j.other)
	}
}

// The start's log and status say which directory is read, and how many jails
// are enabled in the one that is not.
func TestServiceSaysWhichDirectoryIsRead(t *testing.T) {
	ours := tree(t, "jail.local", "[sshd]\nenabled = true\n")
	theirs := tree(t, "jail.conf", "[a]\nenabled = true\nfilter = sshd\n[b]\nenabled = false\n[c]\nenabled = true\nfilter = nosuch\n")
	var log bytes.Buffer
	s, err := New(Config{
		Options: ours, Other: theirs.Dir, DryRun: &sinks.DryRun{W: io.Discard}, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`msg="configuration read" dir=` + ours.Dir, "is not read\" dir=" + theirs.Dir + " enabled=2"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, &log)
		}
	}
	if err := s.open(observer{s}); err != nil {
		t.Fatal(err)
	}
	st, err := verbs{s}.status(StatusArgs{})
	if err != nil {
		t.Fatal(err)
	}
	if st.Config.Dir != ours.Dir || st.Config.Other == nil || *st.Config.Other != (OtherDir{theirs.Dir, 2}) {
		t.Errorf("status: %+v", st.Config)
	}
	if st.Jails[0].Filter != "stock:filter.d/sshd.conf" {
		t.Errorf("filter %q", st.Jails[0].Filter)
	}
	if c := Check(ours, theirs.Dir); c.Other == nil || c.Other.Enabled != 2 {
		t.Errorf("check: %+v", c.Other)
	}
	if c := Check(ours, ""); c.Other != nil {
		t.Errorf("check without another: %+v", c.Other)
	}
}
