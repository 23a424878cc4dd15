package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// The test's own binary is the process that enters: what it enters it cannot leave.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("SANDBOX_CHILD") != "":
		child()
	case os.Getenv("SANDBOX_OPEN") != "":
		if err := ServeOpener(os.Getenv("SANDBOX_OPEN")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// child enters and says what it can still do, one line a try.
func child() {
	dir := os.Getenv("SANDBOX_CHILD")
	var opener *Opener
	if text := os.Getenv("SANDBOX_LOG"); text != "" {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "SANDBOX_CHILD=", "SANDBOX_OPEN="+text)
		var err error
		if opener, err = StartOpener(text, cmd); err != nil {
			fmt.Println("opener:", err)
		}
	}
	// Threads that were there before are in it too.
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, 8)
	for i := range errs {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			ready.Done()
			<-start
			errs[i] = os.WriteFile(filepath.Join(dir, "outside", fmt.Sprint("thread", i)), nil, 0o600)
		})
	}
	ready.Wait()
	state, err := Enter(Config{Dirs: []string{filepath.Join(dir, "state"), filepath.Join(dir, "absent")}})
	close(start)
	done.Wait()
	say := func(what string, err error) {
		said := "yes"
		if err != nil {
			said = "no"
		}
		if errors.Is(err, unix.EPERM) {
			said = "EPERM"
		}
		if errors.Is(err, unix.EACCES) {
			said = "EACCES"
		}
		fmt.Println(what, said)
	}
	fmt.Println("state", state, err)
	for i := range errs {
		say("thread", errs[i])
	}
	say("write state", os.WriteFile(filepath.Join(dir, "state", "x"), []byte("x"), 0o600))
	say("rename state", os.Rename(filepath.Join(dir, "state", "x"), filepath.Join(dir, "state", "y")))
	say("remove state", os.Remove(filepath.Join(dir, "state", "y")))
	say("remove outside", os.Remove(filepath.Join(dir, "outside", "there")))
	say("truncate outside", os.Truncate(filepath.Join(dir, "outside", "there"), 0))
	_, err = os.ReadFile(filepath.Join(dir, "outside", "there"))
	say("read outside", err)
	say("mount", unix.Mount("none", dir, "tmpfs", 0, ""))
	say("unshare", unix.Unshare(unix.CLONE_NEWUSER))
	say("setuid", unix.Setuid(0))
	out, err := exec.Command("/bin/sh", "-c", "echo >"+filepath.Join(dir, "outside", "by-sh")).CombinedOutput()
	_ = out
	say("sh", err)
	say("exec", exec.Command("/bin/true").Run())
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	fmt.Println("no-new-privileges", nnp, err)
	if opener != nil {
		f, err := opener.Open()
		if err == nil {
			_, err = f.WriteString("line\n")
		}
		say("log", err)
	}
}

func enter(t *testing.T, env ...string) (dir, said string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"state", "outside"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "outside", "there"), []byte("there"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "SANDBOX_CHILD="+dir)
	for _, e := range env {
		cmd.Env = append(cmd.Env, strings.ReplaceAll(e, "DIR", dir))
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v: %s", err, out)
	}
	return dir, string(out)
}

// TestEnter enters and tries what an attacker would, on threads from before too.
func TestEnter(t *testing.T) {
	_, said := enter(t)
	if !strings.Contains(said, "landlock") || strings.Contains(said, "not in force") {
		t.Skipf("the kernel of this machine lacks what is tested: %s", said)
	}
	want := "EACCES"
	for line := range strings.Lines(said) {
		if what, got, _ := strings.Cut(strings.TrimSpace(line), " "); what == "thread" && got != want {
			t.Errorf("a thread from before writes outside: %s", got)
		}
	}
	for _, want := range []string{
		"write state yes", "rename state yes", "remove state yes", "remove outside EACCES", "truncate outside EACCES", "read outside yes",
		"mount EPERM", "unshare EPERM", "setuid EPERM", "sh no", "exec yes", "no-new-privileges 1 <nil>",
	} {
		if !strings.Contains(said, want+"\n") {
			t.Errorf("want %q in:\n%s", want, said)
		}
	}
}

// TestOpener opens a log that the sandbox forbids, also when it has been rotated away.
func TestOpener(t *testing.T) {
	dir, said := enter(t, "SANDBOX_LOG=DIR/outside/new.log")
	if !strings.Contains(said, "\nlog yes\n") {
		t.Fatalf("the log cannot be opened:\n%s", said)
	}
	f, err := os.Open(filepath.Join(dir, "outside", "new.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if line, _ := bufio.NewReader(f).ReadString('\n'); line != "line\n" {
		t.Errorf("the log has %q", line)
	}
	if _, said := enter(t, "SANDBOX_LOG=DIR/no/such/folder.log"); !strings.Contains(said, "\nlog no\n") {
		t.Errorf("a log in no folder:\n%s", said)
	}
}

// TestBegunAnew carries the state to the process that this one becomes.
func TestBegunAnew(t *testing.T) {
	if _, ok := Inside(); ok {
		t.Fatal("inside before anything was entered")
	}
	for _, e := range (State{Landlock: 5, Seccomp: true}).Environ(nil) {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	if s, ok := Inside(); !ok || s.Landlock != 5 || !s.Seccomp {
		t.Errorf("inside: %v %v", s, ok)
	}
}
