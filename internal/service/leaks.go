package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Bounds of what is kept of leaks.
const (
	maxLeaks      = 1000 // IDs
	leaksShown    = 20   // in the status
	leaksDiagnose = 3    // failures of one ID before it is asked why: one may be the end of what was under way
	maxDiagnoses  = 16   // that wait
)

// LeakStatus is somebody who fails although his ban is in the kernel.
type LeakStatus struct {
	Jail     string  `json:"jail"`
	IP       string  `json:"ip"`       // as the log has it; may be in a network that is banned
	Failures int     `json:"failures"` // since the ban is in the kernel
	Last     float64 `json:"last"`     // log time of the last one, epoch seconds
	Why      string  `json:"why"`      // the diagnosis; empty: too few failures yet
}

// leakKey names one who leaks.
type leakKey struct {
	jail *pipeline.Jail
	id   pipeline.ID
}

type leak struct {
	failures  int
	lastNanos int64
	asked     bool
	why       string
}

// leaks knows who fails although he is banned, and finds out why: fail2ban says
// "already banned" for ever and leaves it at that.
type leaks struct {
	mu    sync.Mutex
	known map[leakKey]*leak
	buf   []pipeline.Leak
	ask   chan leakKey
}

func newLeaks() *leaks {
	return &leaks{known: map[leakKey]*leak{}, ask: make(chan leakKey, maxDiagnoses)}
}

// noteLeaks looks for leaks among the failures of a batch.
func (s *Service) noteLeaks(failures []pipeline.Failure) {
	if len(failures) == 0 {
		return
	}
	if ok, _ := s.enforced(); !ok {
		return // nothing is kept out: a pause, or a kernel that refuses
	}
	l := s.leaks
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = s.ledger.Leaks(l.buf[:0], failures)
	for _, found := range l.buf {
		f := &failures[found.Failure]
		k := leakKey{f.Jail, f.ID}
		one := l.known[k]
		if one == nil {
			if len(l.known) >= maxLeaks {
				l.forgetOldest()
			}
			one = &leak{}
			l.known[k] = one
		}
		if found.Count <= max(f.Count, 1) {
			*one = leak{} // the first of another ban
		}
		one.failures += max(f.Count, 1)
		one.lastNanos = max(one.lastNanos, f.AtNanos)
		if one.failures >= leaksDiagnose && !one.asked {
			select {
			case l.ask <- k:
				one.asked = true
			default: // later
			}
		}
	}
}

func (l *leaks) forgetOldest() {
	var oldest leakKey
	at := pipeline.Permanent
	for k, one := range l.known {
		if one.lastNanos < at {
			oldest, at = k, one.lastNanos
		}
	}
	delete(l.known, oldest)
}

// diagnoseLeaks finds out why, one after the other, until ctx is done.
func (s *Service) diagnoseLeaks(ctx context.Context) {
	for {
		select {
		case k := <-s.leaks.ask:
			s.tellLeak(k)
		case <-ctx.Done():
			return
		}
	}
}

// tellLeak logs why an ID leaks and keeps it for the status.
func (s *Service) tellLeak(k leakKey) {
	j := s.jail(k.jail.Name)
	if j == nil || j.identity != k.jail {
		return
	}
	why := s.diagnose(j, k.id)
	s.leaks.mu.Lock()
	one := s.leaks.known[k]
	failures := 0
	if one != nil {
		one.why, failures = why, one.failures
	}
	s.leaks.mu.Unlock()
	if one != nil {
		s.out.Print(logtarget.Warning, loggerActions, false,
			fmt.Sprintf("%s: %d failures although the ban is in the kernel: %s", about(k.jail, "Leak of", k.id), failures, why))
	}
}

// leakStatus returns those who leaked last and are banned still, of one jail
// where it is not nil.
func (s *Service) leakStatus(of *pipeline.Jail) []LeakStatus {
	all := map[leakKey]leak{}
	s.leaks.mu.Lock()
	for k, one := range s.leaks.known {
		if of == nil || k.jail == of {
			all[k] = *one
		}
	}
	s.leaks.mu.Unlock()
	out := []LeakStatus{}
	for k, one := range all {
		if _, banned := s.ledger.Lookup(k.jail, k.id); banned {
			out = append(out, LeakStatus{Jail: k.jail.Name, IP: k.id.String(), Failures: one.failures, Last: epoch(one.lastNanos), Why: one.why})
		}
	}
	slices.SortFunc(out, func(a, b LeakStatus) int { return cmp.Or(-cmp.Compare(a.Last, b.Last), cmp.Compare(a.IP, b.IP)) })
	return out[:min(len(out), leaksShown)]
}
