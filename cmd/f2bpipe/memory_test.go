package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// idleLimit is what the service may keep in memory with ten idle jails, in KiB.
const idleLimit = 25 << 10

// TestIdleMemory starts the service with ten jails that watch empty files.
func TestIdleMemory(t *testing.T) {
	dir := t.TempDir()
	var jails strings.Builder
	fmt.Fprintf(&jails, "[DEFAULT]\nbackend = polling\n")
	for _, name := range []string{"sshd", "postfix", "dovecot", "nginx-http-auth", "nginx-botsearch", "recidive", "apache-auth", "vsftpd", "proftpd", "pure-ftpd"} {
		path := filepath.Join(dir, name+".log")
		fmt.Fprintf(&jails, "[%s]\nenabled = true\nlogpath = %s\n", name, path)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte(jails.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "f2bpipe.sock")
	cmd := exec.Command(buildBinary(t), "run", "--dry-run", "--config", dir, "--socket", socket)
	cmd.Stderr = os.Stderr
	if testing.Verbose() {
		cmd.Stdout = os.Stdout
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	// What the start took is given back a moment after that from which it answers.
	rss := 0
	ticks := time.NewTicker(100 * time.Millisecond)
	defer ticks.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-ticks.C {
		if _, err := os.Stat(socket); err == nil {
			if rss = resident(t, cmd.Process.Pid); rss < idleLimit {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d KiB resident, want less than %d", rss, idleLimit)
		}
	}
	t.Logf("%d KiB resident", rss)
}

// resident returns the resident memory of a process in KiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
