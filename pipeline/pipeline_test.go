package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script is a source that plays lines: "ID SECONDS" is a failure, "sleep
// DURATION" a pause; other lines match nothing. Each line is a batch.
type script struct {
	in    *Input
	lines []string
	err   error
	deaf  bool // does not see ctx
}

func (s *script) Run(ctx context.Context, feed *Feed) error {
	for i, line := range s.lines {
		if d, ok := strings.CutPrefix(line, "sleep "); ok {
			pause, err := time.ParseDuration(d)
			if err != nil {
				return err
			}
			done := ctx.Done()
			if s.deaf {
				done = nil
			}
			select {
			case <-time.After(pause):
			case <-done:
				return nil
			}
			continue
		}
		b, err := feed.Get(ctx)
		if err != nil {
			return err
		}
		b.Input = s.in
		b.Data = append(append(b.Data, line...), '\n')
		b.First, b.Lines, b.End = int64(i+1), 1, Position{Offset: int64(i + 1)}
		feed.Put(b)
	}
	return s.err
}

// reads is the matcher for a script's lines.
type reads struct {
	jail  *Jail
	takes time.Duration
}

func (m *reads) Match(dst []Failure, b *Batch) []Failure {
	time.Sleep(m.takes)
	for line := range bytes.Lines(b.Data) {
		text := bytes.TrimSpace(line)
		id, at, ok := strings.Cut(string(text), " ")
		s, err := strconv.ParseFloat(at, 64)
		if ok && err == nil {
			dst = append(dst, Failure{Jail: m.jail, ID: ParseID(id), AtNanos: int64(s * 1e9), Count: 1, Line: b.First, Text: text})
		}
	}
	return dst
}

// bench is a whole pipeline over scripts, in a synctest bubble.
type bench struct {
	cfg  Config
	jail *Jail
	sink *recorder
	log  bytes.Buffer
}

func newBench(p Policy, clock *Clock, fc FlusherConfig) *bench {
	b := &bench{jail: NewJail("sshd", p), sink: newRecorder()}
	f := NewFlusher(b.sink, fc)
	b.cfg = Config{
		Window:   NewWindow(WindowConfig{Entries: 100}),
		Ledger:   NewLedger(LedgerConfig{Keep: true, Route: func(*Jail) []*Flusher { return []*Flusher{f} }}),
		Clock:    clock,
		Flushers: []*Flusher{f},
		Log:      slog.New(slog.NewTextHandler(&b.log, nil)),
	}
	return b
}

func (b *bench) script(name string, lines ...string) *script {
	s := &script{in: NewInput(name, &reads{jail: b.jail}), lines: lines}
	b.cfg.Sources = append(b.cfg.Sources, Reading{Name: name, Source: s})
	return s
}

// tries returns n failures of id at the bubble's time.
func tries(id string, n int) []string {
	return slices.Repeat([]string{fmt.Sprint(id, " ", time.Now().Unix())}, n)
}

var tenMinutes = Policy{MaxRetry: 3, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute}

// watched notes what a Watcher is given.
type watched struct{ lines []string }

func (w *watched) Watch(b *Batch, failures []Failure) {
	for _, f := range failures {
		w.lines = append(w.lines, fmt.Sprintf("%s:%d %s %s", b.Input.Name, f.Line, f.ID, f.Text))
	}
}

// saves is a store that notes checkpoints, and fails for a while.
type saves struct {
	start time.Time
	fails int
	got   []string
}

func (s *saves) Save(_ context.Context, c *Checkpoint) error {
	line := fmt.Sprintf("%v: %d events", time.Since(s.start), len(c.Events))
	for _, in := range c.Inputs {
		line += fmt.Sprintf(", %s %d", in.Input.Name, in.End.Offset)
	}
	if s.fails > 0 {
		s.fails--
		s.got = append(s.got, line+", refused")
		return errors.New("disk full")
	}
	s.got = append(s.got, line)
	return nil
}

// At the end of the input everything has gone its way.
func TestRunToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, WallClock(), FlusherConfig{})
		b.script("auth.log", append(tries("192.0.2.1", 3), "nothing")...)
		w, s := &watched{}, &saves{start: time.Now()}
		b.cfg.Watch, b.cfg.Store = w, s
		if err := New(b.cfg).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.sink.log(); !slices.Equal(got, []string{"0s: ban 192.0.2.1"}) {
			t.Errorf("sink got %v", got)
		}
		if len(w.lines) != 3 || !strings.HasPrefix(w.lines[2], "auth.log:3 192.0.2.1 192.0.2.1 ") {
			t.Errorf("watched %v", w.lines)
		}
		if want := []string{"0s: 1 events, auth.log 4"}; !slices.Equal(s.got, want) {
			t.Errorf("saved %v, want %v", s.got, want)
		}
	})
}

// A service bans at once, frees when the time is over, and saves within 50 ms.
func TestService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, WallClock(), FlusherConfig{})
		lines := append([]string{"sleep 7.3s"}, tries("192.0.2.1", 3)...)
		at := time.Now().Add(7 * time.Second).Unix()
		for i := range lines[1:] {
			lines[i+1] = fmt.Sprint("192.0.2.1 ", at)
		}
		b.script("auth.log", lines...)
		s := &saves{start: time.Now(), fails: 2}
		b.cfg.Store, b.cfg.Stay = s, true
		p := New(b.cfg)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(9500 * time.Millisecond)
		if current, total := b.cfg.Window.Failing(b.jail); current != 0 || total != 3 {
			t.Errorf("failing %d, %d", current, total)
		}
		time.Sleep(11 * time.Minute)
		want := []string{"7.3s: ban 192.0.2.1", "10m7.000000001s: unban 192.0.2.1"}
		if got := b.sink.log(); !slices.Equal(got, want) {
			t.Errorf("sink got %v, want %v", got, want)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want = []string{
			"7.35s: 1 events, auth.log 4, refused", "8.35s: 1 events, auth.log 4, refused",
			"9.35s: 1 events, auth.log 4", "10m7.050000001s: 1 events",
		}
		if !slices.Equal(s.got, want) {
			t.Errorf("saved %v, want %v", s.got, want)
		}
		if got := strings.Count(b.log.String(), "store"); got != 2 {
			t.Errorf("log: %s", b.log.String())
		}
	})
}

// The window's beat is every 5 s: who last failed findtime before it is gone.
func TestServiceBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, WallClock(), FlusherConfig{})
		b.script("auth.log", tries("192.0.2.1", 2)...)
		b.cfg.Stay = true
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- New(b.cfg).Run(ctx) }()
		f := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			if got, _ := b.cfg.Window.Failing(b.jail); got != want {
				t.Errorf("failing %d, want %d", got, want)
			}
		}
		f(10*time.Minute-time.Millisecond, 1)
		f(2*time.Millisecond, 0)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Soft stop: what was read is counted and carried out. Here four batches of
// a second's matching stand.
func TestSoftStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, WallClock(), FlusherConfig{})
		s := b.script("auth.log", slices.Concat(tries("192.0.2.1", 3), tries("192.0.2.2", 3))...)
		s.in.SetMatcher(&reads{jail: b.jail, takes: time.Second})
		b.cfg.StopTimeout = 10 * time.Second
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, stop)
		if err := New(b.cfg).Run(ctx); err != nil {
			t.Error(err)
		}
		// 1 s: the first is through, so that a fifth was read.
		if d := time.Since(b.sink.start); d != 5*time.Second {
			t.Errorf("stopped after %v", d)
		}
		if got := b.sink.log(); !slices.Equal(got, []string{"3s: ban 192.0.2.1"}) || b.cfg.Window.Count(b.jail, ParseID("192.0.2.2")) != 2 {
			t.Errorf("sink got %v, counted %d", got, b.cfg.Window.Count(b.jail, ParseID("192.0.2.2")))
		}
	})
}

// Hard stop: the deadline is for everything, and what is lost is logged once.
func TestPipelineHardStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(Policy{MaxRetry: 1, FindTime: time.Minute, BanTime: -1}, WallClock(), FlusherConfig{})
		s := b.script("auth.log", tries("192.0.2.1", 9)...)
		s.in.SetMatcher(&reads{jail: b.jail, takes: 400 * time.Millisecond})
		b.sink.hold = make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, stop)
		err := New(b.cfg).Run(ctx)
		if !errors.Is(err, ErrStopTimeout) {
			t.Errorf("Run: %v", err)
		}
		// Batches at 0.4, 0.8 and 1.2 s; the first step of a fourth was not begun.
		if d := time.Since(b.sink.start); d != 1200*time.Millisecond {
			t.Errorf("stopped after %v", d)
		}
		if got := b.log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "lines=1 orders=1 unsaved=0") {
			t.Errorf("log: %s", got)
		}
	})
}

// A source that cannot be interrupted is left behind.
func TestDeafSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, WallClock(), FlusherConfig{})
		b.script("stdin", "sleep 1h").deaf = true
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, stop)
		if err := New(b.cfg).Run(ctx); err != nil {
			t.Error(err)
		}
		if d := time.Since(b.sink.start); d != time.Minute+time.Second || !strings.Contains(b.log.String(), "source did not stop") {
			t.Errorf("stopped after %v: %s", d, &b.log)
		}
		time.Sleep(time.Hour) // it ends some time
	})
}

// The first error stops the others, and is Run's.
func TestFirstError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, WallClock(), FlusherConfig{})
		gone := errors.New("read: no such device")
		b.script("a.log", slices.Concat([]string{"sleep 1s"}, tries("192.0.2.1", 3))...).err = gone
		b.script("b.log", "sleep 1h")
		err := New(b.cfg).Run(t.Context())
		if !errors.Is(err, gone) || err.Error() != "a.log: read: no such device" {
			t.Errorf("Run: %v", err)
		}
		if got := b.sink.log(); len(got) != 1 || time.Since(b.sink.start) != time.Second {
			t.Errorf("after %v: %v", time.Since(b.sink.start), got)
		}
	})
}

// Sources and sinks come and go while the pipeline runs.
func TestReloadSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, WallClock(), FlusherConfig{})
		b.cfg.Stay = true
		p := New(b.cfg)
		if err := p.StartSource(Reading{Name: "early"}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("StartSource before Run: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		src := &script{in: NewInput("new.log", &reads{jail: b.jail}), lines: append(tries("192.0.2.1", 3), "sleep 1h")}
		if err := p.StartSource(Reading{Name: "new.log", Source: src}); err != nil {
			t.Fatal(err)
		}
		if err := p.StartSource(Reading{Name: "new.log", Source: src}); err == nil {
			t.Error("a source started twice")
		}
		synctest.Wait()
		if err := p.StopSource(t.Context(), "new.log"); err != nil || len(b.sink.log()) != 1 {
			t.Errorf("StopSource: %v, sink %v", err, b.sink.log())
		}
		more := newRecorder()
		f := NewFlusher(more, FlusherConfig{})
		b.cfg.Ledger.cfg.Route = func(*Jail) []*Flusher { return []*Flusher{f} }
		if err := p.StartFlusher(f); err != nil {
			t.Fatal(err)
		}
		b.cfg.Ledger.Resend(f, VerbBan)
		if ban, ok := p.Count(&Failure{Jail: b.jail, ID: ParseID("192.0.2.2"), AtNanos: time.Now().UnixNano(), Count: 3}); !ok || ban.Failures != 3 {
			t.Errorf("Count: %+v, %v", ban, ok)
		}
		synctest.Wait()
		if len(more.have) != 2 {
			t.Errorf("the new sink has %v", more.have)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := p.StartFlusher(f); !errors.Is(err, ErrNotRunning) {
			t.Errorf("StartFlusher after Run: %v", err)
		}
	})
}

// With the log as clock a ban ends between two lines, and every decision is printed.
func TestLogClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(lines []string, want ...string) {
			t.Helper()
			b := newBench(Policy{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: time.Minute}, LogClock(), FlusherConfig{Ordered: true})
			b.script("old.log", lines...)
			var d diary
			b.cfg.Ledger.cfg.Observer = &d
			if err := New(b.cfg).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.take(t, want...)
			if got := len(strings.Split(strings.Join(b.sink.log(), ", "), ", ")); got != len(want) && len(want) > 0 {
				t.Errorf("sink got %v", b.sink.log())
			}
		}
		at := func(id string, n int, s float64) []string { return slices.Repeat([]string{fmt.Sprint(id, " ", s)}, n) }
		f(slices.Concat(at("192.0.2.1", 5, 1000), at("192.0.2.2", 1, 1060)), "ban 192.0.2.1")
		f(slices.Concat(at("192.0.2.1", 5, 1000), at("192.0.2.2", 1, 1060.5), at("192.0.2.1", 5, 1061)),
			"ban 192.0.2.1", "expire 192.0.2.1", "ban 192.0.2.1")
		// No beat strikes: the rate alone decides, however long the pause.
		f(slices.Concat(at("192.0.2.1", 4, 1000), at("192.0.2.1", 1, 1601)), "ban 192.0.2.1")
		f(slices.Concat(at("192.0.2.1", 4, 1000), at("192.0.2.1", 1, 1680)), "ban 192.0.2.1")
		f(slices.Concat(at("192.0.2.1", 4, 1000), at("192.0.2.1", 1, 1700)))
	})
}
