package pipeline

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func testJail(maxretry int, findtime time.Duration) *Jail {
	return NewJail("sshd", Policy{MaxRetry: maxretry, FindTime: findtime, BanTime: time.Hour})
}

// IDs of every kind are told apart, and so are jails.
func TestWindowKeys(t *testing.T) {
	w := NewWindow(WindowConfig{})
	a, b := testJail(9, time.Minute), testJail(9, time.Minute)
	ids := []string{"192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/64", "2001:db8::/65", "::", "0.0.0.0", "alice", "192.0.2.1 "}
	for i, id := range ids {
		for _, j := range []*Jail{a, b} {
			w.Add(&Failure{Jail: j, ID: ParseID(id), AtNanos: 1e9, Count: i + 1})
		}
	}
	for i, id := range ids[:8] {
		if n := w.Count(a, ParseID(id)); n != i+1 {
			t.Errorf("%q: %d, want %d", id, n, i+1)
		}
	}
	// The ninth was banned on the spot.
	if current, total := w.Failing(a); current != 8 || total != 9 {
		t.Errorf("failing %d, %d, want 8, 9", current, total)
	}
	w.Add(&Failure{Jail: a, ID: ParseID("::ffff:192.0.2.1"), AtNanos: 1e9, Count: 1})
	if n := w.Count(a, ParseID("192.0.2.1")); n != 2 {
		t.Errorf("a mapped address counted apart: %d", n)
	}
	w.Forget(a, ParseID("192.0.2.1"), ParseID("bob"))
	if n := w.Count(a, ParseID("192.0.2.1")); n != 0 || w.Count(b, ParseID("192.0.2.1")) != 1 {
		t.Errorf("forgotten: %d", n)
	}
	w.Forget(a)
	if current, total := w.Failing(a); current != 0 || total != 0 || w.Stats().Entries != 8 {
		t.Errorf("forgotten jail: %d, %d, %d entries", current, total, w.Stats().Entries)
	}
}

// A full shard gives up the lowest count, then the oldest, and the first-hit
// table gives it back.
func TestEviction(t *testing.T) {
	w := NewWindow(WindowConfig{Entries: 4, FirstHits: 64})
	j := testJail(9, time.Hour)
	add := func(n int, at int64, count int) {
		w.Add(&Failure{Jail: j, ID: number(n), AtNanos: at * 1e9, Count: count})
	}
	check := func(want ...int) {
		t.Helper()
		for i, want := range want {
			if got := w.Count(j, number(i)); got != want {
				t.Errorf("#%d: %d, want %d", i, got, want)
			}
		}
	}
	add(0, 100, 3)
	add(1, 102, 2)
	add(2, 101, 2)
	add(3, 103, 4)
	check(3, 2, 2, 4)
	add(4, 104, 1) // a newcomer's first failure moves nobody
	check(3, 2, 2, 4, 0)
	add(4, 105, 1) // #2 has the lowest count and failed before #1
	check(3, 2, 0, 4, 2)
	add(2, 106, 1) // comes back with the 2 that it had; #1 goes
	check(3, 0, 3, 4, 2)
	if s := w.Stats(); s.Evicted != 2 || s.LostHits != 0 || s.Entries != 4 || s.Room != 4 {
		t.Errorf("%+v", s)
	}
	w.Expire(100*1e9 + int64(time.Hour)) // #0 is over
	check(0, 0, 3, 4, 2)
	if current, _ := w.Failing(j); current != 3 {
		t.Errorf("failing %d, want 3", current)
	}
}

// What the beat has dropped makes room before anybody who counts, even where
// the sweep has not come by.
func TestEvictDropped(t *testing.T) {
	w := NewWindow(WindowConfig{Entries: 2, FirstHits: 64})
	j := testJail(9, time.Minute)
	for i, at := range []int64{100, 200} {
		w.Add(&Failure{Jail: j, ID: number(i), AtNanos: at * 1e9, Count: 5 - 4*i})
	}
	w.beat.Store(&beat{number: 1, atNanos: 161e9})
	w.Add(&Failure{Jail: j, ID: number(2), AtNanos: 201e9, Count: 2})
	if w.Count(j, number(1)) != 1 || w.Count(j, number(2)) != 2 || w.Stats().Evicted != 0 {
		t.Errorf("%d %d, %+v", w.Count(j, number(1)), w.Count(j, number(2)), w.Stats())
	}
}

// The table gives back what was put, within findtime, in whole seconds.
func TestFirstHits(t *testing.T) {
	table := firstHits{words: make([]uint64, 64)}
	const start = 1_700_000_000
	nano := func(s int64) int64 { return s * int64(time.Second) }
	take := func(h uint64, at int64, findtime time.Duration, first int64, count int) {
		t.Helper()
		f, n, ok := table.take(h, nano(start+at), findtime)
		if ok != (count > 0) || ok && (f != nano(start+first) || n != count) {
			t.Errorf("at %d: %d %d %v, want %d %d", at, f/1e9-start, n, ok, first, count)
		}
	}
	const h = 0x0123456789abcdef
	week := 7 * 24 * time.Hour
	table.put(h, nano(start)+999, 1, nano(start), time.Minute)
	take(h^1, 1, time.Minute, 0, 0)
	take(h, 60, time.Minute, 0, 1)
	take(h, 60, time.Minute, 0, 0) // taken
	table.put(h, nano(start), 100, nano(start), time.Minute)
	take(h, -5, time.Minute, 0, hitCountMax) // a line out of order
	table.put(h, nano(start), 2, nano(start), time.Minute)
	take(h, 61, time.Minute, 0, 0)
	table.put(h, nano(start), 2, nano(start), week)
	take(h, 604_800, week, 0, 2)
	// Seconds wrap after 48 days: nothing comes back young.
	for _, days := range []int64{13, 30, 48, 49, 97, 365} {
		table.put(h, nano(start), 2, nano(start), week)
		for at := int64(0); at < days; at += 5 {
			table.put(h^2, nano(start+at*86400), 1, nano(start+at*86400), week)
		}
		take(h, days*86400, week, 0, 0)
		table.put(h, nano(start), 2, nano(start), week)
		take(h, days*86400, week, 0, 0)
	}
}

// A table is full before it forgets, and then it forgets the oldest.
func TestFirstHitsForgetOldest(t *testing.T) {
	table := firstHits{words: make([]uint64, 512)}
	hash := func(n int) uint64 { return (uint64(n) + 1) * 0x9e3779b97f4a7c15 * 0x2545f4914f6cdd1d }
	const start = 1_700_000_000
	lost := 0
	for n := range 5000 {
		at := int64(start+n) * int64(time.Second)
		if table.put(hash(n), at, 1, at, time.Hour) {
			lost++
		}
	}
	found := 0
	for n := range 5000 {
		_, _, ok := table.take(hash(n), (start+5000)*int64(time.Second), 24*time.Hour)
		if ok {
			found++
		}
		if ok && n < 5000-3*512 {
			t.Errorf("%d is still there", n)
		}
		if !ok && n > 5000-256 {
			t.Errorf("%d is gone", n)
		}
	}
	if found != 512 || lost < 4000 || lost > 5000-512 {
		t.Errorf("found %d, lost %d", found, lost)
	}
}

func TestWindowAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f := func(name string, p Policy, id ID, want float64) {
		t.Helper()
		w, j := NewWindow(WindowConfig{Entries: 100}), NewJail("sshd", p)
		fail := Failure{Jail: j, ID: id, AtNanos: 1e9, Count: 1}
		add := func() {
			fail.AtNanos += 1e9
			w.Add(&fail)
		}
		for range 3 {
			add()
		}
		if n := testing.AllocsPerRun(1000, add); n != want {
			t.Errorf("%s: %v allocations a failure, want %v", name, n, want)
		}
	}
	p := Policy{MaxRetry: 1_000_000, FindTime: time.Hour}
	f("address", p, ParseID("192.0.2.1"), 0)
	f("IPv6", p, ParseID("2001:db8::1"), 0)
	f("text", p, ParseID("alice"), 0)
	p = Policy{MaxRetry: 16, FindTime: 10 * time.Second, Exact: true}
	f("exact", p, ParseID("192.0.2.1"), 0)

	// A flood of strangers costs words of the first-hit table, and no memory.
	w, j := NewWindow(WindowConfig{Entries: 100, FirstHits: 1000}), testJail(5, time.Hour)
	n := uint32(0)
	stranger := func() {
		n++
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], n)
		w.Add(&Failure{Jail: j, ID: AddrID(netip.AddrFrom4(a)), AtNanos: 1e9, Count: 1})
	}
	for range 10_000 {
		stranger()
	}
	if n := testing.AllocsPerRun(1000, stranger); n != 0 {
		t.Errorf("%v allocations a stranger", n)
	}
	if s := w.Stats(); s.Entries != s.Room {
		t.Errorf("%+v", s)
	}
}

// What a failure needs begins with a cache line.
func TestWindowLayout(t *testing.T) {
	if n := unsafe.Sizeof(shard{}); n%64 != 0 {
		t.Errorf("a shard has %d bytes", n)
	}
	if n := unsafe.Offsetof(shard{}.set) + unsafe.Offsetof(entrySet{}.blocks) + 2*unsafe.Sizeof(block{}); n > 64 {
		t.Errorf("two blocks of a shard end at %d", n)
	}
	if n := unsafe.Sizeof(entry{}); n != 64 {
		t.Errorf("an entry has %d bytes", n)
	}
}

// Failures, beats and readers from several goroutines lose nothing.
func TestWindowConcurrent(t *testing.T) {
	w, j := NewWindow(WindowConfig{Entries: 1000}), testJail(10, time.Hour)
	var wg sync.WaitGroup
	var mu sync.Mutex
	bans := 0
	for range 4 {
		wg.Go(func() {
			for n := range 5000 {
				if _, ok := w.Add(&Failure{Jail: j, ID: number(n % 100), AtNanos: int64(n) * 1e6, Count: 1}); ok {
					mu.Lock()
					bans++
					mu.Unlock()
				}
				if n%50 == 0 {
					w.expect([]Failure{{Jail: j, ID: number(n % 100)}, {Jail: j, ID: number(n % 77)}})
				}
				if n%500 == 0 {
					w.Expire(int64(n) * 1e6)
					w.Snapshot(nil)
				}
			}
		})
	}
	wg.Wait()
	if _, total := w.Failing(j); bans != 2000 || total != 20_000 {
		t.Errorf("%d bans of %d failures, want 2000 of 20000", bans, total)
	}
}

// go test -run=^$ -bench=WindowAdd ./pipeline
func BenchmarkWindowAdd(b *testing.B) {
	for _, n := range []int{1000, 150_000} {
		for _, exact := range []bool{false, true} {
			b.Run(fmt.Sprintf("addresses=%d/exact=%v", n, exact), func(b *testing.B) {
				j := NewJail("sshd", Policy{MaxRetry: 5, FindTime: 10 * time.Second, Exact: exact})
				w := NewWindow(WindowConfig{})
				b.ReportAllocs()
				f := Failure{Jail: j, Count: 1}
				i := uint32(0)
				for b.Loop() {
					i++
					f.ID = AddrID(stranger(i * 2654435761 % uint32(n)))
					f.AtNanos = int64(i) * 1e5
					w.Add(&f)
				}
			})
		}
	}
}
