package sources

import (
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// torture runs a scenario with inotify and with polling.
func torture(t *testing.T, scenario func(t *testing.T, path string, follow func(patterns ...string) *tail)) {
	t.Helper()
	for name, poll := range map[string]time.Duration{"inotify": 0, "poll": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, filepath.Join(t.TempDir(), "auth.log"), func(patterns ...string) *tail {
				s := prepare(t, patterns...)
				s.files.Poll = poll
				s.run()
				return s
			})
		})
	}
}

type following = func(patterns ...string) *tail

func TestTailBurst(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		w.burst(1000)
		s := follow(path)
		s.exactly(w.lines)
		w.burst(100_000)
		s.exactly(w.lines)
		w.write(2000)
		s.exactly(w.lines)
		in := s.input(path)
		s.stop()
		if lines, bytes, lag := in.Lines.Load(), in.Bytes.Load(), in.Lag.Load(); lines != int64(len(w.lines)) || bytes != size(t, path) || lag != 0 {
			t.Errorf("counted %d lines, %d bytes, lag %d; want %d, %d, 0", lines, bytes, lag, len(w.lines), size(t, path))
		}
	})
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestTailLive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path)
	w.burst(5000)
	s := follow(t, path)
	s.wait(5000)
	// What comes before the reader has seen the end once is caught up with, too.
	for i := range 50 {
		w.write(1)
		s.wait(5001 + i)
	}
	s.stop()
	if s.live[0] || s.live[4999] || !s.live[5049] {
		t.Errorf("live: first %v, last of the old %v, new %v; want false, false, true", s.live[0], s.live[4999], s.live[5049])
	}
}

func TestTailSplitWrites(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		s := follow(path)
		for i := range 2000 {
			line := w.next() + "\n"
			cut := i % len(line)
			w.raw(line[:cut])
			if i%100 == 0 {
				s.wait(i) // so that the half line is there to be read alone
			}
			w.raw(line[cut:])
		}
		s.exactly(w.lines)
	})
}

func TestTailRename(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		w.write(1)
		s := follow(path)
		s.wait(1) // what was rotated before the first look is not ours
		for range 10 {
			w.write(1000)
			w.burst(1000)
			w.rotate()
		}
		w.write(7)
		s.exactly(w.lines)
	})
}

// Rotations while nothing is read: files that were never seen under the name.
func TestTailRenameMissed(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		w.write(10)
		s := follow(path)
		s.wait(10)
		s.pause(true)
		for range 6 {
			w.burst(20_000) // more than the feed holds
			w.rotate()
		}
		w.write(10)
		s.pause(false)
		s.exactly(w.lines)
	})
}

func TestTailLateWriters(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		s := follow(path)
		var all []string
		for round := range 3 {
			w.write(100)
			s.wait(round*300 + 100)
			w.shift()
			late := &writer{t: t, path: path, name: fmt.Sprintf("late%d", round), file: w.file}
			w.file = nil
			w.open(0)
			w.write(100)
			s.wait(round*300 + 200)
			late.write(100) // through the descriptor of the renamed file
			s.wait(round*300 + 300)
			all = append(all, late.lines...)
			late.must(late.file.Close())
		}
		all = append(all, w.lines...)
		got := s.got()
		slices.Sort(all)
		slices.Sort(got)
		s.compare(all, got)
	})
}

func TestTailCopytruncate(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		w.write(1)
		s := follow(path)
		s.wait(1)
		for range 5 {
			w.write(200)
			w.burst(200)
			w.copytruncate()
		}
		w.write(5)
		s.exactly(w.lines)
	})
}

// Copies made while nothing is read, with more in them than was read.
func TestTailCopytruncateMissed(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		w.write(10)
		s := follow(path)
		s.wait(10)
		s.pause(true)
		for range 4 {
			w.burst(20_000)
			w.copytruncate()
		}
		w.burst(30_000) // longer than what was read of the first
		s.pause(false)
		s.exactly(w.lines)
	})
}

func TestTailSameSizeRewrite(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		w.write(3)
		s := follow(path)
		for i := range 20 {
			s.wait(len(w.lines))
			if i%2 == 0 {
				w.open(os.O_TRUNC) // "> file", then a file of the same size
				w.burst(3)
			} else { // other bytes over the old ones, without an empty file in between
				w.must(w.file.Close())
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				w.must(err)
				w.file = f
				w.burst(3)
			}
		}
		s.exactly(w.lines)
	})
}

// Only what comes after the first KiB differs.
func TestTailSameSizeRewriteBehindTheHead(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		header := strings.Repeat("# the same header\n", 100)
		w := newWriter(t, path)
		w.raw(header)
		w.write(3)
		s := follow(path)
		s.wait(103)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		w.must(err)
		w.must(w.file.Close())
		w.file = f
		w.raw(header)
		w.write(3)
		s.wait(206)
		want := w.lines[3:]
		if got := s.got(); !slices.Equal(got[203:], want) {
			t.Errorf("got %q, want %q", got[203:], want)
		}
	})
}

func TestTailDeleteAndRecreate(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		s := follow(path)
		for range 5 {
			w.write(100)
			s.wait(len(w.lines)) // what is deleted before it was opened is gone
			w.must(os.Remove(path))
			w.write(3) // to the deleted file
			w.open(0)
		}
		w.write(3)
		s.exactly(w.lines)
	})
}

func TestTailBinaryAndLongLines(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		s := follow(path)
		odd := []string{"\x00\x00\xff\xfe", "", "tab\tcr\r", "\xc3\x28", strings.Repeat("\x00", 3000)}
		for _, line := range odd {
			w.raw(line + "\n")
		}
		s.exactly(odd)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		chunk := strings.Repeat("A", 1<<20)
		for range 64 {
			w.raw(chunk)
		}
		w.raw("\nshort\n")
		s.wait(len(odd) + 2)
		runtime.ReadMemStats(&after)
		got := s.got()[len(odd):]
		if len(got[0]) != MaxLine || got[1] != "short" {
			t.Errorf("lines of %d and %d bytes, want %d and 5", len(got[0]), len(got[1]), MaxLine)
		}
		if cut := s.input(path).Cut.Load(); cut != 1 {
			t.Errorf("%d lines cut, want 1", cut)
		}
	})
}

// A rotated file's last line without end is delivered when the file is closed,
// five seconds after its last write, and only then.
func TestTailNoNewlineAtTheEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path)
	s := follow(t, path)
	w.write(10)
	last := w.next()
	w.raw(last)
	s.wait(10)
	w.rotate()
	w.write(1)
	s.exactly(append(slices.Clone(w.lines[:10]), w.lines[11], last))
}

func TestTailThousandFiles(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		dir := filepath.Dir(path)
		before := runtime.NumGoroutine()
		s := follow(filepath.Join(dir, "many-*.log"))
		var writers []*writer
		var want []string
		for i := range 1000 {
			w := newWriter(t, filepath.Join(dir, fmt.Sprintf("many-%04d.log", i)))
			writers = append(writers, w)
		}
		for range 4 {
			for _, w := range writers {
				w.write(5)
				w.burst(20)
			}
		}
		for _, w := range writers {
			want = append(want, w.lines...)
		}
		s.wait(len(want))
		got := s.got()
		slices.Sort(got)
		slices.Sort(want)
		s.compare(want, got)
		if t.Name() == "TestTailThousandFiles/inotify" {
			if more := runtime.NumGoroutine() - before; more > 20 {
				t.Errorf("%d goroutines more", more)
			}
		}
	})
}

// Packed predecessors are read when a stored position points into one of them.
func TestTailCatchUpThroughPackedFiles(t *testing.T) {
	torture(t, func(t *testing.T, path string, follow following) {
		w := newWriter(t, path)
		w.burst(300)
		s := follow(path)
		s.exactly(w.lines)
		s.stop()
		end := s.ends[path]
		for i := range 4 {
			w.burst(50_000)
			w.shift()
			if i < 3 {
				pack(t, path+".1")
			}
			w.open(0)
		}
		w.burst(10)
		again := resumed(s, path, Start{Position: end})
		again.exactly(w.lines[300:])
	})
}

// resumed starts a tail like s again, from the given start.
func resumed(s *tail, path string, start Start) *tail {
	again := prepare(s.t, path)
	again.files.Poll = s.files.Poll
	again.files.Open = openAt(again, start)
	again.run()
	return again
}

func pack(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path+".gz", info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
