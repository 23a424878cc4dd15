package pipeline

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestGather: a checkpoint comes 50 ms after the first ban, but not while a burst
// goes on, unless that takes longer than saveBurst.
func TestGather(t *testing.T) {
	f := func(name string, perTick []int, want time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			l := NewLedger(LedgerConfig{Keep: true})
			s := &saver{p: &Pipeline{cfg: Config{Ledger: l}}}
			jail := NewJail("sshd", Policy{})
			began, n := time.Now(), 0
			ban := func(count int) {
				bans := make([]Ban, count)
				for i := range bans {
					n++
					bans[i] = Ban{Jail: jail, ID: TextID(fmt.Sprint(n)), UntilNanos: Permanent}
				}
				l.enter(bans, 0)
			}
			ban(perTick[0])
			go func() {
				time.Sleep(saveBans / 2)
				for _, count := range perTick[1:] {
					time.Sleep(saveBans)
					ban(count)
				}
			}()
			if !s.gather(t.Context()) {
				t.Fatalf("%s: ended", name)
			}
			if got := time.Since(began); got != want {
				t.Errorf("%s: after %v, want %v", name, got, want)
			}
			time.Sleep(time.Minute) // the rest of the bans
		})
	}
	endless := make([]int, 100)
	for i := range endless {
		endless[i] = burst
	}
	f("one ban", []int{1}, saveBans)
	f("a few", []int{burst - 1, burst, burst}, saveBans)
	f("a burst", []int{burst, 0, 0, 0, burst}, 3*saveBans)
	f("a burst that goes on", []int{burst, lull + 1, 0, lull + 1, lull, lull, lull + 1}, 6*saveBans)
	f("a burst without an end", endless, saveBurst)
}

// TestTakeEvents: what a checkpoint has taken is taken once, in order, also
// beside events that an attempt before could not write.
func TestTakeEvents(t *testing.T) {
	l := NewLedger(LedgerConfig{Keep: true})
	jail := NewJail("sshd", Policy{})
	enter := func(ids ...string) {
		for _, id := range ids {
			l.enter([]Ban{{Jail: jail, ID: TextID(id), UntilNanos: Permanent}}, 0)
		}
	}
	enter("a", "b")
	kept := l.takeEvents(nil)
	enter("c")
	kept = l.takeEvents(kept)
	enter("d")
	got := ""
	for _, e := range append(kept, l.takeEvents(nil)...) {
		got += e.Ban.ID.String()
	}
	if got != "abcd" || l.unsaved() != 0 {
		t.Errorf("got %q, %d left", got, l.unsaved())
	}
}
