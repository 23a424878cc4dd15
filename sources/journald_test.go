package sources

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// journald is a systemd-journald of the test's own, in its own mount namespace.
type journald struct {
	t    testing.TB
	cmd  *exec.Cmd
	dir  string // of its journal
	conn *net.UnixConn
}

// startJournald starts a journald with files of 8 MB and as many as useMB allow.
func startJournald(t testing.TB, useMB int) *journald {
	t.Helper()
	if os.Getuid() != 0 {
		journalAbsent(t, "a journald of its own needs root")
	}
	base := t.TempDir()
	d := &journald{t: t, dir: filepath.Join(base, "jlog")}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSystemMaxFileSize=8M\nSystemMaxUse=%dM\nSystemKeepFree=1M\nReadKMsg=no\nAudit=no\nSplitMode=uid\n", useMB)
	if err := os.WriteFile(filepath.Join(base, "journald.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	d.cmd = exec.Command("unshare", "-m", "--propagation", "private", "bash", "-c", `set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /var/log/journal
mount --bind "$0/jlog" /var/log/journal
mount --bind "$0/journald.conf" /etc/systemd/journald.conf
exec /lib/systemd/systemd-journald`, base)
	var said bytes.Buffer
	d.cmd.Stderr = &said
	if err := d.cmd.Start(); err != nil {
		journalAbsent(t, "no journald of its own: %v", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- d.cmd.Wait() }()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-exited
	})
	socket := fmt.Sprintf("/proc/%d/root/run/systemd/journal/socket", d.cmd.Process.Pid)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
		if err == nil {
			d.conn = conn
			break
		}
		select {
		case exit := <-exited:
			exited <- exit
			journalAbsent(t, "no journald of its own: %v %s", exit, said.String())
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			journalAbsent(t, "journald does not listen: %v", err)
		}
	}
	t.Cleanup(func() { _ = d.conn.Close() })
	d.flush()
	return d
}

// flush makes journald write to its directory, and waits until it does.
func (d *journald) flush() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		d.t.Fatal(err)
	}
	waitFor(d.t, "the journal file", func() bool {
		files, _ := filepath.Glob(filepath.Join(d.dir, "*", "system.journal"))
		return len(files) > 0
	})
}

// send logs one entry by the native protocol.
func (d *journald) send(message string) {
	d.t.Helper()
	if _, err := d.conn.Write([]byte("PRIORITY=6\nSYSLOG_IDENTIFIER=sshd\nMESSAGE=" + message + "\n")); err != nil {
		d.t.Fatal(err)
	}
}

// messages returns what stands behind ": " in the lines of "sshd" whose message has the prefix.
func messages(lines []string, prefix string) (out []string) {
	for _, line := range lines {
		if _, message, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(message, prefix) {
			out = append(out, message)
		}
	}
	return out
}

// A hundred thousand entries while files are rotated, the reader killed in the
// middle: none lost, none twice.
func TestJournaldFlood(t *testing.T) {
	d := startJournald(t, 500)
	o := JournalOptions{Path: d.dir, Matches: [][]string{{"SYSLOG_IDENTIFIER=sshd"}}}
	s := followJournal(t, "libsystemd", o, Start{Tail: true})
	const n = 100_000
	pad := strings.Repeat("Failed password for root from 192.0.2.1 ", 3)
	var want []string
	for i := range n {
		message := fmt.Sprintf("flood %06d %d %s", i, i*7919, pad)
		want = append(want, message)
		d.send(message)
		if i == n/2 {
			s.wait(n / 10)
			killChild(t)
		}
	}
	s.exactlyBy(want, func(lines []string) []string { return messages(lines, "flood") })
	files, _ := filepath.Glob(filepath.Join(d.dir, "*", "*.journal"))
	if len(files) < 3 {
		t.Errorf("only %d journal files: nothing was rotated", len(files))
	}
	t.Logf("%d journal files", len(files))
}

// exactlyBy is exactly for a part of the lines.
func (s *tail) exactlyBy(want []string, part func([]string) []string) {
	s.t.Helper()
	s.wait(len(want))
	s.compare(want, part(s.got()))
}

// killChild kills the journal reader that this process started last.
func killChild(t *testing.T) {
	t.Helper()
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range children {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(text)) {
			args, _ := os.ReadFile("/proc/" + word + "/cmdline")
			if bytes.HasSuffix(args, []byte("\x00journal-reader\x00")) {
				pid, err := strconv.Atoi(word)
				if err != nil {
					t.Fatal(err)
				}
				p, err := os.FindProcess(pid)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Kill(); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
	}
	t.Fatal("no journal reader to kill")
}

// Files that the reader has not read yet are deleted behind it. What was deleted
// is lost; the reader must go on with what is left, in order.
func TestJournaldVacuumBehindASlowReader(t *testing.T) {
	d := startJournald(t, 16)
	s := followJournal(t, "libsystemd", JournalOptions{Path: d.dir, Matches: [][]string{{"SYSLOG_IDENTIFIER=sshd"}}}, Start{Tail: true})
	d.send("slow first")
	s.wait(1)
	s.pause(true)
	for i := range 60_000 {
		d.send(fmt.Sprintf("slow %06d %s", i, strings.Repeat(fmt.Sprint(i*7919), 60)))
	}
	s.pause(false)
	d.send("slow the last")
	waitFor(t, "the last entry", func() bool {
		got := s.got()
		return strings.HasSuffix(got[len(got)-1], "slow the last")
	})
	got := messages(s.got(), "slow 0")
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Error("entries came twice or out of order")
	}
	if len(got) == 60_000 {
		t.Log("nothing was vacuumed before it was read")
	}
}

// What is written while there is no entry for the matches yet is not lost.
func TestJournaldFromTheFirstEntryOn(t *testing.T) {
	d := startJournald(t, 64)
	for round := range 5 {
		id := fmt.Sprintf("round%d", round)
		s := followJournal(t, "libsystemd", JournalOptions{Path: d.dir, Matches: [][]string{{"SYSLOG_IDENTIFIER=sshd", "ROUND=" + id}}}, Start{FromNanos: time.Now().UnixNano()})
		var want []string
		for i := range 500 {
			message := fmt.Sprintf("%s %d", id, i)
			want = append(want, message)
			if _, err := d.conn.Write([]byte("SYSLOG_IDENTIFIER=sshd\nROUND=" + id + "\nMESSAGE=" + message + "\n")); err != nil {
				t.Fatal(err)
			}
		}
		s.exactlyBy(want, func(lines []string) []string { return messages(lines, id) })
		s.stop()
	}
}

// What a user without privileges can write: with the system's journal alone it is
// not there, whatever the program calls itself.
func TestJournaldUserCannotForge(t *testing.T) {
	d := startJournald(t, 64)
	forger := filepath.Join(t.TempDir(), "sshd")
	for dir := filepath.Dir(forger); dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	logger, err := exec.LookPath("logger")
	if err != nil {
		t.Skip(err)
	}
	binary, err := os.ReadFile(logger)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(forger, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(uid uint32, message string) {
		t.Helper()
		cmd := exec.Command("nsenter", "-t", strconv.Itoa(d.cmd.Process.Pid), "-m", "setpriv", fmt.Sprintf("--reuid=%d", uid), "--clear-groups",
			forger, "--socket", "/run/systemd/journal/dev-log", "-t", "sshd", message)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("nsenter: %v %s", err, out)
		}
	}
	run(0, "from the system")
	run(4321, "from a user")
	d.send("the last")
	comm := [][]string{{"_COMM=sshd"}, {"SYSLOG_IDENTIFIER=sshd"}}
	all := followJournal(t, "libsystemd", JournalOptions{Path: d.dir, Matches: comm}, Start{})
	all.wait(3)
	if got := messages(all.got(), "from a user"); len(got) != 1 {
		t.Fatalf("the forged entry is not in the journal at all: %q", all.got())
	}
	system := followJournal(t, "libsystemd", JournalOptions{Files: []string{filepath.Join(d.dir, "*", "system*.journal")}, Matches: comm}, Start{})
	system.exactlyBy([]string{"from the system", "the last"}, func(lines []string) []string { return append(messages(lines, "from"), messages(lines, "the")...) })
	// A trusted field that only systemd gives is not there either.
	unit := followJournal(t, "libsystemd", JournalOptions{Path: d.dir, Matches: [][]string{{"_SYSTEMD_UNIT=sshd.service"}, {"MESSAGE=the last"}}}, Start{})
	unit.exactlyBy([]string{"the last"}, func(lines []string) []string { return append(messages(lines, "from"), messages(lines, "the")...) })
}
