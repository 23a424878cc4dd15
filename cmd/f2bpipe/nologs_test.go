package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// spoken is what a process prints, for a test to wait for.
type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *spoken) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *spoken) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait waits until a line has all of the parts.
func (o *spoken) wait(t *testing.T, parts ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("a line with %q in:\n%s", parts, o), func() bool {
		for line := range strings.Lines(o.String()) {
			found := true
			for _, p := range parts {
				found = found && strings.Contains(line, p)
			}
			if found {
				return true
			}
		}
		return false
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not after 20 s: %s", what)
		}
	}
}

// runIn runs the service by a command that brings it into a world of its own,
// until the test ends, and returns its process ID and what it prints.
func runIn(t *testing.T, within []string, args ...string) (pid int, out *spoken) {
	t.Helper()
	out = &spoken{}
	all := append(append(within, buildBinary(t), "run", "--socket", filepath.Join(t.TempDir(), "s.sock")), args...)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("it printed:\n%s", out)
		}
	})
	out.wait(t, "service runs")
	return cmd.Process.Pid, out
}

// threeLines is the configuration of somebody who has none.
func threeLines(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte("[sshd]\nenabled = true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

const sshFailure = "Failed password for root from 203.0.113.5 port 4242 ssh2"

// attack fails five times as sshd's own unit.
func attack(p *testenv.Program) {
	for range 5 {
		p.Log("SYSLOG_IDENTIFIER=sshd", "SYSLOG_FACILITY=4", "MESSAGE="+sshFailure)
	}
}

// journalHost is a machine with a journal and no log files; the arguments run a
// program there, in a network of its own.
func journalHost(t *testing.T) (*testenv.Journald, []string) {
	t.Helper()
	d := testenv.StartJournald(t, 64)
	return d, []string{"nsenter", "-t", strconv.Itoa(d.Pid), "-m", "unshare", "-n"}
}

// Three lines of configuration, no fail2ban and no log file but the journal's:
// who fails at sshd is in the kernel.
func TestRunWithAJournalOnly(t *testing.T) {
	testenv.NeedTool(t, "nft")
	d, within := journalHost(t)
	pid, out := runIn(t, within, "--config", threeLines(t), "--dbfile", filepath.Join(t.TempDir(), "db"))
	out.wait(t, "jail runs", "jail=sshd", "reads=systemd-journal")
	attack(d.Program("sshd", 0, "ssh.service"))
	eventually(t, "203.0.113.5 in the kernel", func() bool {
		text, _ := exec.Command("nsenter", "-t", strconv.Itoa(pid), "-n", "nft", "list", "ruleset").Output()
		return strings.Contains(string(text), "203.0.113.5")
	})
}

// The same with /var/log/auth.log and no journal.
func TestRunWithALogFileOnly(t *testing.T) {
	testenv.NeedNamespaces(t)
	within := []string{"unshare", "-m", "-n", "--propagation", "private", "bash", "-c",
		`set -e; mount -t tmpfs tmpfs /var/log; mount -t tmpfs tmpfs /run; : > /var/log/auth.log; exec "$@"`, "bash"}
	pid, out := runIn(t, within, "--config", threeLines(t), "--dry-run", "--json")
	out.wait(t, "jail runs", "jail=sshd", "reads=files")
	log, err := os.OpenFile(fmt.Sprintf("/proc/%d/root/var/log/auth.log", pid), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for range 5 {
		fmt.Fprintf(log, "%s host sshd[7]: %s\n", time.Now().Format(time.Stamp), sshFailure)
	}
	out.wait(t, `"action":"ban"`, `"jail":"sshd"`, "203.0.113.5")
}

// Debian 12's own tree, as it is installed, on a machine without auth.log:
// fail2ban does not start there.
func TestRunDebianWithoutAuthLog(t *testing.T) {
	testenv.Python(t)
	d, within := journalHost(t)
	_, out := runIn(t, within, "--config", "/etc/fail2ban", "--dry-run", "--json")
	out.wait(t, "jail runs", "jail=sshd", "reads=systemd-journal")
	attack(d.Program("sshd", 0, "ssh.service"))
	out.wait(t, `"action":"ban"`, `"jail":"sshd"`, "203.0.113.5")
}
