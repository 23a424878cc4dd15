package sinks

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// health is how the kernel's state stands to what is wanted.
type health struct {
	enforced bool
	reason   string // why not
	stale    bool   // the kernel may lack something that is wanted
	retryAt  time.Time
	wait     time.Duration // between tries; doubles
	healed   int64         // how often something of ours had to be put back
	recent   []time.Time   // the last times, within a minute
	hinted   time.Time     // when the log last said how to stop it
	// absent is why this kernel's nf_tables cannot be used, for good; empty: it can.
	absent string
	// unreconciled: what a process before us left has not been cleared yet.
	unreconciled bool
}

const (
	firstWait = time.Second
	lastWait  = time.Minute
)

// State says whether the kernel enforces all that was ordered and, where it
// does not, why, in words for the person who reads status.
func (n *NFTables) State() (enforced bool, reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.paused {
		return false, ErrPaused.Error()
	}
	if !n.health.enforced {
		return false, n.health.reason
	}
	for _, s := range n.jailSets() {
		if s.broken != nil {
			return false, s.broken.Error()
		}
	}
	return true, ""
}

// Healed says how often sets, chains or rules of ours had to be put back
// because somebody else had changed or removed them.
func (n *NFTables) Healed() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.health.healed
}

// damaged notes that nothing can be done at present; one line for each reason.
func (n *NFTables) damaged(err error) {
	reason := err.Error()
	if refusedRight(err) {
		reason = noRight // whatever was tried
	}
	if n.health.enforced || n.health.reason != reason {
		n.log.Error("bans are not enforced", "reason", reason)
	}
	n.health.enforced, n.health.reason, n.health.stale = false, reason, true
	n.health.wait = min(max(2*n.health.wait, firstWait), lastWait)
	n.health.retryAt = n.cfg.Now().Add(n.health.wait)
}

// absent says why this kernel's nf_tables cannot be used at all; empty: it can,
// as far as is known.
func (n *NFTables) absent() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.health.absent
}

// limits says in what bans are more, or less, than the jails ask for.
func (n *NFTables) limits() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	f, lacks := n.features, []string(nil)
	if !f.probed {
		return ""
	}
	if _, own := n.layout.(*own); own {
		if !f.timeouts {
			lacks = append(lacks, "no timeouts: bans end by the service alone")
		}
		if !f.fib {
			lacks = append(lacks, "no fib: transit is refused as well")
		}
		if !f.track {
			lacks = append(lacks, "no connection tracking: answers to our own connections are refused as well")
		}
		if !f.reject {
			lacks = append(lacks, "no reject in prerouting: bans drop")
		}
	}
	if !f.intervals {
		lacks = append(lacks, "no intervals: networks cannot be banned")
	}
	if len(lacks) == 0 {
		return ""
	}
	return "this kernel's nf_tables has " + strings.Join(lacks, "; ")
}

// wants calls f with everything that is wanted.
func (n *NFTables) wants(f func(jail string, p netip.Prefix, untilNanos int64)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.jailSets() {
		width := s.kind.width()
		for k, untilNanos := range s.ends {
			f(s.jail.name, netip.PrefixFrom(k.addr(width), int(s.bits())), untilNanos)
		}
		for _, w := range s.ranges.networks {
			f(s.jail.name, netip.PrefixFrom(w.first.addr(width), int(w.bits)), w.untilNanos)
		}
	}
}

// refusedRight says whether the right was missing.
func refusedRight(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
}

// recovered notes that the kernel has taken what was wanted.
func (n *NFTables) recovered() {
	if !n.health.enforced {
		n.log.Info("bans are enforced again")
	}
	n.health.enforced, n.health.reason = true, ""
	n.health.wait, n.health.retryAt = 0, time.Time{} // another damage is tried at once
}
