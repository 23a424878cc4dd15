package sources

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// lateTail is a Files of one log, and the inputs that came later: what each was
// given, and how much the first had when a later one had come to its place.
type lateTail struct {
	t     *testing.T
	files *Files
	path  string

	mu     sync.Mutex
	lines  map[*pipeline.Input][]string
	joined map[*pipeline.Input]int // lines of the first input at that moment
	first  *pipeline.Input
	slow   time.Duration // a batch
}

func followLate(t *testing.T, path string, slow time.Duration) *lateTail {
	s := &lateTail{t: t, path: path, lines: map[*pipeline.Input][]string{}, joined: map[*pipeline.Input]int{},
		first: pipeline.NewInput(path, nil), slow: slow}
	s.files = &Files{
		Patterns: func() []string { return []string{path} },
		Open:     func(string, bool) (*pipeline.Input, Start, bool) { return s.first, Start{}, true },
	}
	ctx, cancel := context.WithCancel(context.Background())
	feed, done := pipeline.NewFeed(4), make(chan struct{})
	go func() {
		defer feed.Close()
		if err := s.files.Run(ctx, feed); err != nil {
			t.Error(err)
		}
	}()
	go func() {
		defer close(done)
		for b := range feed.Full() {
			if slow > 0 {
				<-time.After(slow)
			}
			s.mu.Lock()
			if b.Lines == 0 {
				s.joined[b.Input] = len(s.lines[s.first])
			}
			s.lines[b.Input] = append(s.lines[b.Input], splitLines(b.Data)...)
			s.mu.Unlock()
			feed.Recycle(b)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func (s *lateTail) count(in *pipeline.Input) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines[in])
}

// catchUp starts a later input and returns it.
func (s *lateTail) catchUp(start Start) *pipeline.Input {
	in := pipeline.NewInput(s.path, nil)
	s.files.CatchUp(s.path, in, start)
	return in
}

// wait waits until a later input has come to its place.
func (s *lateTail) wait(in *pipeline.Input) {
	s.t.Helper()
	waitFor(s.t, "the joining", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, ok := s.joined[in]
		return ok
	})
}

// exactly checks that a later input was given just what the first had been given
// before the place where it joined, but for the first skipped lines.
func (s *lateTail) exactly(in *pipeline.Input, skipped int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	want, got := slices.Clone(s.lines[s.first][skipped:s.joined[in]]), slices.Clone(s.lines[in])
	slices.Sort(want) // late writers to a rotated file may come in another order
	slices.Sort(got)
	(&tail{t: s.t}).compare(want, got)
}

func TestCatchUpJoinsAtTheVeryByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path)
	w.write(60_000) // several blocks
	s := followLate(t, path, 0)
	waitFor(t, "the first lines", func() bool { return s.count(s.first) == 60_000 })
	a := s.catchUp(Start{})
	w.raw("half a line") // which neither may count
	s.wait(a)
	s.exactly(a, 0)
	w.raw(" and its end\n")
	b := s.catchUp(Start{Tail: true})
	s.wait(b)
	if n := s.count(b); n > 1 {
		t.Errorf("from the end on, %d lines were read again", n)
	}
	c := pipeline.NewInput("nowhere", nil)
	s.files.CatchUp(filepath.Join(filepath.Dir(path), "not followed"), c, Start{})
	s.wait(c)
	if s.count(c) != 0 {
		t.Error("lines of a file that nobody follows")
	}
}

// While it catches up the log is written to, rotated, copied and emptied: each
// line is given to the later input, or to the first after the other has joined.
func TestCatchUpWhileTheLogMoves(t *testing.T) {
	seeds := 6
	switch {
	case os.Getenv("F2BPIPE_SOAK") == "1":
		seeds = 200
	case testing.Short():
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(seed), 7))
			path := filepath.Join(t.TempDir(), "log")
			w := newWriter(t, path)
			w.write(1)
			s := followLate(t, path, time.Millisecond)
			waitFor(t, "the first lines", func() bool { return s.count(s.first) == len(w.lines) })
			for range 4 {
				w.write(20_000)
				waitFor(t, "all lines", func() bool { return s.count(s.first) == len(w.lines) })
				before := s.count(s.first) - linesIn(t, path) // in files that are not looked at any more
				in := s.catchUp(Start{})
				waitFor(t, "the beginning", func() bool { return s.count(in) > 0 })
				for range rnd.IntN(8) {
					switch rnd.IntN(4) {
					case 0:
						w.rotate()
					case 1:
						w.copytruncate()
					default:
						w.burst(1 + rnd.IntN(3000))
					}
				}
				s.wait(in)
				waitFor(t, "all lines", func() bool { return s.count(s.first) == len(w.lines) })
				s.exactly(in, before)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			got, want := slices.Clone(s.lines[s.first]), slices.Clone(w.lines)
			slices.Sort(got)
			slices.Sort(want)
			(&tail{t: t}).compare(want, got)
		})
	}
}

func linesIn(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return len(splitLines(data))
}
