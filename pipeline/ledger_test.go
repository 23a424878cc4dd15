package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// diary notes events as "kind id".
type diary []string

func (d *diary) Observe(e Event) {
	name := map[EventKind]string{
		EventBan: "ban", EventProlong: "prolong", EventUnban: "unban", EventAlready: "already",
		EventTooLate: "too late", EventFull: "full", EventRefused: "refused", EventEnforced: "enforced",
	}[e.Kind]
	switch {
	case e.Expired:
		name = "expire"
	case e.Ban.Restored && e.Kind == EventBan:
		name = "restore"
	}
	*d = append(*d, name+" "+e.Ban.ID.String())
}

func (d *diary) take(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(*d, want) {
		t.Errorf("events\n  %s\nwant\n  %s", strings.Join(*d, "\n  "), strings.Join(want, "\n  "))
	}
	*d = nil
}

func TestLedgerBans(t *testing.T) {
	var d diary
	l := NewLedger(LedgerConfig{Observer: &d, Keep: true, MaxBans: 3})
	j := NewJail("sshd", Policy{})
	add := func(id string, at, until int64) {
		t.Helper()
		if err := l.Add(t.Context(), []Ban{{Jail: j, ID: ParseID(id), AtNanos: at, UntilNanos: until, Failures: 5}}, at); err != nil {
			t.Fatal(err)
		}
	}
	add("192.0.2.1", 100, 200)
	add("192.0.2.1", 150, 180) // ends sooner: a leak, and nothing else
	add("192.0.2.1", 160, 260)
	d.take(t, "ban 192.0.2.1", "already 192.0.2.1", "prolong 192.0.2.1", "already 192.0.2.1")
	if b, ok := l.Lookup(j, ParseID("192.0.2.1")); !ok || b.AtNanos != 100 || b.UntilNanos != 260 || b.Leaks != 2 || !b.Enforced {
		t.Errorf("ban %+v", b)
	}
	add("2001:db8::/64", 160, Permanent)
	add("alice", 160, 300)
	add("192.0.2.9", 160, 400)
	if err := l.Add(t.Context(), []Ban{{Jail: j, ID: ParseID("192.0.2.8"), AtNanos: 10, UntilNanos: 20}}, 160); err != nil {
		t.Fatal(err)
	}
	d.take(t, "ban 2001:db8::/64", "ban alice", "full 192.0.2.9", "too late 192.0.2.8")
	var ids []string
	for _, b := range l.Banned(j) {
		ids = append(ids, b.ID.String())
	}
	if got, want := strings.Join(ids, " "), "192.0.2.1 alice 2001:db8::/64"; got != want {
		t.Errorf("banned %s, want %s", got, want)
	}
	if n := l.Expire(260); n != 0 {
		t.Errorf("%d bans were over at their last nanosecond", n)
	}
	if n := l.Expire(301); n != 2 {
		t.Errorf("%d expired, want 2", n)
	}
	d.take(t, "expire 192.0.2.1", "expire alice")
	if got, want := l.Totals(j), (Totals{Current: 1, Total: 3, Leaks: 2, TooLate: 1, Full: 1, Enforced: 1}); got != want {
		t.Errorf("totals %+v, want %+v", got, want)
	}
	if n := len(l.takeEvents(nil)); n != 6 {
		t.Errorf("%d events for the store, want 6", n)
	}
}

func TestLedgerCommands(t *testing.T) {
	var d diary
	l := NewLedger(LedgerConfig{Observer: &d, MaxBans: 5, Keep: true})
	ssh, web := NewJail("sshd", Policy{}), NewJail("web", Policy{})
	ids := func(s ...string) (out []ID) {
		for _, s := range s {
			out = append(out, ParseID(s))
		}
		return out
	}
	f := func(what string, n, want int, err, wantErr error) {
		t.Helper()
		if n != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: %d, %v, want %d, %v", what, n, err, want, wantErr)
		}
	}
	n, err := l.Ban(t.Context(), ssh, ids("192.0.2.1", "192.0.2.2", "192.0.2.1", "198.51.100.1"), 10, 100)
	f("ban", n, 3, err, nil)
	n, err = l.Ban(t.Context(), ssh, ids("192.0.2.1"), 10, 100)
	f("ban again", n, 0, err, nil)
	n, err = l.Ban(t.Context(), ssh, ids("192.0.2.3"), 10, 9)
	f("ban into the past", n, 0, err, ErrTooLate)
	n, err = l.Ban(t.Context(), web, ids("192.0.2.1", "2001:db8::1", "2001:db8::2"), 10, Permanent)
	f("ban in a full ledger", n, 2, err, ErrFull)
	d.take(t, "ban 192.0.2.1", "ban 192.0.2.2", "ban 198.51.100.1", "ban 192.0.2.1", "ban 2001:db8::1", "full 2001:db8::2")
	n, err = l.Unban(t.Context(), ssh, ids("192.0.2.0/24", "203.0.113.1"), 20)
	f("unban a network", n, 2, err, nil)
	n, err = l.Unban(t.Context(), nil, ids("192.0.2.1"), 20)
	f("unban in all jails", n, 1, err, nil)
	n, err = l.Unban(t.Context(), nil, ids("alice"), 20)
	f("unban nobody", n, 0, err, nil)
	l.takeEvents(nil)
	if err := l.Release(t.Context(), web); err != nil || len(l.Banned(web)) != 0 || len(l.takeEvents(nil)) != 0 {
		t.Errorf("release: %v, %v left", err, l.Banned(web))
	}
	n, err = l.Unban(t.Context(), ssh, nil, 20)
	f("unban all", n, 1, err, nil)
	l.Restore([]Ban{{Jail: ssh, ID: ParseID("192.0.2.7"), UntilNanos: 50}, {Jail: ssh, ID: ParseID("192.0.2.8"), UntilNanos: 10}}, 20)
	if got := l.Banned(ssh); len(got) != 1 || !got[0].Restored || len(l.takeEvents(nil)) != 1 {
		t.Errorf("restored %+v", got)
	}
}

// The ledger against a list that is searched from end to end, over random stories.
func TestLedgerIsList(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		l, j := NewLedger(LedgerConfig{}), NewJail("sshd", Policy{})
		model := map[ID]int64{}
		for now := range int64(500) {
			id := number(r.IntN(20))
			if r.IntN(2) == 0 {
				id = AddrID(stranger(r.Uint32N(20)))
			}
			switch r.IntN(6) {
			case 0:
				if _, err := l.Unban(t.Context(), j, []ID{id}, now); err != nil {
					t.Fatal(err)
				}
				delete(model, id)
			case 1:
				want := 0
				for id, until := range model {
					if until < now {
						delete(model, id)
						want++
					}
				}
				if got := l.Expire(now); got != want {
					t.Fatalf("seed %d, %d: %d expired, want %d", seed, now, got, want)
				}
			default:
				until := now + r.Int64N(100)
				if r.IntN(20) == 0 {
					until = Permanent
				}
				l.Add(t.Context(), []Ban{{Jail: j, ID: id, AtNanos: now, UntilNanos: until}}, now)
				model[id] = max(model[id], until)
			}
			if got := l.Totals(j).Current; got != len(model) {
				t.Fatalf("seed %d, %d: %d banned, want %d", seed, now, got, len(model))
			}
		}
		last := int64(0)
		for _, b := range l.Banned(j) {
			if model[b.ID] != b.UntilNanos || b.UntilNanos < last {
				t.Fatalf("seed %d: %+v, want until %d, after %d", seed, b, model[b.ID], last)
			}
			last = b.UntilNanos
		}
	}
}

// 100,000 bans cost nothing while none of them ends.
func TestIdleLedger(t *testing.T) {
	l, j := NewLedger(LedgerConfig{}), NewJail("sshd", Policy{})
	bans := make([]Ban, 100_000)
	for i := range bans {
		bans[i] = Ban{Jail: j, ID: number(i), UntilNanos: int64(time.Hour) + int64(i)}
	}
	l.Restore(bans, 0)
	if n := testing.AllocsPerRun(100, func() { l.Expire(int64(time.Hour)) }); n != 0 {
		t.Errorf("%v allocations for an idle ledger", n)
	}
	if n := l.Expire(int64(time.Hour) + 50_000); n != 50_000 {
		t.Errorf("%d expired", n)
	}
}

// Bans that are freed before their end do not stay in the heap until then.
func TestFreedLedger(t *testing.T) {
	l, j := NewLedger(LedgerConfig{}), NewJail("sshd", Policy{})
	for range 20 {
		bans, ids := make([]Ban, 2000), make([]ID, 1900)
		for i := range bans {
			bans[i] = Ban{Jail: j, ID: number(i), UntilNanos: 1000 + int64(i)*7919%2000}
		}
		for i := range ids {
			ids[i] = bans[i].ID
		}
		l.Restore(bans, 0)
		if n, err := l.Unban(t.Context(), j, ids, 0); n != len(ids) || err != nil {
			t.Fatalf("%d freed: %v", n, err)
		}
	}
	if n := len(l.ends.heap); n > 3*minGone {
		t.Errorf("%d ends for 100 bans", n)
	}
	for _, b := range l.Banned(j) {
		if n := l.Expire(b.UntilNanos); n != 0 {
			t.Fatalf("%d bans are over at %d", n, b.UntilNanos)
		}
		if n := l.Expire(b.UntilNanos + 1); n != 1 {
			t.Fatalf("%d bans are over after %d", n, b.UntilNanos)
		}
	}
}

// go test -run=^$ -bench=Ledger ./pipeline
func BenchmarkLedger(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		bans := make([]Ban, n)
		j := NewJail("sshd", Policy{})
		for i := range bans {
			bans[i] = Ban{Jail: j, ID: AddrID(stranger(uint32(i))), UntilNanos: int64(i) * 7919 % int64(n)}
		}
		b.Run(fmt.Sprintf("bans=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l := NewLedger(LedgerConfig{})
				l.Restore(bans, 0)
				l.Expire(int64(n))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/ban")
		})
	}
}
