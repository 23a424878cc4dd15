package sources

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// openAt gives every file the same start.
func openAt(s *tail, start Start) func(string, bool) (*pipeline.Input, Start, bool) {
	return func(path string, _ bool) (*pipeline.Input, Start, bool) { return s.input(path), start, true }
}

// started runs a tail of one file from a start.
func started(t *testing.T, path string, start Start) *tail {
	t.Helper()
	s := prepare(t, path)
	s.files.Open = openAt(s, start)
	s.run()
	return s
}

func TestStartTail(t *testing.T) {
	f := func(before, after string, want ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "log")
		w := newWriter(t, path)
		w.raw(before)
		s := started(t, path, Start{Tail: true})
		s.settled()
		w.raw(after)
		s.exactly(want)
	}
	f("", "new\n", "new")
	f("old\nolder\n", "new\n", "new")
	f("old\nhalf", "-whole\nnew\n", "half-whole", "new")
	f("half", "-whole\n", "half-whole")
	f(strings.Repeat("x", MaxLine+10), "rest\nnew\n", "rest", "new")
}

// settled waits until the files that are there were taken up: that is between a
// scan and the one after the next.
func (s *tail) settled() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.scans < 4 {
		s.files.Rescan()
		s.cond.Wait()
	}
}

func TestStartFromPosition(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path)
	w.burst(500)
	s := follow(t, path)
	s.wait(500)
	w.raw("half a li")
	s.stop()
	end := s.ends[path]
	w.raw("ne\n")
	w.write(10)

	first, _, _ := strings.Cut(w.lines[0]+"\n", "\r")
	sum := sha1.Sum([]byte(first))
	hash := hex.EncodeToString(sum[:])
	if word, _, _ := strings.Cut(end.Mark, " "); word != hash {
		t.Errorf("mark %q does not begin with the first line's SHA-1 %s", end.Mark, hash)
	}
	want := append([]string{"half a line"}, w.lines[500:]...)
	started(t, path, Start{Position: end}).exactly(want)
	// What fail2ban stores is enough.
	started(t, path, Start{Position: pipeline.Position{Offset: end.Offset, Mark: hash}}).exactly(want)
	// Another file: from the head.
	all := append(append(slices.Clone(w.lines[:500]), "half a line"), w.lines[500:]...)
	f := func(offset int64, mark string) {
		t.Helper()
		started(t, path, Start{Position: pipeline.Position{Offset: offset, Mark: mark}}).exactly(all)
	}
	f(end.Offset, "")
	f(end.Offset, strings.Repeat("0", 40))
	f(end.Offset, "nonsense +1:2 3:4:5:6 +::: 1:2:3")
	f(end.Offset, strings.Repeat("0", 40)+" 0:10:"+strings.Repeat("0", 16))
	f(-5, end.Mark)
	f(1<<40, end.Mark)
}

// After a restart the late writers of a file that was rotated before it are still heard.
func TestStartHearsLateWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path)
	w.write(100)
	s := follow(t, path)
	s.wait(100)
	w.shift()
	old := w.file
	w.file = nil
	w.open(0)
	w.write(50)
	s.wait(150)
	s.stop()
	late := &writer{t: t, path: path, name: "late", file: old}
	late.write(20)
	w.write(5)
	again := resumed(s, path, Start{Position: s.ends[path]})
	again.exactly(append(slices.Clone(late.lines), w.lines[150:]...))
	again.stop()
	late.write(5)
	w.write(5)
	resumed(again, path, Start{Position: again.ends[path]}).exactly(append(slices.Clone(late.lines[20:]), w.lines[155:]...))
	_ = old.Close()
}

// number is the time of a test's line: the number that it begins with.
func number(line []byte) (int64, bool) {
	word, _, _ := strings.Cut(string(line), " ")
	n, err := strconv.ParseInt(word, 10, 64)
	return n, err == nil
}

func TestSearchTime(t *testing.T) {
	build := func(lines, undated int) string {
		var b strings.Builder
		for i := range lines {
			fmt.Fprintf(&b, "%d a line of the log%s\n", i*10, strings.Repeat("x", i%90))
			for range (i % 7) * undated {
				b.WriteString("\tat some.java.method(which has no date)\n")
			}
		}
		return b.String()
	}
	for _, size := range []int{0, 1, 2, 10, 1000, 30_000} {
		for _, undated := range []int{0, 1, 3} {
			text := build(size, undated)
			calls := 0
			at := func(line []byte) (int64, bool) { calls++; return number(line) }
			f := func(from int64, want string) {
				t.Helper()
				calls = 0
				off := searchTime(strings.NewReader(text), int64(len(text)), from, at)
				got, _, _ := strings.Cut(text[off:], " ")
				if got != want {
					t.Errorf("%d lines: from %d found %q, want %q", size, from, got, want)
				}
				if calls > 4000 {
					t.Errorf("%d lines: %d lines looked at", size, calls)
				}
			}
			if size == 0 {
				f(5, "")
				continue
			}
			last := int64(size-1) * 10
			f(0, "0")
			f(-1, "0")
			f(last, strconv.FormatInt(last, 10))
			if size > 1 {
				f(last-5, strconv.FormatInt(last, 10))
				f(5, "10")
				f(last/20*10, strconv.FormatInt(last/20*10, 10))
			}
			if undated == 0 {
				f(last+1, "")
			}
		}
	}
	// Without any date nothing is left out.
	text := strings.Repeat("no date in here\n", 100_000)
	if off := searchTime(strings.NewReader(text), int64(len(text)), 7, number); off != 0 {
		t.Errorf("undated file is read from %d", off)
	}
}

func TestStartFromTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var all []string
	for i := range 20_000 {
		all = append(all, fmt.Sprintf("%d line", i))
	}
	if err := os.WriteFile(path, []byte(strings.Join(all, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	started(t, path, Start{FromNanos: 17_345, At: number}).exactly(all[17_345:])
	// A position that does not hold gives way to the time.
	start := Start{FromNanos: 19_990, At: number, Position: pipeline.Position{Offset: 10, Mark: strings.Repeat("a", 40)}}
	started(t, path, start).exactly(all[19_990:])
}

func TestMarkRoundTrip(t *testing.T) {
	m := mark{
		first:   strings.Repeat("a", 40),
		file:    fileMark{inode: 7, length: 1024, hash: "0123456789abcdef"},
		rotated: fileMark{inode: 3, length: 12, hash: "00ff"},
		older:   []fileMark{{inode: 8, offset: 99, length: 5, hash: "fedcba9876543210"}, {inode: 9, offset: 1, length: 1, hash: "x"}},
	}
	if got := parseMark(m.String()); got.String() != m.String() || len(got.older) != 2 || got.older[0] != m.older[0] || got.rotated != m.rotated {
		t.Errorf("%q became %q", m, got)
	}
}
