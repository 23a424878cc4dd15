package pipeline

import (
	"context"
	"testing"
	"time"
)

// accepting is a sink that carries everything out, or refuses.
type accepting struct{ err error }

func (a *accepting) Apply(_ context.Context, _ int64, orders []Order) {
	for i := range orders {
		orders[i].Err = a.err
	}
}

// TestLeaks counts failures of who is banned only once the ban has been in the
// kernel for more than a second of their time.
func TestLeaks(t *testing.T) {
	const now = int64(1_800_000_000) * int64(time.Second)
	sink := &accepting{err: context.DeadlineExceeded}
	f := NewFlusher(sink, FlusherConfig{Name: "test"})
	l := NewLedger(LedgerConfig{Wide: true, Route: func(*Jail) []*Flusher { return []*Flusher{f} }})
	j := NewJail("sshd", Policy{MaxRetry: 5, FindTime: time.Minute, BanTime: time.Hour, Prefix6: Prefix6Auto})
	h := func(id string) *held { return l.bans.get(j, ParseID(id)) }
	ban := func(id string) {
		l.enter([]Ban{{Jail: j, ID: ParseID(id), AtNanos: now, UntilNanos: now + int64(time.Hour)}}, now)
	}
	failure := func(id string, after time.Duration) []Failure {
		return []Failure{{Jail: j, ID: ParseID(id), AtNanos: now + int64(after), Count: 1}}
	}
	want := func(n int, id string, after time.Duration) {
		t.Helper()
		if got := l.Leaks(nil, failure(id, after)); len(got) != n {
			t.Errorf("%s after %v: %d leaks, want %d", id, after, len(got), n)
		}
	}
	want(0, "192.0.2.1", time.Hour)
	ban("192.0.2.1")
	want(0, "192.0.2.1", time.Minute) // not in the kernel yet
	l.answered(f, []answer{{held: h("192.0.2.1"), waits: true, err: sink.err}}, now)
	want(0, "192.0.2.1", time.Minute) // refused
	l.answered(f, []answer{{held: h("192.0.2.1")}}, now+int64(30*time.Second))
	want(0, "192.0.2.1", 31*time.Second)
	want(1, "192.0.2.1", 31*time.Second+1)
	want(1, "192.0.2.1", time.Minute)
	want(0, "192.0.2.2", time.Minute)
	ban("2001:db8::/64")
	l.answered(f, []answer{{held: h("2001:db8::/64"), waits: true}}, now)
	want(1, "2001:db8::77", time.Minute)
	want(0, "2001:db8:0:1::77", time.Minute)
	if got := l.Totals(j); got.Leaked != 3 || got.Leaks != 0 {
		t.Errorf("totals %+v", got)
	}
	if got := l.Leaks(nil, failure("192.0.2.1", time.Minute)); got[0].Count != 3 || got[0].InForce != now+int64(30*time.Second) {
		t.Errorf("%+v", got)
	}
	if raceEnabled {
		return
	}
	clean := failure("2001:db9::1", time.Minute)
	if n := testing.AllocsPerRun(100, func() { l.Leaks(nil, clean) }); n != 0 {
		t.Errorf("%v allocations a failure", n)
	}
}
