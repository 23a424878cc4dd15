package config

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// oracle is Debian's client, kept running: it reads one tree after the other.
type oracle struct {
	in  io.WriteCloser
	out *bufio.Reader
	cmd *exec.Cmd
}

// oracleScript answers each directory named on stdin with the client's stream,
// one command a line as -d prints it, and "END", or "FAIL" and why. For "=EXPR"
// it answers what the expression is, for "~TIME" what str2seconds makes of it.
const oracleScript = `
import sys, logging, glob, math, json
logging.disable(logging.CRITICAL)
from fail2ban.client.configurator import Configurator
from fail2ban.helpers import extractOptions, splitWithOptions
from fail2ban.server.mytime import MyTime
unsorted = glob.glob # in the order of the folder, which is no order
glob.glob = lambda pattern: sorted(unsorted(pattern))
class ban:
    Time = 600
    Count = 3
def answer(line):
    if line[0] == '=':
        return [repr(eval(json.loads(line[1:]), {'math': math, 'ban': ban, 'banFactor': 1.5}))]
    if line[0] == '~':
        return [repr(MyTime.str2seconds(json.loads(line[1:])))]
    if line[0] == '[':
        name, opts = extractOptions(json.loads(line[1:]))
        return [repr([name] + [[k, v] for k, v in opts.items()])]
    if line[0] == '|':
        return [repr([w.strip() for w in splitWithOptions(json.loads(line[1:]))])]
    if line[0] == '*':
        return [repr(sorted(glob.glob(json.loads(line[1:]))))]
    c = Configurator()
    c.Reload()
    c.setBaseDir(line)
    c.readAll()
    c.getOptions(None, c.getEarlyOptions(), ignoreWrong=True)
    c.convertToProtocol(allow_no_files=True)
    return [repr(x) for x in c.getConfigStream()]
for line in sys.stdin:
    try:
        for l in answer(line.rstrip('\n')): print(l)
        print('END')
    except Exception as e:
        print('FAIL', repr(str(e)))
    sys.stdout.flush()
`

func newOracle(t *testing.T) *oracle {
	t.Helper()
	cmd := exec.Command(testenv.Python(t), "-W", "ignore", "-c", oracleScript)
	cmd.Env = append(os.Environ(), "PYTHONIOENCODING=utf-8")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &oracle{in: in, out: bufio.NewReaderSize(out, 1<<20), cmd: cmd}
	t.Cleanup(func() {
		_ = in.Close() // ends its loop
		if err := cmd.Wait(); err != nil {
			t.Errorf("the oracle ended: %v", err)
		}
	})
	return o
}

// ask returns the oracle's lines, or why it failed.
func (o *oracle) ask(t *testing.T, line string) (lines []string, failed string) {
	t.Helper()
	if _, err := io.WriteString(o.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
	for {
		s, err := o.out.ReadString('\n')
		if err != nil {
			t.Fatalf("read the oracle's answer to %s: %v", line, err)
		}
		s = strings.TrimSuffix(s, "\n")
		switch {
		case s == "END":
			return lines, ""
		case strings.HasPrefix(s, "FAIL "):
			return nil, s
		}
		lines = append(lines, s)
	}
}

func dumpLines(c *Config) []string {
	var out []string
	for _, cmd := range c.Dump() {
		out = append(out, Repr(cmd))
	}
	return out
}

// diff returns the first few lines that only one of them has, or whose order differs.
func diff(got, want []string) string {
	if slices.Equal(got, want) {
		return ""
	}
	var b strings.Builder
	shown := 0
	note := func(sign string, lines, others []string) {
		for _, l := range lines {
			if !slices.Contains(others, l) && shown < 10 {
				shown++
				fmt.Fprintf(&b, "%s %s\n", sign, l)
			}
		}
	}
	note("got only ", got, want)
	note("want only", want, got)
	if shown == 0 {
		return "the same commands in another order\n"
	}
	return b.String()
}

// debianTree copies Debian's /etc/fail2ban and lays dir, if it is not empty, over it.
func debianTree(t *testing.T, dir string) string {
	t.Helper()
	testenv.Python(t)
	tree := filepath.Join(t.TempDir(), "fail2ban")
	if err := os.CopyFS(tree, os.DirFS("/etc/fail2ban")); err != nil {
		t.Fatal(err)
	}
	if dir != "" {
		overlay(t, tree, dir)
	}
	return tree
}

// overlay copies the files in dir over those in tree.
func overlay(t *testing.T, tree, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		writeFile(t, filepath.Join(tree, rel), string(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDumpOfDebianWithEveryJail(t *testing.T) {
	tree := debianTree(t, "")
	writeFile(t, filepath.Join(tree, "jail.local"), "[DEFAULT]\nenabled = true\n")
	want, failed := newOracle(t).ask(t, tree)
	if failed != "" {
		t.Fatal(failed)
	}
	c, problems := Load(Options{Dir: tree})
	if d := diff(dumpLines(c), want); d != "" {
		t.Errorf("%d commands, want %d:\n%s", len(c.Dump()), len(want), d)
	}
	onlyKnownWeaknesses(t, problems)
	if n := len(c.Jails); n < 80 {
		t.Errorf("only %d jails", n)
	}
	// Enabled by the caller they are the same.
	if err := os.Remove(filepath.Join(tree, "jail.local")); err != nil {
		t.Fatal(err)
	}
	c, _ = Load(Options{Dir: tree, Enable: []string{AllJails}})
	if d := diff(dumpLines(c), want); d != "" {
		t.Errorf("enabled by the caller:\n%s", d)
	}
}

// onlyKnownWeaknesses takes, of fail2ban's own configuration, logs that are not
// there and the four weak places that it has, all of them warnings.
func onlyKnownWeaknesses(t *testing.T, problems Problems) {
	t.Helper()
	weak := map[string]int{"roundcube-auth journalmatch": 1, "sendmail-reject journalmatch": 1, "oracleims failregex": 1, "portsentry failregex": 1}
	for _, p := range problems {
		if strings.HasPrefix(p.Message, "no such file yet") {
			continue
		}
		if weak[p.Jail+" "+p.Option]--; p.Severity != Warning || weak[p.Jail+" "+p.Option] < 0 {
			t.Errorf("unexpected problem: %v", p)
		}
	}
	for place, n := range weak {
		if n > 0 {
			t.Errorf("no warning for %s", place)
		}
	}
}

// The client itself, not only its reader: what -d prints is what Dump returns.
func TestDumpIsWhatTheClientPrints(t *testing.T) {
	python := testenv.Python(t)
	out, err := exec.Command(python, "/usr/bin/fail2ban-client", "-d", "-c", "/etc/fail2ban").Output()
	if err != nil {
		t.Fatal(err)
	}
	c, _ := Load(Options{Dir: "/etc/fail2ban"})
	if d := diff(dumpLines(c), strings.Split(strings.TrimSpace(string(out)), "\n")); d != "" {
		t.Error(d)
	}
}

// fail2ban's development tree, with Debian's action.d as the embedded one.
func TestLoadOfTheDevelopmentTree(t *testing.T) {
	testenv.Python(t)
	shared := testenv.Shared(t, "fail2ban", "config")
	c, problems := Load(Options{Dir: shared, Stock: os.DirFS("/etc/fail2ban"), Enable: []string{AllJails}})
	onlyKnownWeaknesses(t, problems)
	if n := len(c.Jails); n != 99 {
		t.Errorf("%d jails, want 99", n)
	}
	if a := c.Jail("sshd").Actions; len(a) != 1 || a[0].Name != "nftables" || !a[0].Stock {
		t.Errorf("the actions of sshd: %+v", a)
	}
}

func TestDumpOfFieldTrees(t *testing.T) {
	trees, err := filepath.Glob("testdata/field/*")
	if err != nil || len(trees) < 10 {
		t.Fatalf("field trees: %v, %v", trees, err)
	}
	o := newOracle(t)
	for _, dir := range trees {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			tree := debianTree(t, dir)
			want, failed := o.ask(t, tree)
			if failed != "" {
				t.Fatal(failed)
			}
			c, problems := Load(Options{Dir: tree})
			if d := diff(dumpLines(c), want); d != "" {
				t.Error(d)
			}
			if err := problems.Err(); err != nil {
				t.Error(err)
			}
			if !slices.ContainsFunc(want, func(s string) bool { return strings.HasPrefix(s, "['start', ") }) {
				t.Error("the tree starts no jail")
			}
		})
	}
}
