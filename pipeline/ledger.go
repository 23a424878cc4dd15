package pipeline

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// DefaultMaxBans is the number of bans in force that a ledger has room for
// when its configuration does not say.
const DefaultMaxBans = 1_000_000

// LedgerConfig says where a ledger's orders and events go.
type LedgerConfig struct {
	// Route returns the flushers of a jail's sinks. It is called with the ledger
	// locked: it must not block and not call the ledger. Nil: nothing is carried out.
	Route    func(*Jail) []*Flusher
	Observer Observer // nil: nobody is told
	// Wide says that a member of a network that the jail's policy bans by is
	// banned where the network is, for commands and for further failures.
	Wide    bool
	History History // nil: nobody was banned before
	MaxBans int     // 0: DefaultMaxBans
	Keep    bool    // keep events for the checkpoints of a Store
}

// Ledger is the truth about bans: who is banned, by which jail and until when.
// Everything that bans or unbans goes through it, and the sinks follow it. All
// methods are safe for concurrent use; time is always an argument.
type Ledger struct {
	cfg LedgerConfig

	mu     sync.Mutex
	bans   bans
	ends   expiry
	jails  map[*Jail]*Totals
	events []Event // since the last checkpoint

	next    atomic.Int64  // no ban ends before
	sooner  chan struct{} // has a token after next became earlier
	changed chan struct{} // has a token when there are events for a checkpoint
}

// Banned is a ban in force as the ledger knows it.
type Banned struct {
	Ban
	Enforced bool  // its sinks have it
	Err      error // why not, where a sink refused; it is tried again
	Leaks    int   // further bans decided while it was in force
}

// Totals are a jail's numbers.
type Totals struct {
	Current  int // bans in force
	Total    int // bans ever, restored ones included
	Leaks    int // bans decided while one was in force
	Leaked   int // failures of somebody whose ban was in the kernel (Leaks)
	TooLate  int // bans decided that were over already
	Full     int // bans that there was no room for
	Enforced int // of Current
	Restored int // of Total
}

// NewLedger returns an empty ledger.
func NewLedger(cfg LedgerConfig) *Ledger {
	if cfg.MaxBans <= 0 {
		cfg.MaxBans = DefaultMaxBans
	}
	if cfg.Route == nil {
		cfg.Route = func(*Jail) []*Flusher { return nil }
	}
	l := &Ledger{
		cfg:     cfg,
		bans:    newBans(),
		jails:   make(map[*Jail]*Totals),
		sooner:  make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
	}
	l.next.Store(Permanent)
	return l
}

// Add takes the bans that the window decided. It does not wait for the sinks,
// unless more orders stand before one of them than it is allowed: then Add
// blocks until they are fewer, or returns ctx's error when ctx is done first.
// The bans are taken all the same.
func (l *Ledger) Add(ctx context.Context, bans []Ban, nowNanos int64) error {
	l.enter(bans, nowNanos)
	return l.throttle(ctx, bans)
}

// enter is the half of Add that does not block.
func (l *Ledger) enter(bans []Ban, nowNanos int64) {
	if len(bans) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range bans {
		l.take(bans[i], nowNanos, true, nil)
	}
	l.settle()
}

// throttle waits until the flushers of these bans are no longer too far behind.
func (l *Ledger) throttle(ctx context.Context, bans []Ban) error {
	for i := range bans {
		if i > 0 && bans[i].Jail == bans[i-1].Jail {
			continue
		}
		l.mu.Lock()
		flushers := l.cfg.Route(bans[i].Jail)
		l.mu.Unlock()
		for _, f := range flushers {
			if err := f.throttle(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Restore takes bans of the store. It waits for nothing, and no event of it
// goes back to the store. Bans that are over are left out.
func (l *Ledger) Restore(bans []Ban, nowNanos int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range bans {
		b.Restored = true
		l.take(b, nowNanos, false, nil)
	}
	l.settle()
}

// take enters one decided ban. leaky says that somebody who is banned already
// should not have been able to cause it. w, if not nil, waits for the sinks.
// It returns whether the ban is new.
func (l *Ledger) take(b Ban, nowNanos int64, leaky bool, w *wait) bool {
	t := l.totals(b.Jail)
	if b.UntilNanos < nowNanos {
		t.TooLate++
		l.tell(Event{Kind: EventTooLate, Ban: b, AtNanos: nowNanos})
		return false
	}
	if h := l.bans.get(b.Jail, b.ID); h != nil {
		if b.UntilNanos > h.ban.UntilNanos {
			h.prolong(b)
			l.order(VerbProlong, h, w)
			l.tell(Event{Kind: EventProlong, Ban: h.ban, AtNanos: nowNanos})
		} else if w != nil && !h.enforced {
			l.order(VerbBan, h, w)
		}
		if leaky {
			h.leaks++
			t.Leaks++
			l.tell(Event{Kind: EventAlready, Ban: h.ban, Leaks: h.leaks, AtNanos: b.AtNanos})
		}
		return false
	}
	if l.bans.len() >= l.cfg.MaxBans {
		t.Full++
		l.tell(Event{Kind: EventFull, Ban: b, AtNanos: nowNanos})
		w.finish(b.ID, ErrFull)
		return false
	}
	h := &held{ban: b, totals: t}
	if l.cfg.History != nil && !b.Restored {
		l.cfg.History.Decide(&h.ban)
	}
	l.bans.set(b.Jail, b.ID, h)
	l.ends.add(h)
	t.Current++
	t.Total++
	if b.Restored {
		t.Restored++
	}
	l.tell(Event{Kind: EventBan, Ban: h.ban, AtNanos: nowNanos})
	l.order(VerbBan, h, w)
	l.enforce(h, h.waiting == 0, nowNanos)
	return true
}

// Expire ends the bans whose end is before nowNanos and returns how many those
// were. It costs one atomic load while there are none.
func (l *Ledger) Expire(nowNanos int64) int {
	if l.next.Load() >= nowNanos {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for h := l.ends.ended(nowNanos); h != nil; h = l.ends.ended(nowNanos) {
		l.free(h, nowNanos, true, nil)
		n++
	}
	l.settle()
	return n
}

// free ends a ban.
func (l *Ledger) free(h *held, nowNanos int64, expired bool, w *wait) {
	l.remove(h, w)
	if l.cfg.History != nil && !expired {
		l.cfg.History.Forget(h.ban.Jail, h.ban.ID)
	}
	l.tell(Event{Kind: EventUnban, Ban: h.ban, AtNanos: nowNanos, Expired: expired})
}

// remove takes a ban out of the ledger and its sinks.
func (l *Ledger) remove(h *held, w *wait) {
	l.bans.remove(h.ban.Jail, h.ban.ID)
	l.enforce(h, false, 0)
	h.gone = true
	l.ends.remove(h)
	h.totals.Current--
	l.order(VerbUnban, h, w)
}

// order gives an order to all sinks of the jail.
func (l *Ledger) order(v Verb, h *held, w *wait) {
	for _, f := range l.cfg.Route(h.ban.Jail) {
		if f.push(v, h, w) {
			h.waiting++
		}
	}
}

// answer is what a sink made of an order.
type answer struct {
	held  *held
	waits bool // counted in held.waiting
	err   error
}

// answered enters what a sink made of its orders.
func (l *Ledger) answered(f *Flusher, answers []answer, nowNanos int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range answers {
		h := a.held
		if a.waits {
			h.waiting--
		}
		switch {
		case a.err != nil:
			if h.err == nil { // once, not at every further try
				l.tell(Event{Kind: EventRefused, Ban: h.ban, AtNanos: nowNanos, Err: a.err})
			}
			h.err, h.refused = a.err, f
		case h.refused == f:
			h.err, h.refused = nil, nil
			if !h.gone {
				l.tell(Event{Kind: EventEnforced, Ban: h.ban, AtNanos: nowNanos})
			}
		}
		if h.waiting == 0 || h.err != nil {
			l.enforce(h, h.err == nil, nowNanos)
		}
	}
}

// enforce notes whether the sinks have a ban.
func (l *Ledger) enforce(h *held, enforced bool, nowNanos int64) {
	if h.gone || h.enforced == enforced {
		return
	}
	h.enforced, h.sinceNanos = enforced, nowNanos
	if enforced {
		h.totals.Enforced++
	} else {
		h.totals.Enforced--
	}
}

// takeEvents appends the events since the last call.
func (l *Ledger) takeEvents(dst []Event) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(dst) == 0 { // a burst's events are not copied
		l.events, dst = dst, l.events
		return dst
	}
	dst = append(dst, l.events...)
	clear(l.events)
	l.events = l.events[:0]
	return dst
}

// unsaved returns the number of events since the last checkpoint.
func (l *Ledger) unsaved() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events)
}

// tell passes an event on.
func (l *Ledger) tell(e Event) {
	if l.cfg.Observer != nil {
		l.cfg.Observer.Observe(e)
	}
	if !l.cfg.Keep || e.Ban.Restored && e.Kind == EventBan {
		return
	}
	if e.Kind == EventBan || e.Kind == EventProlong || e.Kind == EventUnban {
		l.events = append(l.events, e)
	}
}

// settle publishes what the goroutines that wait for the ledger need to know.
func (l *Ledger) settle() {
	next := l.ends.next()
	if before := l.next.Swap(next); next < before {
		signal(l.sooner)
	}
	if len(l.events) > 0 {
		signal(l.changed)
	}
}

// signal puts a token into a channel of one, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// totals returns a jail's numbers for change.
func (l *Ledger) totals(j *Jail) *Totals {
	t := l.jails[j]
	if t == nil {
		t = new(Totals)
		l.jails[j] = t
	}
	return t
}

// Totals returns a jail's numbers.
func (l *Ledger) Totals(j *Jail) Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.jails[j]; t != nil {
		return *t
	}
	return Totals{}
}

// Banned returns a jail's bans (nil: of all jails), the next to end first.
func (l *Ledger) Banned(j *Jail) []Banned {
	l.mu.Lock()
	var out []Banned
	for h := range l.bans.all() {
		if j == nil || h.ban.Jail == j {
			out = append(out, Banned{h.ban, h.enforced, h.err, h.leaks})
		}
	}
	l.mu.Unlock()
	slices.SortFunc(out, func(a, b Banned) int { return compareBans(a.Ban, b.Ban) })
	return out
}

// Lookup returns the ban of an ID in a jail.
func (l *Ledger) Lookup(j *Jail, id ID) (Banned, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.find(j, id)
	if h == nil {
		return Banned{}, false
	}
	return Banned{h.ban, h.enforced, h.err, h.leaks}, true
}
