package pipeline

import (
	"context"
	"sync"
)

// Ignore says whom a jail never counts. It is asked from every source's
// goroutine at once, and never blocks.
type Ignore interface {
	// Ignores says whether the jail never counts the failure's ID. It is asked
	// for each failure before anything else sees it; f is valid until it returns.
	Ignores(f *Failure) bool
	// Judge is asked about each ban that a failure caused, before the ledger has
	// it. After JudgeLater it calls answer once, from a goroutine of its own,
	// which may be before Judge has returned. f is valid until Judge returns.
	Judge(f *Failure, b Ban, answer func(ban bool)) Judgment
}

// Judgment is what becomes of a ban.
type Judgment uint8

// The judgments.
const (
	JudgeBan   Judgment = iota // it is to be
	JudgeFree                  // it is not to be
	JudgeLater                 // the answer comes later
)

// MaxHeld is the number of bans that wait for an answer of Ignore at most.
// Those that there is no room for do not wait.
const MaxHeld = 100_000

// holder has the bans that wait for an answer: one for each jail and ID,
// whatever that ID does meanwhile.
type holder struct {
	mu    sync.Mutex
	bans  map[banKey]*Ban
	empty chan struct{} // has a token after the last one has left
}

// unignored returns the failures that count, in the memory of all.
func (p *Pipeline) unignored(all []Failure) []Failure {
	if p.cfg.Ignore == nil {
		return all
	}
	n := 0
	for i := range all {
		if p.cfg.Ignore.Ignores(&all[i]) {
			continue
		}
		if n != i {
			all[n] = all[i]
		}
		n++
	}
	clear(all[n:]) // they point into the batch
	return all[:n]
}

// add counts a failure and says whether it caused a ban, which is b then, that the
// ledger is to have now. A ban that waits is entered when its answer has come.
func (p *Pipeline) add(f *Failure, b *Ban) (banned bool) {
	if !p.count(f, b) {
		return false
	}
	if p.cfg.Ignore == nil {
		return true
	}
	k := banKey{b.Jail, b.ID}
	if !p.held.hold(k, *b) {
		return !p.held.prolong(k, *b)
	}
	judgment := p.cfg.Ignore.Judge(f, *b, func(ban bool) { p.answer(k, ban) })
	if judgment != JudgeLater {
		p.held.free(k)
	}
	return judgment == JudgeBan
}

// count counts a failure for as much as its ID's history makes of it. It sets b
// where that is a ban.
func (p *Pipeline) count(f *Failure, b *Ban) (banned bool) {
	if p.cfg.History != nil {
		p.cfg.History.Weigh(f)
	}
	return p.decide(f, b)
}

// answer enters a ban that waited, or drops it.
func (p *Pipeline) answer(k banKey, ban bool) {
	// The ban stays among those that wait until the ledger has it, so that the
	// stop does not miss it.
	p.step.RLock()
	if b, ok := p.held.get(k); ok && ban {
		p.enter([]Ban{b})
	}
	p.step.RUnlock()
	p.held.free(k)
}

// Held returns the number of bans that wait for an answer of Ignore.
func (p *Pipeline) Held() int {
	p.held.mu.Lock()
	defer p.held.mu.Unlock()
	return len(p.held.bans)
}

// waitHeld returns when no ban waits any more, or ctx is done.
func (p *Pipeline) waitHeld(ctx context.Context) {
	for p.Held() > 0 {
		select {
		case <-p.held.empty:
		case <-ctx.Done():
			return
		}
	}
}

// hold makes a ban wait. It returns false if one of the same key waits, or there is no room.
func (h *holder) hold(k banKey, b Ban) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bans[k] != nil || len(h.bans) >= MaxHeld {
		return false
	}
	h.bans[k] = &b
	return true
}

// prolong lets a ban that waits end as late as b. It returns false if none waits.
func (h *holder) prolong(k banKey, b Ban) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.bans[k]
	if old != nil && b.UntilNanos > old.UntilNanos {
		*old = b
	}
	return old != nil
}

func (h *holder) get(k banKey) (Ban, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.bans[k]; b != nil {
		return *b, true
	}
	return Ban{}, false
}

// free ends the waiting of a ban.
func (h *holder) free(k banKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.bans, k)
	if len(h.bans) == 0 {
		signal(h.empty)
	}
}
