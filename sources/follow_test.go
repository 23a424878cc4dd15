package sources

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// patience is how long a test waits for lines that must come.
const patience = 20 * time.Second

// tail is a Files under test: it keeps what was delivered.
type tail struct {
	t        testing.TB
	files    *Files
	source   pipeline.Source // in place of files
	prologue func()          // run in Run's goroutine before it
	feed     *pipeline.Feed
	cancel   context.CancelFunc
	done     chan struct{}

	mu     sync.Mutex
	cond   *sync.Cond
	log    []string
	lines  []string // in order of arrival, without '\n'
	live   []bool
	stamps []int64
	inputs map[string]*pipeline.Input
	ends   map[string]pipeline.Position
	next   map[*pipeline.Input]int64
	paused bool
	passes int // batches that may pass while paused
	scans  int // how often the patterns were asked for
}

// prepare returns a tail that is not running yet.
func prepare(t testing.TB, patterns ...string) *tail {
	s := &tail{
		t: t, feed: pipeline.NewFeed(4), done: make(chan struct{}),
		inputs: map[string]*pipeline.Input{}, ends: map[string]pipeline.Position{}, next: map[*pipeline.Input]int64{},
	}
	s.cond = sync.NewCond(&s.mu)
	s.files = &Files{
		Patterns: func() []string {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.scans++
			s.cond.Broadcast()
			return patterns
		},
		Open: func(path string, _ bool) (*pipeline.Input, Start, bool) { return s.input(path), Start{}, true },
		Log:  slog.New(slog.NewTextHandler(logWriter{s}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return s
}

type logWriter struct{ s *tail }

func (w logWriter) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.log = append(w.s.log, string(p))
	if os.Getenv("F2BPIPE_VERBOSE") != "" || !bytes.Contains(p, []byte("level=DEBUG")) && !bytes.Contains(p, []byte("level=INFO")) {
		w.s.t.Logf("%s", bytes.TrimSpace(p))
	}
	return len(p), nil
}

// logged says whether a message was logged that has the text.
func (s *tail) logged(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.log, func(line string) bool { return strings.Contains(line, text) })
}

// follow returns a running tail of the patterns.
func follow(t testing.TB, patterns ...string) *tail {
	s := prepare(t, patterns...)
	s.run()
	return s
}

func (s *tail) input(path string) *pipeline.Input {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inputs[path] == nil {
		s.inputs[path] = pipeline.NewInput(path, nil)
	}
	return s.inputs[path]
}

func (s *tail) run() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() {
		if s.prologue != nil {
			s.prologue()
		}
		source := s.source
		if source == nil {
			source = s.files
		}
		if err := source.Run(ctx, s.feed); err != nil {
			s.t.Error(err)
		}
		s.feed.Close()
	}()
	go func() {
		defer close(s.done)
		for b := range s.feed.Full() {
			s.take(b)
			s.feed.Recycle(b)
		}
	}()
	s.t.Cleanup(s.stop)
}

func (s *tail) take(b *pipeline.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.paused && s.passes == 0 {
		s.cond.Wait()
	}
	if s.paused {
		s.passes--
	}
	if s.next[b.Input] == 0 {
		s.next[b.Input] = 1
	}
	if b.First != s.next[b.Input] || b.Lines == 0 || bytes.Count(b.Data, newline) != b.Lines {
		s.t.Errorf("%s: batch begins with line %d and says %d lines; want %d and %d", b.Input.Name, b.First, b.Lines, s.next[b.Input], bytes.Count(b.Data, newline))
	}
	s.next[b.Input] += int64(b.Lines)
	for line := range bytes.Lines(b.Data) {
		s.lines = append(s.lines, string(bytes.TrimSuffix(line, newline)))
		s.live = append(s.live, b.Live)
	}
	s.stamps = append(s.stamps, b.Stamps...)
	s.ends[b.Input.Name] = b.End
	s.cond.Broadcast()
}

// stop ends the source and waits for it. It may be called twice.
func (s *tail) stop() {
	s.cancel()
	s.pause(false)
	<-s.done
}

// pass lets one batch pass while paused.
func (s *tail) pass() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passes = 1
	s.cond.Broadcast()
}

// pause holds the consumer, and so the source, or lets it go on.
func (s *tail) pause(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = on
	s.cond.Broadcast()
}

// wait blocks until n lines came in all, or patience is over.
func (s *tail) wait(n int) {
	s.t.Helper()
	timer := time.AfterFunc(patience, func() { s.mu.Lock(); defer s.mu.Unlock(); s.cond.Broadcast() })
	defer timer.Stop()
	deadline := time.Now().Add(patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.lines) < n {
		if !time.Now().Before(deadline) {
			s.t.Fatalf("%d lines came, want %d; the last %q", len(s.lines), n, s.lines[max(len(s.lines)-3, 0):])
		}
		s.cond.Wait()
	}
}

// got returns all lines so far.
func (s *tail) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// exactly waits for as many lines as are wanted and compares them, in order.
func (s *tail) exactly(want []string) {
	s.t.Helper()
	s.wait(len(want))
	s.compare(want, s.got())
}

func (s *tail) compare(want, got []string) {
	s.t.Helper()
	if slices.Equal(got, want) {
		return
	}
	seen := map[string]int{}
	for _, line := range got {
		seen[line]++
	}
	var lost, twice, strange []string
	for _, line := range want {
		switch n := seen[line]; {
		case n == 0:
			lost = append(lost, line)
		case n > 1:
			twice = append(twice, line)
		}
		delete(seen, line)
	}
	for line := range seen {
		strange = append(strange, line)
	}
	at := map[string]int{}
	for i, line := range want {
		at[line] = i
	}
	ranges := func(lines []string) (r []string) {
		for i, line := range lines {
			if i == 0 || i == len(lines)-1 || at[line] != at[lines[i-1]]+1 || at[line] != at[lines[i+1]]-1 {
				r = append(r, line[:min(len(line), 22)])
			}
		}
		return r
	}
	lost, twice = ranges(lost), ranges(twice)
	s.t.Errorf("%d lines, want %d; lost %d %.200q, twice %d %.200q, strange %d %.200q", len(got), len(want),
		len(lost), lost, len(twice), twice, len(strange), strange)
	if len(lost)+len(twice)+len(strange) == 0 {
		s.t.Errorf("only the order differs")
	}
}

// writer writes numbered lines to a file and knows what it wrote.
type writer struct {
	t     testing.TB
	path  string
	name  string
	file  *os.File
	lines []string
	n     int
}

func newWriter(t testing.TB, path string) *writer {
	w := &writer{t: t, path: path, name: filepath.Base(path)}
	w.open(0)
	t.Cleanup(func() { _ = w.file.Close() })
	return w
}

func (w *writer) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// open opens the path as loggers do, or with O_TRUNC as a shell's ">" does.
func (w *writer) open(flags int) {
	w.t.Helper()
	if w.file != nil {
		w.must(w.file.Close())
	}
	var err error
	w.file, err = os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|flags, 0o644)
	w.must(err)
}

// next returns the next line and notes that it is written.
func (w *writer) next() string {
	w.n++
	line := fmt.Sprintf("%s line %07d: Failed password for root from 192.0.2.%d", w.name, w.n, w.n%250)
	w.lines = append(w.lines, line)
	return line
}

// write writes n lines, each with its own write.
func (w *writer) write(n int) {
	w.t.Helper()
	for range n {
		w.raw(w.next() + "\n")
	}
}

// burst writes n lines with one write.
func (w *writer) burst(n int) {
	w.t.Helper()
	var b strings.Builder
	for range n {
		b.WriteString(w.next() + "\n")
	}
	w.raw(b.String())
}

func (w *writer) raw(s string) {
	w.t.Helper()
	_, err := w.file.WriteString(s)
	w.must(err)
}

// shift renames path.N to path.N+1 and path to path.1, as logrotate does.
func (w *writer) shift() {
	w.t.Helper()
	w.shiftOld()
	w.must(os.Rename(w.path, w.path+".1"))
}

// shiftOld renames path.N to path.N+1, packed ones too.
func (w *writer) shiftOld() {
	w.t.Helper()
	for n := 30; n > 0; n-- {
		for _, ext := range []string{"", ".gz"} {
			from := fmt.Sprintf("%s.%d%s", w.path, n, ext)
			if _, err := os.Stat(from); err == nil {
				w.must(os.Rename(from, fmt.Sprintf("%s.%d%s", w.path, n+1, ext)))
			}
		}
	}
}

// rotate is rename rotation with a new file.
func (w *writer) rotate() {
	w.t.Helper()
	w.shift()
	w.open(0)
}

// copytruncate copies the file beside itself and empties it.
func (w *writer) copytruncate() {
	w.t.Helper()
	content, err := os.ReadFile(w.path)
	w.must(err)
	w.shiftOld()
	w.must(os.WriteFile(w.path+".1", content, 0o644))
	w.must(os.Truncate(w.path, 0))
}
