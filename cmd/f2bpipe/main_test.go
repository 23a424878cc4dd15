package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/f2bpipe/f2bpipe/internal/control"
)

func TestMain(m *testing.M) {
	// A process that the program starts of itself is this binary too, and no test run.
	// It is called /proc/self/exe then.
	if os.Args[0] == selfExe || len(os.Args) > 1 && (os.Args[1] == "action-runner" || os.Args[1] == "journal-reader") {
		main()
	}
	testscript.Main(m, map[string]func(){"f2bpipe": main, "fail2ban-regex": main, "fail2ban-client": main, serverName: main})
}

// TestScripts runs every command, flag, exit status and message in testdata/script.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("condition %q is not known", cond)
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("LOGS", filepath.Join(root, "testdata"))
			env.Setenv("TZ", "UTC")
			env.Defer(func() { killServer(filepath.Join(env.WorkDir, "run.pid"), env.WorkDir) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"generate": generate, "exits": exits, "waits": waits, "answers": answers, "stale": stale},
	})
}

// exits STATUS PROGRAM ARG… runs a program that must end with that very status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// waits FILE waits until the file is there, ten seconds at most.
func waits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waits FILE")
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not there after 10 s", args[0])
		}
		runtime.Gosched()
	}
}

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "f2bpipe")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "f2bpipe")
	return path, exec.Command("go", "build", "-o", path, ".").Run()
})

// buildBinary returns the path of the program, built once.
func buildBinary(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return path
}

// generate FILE KIND writes input that no script should hold: "no-newline" is
// 10 MB of one byte, "random" 1 MB of random bytes.
func generate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: generate FILE KIND")
	}
	var data []byte
	switch args[1] {
	case "no-newline":
		data = make([]byte, 10<<20)
		for i := range data {
			data[i] = 'a'
		}
	case "random":
		data = make([]byte, 1<<20)
		seed := uint64(1)
		for i := range data {
			seed = seed*6364136223846793005 + 1442695040888963407
			data[i] = byte(seed >> 56)
		}
	default:
		ts.Fatalf("kind %q is not known", args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// answers SOCKET waits until a server answers on the socket, ten seconds at most.
func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: answers SOCKET")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		client, err := control.Dial(ctx, ts.MkAbs(args[0]))
		if err == nil {
			_, err = client.Call(ctx, []any{"ping"})
			_ = client.Close()
		}
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			ts.Fatalf("%s does not answer after 10 s: %v", args[0], err)
		}
		runtime.Gosched()
	}
}

// stale SOCKET leaves a socket on which nobody listens.
func stale(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stale SOCKET")
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: ts.MkAbs(args[0]), Net: "unix"})
	ts.Check(err)
	l.SetUnlinkOnClose(false)
	ts.Check(l.Close())
}

// killServer ends a server that a script has left in the background: the one
// of the pid file, if it was started from the script's folder.
func killServer(pidFile, dir string) {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && strings.Contains(string(line), dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
