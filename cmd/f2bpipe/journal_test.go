package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// makeJournal makes a journal of sshd's and another unit's messages.
func makeJournal(t *testing.T) string {
	const remote = "/lib/systemd/systemd-journal-remote"
	testenv.NeedTool(t, "journalctl")
	testenv.NeedTool(t, remote)
	var text strings.Builder
	for i, e := range [][2]string{
		{"ssh.service", "Failed password for root from 192.0.2.1 port 22 ssh2"},
		{"ssh.service", "Accepted publickey for joe from 198.51.100.7 port 22 ssh2"},
		{"other.service", "Failed password for root from 192.0.2.9 port 22 ssh2"},
		{"ssh.service", "Failed password for invalid user x from 2001:db8::1 port 22 ssh2"},
	} {
		fmt.Fprintf(&text, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=11111111111111111111111111111111\n_MACHINE_ID=22222222222222222222222222222222\n",
			1795136400000000+i*1000000, 1000000+i)
		fmt.Fprintf(&text, "_HOSTNAME=lab\nSYSLOG_IDENTIFIER=sshd\n_PID=%d\n_UID=0\n_COMM=sshd\n_SYSTEMD_UNIT=%s\nMESSAGE=%s\n\n", 100+i, e[0], e[1])
	}
	dir := t.TempDir()
	in := filepath.Join(t.TempDir(), "in.export")
	if err := os.WriteFile(in, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(remote, "-o", filepath.Join(dir, "test.journal"), in).CombinedOutput(); err != nil {
		t.Fatalf("systemd-journal-remote: %v: %s", err, out)
	}
	return dir
}

// TestFail2banRegexJournal tries a filter on a journal, by the filter's match
// and by the command line's.
func TestFail2banRegexJournal(t *testing.T) {
	binary, dir := buildBinary(t), makeJournal(t)
	name := filepath.Join(t.TempDir(), "fail2ban-regex")
	if err := os.Symlink(binary, name); err != nil {
		t.Fatal(err)
	}
	etc := t.TempDir()
	try := func(want []string, args ...string) {
		t.Helper()
		out, err := exec.Command(name, append([]string{"-c", etc}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		for _, line := range want {
			if !strings.Contains(string(out), line) {
				t.Errorf("%v: no %q in\n%s", args, line, out)
			}
		}
	}
	log := "systemd-journal[journalpath=" + dir + "]"
	try([]string{"Use         systemd journal", "Lines: 3 lines, 1 ignored, 2 matched, 0 missed"}, "-m", "_SYSTEMD_UNIT=ssh.service", log, "sshd")
	try([]string{"Lines: 4 lines, 1 ignored, 3 matched, 0 missed"}, "-m", "_SYSTEMD_UNIT=ssh.service + _SYSTEMD_UNIT=other.service", log, "sshd")
	try([]string{"192.0.2.9"}, "-o", "id", "-m", "_SYSTEMD_UNIT=other.service", log, "sshd")
	try([]string{"Use    journal match : _SYSTEMD_UNIT="}, log, "sshd")
}
