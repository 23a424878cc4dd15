package pipeline

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// judge is an Ignore: it ignores one ID, and answers about others after a while.
type judge struct {
	ignored ID
	pause   map[ID]time.Duration
	free    ID // is not to be banned
	asked   []string
	waiting sync.WaitGroup
}

func (j *judge) Ignores(f *Failure) bool { return f.ID == j.ignored }

func (j *judge) Judge(f *Failure, b Ban, answer func(bool)) Judgment {
	j.asked = append(j.asked, f.ID.String()+" "+string(f.Text))
	pause, later := j.pause[f.ID]
	switch {
	case later:
		j.waiting.Go(func() {
			time.Sleep(pause)
			answer(b.ID != j.free)
		})
		return JudgeLater
	case b.ID == j.free:
		return JudgeFree
	}
	return JudgeBan
}

func TestIgnore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, WallClock(), FlusherConfig{})
		ids := []ID{ParseID("192.0.2.1"), ParseID("192.0.2.2"), ParseID("192.0.2.3"), ParseID("192.0.2.4"), ParseID("192.0.2.5")}
		j := &judge{ignored: ids[0], free: ids[2], pause: map[ID]time.Duration{ids[2]: time.Second, ids[3]: 5 * time.Second}}
		b.cfg.Ignore = j
		seen := &watched{}
		b.cfg.Watch = seen
		var lines []string
		lines = append(lines, tries("192.0.2.1", 4)...) // ignored
		lines = append(lines, tries("192.0.2.4", 9)...) // waits: the one ban for 9 failures is asked about once
		lines = append(lines, tries("192.0.2.3", 3)...) // waits and is free
		lines = append(lines, tries("192.0.2.2", 3)...) // is not held up by them
		b.script("log", lines...)
		p := New(b.cfg)
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		j.waiting.Wait()
		if got, want := b.sink.log(), []string{"0s: ban 192.0.2.2", "5s: ban 192.0.2.4"}; !slices.Equal(got, want) {
			t.Errorf("sink got %q, want %q", got, want)
		}
		if len(j.asked) != 3 {
			t.Errorf("asked %q", j.asked)
		}
		if _, total := b.cfg.Window.Failing(b.jail); total != 15 {
			t.Errorf("%d failures counted", total)
		}
		if slices.ContainsFunc(seen.lines, func(l string) bool { return strings.Contains(l, "192.0.2.1") }) {
			t.Errorf("a watcher saw what is ignored: %q", seen.lines)
		}
		if p.Held() != 0 {
			t.Errorf("%d held", p.Held())
		}
	})
}

// Where the log is the clock, each ban is judged before the next line.
func TestIgnoreByLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, LogClock(), FlusherConfig{Ordered: true})
		held, free := ParseID("192.0.2.1"), ParseID("192.0.2.2")
		j := &judge{free: free, pause: map[ID]time.Duration{held: 20 * time.Second}}
		b.cfg.Ignore = j
		b.script("log", "192.0.2.1 1000", "192.0.2.1 1000", "192.0.2.1 1000", "192.0.2.2 1001", "192.0.2.2 1001", "192.0.2.2 1001", "192.0.2.3 9000")
		if err := New(b.cfg).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		j.waiting.Wait()
		// In one flush or two.
		if got := strings.ReplaceAll(strings.Join(b.sink.log(), ", "), "20s: ", ""); got != "ban 192.0.2.1, unban 192.0.2.1" {
			t.Errorf("sink got %q", b.sink.log())
		}
	})
}

// A stop does not wait longer than its time for an answer, and says what it left.
func TestStopWhileHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, WallClock(), FlusherConfig{})
		j := &judge{pause: map[ID]time.Duration{ParseID("192.0.2.1"): time.Hour, ParseID("192.0.2.2"): 2500 * time.Millisecond}}
		b.cfg.Ignore = j
		b.cfg.Stay = true
		b.script("log", append(tries("192.0.2.1", 3), tries("192.0.2.2", 3)...)...)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		err := New(b.cfg).Run(ctx)
		if err == nil || !strings.Contains(err.Error(), "1 bans not judged") || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		if got, want := b.sink.log(), []string{"2.5s: ban 192.0.2.2"}; !slices.Equal(got, want) {
			t.Errorf("sink got %q, want %q", got, want)
		}
		j.waiting.Wait()
	})
}

// Count takes what a command says of whom the rules ignore, and heeds who judges bans.
func TestCountIgnored(t *testing.T) {
	b := newBench(Policy{MaxRetry: 1, FindTime: time.Minute, BanTime: time.Hour}, WallClock(), FlusherConfig{})
	b.cfg.Ignore = &judge{ignored: ParseID("192.0.2.1"), free: ParseID("192.0.2.2")}
	p := New(b.cfg)
	f := func(id string, want bool) {
		t.Helper()
		if _, ok := p.Count(&Failure{Jail: b.jail, ID: ParseID(id), AtNanos: time.Now().UnixNano(), Count: 1}); ok != want {
			t.Errorf("%s banned: %v", id, ok)
		}
		if _, ok := b.cfg.Ledger.Lookup(b.jail, ParseID(id)); ok != want {
			t.Errorf("%s in the ledger: %v", id, ok)
		}
	}
	f("192.0.2.1", true)
	f("192.0.2.2", false)
	f("192.0.2.3", true)
}
