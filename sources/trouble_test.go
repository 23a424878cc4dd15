package sources

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// More events than the kernel keeps: nothing is lost with them.
func TestTailQueueOverflow(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skip(err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || limit > 100_000 {
		t.Skipf("the kernel keeps %d events", limit)
	}
	dir := t.TempDir()
	a, b := newWriter(t, filepath.Join(dir, "a.log")), newWriter(t, filepath.Join(dir, "b.log"))
	a.write(1)
	b.write(1)
	s := follow(t, filepath.Join(dir, "*.log"))
	s.wait(2)
	s.pause(true)
	a.burst(40_000) // more than the feed holds: the source waits
	for range limit {
		a.write(1) // the same event twice in a row would be one
		b.write(1)
	}
	late := newWriter(t, filepath.Join(dir, "c.log")) // its event is dropped
	late.write(10)
	s.pause(false)
	want := slices.Concat(a.lines, b.lines, late.lines)
	s.wait(len(want))
	got := s.got()
	slices.Sort(want)
	slices.Sort(got)
	s.compare(want, got)
	if !s.logged("inotify queue overflow") {
		t.Error("the queue did not overflow: the test shows nothing")
	}
}

// A file that may not be read is logged once and read when it may be; one that is
// open is read on whatever becomes of its mode.
func TestTailPermissionLostAndRegained(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make files that others may not read")
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x.log")
	w := newWriter(t, path)
	w.write(10)
	s := prepare(t, path)
	s.prologue = func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
		}
	}
	s.run()
	s.wait(10)
	w.must(os.Chmod(path, 0o600))
	w.write(10)
	s.wait(20)

	w.shift()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	w.must(err)
	w.must(w.file.Close())
	w.file = f
	w.write(10)
	waitFor(t, "the refusal", func() bool { return s.logged("permission denied") })
	if why := s.files.Problem(path); !strings.Contains(why, "permission denied") {
		t.Errorf("the problem is %q", why)
	}
	w.write(10)
	w.must(os.Chmod(path, 0o644))
	s.exactly(w.lines)
	if why := s.files.Problem(path); why != "" || !s.logged("file can be read again") {
		t.Errorf("that it can be read again was not logged, or not noted: %q", why)
	}
	refused := 0
	for _, line := range s.log {
		if strings.Contains(line, "file cannot be read") {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("the refusal was logged %d times", refused)
	}
}

// What cannot be followed does not stop what can.
func TestTailOddFiles(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(t, filepath.Join(dir, "good.log"))
	w.must(os.Mkdir(filepath.Join(dir, "dir.log"), 0o755))
	w.must(unix.Mkfifo(filepath.Join(dir, "fifo.log"), 0o600))
	w.must(os.Symlink("nowhere", filepath.Join(dir, "dangling.log")))
	w.must(os.Symlink("loop.log", filepath.Join(dir, "loop.log")))
	s := follow(t, filepath.Join(dir, "*.log"), "/dev/null", filepath.Join(dir, "[a"), "")
	w.write(100)
	s.exactly(w.lines)
	if !s.logged("not a regular file") {
		t.Error("the directory and the pipe were not logged")
	}
	// The dangling symlink is a file when its target is there.
	target := newWriter(t, filepath.Join(dir, "nowhere"))
	target.write(5)
	s.exactly(slices.Concat(w.lines, target.lines))
}

// A file is let go when no pattern has it any more, and taken up again.
func TestTailPatternsChange(t *testing.T) {
	dir := t.TempDir()
	a, b := newWriter(t, filepath.Join(dir, "a.log")), newWriter(t, filepath.Join(dir, "b.log"))
	s := prepare(t)
	patterns := []string{a.path}
	s.files.Patterns = func() []string {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.scans++
		s.cond.Broadcast()
		return patterns
	}
	s.run()
	a.write(10)
	b.write(10)
	s.exactly(a.lines)
	s.mu.Lock()
	patterns = []string{b.path}
	s.scans = 0
	s.mu.Unlock()
	s.settled()
	a.write(10) // nobody's
	b.write(10)
	s.exactly(slices.Concat(a.lines[:10], b.lines))
}

func TestGlob(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.log", "b.log", "ab.log", "!.log", "^.log", `x\y.log`, "].log", ".hidden.log", "[z].log", "a.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(pattern string, want ...string) {
		t.Helper()
		var got []string
		for _, name := range visible(filepath.Join(dir, pattern)) {
			got = append(got, filepath.Base(name))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s matched %q, want %q", pattern, got, want)
		}
	}
	f("[ab].log", "a.log", "b.log")
	f("[!ab].log", "!.log", "^.log", "].log")
	f("[a!].log", "!.log", "a.log")
	f("[^].log", "^.log")
	f("[]].log", "].log")
	f("[!]].log", "!.log", "^.log", "a.log", "b.log")
	f("[a-b]*.log", "a.log", "b.log", "ab.log")
	f(`x\y.log`, `x\y.log`)
	f(`x*.log`, `x\y.log`)
	f("[[]z].log", "[z].log")
	f("[z", []string(nil)...)
	f("*hidden.log", []string(nil)...)
	f(".h*.log", ".hidden.log")
	f("?.txt", "a.txt")
}

func TestRotationNames(t *testing.T) {
	f := func(base, name string, want bool) {
		t.Helper()
		if _, got := rotation(base, name); got != want {
			t.Errorf("%s of %s: %v, want %v", name, base, got, want)
		}
	}
	for _, name := range []string{"mail.log.1", "mail.log.12", "mail.log.2.gz", "mail.log.3.bz2", "mail.log-20261122", "mail.log-20261122.gz",
		"mail.log-2026-11-22T10:00:00", "mail.log.old", "mail.log.0", "mail-20261122.log", "mail-20261122.log.gz", "mail.1.log", "mail.log_1"} {
		f("mail.log", name, true)
	}
	for _, name := range []string{"mail.log", "mail.log.gz", "mail.log.err", "mail.log.", "mail.log.1.bak", "mail.logs.1", "mail.err.1", "mail.log1",
		"mail.log.-", "mail-relay.log", "xmail.log.1", "mail.log.1.xz"} {
		f("mail.log", name, false)
	}
	f("messages", "messages-20261122", true)
	f("messages", "messages.1", true)
	f("messages", "messages2", false)
}

func TestByAge(t *testing.T) {
	f := func(want ...string) {
		t.Helper()
		var all []sibling
		for i, name := range want {
			number, ok := rotation("log", unpackedName(name))
			if !ok {
				t.Fatal(name)
			}
			all = append(all, sibling{path: name, number: number, mtime: int64(i)})
		}
		for i := range all { // the order that they are found in says nothing
			got := slices.Concat(all[i:], all[:i])
			slices.SortStableFunc(got, byAge)
			var names []string
			for _, s := range got {
				names = append(names, s.path)
			}
			if !slices.Equal(names, want) {
				t.Errorf("got %v, want %v", names, want)
			}
		}
	}
	f("log.10.gz", "log.9.gz", "log.2.gz", "log.1")
	f("log-20251231", "log-20260101.gz", "log-20261122")
	f("log.old", "log.1")
	f("log-20260101", "log.1")
}
