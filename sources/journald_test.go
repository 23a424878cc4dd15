package sources

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

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
	d := testenv.StartJournald(t, 500)
	o := JournalOptions{Path: d.Dir, Matches: [][]string{{"SYSLOG_IDENTIFIER=sshd"}}}
	s := followJournal(t, "libsystemd", o, Start{Tail: true})
	n := 100_000
	if testing.Short() {
		n = 40_000 // still rotated
	}
	pad := strings.Repeat("Failed password for root from 192.0.2.1 ", 3)
	var want []string
	for i := range n {
		message := fmt.Sprintf("flood %06d %d %s", i, i*7919, pad)
		want = append(want, message)
		d.Send(message)
		if i == n/2 {
			s.wait(n / 10)
			killChild(t)
		}
	}
	s.exactlyBy(want, func(lines []string) []string { return messages(lines, "flood") })
	files, _ := filepath.Glob(filepath.Join(d.Dir, "*", "*.journal"))
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

// killChild kills the journal reader of this process.
func killChild(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(readerPid(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// readerPid returns the process ID of the journal reader of this process.
func readerPid(t *testing.T) int {
	t.Helper()
	pid := child(func(args []string) bool { return args[len(args)-1] == "journal-reader" })
	if pid == 0 {
		t.Fatal("there is no journal reader")
	}
	return pid
}

// child returns the process ID of a child of this process whose command line is
// meant, 0 where there is none.
func child(is func(args []string) bool) int {
	children, _ := filepath.Glob("/proc/self/task/*/children") // the pattern is a good one
	for _, file := range children {
		text, _ := os.ReadFile(file) // of a thread that has just ended: nothing
		for _, word := range strings.Fields(string(text)) {
			line, _ := os.ReadFile("/proc/" + word + "/cmdline")
			args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
			if pid, err := strconv.Atoi(word); err == nil && is(args) {
				return pid
			}
		}
	}
	return 0
}

// Files that the reader has not read yet are deleted behind it. What was deleted
// is lost; the reader must go on with what is left, in order.
func TestJournaldVacuumBehindASlowReader(t *testing.T) {
	d := testenv.StartJournald(t, 16)
	s := followJournal(t, "libsystemd", JournalOptions{Path: d.Dir, Matches: [][]string{{"SYSLOG_IDENTIFIER=sshd"}}}, Start{Tail: true})
	d.Send("slow first")
	s.wait(1)
	s.pause(true)
	n := 60_000
	if testing.Short() {
		n = 30_000
	}
	for i := range n {
		d.Send(fmt.Sprintf("slow %06d %s", i, strings.Repeat(fmt.Sprint(i*7919), 60)))
	}
	s.pause(false)
	d.Send("slow the last")
	waitFor(t, "the last entry", func() bool {
		got := s.got()
		return strings.HasSuffix(got[len(got)-1], "slow the last")
	})
	got := messages(s.got(), "slow 0")
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Error("entries came twice or out of order")
	}
	if len(got) == n {
		t.Log("nothing was vacuumed before it was read")
	}
}

// What is written while there is no entry for the matches yet is not lost.
func TestJournaldFromTheFirstEntryOn(t *testing.T) {
	d := testenv.StartJournald(t, 64)
	for round := range 5 {
		id := fmt.Sprintf("round%d", round)
		s := followJournal(t, "libsystemd", JournalOptions{Path: d.Dir, Matches: [][]string{{"SYSLOG_IDENTIFIER=sshd", "ROUND=" + id}}}, Start{FromNanos: time.Now().UnixNano()})
		var want []string
		for i := range 500 {
			message := fmt.Sprintf("%s %d", id, i)
			want = append(want, message)
			d.Native("SYSLOG_IDENTIFIER=sshd\nROUND=" + id + "\nMESSAGE=" + message + "\n")
		}
		s.exactlyBy(want, func(lines []string) []string { return messages(lines, id) })
		s.stop()
	}
}

// What a user without privileges can write: with the system's journal alone it is
// not there, whatever the program calls itself.
func TestJournaldUserCannotForge(t *testing.T) {
	d := testenv.StartJournald(t, 64)
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
	run := func(uid int, message string) {
		t.Helper()
		cmd := d.As(uid, forger, "--socket", "/run/systemd/journal/dev-log", "-t", "sshd", message)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("nsenter: %v %s", err, out)
		}
	}
	run(0, "from the system")
	run(4321, "from a user")
	d.Send("the last")
	comm := [][]string{{"_COMM=sshd"}, {"SYSLOG_IDENTIFIER=sshd"}}
	all := followJournal(t, "libsystemd", JournalOptions{Path: d.Dir, Matches: comm}, Start{})
	all.wait(3)
	if got := messages(all.got(), "from a user"); len(got) != 1 {
		t.Fatalf("the forged entry is not in the journal at all: %q", all.got())
	}
	system := followJournal(t, "libsystemd", JournalOptions{Files: []string{filepath.Join(d.Dir, "*", "system*.journal")}, Matches: comm}, Start{})
	system.exactlyBy([]string{"from the system", "the last"}, func(lines []string) []string { return append(messages(lines, "from"), messages(lines, "the")...) })
	// A trusted field that only systemd gives is not there either.
	unit := followJournal(t, "libsystemd", JournalOptions{Path: d.Dir, Matches: [][]string{{"_SYSTEMD_UNIT=sshd.service"}, {"MESSAGE=the last"}}}, Start{})
	unit.exactlyBy([]string{"the last"}, func(lines []string) []string { return append(messages(lines, "from"), messages(lines, "the")...) })
}
