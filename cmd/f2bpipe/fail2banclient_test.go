package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// TestPretty holds --dp against Python's pprint for every command of the stock
// configuration, and for long texts.
func TestPretty(t *testing.T) {
	python := testenv.Python(t)
	tree, _ := config.Load(config.Options{Stock: stock.FS(), Enable: []string{config.AllJails}})
	long := strings.Repeat("word and  more ", 200)
	commands := append(tree.Dump(), config.Command{"set", "x", "actionban", long + "\n" + long},
		config.Command{"multi-set", "x", []any{[]any{"a", strings.Repeat("x", 1200)}, []any{"b", "c\n" + strings.Repeat("\u00e9 ", 600), int64(3), true, nil}}})
	data, err := json.Marshal(commands)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", "import json, sys\nfrom pprint import pformat\nfor c in json.load(sys.stdin): print(pformat(c, width=1000, indent=2))")
	cmd.Stdin = bytes.NewReader(data)
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, c := range commands {
		got.WriteString(pretty([]any(c)) + "\n")
	}
	wantLines := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got.String(), "\n") {
		if i >= len(wantLines) || line != wantLines[i] {
			t.Fatalf("line %d\n got %s\nwant %s", i, line, wantLines[min(i, len(wantLines)-1)])
		}
	}
	t.Logf("%d commands, %d lines", len(commands), len(wantLines))
}

// TestShellWords splits lines as a shell does.
func TestShellWords(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		words, err := shellWords(line)
		if got := strings.Join(words, "|"); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", line, got, err, want)
		}
	}
	f("", "")
	f(" set  sshd\tmaxretry 5 ", "set|sshd|maxretry|5")
	f(`a 'b c' "d e"f \  g`, `a|b c|d ef| |g`)
	f(`"a\"b\c" 'a\b' ""`, `a"b\c|a\b|`)
	for _, line := range []string{`a "b`, `a 'b`, `a \`} {
		if words, err := shellWords(line); err == nil {
			t.Errorf("%s: %q", line, words)
		}
	}
}

// TestForeignServer runs our client against Debian's fail2ban-server: it is sent
// the configuration as fail2ban's own client sends it.
func TestForeignServer(t *testing.T) {
	testenv.Python(t)
	dir, err := os.MkdirTemp("", "f2bforeign")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, text := range map[string]string{
		"a.log": "", "action.d/nothing.conf": "[Definition]\nactionban =\n", "filter.d/plain.conf": "[Definition]\nfailregex = ^failure from <HOST>$\n",
		"fail2ban.conf": "[Definition]\nloglevel = INFO\nlogtarget = DIR/f2b.log\nsyslogsocket = auto\nallowipv6 = auto\nsocket = DIR/s\npidfile = DIR/pid\n" +
			"dbfile = None\ndbpurgeage = 1d\n",
		"jail.conf": "[sshd]\nenabled = true\nbackend = polling\nfilter = plain\naction = nothing\nlogpath = DIR/a.log\nmaxretry = 5\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := exec.Command("/usr/bin/fail2ban-server", "-c", dir, "-xf", "start")
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "Server ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	f := func(want string, words ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := fail2banProgram(append([]string{"fail2ban-client", "-c", dir}, words...), stdio{os.Stdin, &stdout, &stderr})
		if code != 0 || stdout.String() != want || stderr.Len() > 0 {
			t.Errorf("%q: %d\n%s\n%s\nwant %s", words, code, stdout.String(), stderr.String(), want)
		}
	}
	f("Status\n|- Number of jail:\t1\n`- Jail list:\tsshd\n", "status")
	f("1\n", "set", "sshd", "banip", "192.0.2.1")
	f("7\n", "set", "sshd", "maxretry", "7")
	f("OK\n", "reload")
	f("5\n", "get", "sshd", "maxretry")
	f("OK\n", "reload", "--unban", "sshd")
	f("[]\n", "get", "sshd", "banned")
	f("Shutdown successful\n", "stop")
}

// TestOriginalClientStarts lets fail2ban's own client start our server, which it
// configures by its stream, reload and stop it. The stored ban of the run before
// is back in the next one: the stream says where the database is.
func TestOriginalClientStarts(t *testing.T) {
	if testing.Short() {
		t.Skip("fail2ban takes seconds")
	}
	testenv.Python(t)
	testenv.NeedNamespaces(t)
	dir, err := os.MkdirTemp("", "f2boriginal")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The client starts the server that stands beside it.
	if err := os.Symlink(own, filepath.Join(dir, serverName)); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("/usr/bin/fail2ban-client")
	if err != nil {
		t.Skip(err)
	}
	for name, text := range map[string]string{
		"fail2ban-client": string(script), "a.log": "", "action.d/nothing.conf": "[Definition]\nactionban =\n", "filter.d/plain.conf": "[Definition]\nfailregex = ^failure from <HOST>$\n",
		"fail2ban.conf": "[Definition]\nloglevel = INFO\nlogtarget = DIR/f2b.log\nsyslogsocket = auto\nallowipv6 = auto\nsocket = DIR/s\npidfile = DIR/pid\n" +
			"dbfile = DIR/db.sqlite3\ndbpurgeage = 1d\ndbmaxmatches = 10\n[Thread]\n",
		"jail.conf": "[sshd]\nenabled = true\nbackend = polling\nfilter = plain\naction = nftables[type=allports]\nlogpath = DIR/a.log\nmaxretry = 5\nbantime = 1h\nfindtime = 10m\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "/etc/fail2ban/action.d/nftables.conf", filepath.Join(dir, "action.d")).CombinedOutput(); err != nil {
		t.Skipf("%s", out)
	}
	t.Cleanup(func() { killServer(filepath.Join(dir, "pid"), dir) })
	f := func(want string, words ...string) {
		t.Helper()
		cmd := exec.Command("unshare", append([]string{"-n", "/usr/bin/python3", filepath.Join(dir, "fail2ban-client"), "-c", dir}, words...)...)
		cmd.Env = append(os.Environ(), "PYTHONPATH=/usr/lib/python3/dist-packages")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil || stdout.String() != want {
			log, _ := os.ReadFile(filepath.Join(dir, "f2b.log"))
			t.Fatalf("%q: %v\n%s\n%s\nwant %s\n%s", words, err, stdout.String(), stderr.String(), want, log)
		}
	}
	f("Server ready\n", "start")
	f("Status\n|- Number of jail:\t1\n`- Jail list:\tsshd\n", "status")
	f("5\n", "get", "sshd", "maxretry")
	f("Current database file is:\n`- "+dir+"/db.sqlite3\n", "get", "dbfile")
	f("1\n", "set", "sshd", "banip", "203.0.113.1")
	f("OK\n", "reload")
	f("['203.0.113.1']\n", "get", "sshd", "banned")
	f("OK\n", "restart", "sshd")
	f("['203.0.113.1']\n", "get", "sshd", "banned")
	f("Shutdown successful\nServer ready\n", "restart")
	f("['203.0.113.1']\n", "get", "sshd", "banned")
	f("Shutdown successful\n", "stop")
}
