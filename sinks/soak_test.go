package sinks

import (
	"os"
	"slices"
	"testing"
	"time"
)

// TestFlushUnderAttack: `nft flush ruleset` every 50 ms while bans come in and
// a banned client tries without pause. The way is open for at most 100 ms after a
// flush (in a soak of ten seconds; a busy machine gets three times that in the
// short form), and at the end the kernel has every ban that was reported as enforced.
func TestFlushUnderAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("flushes for seconds")
	}
	length, patience := time.Second, 300*time.Millisecond
	if os.Getenv("F2BPIPE_SOAK") == "1" {
		length, patience = 10*time.Second, 100*time.Millisecond
	}
	k := newKernel(t, Config{})
	c := newClient(k)
	serve(t, everywhere...)
	k.guard()
	k.set("sshd", Action{Block: "reject with tcp reset"})
	k.ban("sshd", append(addresses(1000, true), "10.0.0.2")...)
	stop := c.probe("10.0.0.2", "10.0.0.1:2201")
	flushes, enforced := k.flushedWhileBanning(length)
	in, tries := stop()
	open := make([]time.Duration, len(flushes)) // from the first to the last time in after each flush
	first := make([]time.Time, len(flushes))
	for _, at := range in {
		i, _ := slices.BinarySearchFunc(flushes, at, time.Time.Compare)
		if i == 0 {
			t.Fatal("in before the first flush")
		}
		if first[i-1].IsZero() {
			first[i-1] = at
		}
		open[i-1] = at.Sub(first[i-1])
	}
	slices.Sort(open)
	longest := open[len(open)-1]
	t.Logf("%d tries during %d flushes: in %d times, after a flush for %v (median), %v at most; healed %d times",
		tries, len(flushes), len(in), open[len(open)/2], longest, k.Healed())
	if longest > patience {
		t.Errorf("the way was open for %v after a flush", longest)
	}
	c.fails("10.0.0.2", "10.0.0.1:2201")
	enforced["10.0.0.2"] = true
	missing := 0
	for began := time.Now(); ; {
		left := k.left("sshd")
		missing = 0
		for id := range enforced {
			if _, ok := left[id]; !ok {
				missing++
			}
		}
		if missing == 0 || time.Since(began) > 5*time.Second {
			break
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d bans that were reported as enforced are not there", missing, len(enforced))
	}
}

// flushedWhileBanning flushes the ruleset every 50 ms, 50 new bans after each;
// it returns when it did and what was reported as enforced.
func (k *kernel) flushedWhileBanning(length time.Duration) (flushes []time.Time, enforced map[string]bool) {
	const gap, each, before = 50 * time.Millisecond, 50, 1000
	flush, end := time.NewTicker(gap), time.After(length)
	defer flush.Stop()
	all := addresses(before+each*int(length/gap), true)
	enforced = make(map[string]bool)
	for _, id := range all[:before] {
		enforced[id] = true
	}
	attackers := all[before:]
	for {
		select {
		case <-end:
			return flushes, enforced
		case <-flush.C:
			flushes = append(flushes, time.Now())
			k.nft("flush", "ruleset")
			n := min(each, len(attackers))
			orders := k.bans("sshd", attackers[:n])
			attackers = attackers[n:]
			k.Apply(k.t.Context(), k.now, orders)
			for _, o := range orders {
				if o.Err == nil {
					enforced[o.Ban.ID.String()] = true
				}
			}
		}
	}
}
