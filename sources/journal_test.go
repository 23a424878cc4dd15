package sources

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

const journalRemote = "/lib/systemd/systemd-journal-remote"

// entry is a journal entry as a test makes it; __REALTIME_TIMESTAMP is added.
type entry [][2]string

// export writes entries in the export format, a second apart from the given time.
func export(entries []entry, fromUsec int64) []byte {
	var b bytes.Buffer
	for i, e := range entries {
		fmt.Fprintf(&b, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=0123456789abcdef0123456789abcdef\n",
			fromUsec+int64(i)*1e6, 12345678+int64(i)*1e6)
		for _, f := range e {
			if strings.ContainsAny(f[1], "\n\x00") {
				b.WriteString(f[0] + "\n")
				_ = binary.Write(&b, binary.LittleEndian, uint64(len(f[1])))
				b.WriteString(f[1] + "\n")
			} else {
				b.WriteString(f[0] + "=" + f[1] + "\n")
			}
		}
		b.WriteString("\n")
	}
	return b.Bytes()
}

// makeJournal makes a journal of the entries and returns its directory.
func makeJournal(t testing.TB, entries []entry, fromUsec int64) string {
	t.Helper()
	if _, err := os.Stat(journalRemote); err != nil {
		journalAbsent(t, "systemd-journal-remote is absent: %v", err)
	}
	dir := t.TempDir()
	in := filepath.Join(t.TempDir(), "in.export")
	if err := os.WriteFile(in, export(entries, fromUsec), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(journalRemote, "-o", filepath.Join(dir, "test.journal"), in).CombinedOutput(); err != nil {
		t.Fatalf("systemd-journal-remote: %v: %s", err, out)
	}
	return dir
}

// journalAbsent skips, or fails where F2BPIPE_REQUIRE_JOURNALD=1.
func journalAbsent(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("F2BPIPE_REQUIRE_JOURNALD") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// followJournal runs a Journal. Backend is "libsystemd" or "journalctl". What is to
// be read from now on is read from when it returns.
func followJournal(t testing.TB, backend string, o JournalOptions, start Start) *tail {
	t.Helper()
	s := prepare(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	j := &Journal{
		Input: s.input("systemd-journal"), Options: o, Start: start, Log: s.files.Log,
		Command: []string{self, "journal-reader"},
	}
	switch {
	case backend == "journalctl":
		// A reader without libsystemd is what makes it go to journalctl.
		j.Command = []string{"/bin/sh", "-c", "exit 3"}
	case JournalBackend() != "libsystemd":
		t.Skip("built without cgo")
	}
	s.source = j
	s.run()
	// A reader is started when it is settled what "now" is.
	waitFor(t, "the start of a reader", func() bool {
		return child(func(args []string) bool {
			return backend == "libsystemd" && args[len(args)-1] == "journal-reader" || filepath.Base(args[0]) == "journalctl"
		}) > 0
	})
	return s
}

func backends(t *testing.T, test func(t *testing.T, backend string)) {
	t.Helper()
	for _, backend := range []string{"libsystemd", "journalctl"} {
		t.Run(backend, func(t *testing.T) { test(t, backend) })
	}
}

const startUsec = 1_790_000_000_000_000

func TestJournalLine(t *testing.T) {
	f := func(messageOnly bool, want string, fields ...string) {
		t.Helper()
		e := journalEntry{realtime: startUsec, monotonic: 12345678}
		for i := 0; i < len(fields); i += 2 {
			e.fields[slices.Index(journalFields[:], fields[i])] = []byte(fields[i+1])
		}
		if got, _ := e.appendLine(nil, messageOnly); string(got) != want+"\n" {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(false, `mx sshd[12]: Failed`, "_HOSTNAME", "mx", "SYSLOG_IDENTIFIER", "sshd", "_COMM", "x", "_PID", "12", "MESSAGE", "Failed")
	f(false, `mx sshd[7]: m`, "_HOSTNAME", "mx", "_COMM", "sshd", "SYSLOG_PID", "7", "_PID", "12", "MESSAGE", "m")
	f(false, `sshd: m`, "_COMM", "sshd", "MESSAGE", "m")
	f(false, `mx m`, "_HOSTNAME", "mx", "_PID", "12", "MESSAGE", "m")
	f(false, `mx a[31]: m`, "_HOSTNAME", "mx", "_COMM", "a", "SYSLOG_PID", "0x1f", "MESSAGE", "m")
	f(false, `mx a[007]: m`, "_HOSTNAME", "mx", "_COMM", "a", "SYSLOG_PID", "007", "MESSAGE", "m")
	f(false, `mx a[no]: m`, "_HOSTNAME", "mx", "_COMM", "a", "SYSLOG_PID", "no", "MESSAGE", "m")
	f(false, `mx kernel: [   12.345678] m`, "_HOSTNAME", "mx", "SYSLOG_IDENTIFIER", "kernel", "MESSAGE", "m")
	f(false, `mx kernel: [    0.000042] m`, "_HOSTNAME", "mx", "SYSLOG_IDENTIFIER", "kernel", "MESSAGE", "m", "_SOURCE_MONOTONIC_TIMESTAMP", "42")
	f(false, `mx kernel: [1234567.000000] m`, "_HOSTNAME", "mx", "SYSLOG_IDENTIFIER", "kernel", "MESSAGE", "m", "_SOURCE_MONOTONIC_TIMESTAMP", "1234567000000")
	f(false, `mx a: one\ntwo\rthree\0four`, "_HOSTNAME", "mx", "_COMM", "a", "MESSAGE", "one\ntwo\rthree\x00four")
	f(false, `m\nx a\nb[1\n2]: `, "_HOSTNAME", "m\nx", "_COMM", "a\nb", "SYSLOG_PID", "1\n2", "MESSAGE", "")
	f(true, `one\ntwo`, "_HOSTNAME", "mx", "_COMM", "a", "MESSAGE", "one\ntwo\r")
	f(true, `\r`, "MESSAGE", "\r\r")
	f(true, ``)
}

func TestJournalReadsWhatIsThere(t *testing.T) {
	long := strings.Repeat("b", MaxLine) + strings.Repeat("e", 5000)
	dir := makeJournal(t, []entry{
		{{"_HOSTNAME", "mx"}, {"SYSLOG_IDENTIFIER", "sshd"}, {"_PID", "5"}, {"MESSAGE", "first"}},
		{{"_HOSTNAME", "mx"}, {"_COMM", "sshd"}, {"_PID", "5"}, {"MESSAGE", "with\na line feed"}, {"_SOURCE_REALTIME_TIMESTAMP", "1789999999123456"}},
		{{"_HOSTNAME", "mx"}, {"SYSLOG_IDENTIFIER", "kernel"}, {"MESSAGE", "from the kernel"}},
		{{"_HOSTNAME", "mx"}, {"_COMM", "nomessage"}},
		{{"_HOSTNAME", "mx"}, {"_COMM", "long"}, {"MESSAGE", long}},
		{{"_HOSTNAME", "mx"}, {"_COMM", "evil"}, {"MESSAGE", "CR\rNUL\x00end\r"}},
	}, startUsec)
	head := "mx long: " + strings.Repeat("b", keepHead-len("mx long: "))
	want := []string{
		"mx sshd[5]: first", `mx sshd[5]: with\na line feed`, "mx kernel: [   14.345678] from the kernel", "mx nomessage: ",
		head + strings.Repeat("e", keepTail), `mx evil: CR\rNUL\0end\r`,
	}
	backends(t, func(t *testing.T, backend string) {
		s := followJournal(t, backend, JournalOptions{Path: dir}, Start{})
		s.exactly(want)
		s.stop()
		wantStamps := []int64{startUsec * 1000, 1789999999123456000, (startUsec + 2e6) * 1000, (startUsec + 3e6) * 1000, (startUsec + 4e6) * 1000, (startUsec + 5e6) * 1000}
		if !slices.Equal(s.stamps, wantStamps) {
			t.Errorf("stamps %d, want %d", s.stamps, wantStamps)
		}
		if cut := s.input("systemd-journal").Cut.Load(); cut != 1 {
			t.Errorf("%d lines cut, want 1", cut)
		}
		end := s.ends["systemd-journal"]
		if end.AtNanos != wantStamps[5] || !strings.HasPrefix(end.Mark, "s=") {
			t.Errorf("ends at %+v", end)
		}
		s = followJournal(t, backend, JournalOptions{Path: dir, MessageOnly: true}, Start{FromNanos: (startUsec + 5e6) * 1000})
		s.exactly([]string{`CR\rNUL\0end`})
	})
}

func TestJournalMatchesAndStarts(t *testing.T) {
	var entries []entry
	var sshd, both []string
	for i := range 3000 {
		unit, comm := []string{"sshd", "postfix", "cron"}[i%3], []string{"sshd", "postfix", "cron"}[i%3]
		line := fmt.Sprintf("mx %s[%d]: line %d", comm, i, i)
		entries = append(entries, entry{{"_HOSTNAME", "mx"}, {"_COMM", comm}, {"_PID", fmt.Sprint(i)},
			{"_SYSTEMD_UNIT", unit + ".service"}, {"MESSAGE", fmt.Sprintf("line %d", i)}})
		if i%3 == 0 {
			sshd = append(sshd, line)
		}
		if i%3 != 2 {
			both = append(both, line)
		}
	}
	dir := makeJournal(t, entries, startUsec)
	backends(t, func(t *testing.T, backend string) {
		one := JournalOptions{Path: dir, Matches: [][]string{{"_SYSTEMD_UNIT=sshd.service", "_COMM=sshd"}}}
		s := followJournal(t, backend, one, Start{})
		s.exactly(sshd)
		s.stop()
		two := JournalOptions{Path: dir, Matches: [][]string{{"_SYSTEMD_UNIT=sshd.service"}, {"_COMM=postfix"}}}
		s = followJournal(t, backend, two, Start{})
		s.exactly(both)
		s.stop()
		f := func(start Start, want []string) {
			t.Helper()
			s := followJournal(t, backend, two, start)
			s.exactly(want)
			s.stop()
		}
		f(Start{FromNanos: (startUsec + 2999e6) * 1000}, nil) // cron
		f(Start{FromNanos: (startUsec + 2998e6) * 1000}, both[len(both)-1:])
		f(Start{Tail: true}, nil)
		// After a cursor; after a time where the cursor says nothing to libsystemd.
		files := JournalOptions{Files: []string{filepath.Join(dir, "*.journal")}, Matches: two.Matches}
		s = followJournal(t, backend, files, Start{FromNanos: (startUsec + 2990e6) * 1000})
		s.wait(5)
		s.stop()
		end := s.ends["systemd-journal"]
		f(Start{Position: end}, nil)
		if backend == "libsystemd" {
			f(Start{Position: pipeline.Position{Mark: "no cursor", AtNanos: (startUsec + 2995e6) * 1000}}, both[len(both)-3:])
		}
	})
}

// From each entry's cursor the reading goes on with the next one.
func TestJournalCursorOfEveryEntry(t *testing.T) {
	var entries []entry
	for i := range 50 {
		entries = append(entries, entry{{"MESSAGE", fmt.Sprintf("line %d", i)}})
	}
	dir := makeJournal(t, entries, startUsec)
	h, err := openJournal(JournalOptions{Path: dir}, nil)
	if err != nil {
		t.Skip(err)
	}
	defer h.close()
	var got []string
	keep := func(e *journalEntry) { got = append(got, string(e.fields[fieldMessage])) }
	if err := h.seekRealtime(0); err != nil {
		t.Fatal(err)
	}
	var cursors []string
	for range entries {
		if n, _, err := h.next(1, polling{}, keep); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		c, err := h.cursor()
		if err != nil {
			t.Fatal(err)
		}
		cursors = append(cursors, c)
	}
	for i, c := range cursors {
		if err := h.seekCursor(c); err != nil {
			t.Fatal(err)
		}
		got = nil
		for n := 1; n > 0; {
			if n, _, err = h.next(1000, polling{}, keep); err != nil {
				t.Fatal(err)
			}
		}
		if len(got) != len(entries)-i-1 || len(got) > 0 && got[0] != fmt.Sprintf("line %d", i+1) {
			t.Errorf("after cursor %d: %d entries, the first %.20q", i, len(got), got)
		}
	}
}

func TestFrames(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var wire bytes.Buffer
	var sent []pipeline.Batch
	var buf []byte
	for i := range 50 {
		b := pipeline.Batch{End: pipeline.Position{Mark: strings.Repeat("c", rnd.IntN(200)), AtNanos: int64(i)}}
		for range rnd.IntN(100) {
			b.Data = append(b.Data, strings.Repeat("x", rnd.IntN(50))+"\n"...)
			b.Stamps = append(b.Stamps, rnd.Int64())
			if i%2 == 0 {
				b.Masks = append(b.Masks, rnd.Uint64())
			}
			b.Lines++
		}
		var err error
		if buf, err = writeFrame(&wire, buf, &b, frame{cut: min(i, b.Lines), end: i%3 == 0, started: uint64(i), usec: uint64(i)}); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, b)
	}
	whole := wire.Bytes()
	r := bytes.NewReader(whole)
	for i, want := range sent {
		var got pipeline.Batch
		f, err := readFrame(r, &got)
		if err != nil || f != (frame{cut: min(i, want.Lines), end: i%3 == 0, started: uint64(i), usec: uint64(i)}) || !slices.Equal(got.Masks, want.Masks) || !bytes.Equal(got.Data, want.Data) || !slices.Equal(got.Stamps, want.Stamps) || got.End != want.End || got.Lines != want.Lines {
			t.Fatalf("frame %d: %v, %+v", i, err, f)
		}
	}
	for n := range 600 { // cut anywhere: an error and no panic
		r := bytes.NewReader(whole[:n])
		for {
			var got pipeline.Batch
			if _, err := readFrame(r, &got); err != nil {
				break
			}
		}
	}
	if _, err := readFrame(bytes.NewReader(bytes.Repeat([]byte{0xff}, 100)), new(pipeline.Batch)); err == nil {
		t.Error("a frame of 4 GiB was taken")
	}
}

// The reader ends with its parent.
func TestJournalReaderEndsWithStdin(t *testing.T) {
	dir := makeJournal(t, []entry{{{"MESSAGE", "m"}}}, startUsec)
	if JournalBackend() != "libsystemd" {
		t.Skip("built without cgo")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "journal-reader")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"Path":%q,"Groups":[{}]}`+"\n", dir))
	out, err := cmd.Output()
	if err != nil || len(out) < 20 {
		t.Errorf("reader said %d bytes and ended with %v", len(out), err)
	}
	cmd = exec.CommandContext(ctx, self, "journal-reader")
	cmd.Stdin = strings.NewReader(`{"Path":"/nonexistent","Groups":[{}]}` + "\n")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "open journal: no such file or directory") {
		t.Errorf("reader of nothing: %v %s", err, out)
	}
}

// Who reads in the log that the journal cannot be read finds it in Problem, too.
func TestJournalProblemBeforeItsLine(t *testing.T) {
	feed := pipeline.NewFeed(1)
	j := &Journal{Input: &pipeline.Input{Name: "journal"}, Command: []string{"/bin/sh", "-c", "echo broken >&2; exit 1"}}
	problems := make(chan string, 1)
	j.Log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		select {
		case problems <- j.Problem():
		default:
		}
		return len(p), nil
	}), nil))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx, feed) }()
	if got := <-problems; got != "broken" {
		t.Errorf("while the line was written the problem was %q, want broken", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// writerFunc is an io.Writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
	}
}
