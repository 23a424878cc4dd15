package pipeline

import "time"

// LeakAfter is how long a ban must have been in the kernel before a failure of
// the same ID is a leak: what was under way has come to its end by then.
const LeakAfter = time.Second

// Leak is a failure of an ID whose ban is in force.
type Leak struct {
	Ban     Ban
	Failure int   // index of the failure among those that were asked about
	Count   int   // leaks of this ban, from 1
	InForce int64 // since when the sinks have it, nanoseconds
}

// Leaks appends those of the failures that should not have come about: a sink
// has had the ban of their ID, or of its network, for more than LeakAfter by
// their own time. It notes them in the ledger and allocates nothing where there
// are none.
func (l *Ledger) Leaks(dst []Leak, failures []Failure) []Leak {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bans.len() == 0 {
		return dst
	}
	for i := range failures {
		f := &failures[i]
		h := l.bans.get(f.Jail, f.ID)
		if h == nil && l.cfg.Wide {
			var buf [2]ID
			for _, net := range wider(buf[:0], f.Jail.Policy(), f.ID) {
				if h = l.bans.get(f.Jail, net); h != nil {
					break
				}
			}
		}
		if h == nil || !h.enforced || f.AtNanos <= h.sinceNanos+int64(LeakAfter) {
			continue
		}
		n := max(f.Count, 1)
		h.leaked += n
		l.totals(f.Jail).Leaked += n
		dst = append(dst, Leak{Ban: h.ban, Failure: i, Count: h.leaked, InForce: h.sinceNanos})
	}
	return dst
}
