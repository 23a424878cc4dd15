package service

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// asked is what fail2ban's client printed for a command, and the reply.
type asked struct {
	Stdout, Stderr, Repr string
	Code                 int
}

// asker runs commands through fail2ban's own client.
type asker struct {
	t   testing.TB
	in  io.Writer
	out *bufio.Reader
}

// newAsker starts the client on a socket; it ends with the test.
func newAsker(t testing.TB, socket, conf string) *asker {
	t.Helper()
	cmd := exec.Command(testenv.Python(t), filepath.Join("..", "control", "testdata", "ask.py"), socket, conf)
	cmd.Env = append(os.Environ(), "TZ=UTC")
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
	return &asker{t, in, bufio.NewReader(out)}
}

// ask runs a command.
func (a *asker) ask(words ...string) asked {
	a.t.Helper()
	return a.tell("", words)
}

// send sends values as they are.
func (a *asker) send(values ...any) asked {
	a.t.Helper()
	return a.tell("!", values)
}

func (a *asker) tell(mark string, words any) asked {
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
	var got asked
	if err := json.Unmarshal(answer, &got); err != nil {
		a.t.Fatalf("%s: %v", line, err)
	}
	return got
}

// oracleSite writes a configuration with two jails that watch a file and whose
// action does nothing, for fail2ban and for us.
func oracleSite(t *testing.T) *site {
	t.Helper()
	// A socket's path must be short.
	dir, err := os.MkdirTemp("", "f2bservice")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tr := &site{t, dir}
	for name, text := range map[string]string{
		"a.log": "", "b.log": "", "action.d/nothing.conf": "[Definition]\nactionstart =\nactionstop =\nactioncheck =\nactionban =\nactionunban =\n",
		"filter.d/plain.conf": "[Definition]\nfailregex = ^failure from (?P<fid>\\S+)$\n            ^other failure from (?P<fid>\\S+)$\nignoreregex = ^harmless\n",
		"fail2ban.conf": "[DEFAULT]\n[Definition]\nloglevel = INFO\nlogtarget = DIR/f2b.log\nsyslogsocket = auto\nallowipv6 = auto\n" +
			"socket = DIR/s\npidfile = DIR/pid\ndbfile = DIR/db.sqlite3\ndbpurgeage = 1d\ndbmaxmatches = 10\n[Thread]\n",
		"jail.conf": "[DEFAULT]\nbackend = polling\nusedns = no\nbantime = 10m\nfindtime = 10m\nmaxretry = 5\nignoreself = false\n" +
			"ignorecommand =\naction = nothing\nfilter = plain\nlogpath = DIR/a.log\nenabled = true\n[sshd]\n[nginx-http-auth]\n",
	} {
		tr.write(name, text)
	}
	return tr
}

// startFail2ban runs Debian's fail2ban-server on the configuration. It ends
// with the test.
func startFail2ban(t testing.TB, dir string) {
	t.Helper()
	startFail2banUntil(t, dir)
}

// startFail2banUntil is startFail2ban with a func that ends it before the test does.
func startFail2banUntil(t testing.TB, dir string) (stop func()) {
	t.Helper()
	testenv.Python(t)
	cmd := exec.Command("/usr/bin/fail2ban-server", "-c", dir, "-s", dir+"/s", "-p", dir+"/pid", "-xf", "start")
	cmd.Env = append(os.Environ(), "TZ=UTC")
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

var stampPattern = regexp.MustCompile(`2\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d|9999-12-31 23:59:59`)

// oracleDiffers are the commands whose answer is another one, and why.
var oracleDiffers = map[string]string{
	"set sshd attempt":      "a TypeError that names a method of theirs; ours is the IndexError of all others",
	"add sshd":              "Debian's 1.0.2 has lost a name there: NameError",
	"get new ignorecommand": "False before it was set, \"\" after",
	// The second time, when bantime is -1.
	"get sshd banip --with-time 2": "to them bantime is the length of bans in force too; ours keep their end",
}

// TestCommandsOracle sends every command of fail2ban, through its own client, to
// Debian's fail2ban-server and to a running service with the same
// configuration: what the client prints and its exit status are the same.
func TestCommandsOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("fail2ban takes seconds")
	}
	testenv.Python(t)
	theirSite, ourSite := oracleSite(t), oracleSite(t)
	startFail2ban(t, theirSite.dir)
	out, err := logtarget.New(logtarget.Config{Target: ourSite.path("f2b.log")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ourSite.start(func(c *Config) { c.Fail2ban, c.Socket, c.Version, c.Out = true, ourSite.path("s"), "1.0.2", out })
	theirs, ours := newAsker(t, theirSite.path("s"), theirSite.dir), newAsker(t, ourSite.path("s"), ourSite.dir)
	commands, err := os.ReadFile(filepath.Join("..", "control", "testdata", "commands.txt"))
	if err != nil {
		t.Fatal(err)
	}
	normal := func(text, dir string) string {
		return stampPattern.ReplaceAllString(strings.ReplaceAll(text, dir, "DIR"), "TIME")
	}
	compared, times := 0, map[string]int{}
	for line := range strings.Lines(string(commands)) {
		line = strings.TrimSuffix(line, "\n")
		want := theirs.ask(strings.Fields(strings.ReplaceAll(line, "DIR", theirSite.dir))...)
		got := ours.ask(strings.Fields(strings.ReplaceAll(line, "DIR", ourSite.dir))...)
		times[line]++
		_, always := oracleDiffers[line]
		if _, now := oracleDiffers[fmt.Sprint(line, " ", times[line])]; always || now {
			continue
		}
		compared++
		wantOut, gotOut := normal(want.Stdout, theirSite.dir), normal(got.Stdout, ourSite.dir)
		wantRepr, gotRepr := normal(want.Repr, theirSite.dir), normal(got.Repr, ourSite.dir)
		if gotOut != wantOut || got.Code != want.Code || gotRepr != wantRepr {
			t.Errorf("%s\n got %d %q\n     %s\nwant %d %q\n     %s", line, got.Code, gotOut, gotRepr, want.Code, wantOut, wantRepr)
		}
	}
	t.Logf("%d commands compared", compared)
}
