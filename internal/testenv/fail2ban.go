package testenv

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Fail2banConf writes a configuration for fail2ban and for us: two jails that
// watch DIR/a.log and whose action does nothing; socket DIR/s, log DIR/f2b.log.
// The folder's path is short, as a socket's must be; it goes with the test.
func Fail2banConf(t testing.TB) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "f2bconf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, text := range map[string]string{
		"a.log": "", "b.log": "", "action.d/nothing.conf": "[Definition]\nactionstart =\nactionstop =\nactioncheck =\nactionban =\nactionunban =\n",
		"filter.d/plain.conf": "[Definition]\nfailregex = ^failure from (?P<fid>\\S+)$\n            ^other failure from (?P<fid>\\S+)$\nignoreregex = ^harmless\n",
		"fail2ban.conf": "[DEFAULT]\n[Definition]\nloglevel = INFO\nlogtarget = DIR/f2b.log\nsyslogsocket = auto\nallowipv6 = auto\n" +
			"socket = DIR/s\npidfile = DIR/pid\ndbfile = DIR/db.sqlite3\ndbpurgeage = 1d\ndbmaxmatches = 10\n[Thread]\n",
		"jail.conf": "[DEFAULT]\nbackend = polling\nusedns = no\nbantime = 10m\nfindtime = 10m\nmaxretry = 5\nignoreself = false\n" +
			"ignorecommand =\naction = nothing\nfilter = plain\nlogpath = DIR/a.log\nenabled = true\n[sshd]\n[nginx-http-auth]\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// StartFail2ban runs Debian's fail2ban-server on such a configuration, in UTC. It
// ends with the test, or before by stop.
func StartFail2ban(t testing.TB, dir string) (stop func()) {
	t.Helper()
	Python(t)
	cmd := exec.Command("/usr/bin/fail2ban-server", "-c", dir, "-s", dir+"/s", "-p", dir+"/pid", "-xf", "start")
	cmd.Env = append(os.Environ(), utc...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	// It says so once the jails are configured.
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "Server ready\n" {
		log, _ := os.ReadFile(dir + "/f2b.log")
		t.Fatalf("fail2ban-server: %q, %v\n%s", line, err, log)
	}
	return stop
}

// utc is the environment in which fail2ban shows the same everywhere: times, and
// the encoding that it calls UTF-8 or utf-8 by the locale.
var utc = []string{"TZ=UTC", "LC_ALL=C.UTF-8"}

//go:embed ask.py
var askScript string

// Asker runs commands through Debian's own fail2ban-client, in one process.
type Asker struct {
	t   testing.TB
	in  io.Writer
	out *bufio.Reader
}

// Asked is what the client printed for a command, and the reply: its repr and
// its bytes.
type Asked struct {
	Stdout, Stderr, Repr string
	Raw                  []byte
	Code                 int
}

// NewAsker starts the client on a socket, in UTC; it ends with the test.
func NewAsker(t testing.TB, socket, conf string) *Asker {
	t.Helper()
	cmd := exec.Command(Python(t), "-c", askScript, socket, conf)
	cmd.Env = append(os.Environ(), utc...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
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
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("client: %v\n%s", err, stderr.Bytes())
		}
	})
	return &Asker{t, in, bufio.NewReader(out)}
}

// Ask runs a command.
func (a *Asker) Ask(words ...string) Asked {
	a.t.Helper()
	return a.tell("", words)
}

// Send sends values as they are, by the client's socket.
func (a *Asker) Send(values ...any) Asked {
	a.t.Helper()
	return a.tell("!", values)
}

func (a *Asker) tell(mark string, words any) Asked {
	a.t.Helper()
	line, err := json.Marshal(words)
	if err != nil {
		a.t.Fatal(err)
	}
	line = append([]byte(mark), line...)
	if _, err := a.in.Write(append(line, '\n')); err != nil {
		a.t.Fatal(err)
	}
	answer, err := a.out.ReadBytes('\n')
	if err != nil {
		a.t.Fatalf("%s: %v", line, err)
	}
	var got Asked
	if err := json.Unmarshal(answer, &got); err != nil {
		a.t.Fatalf("%s: %v", line, err)
	}
	return got
}
