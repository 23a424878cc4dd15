package service

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// ask sends a command on a connection of its own.
func ask(t *testing.T, socket string, words ...any) any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client, err := control.Dial(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	v, err := client.Call(ctx, words)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return v
}

// monitored is a service with two jails and a status socket, as monitoring
// finds it.
func monitored(t *testing.T) *site {
	t.Helper()
	tr := oracleSite(t)
	tr.write("jail.d/more.conf", "[sshd]\nlogpath = DIR/a.log\n          DIR/b.log\n")
	s := tr.start(func(c *Config) {
		c.Fail2ban, c.Socket, c.StatusSocket, c.Version = true, tr.path("s"), tr.path("status"), "1.0.2"
	})
	ask(t, s.socket, "set", "sshd", "banip", "192.0.2.10", "192.0.2.11")
	ask(t, s.socket, "set", "sshd", "attempt", "192.0.2.20", "one")
	return tr
}

// TestMonitoring holds the conversations of the public exporters against a
// running service: what fail2ban_exporter, fail2ban-prometheus-exporter and
// collectors in Python ask for, in pickle protocols 2 to 5 and as Go's and
// Python 2's libraries write them, on the control socket and on the read-only
// one. Python's own pickle reads the answers. testdata/monitoring.txt has what
// was asked, the bytes that were sent and what Python makes of the answer.
func TestMonitoring(t *testing.T) {
	python := testenv.Python(t)
	tr := monitored(t)
	text, err := os.ReadFile(filepath.Join("testdata", "monitoring.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var want, requests []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line == "" || line[0] == '#' {
			continue
		}
		request, answer, ok := strings.Cut(line, " ")
		if _, err := hex.DecodeString(request); err != nil || !ok {
			t.Fatalf("line %q: %v", line, err)
		}
		requests, want = append(requests, request), append(want, strings.ReplaceAll(answer, "DIR", tr.dir))
	}
	for _, socket := range []string{"s", "status"} {
		cmd := exec.Command(python, "testdata/converse.py", tr.path(socket))
		cmd.Stdin = strings.NewReader(strings.Join(requests, "\n"))
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		if len(got) != len(want) {
			t.Fatalf("%d answers, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %s\n got %s\nwant %s", socket, requests[i], got[i], want[i])
			}
		}
	}
}

// TestMonitoringByText holds what the tools that run fail2ban-client read of its
// output: munin's and telegraf's plugins, Netdata, check_fail2ban, Webmin and
// docker-mailserver's script.
func TestMonitoringByText(t *testing.T) {
	if testing.Short() {
		t.Skip("fail2ban takes seconds")
	}
	testenv.Python(t)
	tr := monitored(t)
	client := testenv.NewAsker(t, tr.path("s"), tr.dir)
	has := func(want string, words ...string) {
		t.Helper()
		if got := client.Ask(words...); got.Code != 0 || !strings.Contains(got.Stdout, want) {
			t.Errorf("%q: %d, no %q in %q", words, got.Code, want, got.Stdout)
		}
	}
	has("Server replied: pong\n", "ping")
	has("|- Number of jail:\t2\n`- Jail list:\tnginx-http-auth, sshd\n", "status")
	has("|  |- Currently failed:\t1\n|  |- Total failed:\t1\n", "status", "sshd")
	has("|  `- File list:\t"+tr.path("a.log")+" "+tr.path("b.log")+"\n", "status", "sshd")
	has("   |- Currently banned:\t2\n   |- Total banned:\t2\n   `- Banned IP list:\t192.0.2.10 192.0.2.11\n", "status", "sshd")
	has("   `- Banned IP list:\t\n", "status", "nginx-http-auth")
	has("Current database file is:\n`- "+tr.path("db.sqlite3")+"\n", "get", "dbfile")
	has("192.0.2.10 192.0.2.11\n", "get", "sshd", "banip")
	has("1\n", "set", "sshd", "unbanip", "192.0.2.10")
	has("OK\n", "reload")
}

// TestStatusSocket asks on the read-only socket for what it must not do.
func TestStatusSocket(t *testing.T) {
	tr := monitored(t)
	refused := func(words ...any) {
		t.Helper()
		client, err := control.Dial(t.Context(), tr.path("status"))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := client.Call(t.Context(), words); err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("%v: %v", words, err)
		}
	}
	refused("set", "sshd", "banip", "192.0.2.1")
	refused("stop")
	refused("unban", "--all")
	refused("reload", "--all", []any{}, []any{})
	refused("get", "sshd", "action", "nothing", "actionban")
	refused("f2bpipe", VerbBan, `{"ids":["192.0.2.1"]}`)
	refused("f2bpipe", VerbRestart, "{}")
	if got, want := control.Repr(ask(t, tr.path("status"), "banned", "192.0.2.10")), "[['sshd']]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	info, err := os.Stat(tr.path("status"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: without a group it is root's", info.Mode(), err)
	}
}

// TestStatusSocketGroup opens the read-only socket to a group.
func TestStatusSocketGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to give a file to a group needs root")
	}
	tr := oracleSite(t)
	tr.write("fail2ban.d/status.conf", "[Definition]\nstatussocket = DIR/status\nstatusgroup = daemon\n")
	tr.start(func(c *Config) { c.Socket = tr.path("s") })
	info, err := os.Stat(tr.path("status"))
	if err != nil {
		t.Fatal(err)
	}
	gid, err := groupID("daemon")
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != 0o660 || int(st.Gid) != gid || gid == 0 {
		t.Errorf("mode %v, group %d, want 0660 and %d", info.Mode(), st.Gid, gid)
	}
	if _, err := groupID("no such group"); err == nil {
		t.Error("a group that is none was found")
	}
}

// TestStreamRefused sends streams with a mistake: nothing changes, whichever
// jail it is in.
func TestStreamRefused(t *testing.T) {
	tr := monitored(t)
	refused := func(want string, words ...any) {
		t.Helper()
		client, err := control.Dial(t.Context(), tr.path("s"))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := client.Call(t.Context(), words); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: no %q in %v", words, want, err)
		}
		if got := ask(t, tr.path("s"), "get", "sshd", "banned"); control.Repr(got) != "['192.0.2.10', '192.0.2.11']" {
			t.Errorf("bans after it: %v", got)
		}
		if got := ask(t, tr.path("s"), "get", "sshd", "maxretry"); got != int64(5) {
			t.Errorf("maxretry after it: %v", got)
		}
	}
	command := func(words ...any) any { return words }
	good := []any{command("add", "sshd", "polling"), command("set", "sshd", "maxretry", 9), command("start", "sshd")}
	with := func(more ...any) []any { return append(append([]any{}, good...), more...) }
	refused("unterminated subpattern", "reload", "--all", []any{"--restart", "--unban"}, with(command("set", "sshd", "addfailregex", "^( <HOST>")))
	refused("unterminated subpattern", "reload", "--all", []any{}, with(command("add", "other", "polling"), command("set", "other", "addfailregex", "^( <HOST>")))
	refused("no set action", "server-stream", with(command("set", "sshd", "nonsense", 1)))
	refused("backend", "server-stream", with(command("add", "other", "tape")))
	refused("nojail", "server-stream", with(command("set", "nojail", "maxretry", 1)))
	refused("Cannot change database", "server-stream", with(command("set", "dbfile", "/elsewhere")))
	refused("nojail", "reload", "nojail", []any{}, good)

	// What is right is taken: counts and bans stay, unless they shall not.
	if got := ask(t, tr.path("s"), "reload", "sshd", []any{}, good); got != "OK" {
		t.Error(got)
	}
	if got := ask(t, tr.path("s"), "status", "sshd", "stats"); control.Repr(got) != "['polling', (1, 1), (2, 2)]" {
		t.Error(control.Repr(got))
	}
	if got := ask(t, tr.path("s"), "reload", "--all", []any{"--unban"}, good); got != "OK" {
		t.Error(got)
	}
	if got := ask(t, tr.path("s"), "status"); control.Repr(got) != "[('Number of jail', 1), ('Jail list', 'sshd')]" {
		t.Error(control.Repr(got))
	}
	if got := ask(t, tr.path("s"), "get", "sshd", "banned"); control.Repr(got) != "[]" {
		t.Error(control.Repr(got))
	}
	if got := ask(t, tr.path("s"), "get", "sshd", "maxretry"); got != int64(9) {
		t.Error(got)
	}
}

// TestClientsInTheWay holds 10,000 connections that have sent half a frame
// (fewer where the limit of descriptors is lower), and some that ask without
// end and read no answer: the next client is answered, and a ban by the log and
// one by command come all the same.
func TestClientsInTheWay(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("web", "maxretry = 2"))
	tr.log("web.log", "begin")
	s := tr.start()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := min(10_000, int(limit.Cur)-1000)
	if testing.Short() {
		n = min(n, 1000)
	}
	dial := func(text string) {
		t.Helper()
		c, err := net.Dial("unix", s.socket)
		for errors.Is(err, syscall.EAGAIN) { // more wait to be accepted than the kernel queues
			runtime.Gosched()
			c, err = net.Dial("unix", s.socket)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte(text)) // the server may have closed it to make room
	}
	const half = "\x80\x05\x95\x0b\x00\x00\x00\x00\x00\x00\x00]\x94\x8c\x04pi"
	for range n {
		dial(half)
	}
	greedy := strings.Repeat("\x80\x02]U\x06statusa.<F2B_END_COMMAND>", 2000)
	for range 50 {
		dial(greedy)
	}
	if got := ask(t, s.socket, "ping"); got != "pong" {
		t.Errorf("ping: %v", got)
	}
	tr.log("web.log", failed("203.0.113.1", "203.0.113.1")...)
	s.out.wait(t, 1, `"ban"`, "203.0.113.1")
	if got := ask(t, s.socket, "set", "web", "banip", "203.0.113.2"); got != int64(1) {
		t.Errorf("banip: %v", got)
	}
	t.Logf("%d half frames", n)
}

// TestPidFile writes and removes it, and knows a stale one.
func TestPidFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "pid")
	if _, err := takePidFile(path); err != nil {
		t.Fatal(err)
	}
	own := strconv.Itoa(os.Getpid()) + "\n"
	if text, err := os.ReadFile(path); err != nil || string(text) != own {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Its own number, that of nobody, that of a program that is no server, and no number at all.
	for _, text := range []string{own, "4194305\n", "1\n", "", "x"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := takePidFile(path); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	// A link that somebody put there is not followed.
	target := filepath.Join(t.TempDir(), "target")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	p, err := takePidFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("written through a link")
	}
	if err := p.release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("it is still there")
	}
	// A server that runs has it.
	server := exec.Command("sleep", "60")
	server.Args[0] = "fail2ban-server"
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	text := strconv.Itoa(server.Process.Pid)
	// It has begun before the kernel shows its command line.
	for begun := time.Now(); time.Since(begun) < 10*time.Second && serverOf(text) == 0; {
		runtime.Gosched()
	}
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := takePidFile(path); err == nil || !strings.Contains(err.Error(), "process "+text+" runs a server already") {
		t.Errorf("taken from a server that runs: %v", err)
	}
}
