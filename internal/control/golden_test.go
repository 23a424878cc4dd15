package control

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// goldenService returns two jails with the state of the documented outputs.
func goldenService(t testing.TB) *fakeService {
	t.Helper()
	f := newFake()
	at := time.Date(2026, time.November, 22, 13, 19, 16, 0, time.Local)
	f.now = func() time.Time { return at }
	for _, name := range []string{"sshd", "nginx-http-auth"} {
		if err := f.AddJail(t.Context(), name, "polling"); err != nil {
			t.Fatal(err)
		}
	}
	sshd := f.jails["sshd"]
	sshd.settings.LogPaths = []string{"/var/log/auth.log", "/b.log"}
	sshd.status.FailedNow, sshd.status.FailedTotal = 1, 11
	sshd.actions = []string{"a", "b"}
	f.jails["nginx-http-auth"].settings.LogPaths = []string{"/n.log"}
	if _, err := f.Ban(t.Context(), "sshd", []string{"192.0.2.10", "192.0.2.11"}); err != nil {
		t.Fatal(err)
	}
	return f
}

// printed is what our client prints for a command that a Dispatcher carries
// out, after a way through the wire format.
func printed(t testing.TB, h Handler, b Beautifier, line string) (string, error) {
	t.Helper()
	words := strings.Fields(line)
	v, err := h.Handle(t.Context(), asAny(words))
	var e *Exception
	if errors.As(err, &e) {
		return BeautifyError(e), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := Encode(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	if v, err = DecodeReply(data, Limits{}); err != nil {
		t.Fatal(err)
	}
	return b.Beautify(words, v)
}

func TestGolden(t *testing.T) {
	f := goldenService(t)
	d := &Dispatcher{Verbs: f}
	golden := func(line, want string) {
		t.Helper()
		got, err := printed(t, d, Beautifier{}, line)
		if err != nil || got != want {
			t.Errorf("%s: %v\n got %q\nwant %q", line, err, got, want)
		}
	}
	golden("status", "Status\n|- Number of jail:\t2\n`- Jail list:\tnginx-http-auth, sshd")
	golden("status sshd", `Status for the jail: sshd
|- Filter
|  |- Currently failed:	1
|  |- Total failed:	11
|  `+"`"+`- File list:	/var/log/auth.log /b.log
`+"`"+`- Actions
   |- Currently banned:	2
   |- Total banned:	2
   `+"`"+`- Banned IP list:	192.0.2.10 192.0.2.11`)
	golden("status --all", `Status
|- Number of jail:	2
|- Jail list:	nginx-http-auth, sshd
`+"`"+`- Status for the jails:
   |- Jail: nginx-http-auth
   |  |- Filter
   |  |  |- Currently failed:	0
   |  |  |- Total failed:	0
   |  |  `+"`"+`- File list:	/n.log
   |  `+"`"+`- Actions
   |     |- Currently banned:	0
   |     |- Total banned:	0
   |     `+"`"+`- Banned IP list:	
   `+"`"+`- Jail: sshd
      |- Filter
      |  |- Currently failed:	1
      |  |- Total failed:	11
      |  `+"`"+`- File list:	/var/log/auth.log /b.log
      `+"`"+`- Actions
         |- Currently banned:	2
         |- Total banned:	2
         `+"`"+`- Banned IP list:	192.0.2.10 192.0.2.11`)
	golden("status sshd short", `Status for the jail: sshd
|- Filter
|  |- Currently failed:	1
|  |- Total failed:	11
|  `+"`"+`- File list:	/var/log/auth.log /b.log
`+"`"+`- Actions
   |- Currently banned:	2
   `+"`"+`- Total banned:	2`)
	golden("banned", "[{'sshd': ['192.0.2.10', '192.0.2.11']}, {'nginx-http-auth': []}]")
	golden("banned 192.0.2.10 9.9.9.9", "[['sshd'], []]")
	golden("get sshd banned 192.0.2.10", "1")
	golden("get sshd banned 192.0.2.10 9.9.9.9", "[1, 0]")
	golden("get sshd banip ,", "192.0.2.10,192.0.2.11")
	golden("get sshd banip --with-time", "192.0.2.10 \t2026-11-22 13:19:16 + 600 = 2026-11-22 13:29:16\n"+
		"192.0.2.11 \t2026-11-22 13:19:16 + 600 = 2026-11-22 13:29:16")
	golden("get sshd actions", "The jail sshd has the following actions:\na, b")
	golden("get dbfile", "Database currently disabled")
	golden("flushlogs", "logs: flushed")
	golden("status nojail", "Sorry but the jail 'nojail' does not exist")
	golden("add sshd", "The jail 'sshd' already exists")
	golden("get", "Sorry but the command is invalid")
	golden("set sshd foo 1", "Invalid command 'foo' (no set action or not yet implemented)")
	golden("set sshd unbanip --report-absent 9.9.9.9", "not banned: ['9.9.9.9']")

	sshd := f.jails["sshd"]
	sshd.status.Backend, sshd.status.Journal = "systemd", true
	sshd.settings.JournalMatch = [][]string{{"_SYSTEMD_UNIT=sshd.service", "+", "_COMM=sshd"}}
	golden("get sshd journalmatch", "Current match filter:\n_SYSTEMD_UNIT=sshd.service + _COMM=sshd")
	if got, err := printed(t, d, Beautifier{}, "status sshd"); err != nil || !strings.Contains(got, "|  `- Journal matches:\t_SYSTEMD_UNIT=sshd.service + _COMM=sshd\n") {
		t.Errorf("%q, %v", got, err)
	}
	// What does not fit the command is printed raw, with what was written by then.
	got, err := printed(t, d, Beautifier{}, "status sshd stats")
	want := `['Status for the jail: sshd', '|- s']['systemd', (1, 11), (2, 2)]`
	if got != want || err == nil || err.Error() != `Beautify ['systemd', (1, 11), (2, 2)] with ['status', 'sshd', 'stats'] failed` {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestGoldenStats(t *testing.T) {
	f := goldenService(t)
	f.jails["sshd"].status.Backend = "systemd"
	d := &Dispatcher{Verbs: f}
	table := func(b Beautifier, line, want string) {
		t.Helper()
		if got, err := printed(t, d, b, line); err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", line, err, got, want)
		}
	}
	table(Beautifier{}, "stats", `                 ║          ║ Filter    ║ Actions  
 Jail            ║ Backend  ╟───────────╫───────────
                 ║          ║ cur │ tot ║ cur │ tot
═════════════════╬══════════╬═══════════╬═══════════
 nginx-http-auth ║ polling  ║   0 │   0 ║   0 │   0
 sshd            ║ systemd  ║   1 │  11 ║   2 │   2
═════════════════╩══════════╩═══════════╩═══════════`)
	if err := f.StopJail(t.Context(), "nginx-http-auth"); err != nil {
		t.Fatal(err)
	}
	f.jails["sshd"].status.FailedTotal = 123456
	table(Beautifier{ASCII: true}, "statistics", `          |          | Filter       | Actions  
 Jail     | Backend  |--------------x-----------
          |          | cur |    tot | cur | tot
----------x----------x--------------x-----------
 sshd     | systemd  |   1 | 123456 |   2 |   2
------------------------------------------------`)
	table(Beautifier{}, "statistic", "{'sshd': ['systemd', (1, 123456), (2, 2)]}")
	if err := f.StopAllJails(t.Context()); err != nil {
		t.Fatal(err)
	}
	table(Beautifier{}, "stats", "No jails found.")
}

// TestOriginalClient runs Debian's fail2ban-client against our server.
func TestOriginalClient(t *testing.T) {
	testenv.Python(t)
	f := goldenService(t)
	path, stop := serve(t, &Server{Handler: &Dispatcher{Verbs: f}})
	run := func(wantCode int, wantOut, wantErr, line string) {
		t.Helper()
		cmd := exec.Command("/usr/bin/fail2ban-client", append([]string{"-s", path}, strings.Fields(line)...)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run()
		code := cmd.ProcessState.ExitCode()
		if code != wantCode || stdout.String() != wantOut || !regexp.MustCompile(`^`+wantErr+`$`).MatchString(stderr.String()) {
			t.Errorf("%s: %d\n%q\n%q\nwant %d\n%q\n%q", line, code, stdout.String(), stderr.String(), wantCode, wantOut, wantErr)
		}
	}
	const stamp = `\d+-\d+-\d+ \d+:\d+:\d+,\d+ fail2ban +\[\d+\]: ERROR   `
	run(0, "Server replied: pong\n", "", "ping")
	run(0, "1.0.2\n", "", "version")
	run(0, "Status\n|- Number of jail:\t2\n`- Jail list:\tnginx-http-auth, sshd\n", "", "status")
	run(0, "1\n", "", "set sshd banip 192.0.2.12")
	run(255, "Sorry but the jail 'x' does not exist\n", stamp+`NOK: \('x',\)\n`, "status x")
	run(0, "Shutdown successful\n", "", "stop")
	<-f.stopped
	stop()
	run(255, "", stamp+`Failed to access socket path: `+path+`\. Is fail2ban running\?\n`, "ping")
}

// TestExporters speaks as monitoring does: pickles of any protocol, many
// commands on one connection, the byte strings of Python 2 and of Go's pickle
// library. Python reads the answers.
func TestExporters(t *testing.T) {
	f := goldenService(t)
	path, _ := serve(t, StatusServer(&Dispatcher{Verbs: f}, nil))
	out := python(t, `
import socket, pickle, sys
END = b"<F2B_END_COMMAND>"
s = socket.socket(socket.AF_UNIX)
s.connect(sys.stdin.read())
def ask(data):
    s.sendall(data + END)
    got = b""
    while not got.endswith(END):
        got += s.recv(1024)
    return repr(pickle.loads(got))
for cmd in (["status"], ["status", "sshd"], ["banned"], ["get", "sshd", "bantime"], ["get", "sshd", "findtime"], ["get", "sshd", "maxretry"], ["ping", 0.1], ["version"]):
    answers = {ask(pickle.dumps(cmd, p)) for p in range(6)}
    answers.add(ask(b"\x80\x02](" + b"".join(b"U" + bytes([len(w)]) + w.encode() for w in map(str, cmd)) + b"e."))
    answers.add(ask(b"(" + b"".join(b"S'" + w.encode() + b"'\n" for w in map(str, cmd)) + b"l."))
    print(len(answers), answers.pop())
`, []byte(path))
	want := `1 (0, [('Number of jail', 2), ('Jail list', 'nginx-http-auth, sshd')])
1 (0, [('Filter', [('Currently failed', 1), ('Total failed', 11), ('File list', ['/var/log/auth.log', '/b.log'])]), ('Actions', [('Currently banned', 2), ('Total banned', 2), ('Banned IP list', ['192.0.2.10', '192.0.2.11'])])])
1 (0, [{'sshd': ['192.0.2.10', '192.0.2.11']}, {'nginx-http-auth': []}])
1 (0, 600)
1 (0, 600)
1 (0, 3)
1 (0, 'pong')
1 (0, '1.0.2')
`
	if string(out) != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

func TestReadOnly(t *testing.T) {
	f := goldenService(t)
	h := (&Dispatcher{Verbs: f, ReadVerbs: []string{"mirror"}}).ReadOnly()
	f2 := func(allowed bool, words ...any) {
		t.Helper()
		_, err := h.Handle(t.Context(), words)
		if got := err == nil || err.Error() != "Permission denied: this socket is read-only"; got != allowed {
			t.Errorf("%v: allowed is %v: %v", words, got, err)
		}
	}
	for _, line := range []string{"ping", "status", "status sshd", "stats", "banned", "get sshd banip", "get loglevel", "get sshd failregex", "version"} {
		f2(true, asAny(strings.Fields(line))...)
	}
	for _, line := range []string{"stop", "set sshd banip 1.2.3.4", "unban --all", "get sshd action a actionban", "flushlogs", "sleep 100",
		"reload", "add x", "start sshd", "multi-set sshd addfailregex", "config-error x", "server-stream", "f2bpipe ban", "nothing"} {
		f2(false, asAny(strings.Fields(line))...)
	}
	f2(true, "f2bpipe", "mirror", "{}")
	f2(true) // no command at all
	f2(false, 1)
}

// TestShutdownReply reads the answer of a server that is going down.
func TestShutdownReply(t *testing.T) {
	const shutdown = "gASVEQAAAAAAAABdlIwIU0hVVERPV06UYS48RjJCX0VORF9DT01NQU5EPg==" // of python's pickle
	data, err := base64.StdEncoding.DecodeString(shutdown)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	go func() {
		_, _ = io.ReadAtLeast(theirs, make([]byte, 1000), 10)
		_, _ = theirs.Write(data)
	}()
	c := &Client{conn: ours, frames: frameReader{r: ours, max: maxReply}}
	if _, err := c.Call(t.Context(), []any{"ping"}); !errors.Is(err, ErrShuttingDown) {
		t.Errorf("got %v", err)
	}
}
