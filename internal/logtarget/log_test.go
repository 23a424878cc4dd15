package logtarget

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// buffer is a target that a test reads, and that may refuse.
type buffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	err  error
	hold chan struct{} // not nil: writes wait for it
}

func (w *buffer) Write(p []byte) (int, error) {
	if w.hold != nil {
		<-w.hold
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	return w.b.Write(p)
}

func (w *buffer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func newLog(t *testing.T, cfg Config) *Log {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// waitFor returns when cond holds.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func TestLineFormats(t *testing.T) {
	const stamp = `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}`
	f := func(target, want string) {
		t.Helper()
		var out buffer
		l := newLog(t, Config{Target: target, Stdout: &out, Stderr: &out})
		l.Print(Notice, "fail2ban.actions", false, "[sshd] Ban 192.0.2.10")
		l.Close()
		want = strings.ReplaceAll(want, "PID", fmt.Sprint(os.Getpid()))
		if !regexp.MustCompile(`^` + want + `\n$`).MatchString(out.String()) {
			t.Errorf("%s: %q, want %s", target, out.String(), want)
		}
	}
	f("STDERR", stamp+` fail2ban\.actions        \[PID\]: NOTICE  \[sshd\] Ban 192\.0\.2\.10`)
	f("stdout", stamp+` fail2ban\.actions        \[PID\]: NOTICE  \[sshd\] Ban 192\.0\.2\.10`)
	f("SYSOUT", `fail2ban\.actions        \[PID\]: NOTICE  \[sshd\] Ban 192\.0\.2\.10`)
	f("STDOUT[datetime=off]", `fail2ban\.actions        \[PID\]: NOTICE  \[sshd\] Ban 192\.0\.2\.10`)
	f("STDOUT[datetime=0, padding=no]", `fail2ban\.actions\[PID\]: NOTICE \[sshd\] Ban 192\.0\.2\.10`)
	f(`STDOUT[format="%(levelno)03d|%(message).6s|%(name)s|100%%"]`, `025\|\[sshd\]\|fail2ban\.actions\|100%`)
	f(`STDOUT[format='%(levelname)8s %(module)-8s|%(process)x']`, `  NOTICE actions \|[0-9a-f]+`)
}

func TestTargetsAreRefused(t *testing.T) {
	f := func(target, want string) {
		t.Helper()
		if _, err := New(Config{Target: target}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", target, err, want)
		}
	}
	f("STDOUT[colour=yes]", "option colour is not known")
	f("STDOUT[datetime]", "is no option")
	f("SYSLOG[facility=NOSUCH]", `facility "NOSUCH" is not known`)
	f(`STDOUT[format="%(nosuch)s"]`, "field nosuch is not known")
	f(`STDOUT[format="%d"]`, `"%d" is no field`)
	f("[facility=DAEMON]", "is not understood")
	if _, err := New(Config{Level: "LOUD"}); err == nil {
		t.Error("level LOUD is taken")
	}
}

func TestLevels(t *testing.T) {
	var out buffer
	l := newLog(t, Config{Level: "notice", Stderr: &out})
	l.Print(Info, "fail2ban.filter", true, "[a] Found")
	l.Print(Notice, "fail2ban.actions", false, "[a] Ban")
	if err := l.SetLevel("10"); err != nil || l.Level().String() != "DEBUG" {
		t.Errorf("level 10 is %v, %v", l.Level(), err)
	}
	l.Print(Debug, "fail2ban.actions", false, "[a] already banned")
	l.Print(TraceDebug, "fail2ban.actions", false, "never")
	l.Close()
	if s := out.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "[a] Ban") || !strings.Contains(s, "DEBUG   [a] already banned") {
		t.Errorf("log:\n%s", s)
	}
}

// TestFileRolls follows a file that is moved away, as logrotate does it.
func TestFileRolls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f2b.log")
	l := newLog(t, Config{Target: path + "[padding=off]"})
	l.Print(Notice, "fail2ban.actions", false, "[a] Ban 192.0.2.1")
	waitFor(t, "first line", func() bool { b, _ := os.ReadFile(path); return len(b) > 0 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if rolled, err := l.Reopen(); !rolled || err != nil {
		t.Errorf("reopen: %v, %v", rolled, err)
	}
	l.Print(Notice, "fail2ban.actions", false, "[a] Ban 192.0.2.2")
	if l.Target() != path {
		t.Errorf("target %q", l.Target())
	}
	next := path + ".next"
	if err := l.SetTarget(next); err != nil {
		t.Fatal(err)
	}
	if err := l.SetTarget(filepath.Join(path, "in", "a", "file")); err == nil || l.Target() != next {
		t.Errorf("a target that cannot be: %v, target %q", err, l.Target())
	}
	l.Print(Notice, "fail2ban.actions", false, "[a] Ban 192.0.2.3")
	l.Close()
	for i, name := range []string{path + ".1", path, next} {
		b, err := os.ReadFile(name)
		if err != nil || bytes.Count(b, []byte("\n")) != 1 || !bytes.HasSuffix(b, fmt.Appendf(nil, "Ban 192.0.2.%d\n", i+1)) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the log: %v, %v", info.Mode(), err)
	}
}

// TestSyslogAndJournal reads what Python's handlers would have sent.
func TestSyslogAndJournal(t *testing.T) {
	dir := t.TempDir()
	listen := func(name string) *net.UnixConn {
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	read := func(conn *net.UnixConn) string {
		t.Helper()
		b := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	sys, journal := listen("log"), listen("journal")
	l := newLog(t, Config{Target: "SYSLOG[facility=local3]", SyslogSocket: filepath.Join(dir, "log"), JournalSocket: filepath.Join(dir, "journal")})
	l.Print(Notice, "fail2ban.actions", false, "[a] Ban 192.0.2.1")
	if got, want := read(sys), fmt.Sprintf("<157>fail2ban.actions[%d]: NOTICE [a] Ban 192.0.2.1\x00", os.Getpid()); got != want {
		t.Errorf("syslog %q, want %q", got, want)
	}
	if err := l.SetTarget("SYSTEMD-JOURNAL"); err != nil {
		t.Fatal(err)
	}
	l.Print(Notice, "fail2ban.actions", false, "[a] Ban 192.0.2.2")
	want := fmt.Sprintf("MESSAGE=[a] Ban 192.0.2.2\nPRIORITY=5\nSYSLOG_IDENTIFIER=fail2ban\nSYSLOG_PID=%d\nLOGGER=fail2ban.actions\n", os.Getpid())
	if got := read(journal); got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
	if err := l.SetTarget("SYSLOG"); err != nil {
		t.Fatal(err)
	}
	if err := l.SetSyslogSocket(filepath.Join(dir, "none")); err == nil || l.SyslogSocket() != filepath.Join(dir, "log") {
		t.Errorf("a socket that is not there: %v, socket %s", err, l.SyslogSocket())
	}
}

// TestFloodDropsFoundNeverBan holds the target back: lines that may be lost are
// dropped and counted, the others come, in order, and nobody waits.
func TestFloodDropsFoundNeverBan(t *testing.T) {
	out := &buffer{hold: make(chan struct{})}
	l := newLog(t, Config{Stderr: out})
	const bans = 50_000
	for i := range bans {
		l.Print(Info, "fail2ban.filter", true, "[a] Found")
		l.Print(Notice, "fail2ban.actions", false, fmt.Sprintf("[a] Ban 2001:db8::%d", i))
	}
	close(out.hold)
	l.Close()
	waitFor(t, "all bans", func() bool { return strings.Count(out.String(), "] Ban ") == bans })
	found := strings.Count(out.String(), "Found")
	if l.Dropped() == 0 || int64(found)+l.Dropped() != bans || l.Lost() != 0 {
		t.Errorf("%d found, %d dropped, %d lost", found, l.Dropped(), l.Lost())
	}
	next := 0
	for line := range strings.Lines(out.String()) {
		if _, ip, ok := strings.Cut(line, "] Ban "); ok {
			if ip != fmt.Sprintf("2001:db8::%d\n", next) {
				t.Fatalf("ban %q, want number %d", ip, next)
			}
			next++
		}
	}
}

// TestTroubleIsToldAndOver lets a target fail: what it did not take comes once
// it works.
func TestTroubleIsToldAndOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, err := &buffer{err: errors.New("no space left on device")}, &buffer{}
		l, newErr := New(Config{Target: "STDOUT", Stdout: out, Stderr: err})
		if newErr != nil {
			t.Fatal(newErr)
		}
		defer l.Close()
		l.Print(Notice, "fail2ban.actions", false, "[a] Ban 192.0.2.1")
		synctest.Wait()
		if l.Trouble() != "no space left on device" || strings.Count(err.String(), "log target STDOUT: no space left") != 1 {
			t.Errorf("trouble %q, stderr %q", l.Trouble(), err.String())
		}
		out.mu.Lock()
		out.err = nil
		out.mu.Unlock()
		l.Print(Notice, "fail2ban.actions", false, "[a] Ban 192.0.2.2")
		time.Sleep(retryEvery)
		synctest.Wait()
		if l.Trouble() != "" || !regexp.MustCompile(`(?s)Ban 192\.0\.2\.1\n.*Ban 192\.0\.2\.2\n$`).MatchString(out.String()) {
			t.Errorf("trouble %q, log %q", l.Trouble(), out.String())
		}
	})
}

// TestFullDisk writes to /dev/full, and to a file whose limit cuts a block.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	var told buffer
	l := newLog(t, Config{Target: "/dev/full", Stderr: &told})
	l.Print(Notice, "fail2ban.actions", false, "[a] Ban 192.0.2.1")
	waitFor(t, "trouble", func() bool { return l.Trouble() != "" })
	if !strings.Contains(l.Trouble(), "no space left") || l.Lost() != 0 {
		t.Errorf("trouble %q, %d lost", l.Trouble(), l.Lost())
	}
	// What came before goes to the target that works.
	path := filepath.Join(t.TempDir(), "log")
	if err := l.SetTarget(path); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the line", func() bool { b, _ := os.ReadFile(path); return strings.HasSuffix(string(b), "Ban 192.0.2.1\n") })
}

// TestCutBlockIsTakenBack leaves no half address where a write fell short.
func TestCutBlockIsTakenBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := &file{path: path}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.f.WriteString("before\n[a] Ban 192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	s.takeBack(len("[a] Ban 192.0.2.1"))
	if b, err := os.ReadFile(path); string(b) != "before\n" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestHandler(t *testing.T) {
	var out buffer
	l := newLog(t, Config{Target: "STDOUT[datetime=off, padding=off]", Stdout: &out})
	log := slog.New(l.Handler("fail2ban.server")).With("jail", "a b")
	log.Info("service runs", "socket", "/run/s", "n", 3)
	log.Log(t.Context(), slog.LevelInfo+2, "msg", slog.Group("g", "k", "x\ny] Ban 192.0.2.1"))
	log.Debug("not wanted")
	log.Error("wrong", "problem", errors.New(`say "no"`), "list", []string{"a", "b"}, "empty", "")
	l.Close()
	pid := fmt.Sprintf("fail2ban.server[%d]: ", os.Getpid())
	want := pid + `INFO service runs jail="a b" socket=/run/s n=3` + "\n" +
		pid + `NOTICE msg jail="a b" g.k="x\ny] Ban 192.0.2.1"` + "\n" +
		pid + `ERROR wrong jail="a b" problem="say \"no\"" list="[a b]" empty=""` + "\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestEscapes(t *testing.T) {
	f := func(escape func(string) string, in, want string) {
		t.Helper()
		if got := escape(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f(ID, "2001:db8::/64", "2001:db8::/64")
	f(ID, "us\u00e9r@example.org", "us\u00e9r@example.org")
	f(ID, "x] Ban 192.0.2.1", `x\x5d\x20Ban\x20192.0.2.1`)
	f(ID, "a\nb\r\x1b[31m\\\xff\u2028\u202e", `a\x0ab\x0d\x1b\x5b31m\x5c\xff\u2028\u202e`)
	f(Jail, "my jail]", `my jail\x5d`)
	f(Text, "/a b/[x]\n", `/a b/[x]\x0a`)
}
