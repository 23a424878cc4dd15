package sources

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// sortedJournal runs a Journal with groups and keeps each group's lines.
type sortedJournal struct {
	*Journal
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}
	lines  chan []string // one a batch: "MASK LINE"
}

func runGroups(t *testing.T, backend string, o JournalOptions, groups []JournalGroup) *sortedJournal {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &sortedJournal{t: t, done: make(chan struct{}), lines: make(chan []string, 10_000)}
	s.Journal = &Journal{Input: pipeline.NewInput("systemd-journal", nil), Options: o, Groups: groups, Command: []string{self, "journal-reader"}}
	if backend == "journalctl" {
		s.Command = []string{"/bin/sh", "-c", "exit 3"}
	} else if JournalBackend() != "libsystemd" {
		t.Skip("built without cgo")
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	feed := pipeline.NewFeed(4)
	go func() {
		defer feed.Close()
		if err := s.Run(ctx, feed); err != nil {
			t.Error(err)
		}
	}()
	go func() {
		defer close(s.done)
		for b := range feed.Full() {
			var out []string
			for i, line := range splitLines(b.Data) {
				mask := uint64(1)
				if len(b.Masks) > 0 {
					mask = b.Masks[i]
				}
				out = append(out, fmt.Sprintf("%b %s", mask, line))
			}
			s.lines <- out
			feed.Recycle(b)
		}
		close(s.lines)
	}()
	t.Cleanup(s.stop)
	return s
}

func (s *sortedJournal) stop() {
	s.cancel()
	<-s.done
}

// wait returns the next n lines.
func (s *sortedJournal) wait(n int) (out []string) {
	s.t.Helper()
	late := time.After(patience)
	for len(out) < n {
		select {
		case more := <-s.lines:
			out = append(out, more...)
		case <-late:
			s.t.Fatalf("%d lines came, want %d: %q", len(out), n, out)
		}
	}
	return out
}

// Groups get what their matches take, each from its own start on, and go on
// where they were.
func TestJournalGroups(t *testing.T) {
	var entries []entry
	for i := range 12 {
		e := entry{{"_SYSTEMD_UNIT", []string{"a.service", "b.service", "c.service"}[i%3]}, {"_UID", fmt.Sprint(i % 2)}, {"MESSAGE", fmt.Sprintf("m%d", i)}}
		if i == 4 {
			e = append(e, [2]string{"TAG", "x"}, [2]string{"TAG", "y"}) // a sender may write a field twice
		}
		entries = append(entries, e)
	}
	dir := makeJournal(t, entries, startUsec)
	groups := func() []JournalGroup {
		return []JournalGroup{
			{Matches: [][]string{{"_SYSTEMD_UNIT=a.service"}, {"_SYSTEMD_UNIT=b.service", "_UID=0"}}},
			{Matches: [][]string{{"_SYSTEMD_UNIT=b.service"}}, Start: Start{FromNanos: (startUsec + 5e6) * 1000}},
			{Matches: [][]string{{"TAG=y"}, {"_UID=0", "_UID=7", "_SYSTEMD_UNIT=c.service"}}},
		}
	}
	want := []string{"1 m0", "100 m2", "1 m3", "101 m4", "1 m6", "10 m7", "100 m8", "1 m9", "11 m10"}
	backends(t, func(t *testing.T, backend string) {
		o := JournalOptions{Path: dir, MessageOnly: true}
		s := runGroups(t, backend, o, groups())
		if got := s.wait(len(want)); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		s.stop()
		// One that begins anew reads beside those that go on after what they had.
		again := slices.Clone(s.Groups)
		again[1].Start = Start{FromNanos: (startUsec + 6e6) * 1000}
		s = runGroups(t, backend, o, again)
		if got, want := s.wait(2), []string{"10 m7", "10 m10"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		s.stop()
		// Two that stand at different entries.
		apart := slices.Clone(s.Groups)
		apart[0].Start.Position = cursorOf(t, dir, "m6")
		apart[2].Start.Position = cursorOf(t, dir, "m3")
		s = runGroups(t, backend, o, apart)
		if got, want := s.wait(4), []string{"100 m4", "100 m8", "1 m9", "1 m10"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A position may be after an entry that nobody wants any more: the last of a group
// that has gone. Then the reading goes on with what follows it, for one group and
// for several.
func TestJournalGoesOnAfterAnEntryOfOthers(t *testing.T) {
	var entries []entry
	for i := range 6 {
		entries = append(entries, entry{{"_COMM", []string{"a", "b", "gone"}[i%3]}, {"MESSAGE", fmt.Sprintf("m%d", i)}})
	}
	dir := makeJournal(t, entries, startUsec)
	gone, own := cursorOf(t, dir, "m2"), cursorOf(t, dir, "m1")
	backends(t, func(t *testing.T, backend string) {
		f := func(want []string, groups ...JournalGroup) {
			t.Helper()
			s := runGroups(t, backend, JournalOptions{Path: dir, MessageOnly: true}, groups)
			if got := s.wait(len(want)); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			s.stop()
		}
		a, b := [][]string{{"_COMM=a"}}, [][]string{{"_COMM=b"}}
		f([]string{"1 m3"}, JournalGroup{Matches: a, Start: Start{Position: gone}})
		f([]string{"1 m4"}, JournalGroup{Matches: b, Start: Start{Position: own}})
		f([]string{"1 m3", "10 m4"}, JournalGroup{Matches: a, Start: Start{Position: gone}}, JournalGroup{Matches: b, Start: Start{Position: gone}})
		f([]string{"1 m3", "10 m4"}, JournalGroup{Matches: a, Start: Start{Position: gone}}, JournalGroup{Matches: b, Start: Start{Position: own}})
	})
}

// cursorOf returns the position after the entry with a message.
func cursorOf(t *testing.T, dir, message string) pipeline.Position {
	t.Helper()
	s := runGroups(t, "journalctl", JournalOptions{Path: dir}, []JournalGroup{{Matches: [][]string{{"MESSAGE=" + message}}}})
	s.wait(1)
	s.stop()
	return s.Groups[0].Start.Position
}

// Named files are followed through rotation; rotated ones are read, or left out.
func TestJournalFilesAreFollowedThroughRotation(t *testing.T) {
	d := testenv.StartJournald(t, 200)
	send := func(message string) { // and waits until it is there: a signal may overtake it
		t.Helper()
		d.Send(message)
		waitFor(t, message, func() bool { return d.Journalctl("MESSAGE="+message) != "" })
	}
	send("before 0")
	d.Rotate()
	send("after 0")
	match := [][]string{{"SYSLOG_IDENTIFIER=sshd"}}
	all := JournalOptions{Files: []string{filepath.Join(d.Dir, "*", "system*.journal")}, Matches: match}
	s := followJournal(t, "libsystemd", all, Start{})
	s.exactlyBy([]string{"before 0", "after 0"}, func(lines []string) []string { return append(messages(lines, "before"), messages(lines, "after")...) })
	some := all
	some.NoRotated = true
	s = followJournal(t, "libsystemd", some, Start{})
	var want []string
	for i := range 3 {
		want = append(want, fmt.Sprintf("after %d", i))
		if i > 0 {
			send(want[i])
		}
		s.wait(len(want))
		d.Rotate()
	}
	d.Send("after 3")
	s.exactlyBy(append(want, "after 3"), func(lines []string) []string { return messages(lines, "") })
}

// A namespace is another journal, in a directory of its own.
func TestJournalNamespace(t *testing.T) {
	if JournalBackend() != "libsystemd" {
		t.Skip("built without cgo")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := testenv.StartJournald(t, 64)
	d.Send("in the default one")
	waitFor(t, "the entry", func() bool { return d.Journalctl("SYSLOG_IDENTIFIER=sshd") != "" })
	files := d.Files("system.journal")
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	spaced := filepath.Dir(files[0]) + ".mail"
	if err := os.Mkdir(spaced, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(spaced, "system.journal"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	read := func(o string, want int) {
		t.Helper()
		cmd := d.As(0, self, "journal-reader")
		cmd.Stdin = strings.NewReader(fmt.Sprintf(`{%s,"Groups":[{"Matches":[["SYSLOG_IDENTIFIER=sshd"]]}]}`+"\n", o))
		out, err := cmd.CombinedOutput()
		if got := strings.Count(string(out), "in the default one"); err != nil || got != want {
			t.Errorf("%s: %d entries, want %d, %v %q", o, got, want, err, out)
		}
	}
	read(`"Namespace":"mail"`, 1)
	read(`"Flags":4`, 1)
	read(`"Flags":8`, 0) // the user's own, of which there is none
	cmd := d.As(0, self, "journal-reader")
	cmd.Stdin = strings.NewReader(`{"Namespace":"none","Groups":[{}]}` + "\n")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "no file /var/log/journal/*.none/*.journal") {
		t.Errorf("a namespace that is not there: %v %s", err, out)
	}
}

// What cannot be read says why.
func TestJournalUnreadable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	dir := makeJournal(t, []entry{{{"MESSAGE", "m"}}}, startUsec)
	files, _ := filepath.Glob(filepath.Join(dir, "*.journal"))
	for _, file := range files {
		if err := os.Chmod(file, 0); err != nil {
			t.Fatal(err)
		}
	}
	f := func(o JournalOptions, uid int, want string) {
		t.Helper()
		err := asUser(t, uid, func() error { return readable(o) })
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%+v: %s, want %q", o, got, want)
		}
	}
	f(JournalOptions{Path: dir}, 0, "<nil>")
	f(JournalOptions{Path: dir}, 4321, "permission denied (add the user to the group") // not even the directory
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	f(JournalOptions{Path: dir}, 4321, "test.journal: permission denied")
	f(JournalOptions{Files: []string{"/nonexistent/*.journal"}}, 0, "no file /nonexistent/*.journal")
	f(JournalOptions{Path: t.TempDir()}, 0, "<nil>") // its first file is on its way
}

// asUser runs f with the file rights of a user.
func asUser(t *testing.T, uid int, f func() error) error {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if uid != 0 {
			if _, err := unix.SetfsuidRetUid(uid); err != nil {
				done <- err
				return
			}
		}
		done <- f()
	}()
	return <-done
}
