package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a sink that takes as long as it is told, and notes when it got what.
type recorder struct {
	mu     sync.Mutex
	start  time.Time
	takes  time.Duration
	refuse func(*Order) error
	calls  []string // "ms: verb id, …"
	sizes  []int
	have   map[ID]int64 // what a kernel would have
	hold   chan struct{}
}

func newRecorder() *recorder { return &recorder{start: time.Now(), have: map[ID]int64{}} }

func (r *recorder) Apply(ctx context.Context, _ int64, orders []Order) {
	began := time.Since(r.start)
	if r.takes > 0 {
		select {
		case <-time.After(r.takes):
		case <-ctx.Done():
		}
	}
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var text []string
	for i := range orders {
		o := &orders[i]
		if r.refuse != nil {
			o.Err = r.refuse(o)
		}
		if ctx.Err() != nil {
			o.Err = ctx.Err()
		}
		if len(orders) <= 4 {
			text = append(text, o.Verb.String()+" "+o.Ban.ID.String())
		}
		switch {
		case o.Err != nil:
		case o.Verb == VerbUnban:
			delete(r.have, o.Ban.ID)
		default:
			r.have[o.Ban.ID] = o.Ban.UntilNanos
		}
	}
	r.sizes = append(r.sizes, len(orders))
	r.calls = append(r.calls, fmt.Sprintf("%v: %s", began, strings.Join(text, ", ")))
}

func (r *recorder) log() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// rig is a ledger with one flusher that runs, in a synctest bubble.
type rig struct {
	*Ledger
	t    *testing.T
	jail *Jail
	sink *recorder
	f    *Flusher
	end  func() (lost int)
}

func newRig(t *testing.T, cfg FlusherConfig) *rig {
	// The flusher runs when the test waits, not beside it: what stands then is known.
	procs := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(procs) })
	r := &rig{t: t, jail: NewJail("sshd", Policy{MaxRetry: 5, BanTime: time.Hour}), sink: newRecorder()}
	r.f = NewFlusher(r.sink, cfg)
	r.Ledger = NewLedger(LedgerConfig{Route: func(*Jail) []*Flusher { return []*Flusher{r.f} }})
	ctx, kill := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- r.f.run(ctx, r.Ledger, WallClock()) }()
	r.end = func() int {
		r.f.Close()
		t := time.AfterFunc(time.Second, kill)
		defer t.Stop()
		return <-done
	}
	return r
}

// ban returns n bans of an hour, numbered from first.
func (r *rig) ban(first, n int) []Ban {
	now := time.Now().UnixNano()
	bans := make([]Ban, n)
	for i := range bans {
		bans[i] = Ban{Jail: r.jail, ID: number(first + i), AtNanos: now, UntilNanos: now + int64(time.Hour)}
	}
	return bans
}

func number(n int) ID { return TextID(fmt.Sprint("#", n)) }

func (r *rig) add(bans []Ban) {
	r.t.Helper()
	if err := r.Add(r.t.Context(), bans, time.Now().UnixNano()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) calls(want ...string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.sink.log(); !slices.Equal(got, want) {
		r.t.Errorf("sink got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// The first order goes out at once, what follows gathers for 2 ms; a command
// does not wait for that.
func TestFlushAtOnceThenGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlusherConfig{})
		r.add(r.ban(1, 1))
		synctest.Wait()
		time.Sleep(time.Millisecond)
		r.add(r.ban(2, 2))
		r.calls("0s: ban #1")
		time.Sleep(time.Millisecond)
		r.calls("0s: ban #1", "2ms: ban #2, ban #3")
		time.Sleep(500 * time.Microsecond)
		now := time.Now().UnixNano()
		if n, err := r.Ban(t.Context(), r.jail, []ID{number(4)}, now, Permanent); n != 1 || err != nil {
			t.Errorf("Ban: %d, %v", n, err)
		}
		r.calls("0s: ban #1", "2ms: ban #2, ban #3", "2.5ms: ban #4")
		if lost := r.end(); lost != 0 {
			t.Errorf("lost %d", lost)
		}
	})
}

// Under load a flush has what gathered while the last one ran, at most MaxOrders.
func TestFlushBySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlusherConfig{})
		r.sink.takes = 10 * time.Millisecond
		r.add(r.ban(0, 1))
		synctest.Wait()
		r.add(r.ban(1, 10_000))
		if lost := r.end(); lost != 0 {
			t.Errorf("lost %d", lost)
		}
		if want := []int{1, 4096, 4096, 1808}; !slices.Equal(r.sink.sizes, want) {
			t.Errorf("flushes of %v, want %v", r.sink.sizes, want)
		}
		if got, want := time.Since(r.sink.start), 40*time.Millisecond; got != want {
			t.Errorf("took %v, want %v", got, want)
		}
	})
}

// What has not gone out is a set.
func TestPendingMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlusherConfig{})
		r.sink.hold = make(chan struct{})
		r.add(r.ban(0, 2)) // holds the sink busy: #0, #1
		synctest.Wait()
		now := time.Now().UnixNano()
		later := func(n int, by time.Duration) []Ban {
			b := r.ban(n, 1)
			b[0].UntilNanos += int64(by)
			return b
		}
		r.add(r.ban(2, 3))
		go r.Unban(t.Context(), r.jail, []ID{number(2)}, now) // new and gone: nothing to do
		synctest.Wait()
		r.add(later(3, time.Minute)) // still a ban, with the later end
		go r.Unban(t.Context(), r.jail, []ID{number(0), number(1)}, now)
		synctest.Wait()
		r.add(later(1, time.Minute)) // the sink has it until the old end
		close(r.sink.hold)
		time.Sleep(2 * time.Millisecond)
		r.calls("0s: ban #0, ban #1", "0s: ban #3, ban #4, unban #0, prolong #1")
		for _, b := range r.Banned(nil) {
			if !b.Enforced || r.sink.have[b.ID] != b.UntilNanos {
				t.Errorf("%v enforced %v until %d, sink has %d", b.ID, b.Enforced, b.UntilNanos, r.sink.have[b.ID])
			}
		}
		if len(r.sink.have) != 3 || r.end() != 0 {
			t.Errorf("sink has %v", r.sink.have)
		}
	})
}

// A refused order is tried again after 1, 2, 4… s, alone, until it works.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlusherConfig{})
		no := errors.New("operation not permitted")
		until := time.Now().Add(2500 * time.Millisecond)
		r.sink.refuse = func(o *Order) error {
			if o.Ban.ID == number(1) && time.Now().Before(until) {
				return no
			}
			return nil
		}
		now := time.Now().UnixNano()
		n, err := r.Ban(t.Context(), r.jail, []ID{number(0), number(1)}, now, Permanent)
		var idErr *IDError
		if n != 2 || !errors.Is(err, no) || !errors.As(err, &idErr) || idErr.ID != number(1) || err.Error() != "#1: operation not permitted" {
			t.Errorf("Ban: %d, %v", n, err)
		}
		b, _ := r.Lookup(r.jail, number(1))
		if b.Enforced || b.Err != no || r.Totals(r.jail).Enforced != 1 {
			t.Errorf("refused: %+v, totals %+v", b, r.Totals(r.jail))
		}
		if standing, refused := r.f.Pending(); standing != 0 || refused != 1 {
			t.Errorf("pending %d, %d", standing, refused)
		}
		time.Sleep(3 * time.Second)
		r.calls("0s: ban #0, ban #1", "1s: ban #1", "3s: ban #1")
		if b, _ = r.Lookup(r.jail, number(1)); !b.Enforced || b.Err != nil {
			t.Errorf("after the third try: %+v", b)
		}
		// A ban that was refused may be half there: its unban goes out.
		until = time.Now().Add(time.Hour)
		r.Unban(t.Context(), r.jail, []ID{number(1)}, now)
		r.Ban(t.Context(), r.jail, []ID{number(1)}, now, Permanent)
		r.sink.calls = nil
		until = time.Now()
		if n, err := r.Unban(t.Context(), nil, nil, now); n != 2 || err != nil {
			t.Errorf("Unban: %d, %v", n, err)
		}
		if len(r.sink.have) != 0 || len(r.sink.calls) != 1 || r.end() != 0 {
			t.Errorf("sink has %v after %v", r.sink.have, r.sink.calls)
		}
	})
}

// The stream waits while more than MaxPending orders stand.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlusherConfig{MaxOrders: 10, MaxPending: 20})
		r.sink.takes = time.Second
		r.add(r.ban(0, 1))
		synctest.Wait() // one is under way
		r.add(r.ban(1, 20))
		if d := time.Since(r.sink.start); d != 0 {
			t.Errorf("20 orders waited %v", d)
		}
		r.add(r.ban(21, 11)) // 31 stand: 10 leave at 1 s, 10 at 2 s
		if d := time.Since(r.sink.start); d != 2*time.Second {
			t.Errorf("31 orders waited %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		err := r.Add(ctx, r.ban(40, 30), time.Now().UnixNano())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Add with a full flusher: %v", err)
		}
		if n := len(r.Banned(r.jail)); n != 62 {
			t.Errorf("%d bans, want 62", n)
		}
		time.Sleep(10 * time.Second)
		r.end()
		if len(r.sink.have) != 62 {
			t.Errorf("sink has %d, want 62", len(r.sink.have))
		}
	})
}

// A sink that hangs is left at the hard stop, with the number of what it does not have.
func TestHardStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlusherConfig{})
		r.sink.hold = make(chan struct{})
		r.add(r.ban(0, 3))
		synctest.Wait()
		r.add(r.ban(3, 2))
		answer := make(chan error, 1)
		go func() {
			_, err := r.Ban(t.Context(), r.jail, []ID{number(9)}, 0, Permanent)
			answer <- err
		}()
		synctest.Wait()
		if lost := r.end(); lost != 6 {
			t.Errorf("lost %d, want 6", lost)
		}
		if d := time.Since(r.sink.start); d != time.Second {
			t.Errorf("stopped after %v", d)
		}
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("command was told %v", err)
		}
	})
}

// An ordered flusher carries out everything, in order.
func TestOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, FlusherConfig{Ordered: true})
		now := time.Now().UnixNano()
		b := r.ban(1, 1)
		r.add(b)
		r.Expire(b[0].UntilNanos + 1)
		b[0].UntilNanos += int64(2 * time.Hour)
		r.add(b)
		r.Unban(t.Context(), r.jail, []ID{number(1)}, now)
		r.calls("0s: ban #1, unban #1, ban #1, unban #1")
		r.end()
	})
}

// A background sink that hangs holds up neither commands nor the state of a ban.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail := newRecorder()
		mail.hold = make(chan struct{})
		slow := NewFlusher(mail, FlusherConfig{Background: true, MaxPending: 1})
		r := newRig(t, FlusherConfig{})
		r.cfg.Route = func(*Jail) []*Flusher { return []*Flusher{slow, r.f} }
		go slow.run(t.Context(), r.Ledger, WallClock())
		r.add(r.ban(0, 100))
		if n, err := r.Ban(t.Context(), r.jail, []ID{number(500)}, 0, Permanent); n != 1 || err != nil {
			t.Errorf("Ban: %d, %v", n, err)
		}
		if got := r.Totals(r.jail); got.Enforced != 101 || got.Current != 101 {
			t.Errorf("totals %+v", got)
		}
		if d := time.Since(r.sink.start); d != 0 {
			t.Errorf("took %v", d)
		}
		r.end()
		close(mail.hold)
		slow.Close()
	})
}

// deferrer is a sink that looks at one order at a time.
type deferrer struct {
	mu     sync.Mutex
	ran    []string
	step   chan struct{} // a token lets one order through
	begins chan struct{} // has a token when an Apply began
}

func (d *deferrer) Apply(ctx context.Context, _ int64, orders []Order) {
	signal(d.begins)
	select {
	case <-d.step:
	case <-ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ran = append(d.ran, orders[0].Verb.String()+" "+orders[0].Ban.ID.String())
	for i := range orders[1:] {
		orders[i+1].Err = ErrDeferred
	}
}

// What a sink has deferred is changed and cancelled by newer orders as if it had
// never gone out, and keeps its place.
func TestDeferredOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &deferrer{step: make(chan struct{}), begins: make(chan struct{}, 1)}
		f := NewFlusher(sink, FlusherConfig{Background: true})
		l := NewLedger(LedgerConfig{Route: func(*Jail) []*Flusher { return []*Flusher{f} }})
		j := NewJail("j", Policy{})
		ids := func(names ...string) (out []ID) {
			for _, n := range names {
				out = append(out, TextID(n))
			}
			return out
		}
		ctx := t.Context()
		if _, err := l.Ban(ctx, j, ids("a", "b", "c", "d"), 1, Permanent); err != nil {
			t.Fatal(err)
		}
		done := make(chan int, 1)
		go func() { done <- f.run(ctx, l, WallClock()) }()
		<-sink.begins // all four are with the sink
		if _, err := l.Unban(ctx, j, ids("b", "c"), 2); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Ban(ctx, j, ids("c", "e"), 3, Permanent); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			sink.step <- struct{}{}
			synctest.Wait()
		}
		f.Close()
		<-done
		if got := strings.Join(sink.ran, ", "); got != "ban a, ban d, ban c, ban e" {
			t.Errorf("ran %s", got)
		}
		if standing, refused := f.Pending(); standing != 0 || refused != 0 {
			t.Errorf("%d stand, %d refused", standing, refused)
		}
	})
}
