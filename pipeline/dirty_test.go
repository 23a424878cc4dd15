package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// Who enters the changes one after the other has what a snapshot has.
func TestWindowChanges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	w := NewWindow(WindowConfig{Entries: 2 * setSize, FirstHits: 64})
	w.Track()
	jails := []*Jail{testJail(4, time.Minute), NewJail("exact", Policy{MaxRetry: 5, FindTime: time.Minute, Exact: true})}
	stored := map[string]Count{}
	name := func(c Count) string { return c.Jail.Name + " " + c.ID.String() }
	whole := 0
	for round := range int64(400) {
		for range rnd.IntN(60) {
			id := []string{fmt.Sprint("10.0.0.", rnd.IntN(200)), fmt.Sprintf("2001:db8:%x::/48", rnd.IntN(9)), fmt.Sprint("user", rnd.IntN(9))}[min(rnd.IntN(5), 2)]
			j := jails[rnd.IntN(2)]
			w.Add(&Failure{Jail: j, ID: ParseID(id), AtNanos: (round + int64(rnd.IntN(5))) * 1e9, Count: 1})
			if rnd.IntN(50) == 0 {
				w.Forget(j, ParseID(id))
			}
		}
		if round%100 == 99 {
			w.Forget(jails[rnd.IntN(2)])
		}
		if round%5 == 0 {
			w.Expire(round * 1e9)
		}
		changes, all := w.Changes(nil, round == 200)
		if all {
			whole++
			clear(stored)
		}
		for _, c := range changes {
			if c.Failures == 0 {
				delete(stored, name(c))
			} else {
				stored[name(c)] = c
			}
		}
		want := map[string]Count{}
		for _, c := range w.Snapshot(nil) {
			want[name(c)] = c
		}
		for n, c := range stored { // the beat has dropped it, the sweep comes later
			if _, alive := want[n]; !alive && w.Count(c.Jail, c.ID) == 0 && c.LastNanos <= round*1e9-int64(time.Minute) {
				delete(stored, n)
			}
		}
		if !reflect.DeepEqual(stored, want) {
			t.Fatalf("round %d: stored\n%v\nwant\n%v", round, stored, want)
		}
	}
	if whole < 2 || whole > 300 {
		t.Errorf("%d of 400 checkpoints were whole", whole)
	}
	if left, _ := w.Changes(nil, false); len(left) != 0 {
		t.Errorf("changes without a change: %v", left)
	}
}

// elder is a History in which everybody was banned twice.
type elder struct{ forgotten []ID }

func (e *elder) Weigh(f *Failure) { f.Count = 3 }
func (e *elder) Decide(b *Ban) {
	b.UntilNanos += int64(time.Hour)
	b.Ticket = &Ticket{Count: 3}
}
func (e *elder) Forget(_ *Jail, id ID) { e.forgotten = append(e.forgotten, id) }

func TestHistory(t *testing.T) {
	e := &elder{}
	l := NewLedger(LedgerConfig{History: e, Keep: true})
	j := testJail(5, time.Minute)
	p := New(Config{Window: NewWindow(WindowConfig{}), Ledger: l, Clock: WallClock(), History: e})
	at := time.Now().UnixNano()
	f := Failure{Jail: j, ID: ParseID("192.0.2.1"), AtNanos: at, Count: 1}
	if _, banned := p.Count(&f); banned {
		t.Error("banned by one failure")
	}
	if _, banned := p.Count(&f); !banned {
		t.Error("not banned by two failures that count three each")
	}
	b, _ := l.Lookup(j, f.ID)
	if b.UntilNanos != at+int64(2*time.Hour) || b.Ticket.Count != 3 {
		t.Errorf("ban %+v", b)
	}
	restored := Ban{Jail: j, ID: ParseID("192.0.2.2"), AtNanos: at, UntilNanos: at + 100}
	l.Restore([]Ban{restored}, at)
	if b, _ := l.Lookup(j, restored.ID); b.UntilNanos != restored.UntilNanos {
		t.Errorf("restored ban %+v", b)
	}
	l.Expire(at + 101)
	if _, err := l.Unban(t.Context(), j, []ID{f.ID}, at); err != nil || !reflect.DeepEqual(e.forgotten, []ID{f.ID}) {
		t.Errorf("forgotten %v, %v", e.forgotten, err)
	}
	if events := l.takeEvents(nil); events[0].Ban.UntilNanos != b.UntilNanos {
		t.Errorf("the store gets %+v", events[0])
	}
}

// When the wall clock is set, sinks are given the remaining times anew; not
// when it merely drifts.
func TestWallClockSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(tenMinutes, WallClock(), FlusherConfig{})
		b.script("auth.log", tries("192.0.2.1", 3)...)
		b.cfg.Stay = true
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- New(b.cfg).Run(ctx) }()
		synctest.Wait()
		steps := []struct {
			set  time.Duration
			want int // orders to prolong until then
		}{{1999 * time.Millisecond, 0}, {time.Second, 1}, {-1 * time.Second, 1}, {-6 * time.Second, 2}}
		for _, step := range steps {
			b.cfg.Clock.shift.Add(int64(step.set))
			time.Sleep(6 * time.Second)
			n := 0
			for _, line := range b.sink.log() {
				if line != "0s: ban 192.0.2.1" {
					n++
				}
			}
			if n != step.want {
				t.Errorf("after %v: %v", step.set, b.sink.log())
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What it costs per failure that something is kept: lines for tickets, and which
// counters have changed. go test -bench Keeping ./pipeline/
func BenchmarkKeeping(b *testing.B) {
	line := []byte("Nov 22 12:00:00 host sshd[1234]: Failed password for invalid user admin from 203.0.113.1 port 4711 ssh2")
	fields := []Field{{"user", []byte("admin")}, {"f-rport", []byte("4711")}}
	for name, c := range map[string]struct{ lines, track bool }{"nothing": {}, "counts": {track: true}, "lines": {lines: true}, "both": {true, true}} {
		for _, spread := range []int{1000, 1_000_000} {
			b.Run(fmt.Sprintf("keep=%s/addresses=%d", name, spread), func(b *testing.B) {
				w := NewWindow(WindowConfig{})
				if c.lines {
					w.KeepMatches(DefaultMatchBytes)
				}
				if c.track {
					w.Track()
				}
				j := NewJail("sshd", Policy{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: time.Hour, MaxMatches: 5})
				f := Failure{Jail: j, Count: 1, Text: line, Fields: fields}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					f.ID, f.AtNanos = number(i%spread), int64(i)*1e6
					w.Add(&f)
					if c.track && i%20_000 == 0 {
						w.Changes(nil, false)
					}
				}
			})
		}
	}
}
