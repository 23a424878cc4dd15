package control

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// oracleCommands are the commands of fail2ban, in an order in which each has
// something to show. DIR stands for the folder of the configuration.
func oracleCommands(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "commands.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// TestBeautifyOracle compares our texts for the replies of Debian's server with
// what fail2ban's client prints for the same replies, for every command.
func TestBeautifyOracle(t *testing.T) {
	dir := testenv.Fail2banConf(t)
	testenv.StartFail2ban(t, dir)
	client := testenv.NewAsker(t, dir+"/s", dir)
	compared := 0
	compare := func(words []string) {
		t.Helper()
		got := client.Ask(words...)
		if len(got.Raw) == 0 {
			t.Errorf("%q: no reply: %s", words, got.Stderr)
			return
		}
		reply, err := DecodeReply(bytes.TrimSuffix(got.Raw, []byte(frameEnd)), Limits{})
		if err != nil {
			t.Errorf("%q: %v", words, err)
			return
		}
		compared++
		stdout, stderr, code := shown(words, reply)
		if stdout+"\n" != got.Stdout || code != got.Code || !strings.HasSuffix(got.Stderr, stderr) || stderr == "" && got.Stderr != "" {
			t.Errorf("%q replied %s\n got %d %q %q\nwant %d %q %q", words, got.Repr, code, stdout+"\n", stderr, got.Code, got.Stdout, got.Stderr)
		}
	}
	for _, line := range oracleCommands(t) {
		words := strings.Fields(strings.ReplaceAll(line, "DIR", dir))
		compare(words)
	}
	compare([]string{"stop"})
	t.Logf("%d replies compared", compared)
}

// shown is what our client prints for a reply.
func shown(words []string, reply any) (stdout, stderr string, code int) {
	v, err := replyValue(reply)
	var e *Exception
	if errors.As(err, &e) {
		return BeautifyError(e), ErrorLine(e) + "\n", 255
	}
	if err != nil {
		return "", err.Error() + "\n", 255
	}
	text, err := Beautifier{}.Beautify(words, v)
	if err != nil {
		stderr = err.Error() + "\n"
	}
	return text, stderr, 0
}

func asAny(words []string) []any {
	list := make([]any, len(words))
	for i, w := range words {
		list[i] = w
	}
	return list
}

// stampPattern finds the times of "--with-time".
var stampPattern = regexp.MustCompile(`2\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d`)

// TestDispatchOracle sends the same commands to Debian's server and to ours,
// over a service that keeps what it is told. The replies are the same values
// of the same types, the exceptions the same classes, and the client prints and
// exits the same.
func TestDispatchOracle(t *testing.T) {
	dir := testenv.Fail2banConf(t)
	testenv.StartFail2ban(t, dir)
	theirs := testenv.NewAsker(t, dir+"/s", dir)
	fake := oracleFake(t, dir)
	path, _ := serve(t, &Server{Handler: &Dispatcher{Verbs: fake}})
	ours := testenv.NewAsker(t, path, dir)
	normal := func(s string) string { return stampPattern.ReplaceAllString(s, "TIME") }
	for _, line := range oracleCommands(t) {
		words := strings.Fields(strings.ReplaceAll(line, "DIR", dir))
		want, got := theirs.Ask(words...), ours.Ask(words...)
		if fakeDiffers[line] {
			continue
		}
		if normal(got.Repr) != normal(want.Repr) || normal(got.Stdout) != normal(want.Stdout) || got.Code != want.Code {
			t.Errorf("%s\n got %d %s\n     %q\nwant %d %s\n     %q", line, got.Code, got.Repr, got.Stdout, want.Code, want.Repr, want.Stdout)
		}
	}
}

// fakeDiffers are commands that we answer otherwise, or only a real service
// answers.
var fakeDiffers = map[string]bool{
	"set sshd attempt":      true, // a TypeError that names a method of theirs; ours is the IndexError of all others
	"add sshd":              true, // Debian's 1.0.2 has lost a name there: NameError
	"get new ignorecommand": true, // False before it was set, "" after
}

// oracleFake returns a service in the state that testenv.Fail2banConf describes.
func oracleFake(t testing.TB, dir string) *fakeService {
	t.Helper()
	f := newFake()
	f.server = ServerSettings{LogLevel: "INFO", LogTarget: dir + "/f2b.log", SyslogSocket: "auto", DBFile: dir + "/db.sqlite3",
		DBMaxMatches: 10, DBPurgeAge: 24 * time.Hour}
	for _, name := range []string{"sshd", "nginx-http-auth"} {
		if err := f.AddJail(t.Context(), name, "polling"); err != nil {
			t.Fatal(err)
		}
		if err := f.AddAction(t.Context(), name, NewAction{Name: "nothing"}); err != nil {
			t.Fatal(err)
		}
		s := &f.jails[name].settings
		s.LogPaths = []string{dir + "/a.log"}
		s.FailRegex = []string{`^failure from (?P<fid>\S+)$`, `^other failure from (?P<fid>\S+)$`}
		s.IgnoreRegex = []string{"^harmless"}
		s.LogEncoding, s.UseDNS, s.MaxRetry, s.MaxMatches, s.MaxLines = "UTF-8", "no", 5, 5, 1
	}
	return f
}
