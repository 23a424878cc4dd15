package service

import (
	"bufio"
	"os/exec"
	"syscall"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// sqlite runs statements on a database as another process would.
func sqlite(t *testing.T, path, statements string) {
	t.Helper()
	out, err := exec.Command(testenv.Python(t), "-c", "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.executescript(sys.argv[2])\nc.commit()", path, statements).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", statements, err, out)
	}
}

// startChild starts a process, waits for its first line and returns what ends it.
func startChild(t *testing.T, name string, args ...string) (end func()) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(out).Scan() {
		t.Fatal(name, "says nothing")
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
