package runner

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
)

// TestMain lets the test binary be the action runner.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "action-runner" {
		os.Exit(actAsRunner(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func actAsRunner(args []string) int {
	ctx := context.Background()
	var err error
	if len(args) == 0 || args[0] != "serve" {
		err = Supervise(ctx, Socket(), append([]string{"/proc/self/exe", "action-runner", "serve"}, args...), os.Stderr)
	} else {
		e := new(Engine)
		if len(args) > 1 {
			e.Options, err = ParseOptions(args[1])
		}
		if err == nil {
			err = Serve(ctx, os.Stdin, os.Stdout, e)
		}
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}

// output collects what the runner says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// spawn starts a runner process.
func spawn(t *testing.T, args ...string) *Client {
	t.Helper()
	out := new(output)
	c, err := Spawn(append([]string{"/proc/self/exe", "action-runner"}, args...), out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Failed() {
			t.Logf("runner: %s", out.text.String())
		}
	})
	return c
}

func hold(t *testing.T, r Runner, ds ...Definition) {
	t.Helper()
	if missing, err := r.Hold(t.Context(), ds); err != nil || len(missing) > 0 {
		t.Fatalf("hold: %v, missing %v", err, missing)
	}
}

func run(t *testing.T, r Runner, d Definition, p Phase, values map[string]string) Result {
	t.Helper()
	out, err := r.Run(t.Context(), Call{Digest: d.Digest(), Phase: p, Values: values})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func definition(name string, props map[string]string) Definition {
	return Definition{Jail: "j", Name: name, Props: props, Timeout: 20 * time.Second}
}

// hostile are texts that an attacker could have put into a log line.
var hostile = []string{
	"$(touch PWNED)", "`touch PWNED`", "; touch PWNED;", "' ; touch PWNED ; '", "\" ; touch PWNED ; \"", "\n touch PWNED\n", "| touch PWNED",
	"&& touch PWNED", "> PWNED", "$IFS", "${x:=a}", "a\\", "~root", "*", "-e x", "\x1b[2J", "%s%n", "\xff\xfe", "é", "\r\nx", "<ip>", "<matches>", "!!", "a\x00b",
}

// A value is one argument, as it is, wherever a command has it, and no shell ever
// executes a part of it.
func TestHostileValuesAreArguments(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	d := definition("a", map[string]string{
		"actionban": `printf '%s\n' "<matches>" "<F-USER>" x<sp>"<F-NONE>" > out; : <F-USER> <matches>`,
	})
	for name, r := range map[string]Runner{"here": new(Engine), "process": spawn(t)} {
		hold(t, r, d)
		for _, v := range hostile {
			res := run(t, r, d, Ban, map[string]string{"matches": v, "F-user": v})
			if !res.OK {
				t.Errorf("%s: %q: %+v", name, v, res)
			}
			want := strings.ReplaceAll(v, "\x00", "")
			if name == "process" {
				want = strings.ToValidUTF8(want, "\uFFFD")
			}
			if got, _ := os.ReadFile("out"); string(got) != want+"\n"+want+"\nx\n\n" {
				t.Errorf("%s: %q: the command got %q", name, v, got)
			}
			if files, _ := filepath.Glob("*PWNED*"); len(files) > 0 {
				t.Fatalf("%s: %q was executed: %v", name, v, files)
			}
		}
	}
}

func TestScript(t *testing.T) {
	f := func(text string, values map[string]string, want string, args ...string) {
		t.Helper()
		got, gotArgs := script(text, values)
		if got != want || strings.Join(gotArgs, "\x00") != strings.Join(args, "\x00") {
			t.Errorf("%q: %q %q, want %q %q", text, got, gotArgs, want, args)
		}
	}
	f("ban <ip> <x> <F-USER>.", map[string]string{"ip": "192.0.2.1", "F-user": "o'b"}, "f2bV_F_user=$0 \nban 192.0.2.1 <x> $f2bV_F_user.", "o'b")
	f("<F-PORT> <F-ID>", map[string]string{"F-fport": "22", "F-fid": "x y"}, "22 x y")
	f("<F-NONE><a b> < <", nil, "<a b> < <")
	f("<ip-rev> <ip-rev>", map[string]string{"ip-rev": "a;b"}, "f2bV_ip_rev=$0 \n$f2bV_ip_rev $f2bV_ip_rev", "a;b")
	many := map[string]string{}
	text := ""
	for c := 'a'; c < 'n'; c++ {
		many["t"+string(c)] = "$"
		text += "<t" + string(c) + ">"
	}
	if got, args := script(text, many); len(args) != 13 || !strings.Contains(got, "f2bV_tm=${12} \n") {
		t.Errorf("%q %q", got, args)
	}
}

func TestCompile(t *testing.T) {
	f := func(props map[string]string, phase Phase, want4, want6 string) {
		t.Helper()
		p, err := Compile(definition("a", props))
		if err != nil {
			t.Fatal(err)
		}
		if got4, got6 := p.Text(phase, Inet4), p.Text(phase, Inet6); got4 != want4 || got6 != want6 {
			t.Errorf("%v: %q %q, want %q %q", props, got4, got6, want4, want6)
		}
	}
	f(map[string]string{"actionban": "<cmd> <ip>", "cmd": "four", "cmd?family=inet6": "six"}, Ban, "four <ip>", "six <ip>")
	f(map[string]string{"actionban": "x", "actionban?family=inet6": "y"}, Ban, "x", "y")
	f(map[string]string{"actionban": "<a-<b>> <timeout> <family>", "b": "c", "a-c": "<d>", "d": "e"}, Ban, "e 20 inet4", "e 20 inet6")
	f(map[string]string{"actionban": "x"}, Reban, "x", "x")
	f(map[string]string{"actionban": "<matches><br>", "matches": "param"}, Ban, "<matches>\n", "<matches>\n")
	f(map[string]string{"actionstop": " \n "}, Stop, "", "")
	for _, props := range []map[string]string{
		{"actionban": "<a>", "a": "<b>", "b": "<a>"}, {"actionban": "<a>", "a": "<a><a>"}, {"actionban": "<a>", "a": strings.Repeat("x", maxText+1)},
	} {
		if _, err := Compile(definition("a", props)); err == nil {
			t.Errorf("%.40q: no error", props)
		}
	}
}

// A command that does not end is killed with all that it has started, and holds
// up no other action meanwhile.
func TestTimeoutKillsTheGroup(t *testing.T) {
	dir := t.TempDir()
	slow := definition("slow", map[string]string{"actionban": "echo $$ > " + dir + "/pid; trap '' TERM; sleep 300 & echo $! > " + dir + "/child; while :; do sleep 300; done"})
	slow.Timeout = 300 * time.Millisecond
	quick := definition("quick", map[string]string{"actionban": "true"})
	c := spawn(t)
	hold(t, c, slow, quick)
	done := make(chan Result, 1)
	go func() { done <- run(t, c, slow, Ban, nil) }()
	if r := run(t, c, quick, Ban, nil); !r.OK {
		t.Errorf("quick: %+v", r)
	}
	if r := <-done; r.OK || !r.TimedOut {
		t.Errorf("slow: %+v", r)
	}
	for _, name := range []string{"pid", "child"} {
		waitDead(t, filepath.Join(dir, name))
	}
}

// waitDead waits until the process whose ID a file has is gone.
func waitDead(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stat := "/proc/" + strings.TrimSpace(string(text)) + "/stat"
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := os.ReadFile(stat)
		if _, rest, _ := strings.Cut(string(got), ") "); err != nil || strings.HasPrefix(rest, "Z") {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s lives: %s", file, got)
		}
	}
}

// What runs the commands is started again when it ends, knows what it knew, and
// whoever waited is told.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	d := definition("a", map[string]string{"actionban": "echo $PPID > " + dir + "/server; [ -e " + dir + "/second ] || { : > " + dir + "/second; sleep 300; }"})
	c := spawn(t)
	hold(t, c, d)
	failed := make(chan error, 1)
	go func() {
		_, err := c.Run(t.Context(), Call{Digest: d.Digest(), Phase: Ban})
		failed <- err
	}()
	pid := 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for pid == 0 {
		if _, err := os.Stat(dir + "/second"); err == nil {
			text, _ := os.ReadFile(dir + "/server")
			for _, b := range strings.TrimSpace(string(text)) {
				pid = pid*10 + int(b-'0')
			}
		}
		<-tick.C
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, ErrRestarted) {
		t.Errorf("who waited got %v", err)
	}
	if r := run(t, c, d, Ban, nil); !r.OK {
		t.Errorf("after the restart: %+v", r)
	}
	if c.Restarts() != 1 {
		t.Errorf("%d restarts", c.Restarts())
	}
}

// With options a runner runs what the configuration on disk has and nothing else.
func TestOnlyWhatIsOnDisk(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("action.d/mine.conf", "[Definition]\nactionban = exit <code>\n[Init]\ncode = 0\n")
	write("jail.local", "[j]\nenabled = true\nbackend = polling\nlogpath = /dev/null\nfailregex = ^x <HOST>$\naction = mine\n         mine[code=3, actname=other]\n")
	o := config.Options{Dir: dir}
	tree, problems := config.Load(o)
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	var ds []Definition
	for i := range tree.Jail("j").Actions {
		ds = append(ds, Define("j", &tree.Jail("j").Actions[i]))
	}
	forged := ds[0]
	forged.Props = map[string]string{"actionban": "touch " + dir + "/pwned"}
	c := spawn(t, OptionsText(o))
	missing, err := c.Hold(t.Context(), append(ds, forged))
	if err != nil || len(missing) != 1 || missing[0].Digest() != forged.Digest() {
		t.Fatalf("missing %v, %v", missing, err)
	}
	if r := run(t, c, ds[0], Ban, nil); !r.OK {
		t.Errorf("%+v", r)
	}
	if r := run(t, c, ds[1], Ban, nil); r.Exit != 3 {
		t.Errorf("%+v", r)
	}
	if _, err := c.Run(t.Context(), Call{Digest: forged.Digest(), Phase: Ban}); !errors.Is(err, ErrUnknown) {
		t.Errorf("a definition of nobody's: %v", err)
	}
	if _, err := c.Run(t.Context(), Call{Digest: ds[0].Digest(), Phase: "ban; touch x"}); err == nil {
		t.Error("a phase of nobody's")
	}
	// What the file says no longer is held until it is let go.
	write("action.d/mine.conf", "[Definition]\nactionban = exit 4\n")
	tree, _ = config.Load(o)
	changed := Define("j", &tree.Jail("j").Actions[0])
	hold(t, c, ds[0], changed)
	if r := run(t, c, changed, Ban, nil); r.Exit != 4 {
		t.Errorf("%+v", r)
	}
	hold(t, c, changed)
	if missing, _ := c.Hold(t.Context(), ds[:1]); len(missing) != 1 {
		t.Errorf("missing %v", missing)
	}
}

// The commands of one action run one after the other.
func TestOneActionAtATime(t *testing.T) {
	dir := t.TempDir()
	d := definition("a", map[string]string{"actionban": "mkdir " + dir + "/lock || exit 9; sleep 0.02; rmdir " + dir + "/lock"})
	e := new(Engine)
	hold(t, e, d)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if r := run(t, e, d, Ban, nil); !r.OK {
				t.Errorf("%+v", r)
			}
		})
	}
	wg.Wait()
}

func TestProblems(t *testing.T) {
	d := definition("a", map[string]string{"actionban": "nosuchprogram <ip>", "actionunban": "echo said; echo why >&2; exit 7"})
	e := new(Engine)
	hold(t, e, d)
	if r := run(t, e, d, Ban, map[string]string{"ip": "192.0.2.1"}); r.Exit != 127 || !strings.Contains(r.Output, "nosuchprogram") || r.Script != "nosuchprogram 192.0.2.1" {
		t.Errorf("%+v", r)
	}
	if r := run(t, e, d, Unban, nil); r.Exit != 7 || r.Output != "why" {
		t.Errorf("%+v", r)
	}
	if r := run(t, e, d, Flush, nil); !r.OK {
		t.Errorf("no command: %+v", r)
	}
}
