package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// ErrFull is the error of a ban that the ledger has no room for.
var ErrFull = errors.New("too many bans in force")

// ErrTooLate is the error of a ban whose end has passed.
var ErrTooLate = errors.New("the ban's end has passed")

// IDError is why an order for one ID was not carried out.
type IDError struct {
	ID  ID
	Err error
}

// Error names the ID and the reason.
func (e *IDError) Error() string { return fmt.Sprintf("%s: %v", e.ID, e.Err) }

// Unwrap returns the reason.
func (e *IDError) Unwrap() error { return e.Err }

// Ban bans IDs by command until untilNanos (or Permanent) and returns when the
// jail's sinks have them. A ban in force is prolonged if the new end is later.
// The bans begin a nanosecond after each other, so that lists show them in the
// order in which they were asked for.
// changed is the number that were not banned before: the ledger has taken
// them even where a sink refuses, and keeps trying. err joins an *IDError for
// each ID that is not enforced, or is ctx's error if ctx was done first.
func (l *Ledger) Ban(ctx context.Context, j *Jail, ids []ID, nowNanos, untilNanos int64) (changed int, err error) {
	bans := make([]Ban, len(ids))
	for i, id := range ids {
		bans[i] = Ban{Jail: j, ID: id, AtNanos: nowNanos + int64(i), UntilNanos: untilNanos}
	}
	return l.Take(ctx, bans, nowNanos)
}

// Take is Ban for bans that were decided elsewhere, of any jails: together they
// cost the sinks as much as one.
func (l *Ledger) Take(ctx context.Context, bans []Ban, nowNanos int64) (changed int, err error) {
	w := newWait()
	l.mu.Lock()
	for i := range bans {
		b := &bans[i]
		if b.UntilNanos < nowNanos {
			w.finish(b.ID, ErrTooLate)
			continue
		}
		if l.take(*b, nowNanos, false, w) {
			changed++
		}
	}
	l.settle()
	l.mu.Unlock()
	return changed, w.wait(ctx)
}

// Unban frees IDs and returns when the sinks have done it: of one jail, or of
// all where j is nil; all that the jail has banned where ids is nil. A network
// that is not banned itself frees the bans inside it, as in fail2ban. changed
// is the number of bans that ended; err is as for Ban. Who is not banned is no error.
func (l *Ledger) Unban(ctx context.Context, j *Jail, ids []ID, nowNanos int64) (changed int, err error) {
	w := newWait()
	l.mu.Lock()
	l.each(j, ids, func(h *held) {
		l.free(h, nowNanos, false, w)
		changed++
	})
	l.settle()
	l.mu.Unlock()
	return changed, w.wait(ctx)
}

// Release takes all bans of a jail out of the ledger and the sinks, and
// returns when that is done. To the store they are still in force, so that
// they can be restored: for a jail that is stopped or that a reload took away.
func (l *Ledger) Release(ctx context.Context, j *Jail) error {
	w := newWait()
	l.mu.Lock()
	l.each(j, nil, func(h *held) { l.remove(h, w) })
	delete(l.jails, j)
	l.settle()
	l.mu.Unlock()
	return w.wait(ctx)
}

// Resend orders all bans of the flusher's jails once more: VerbBan for a sink
// that is new or has lost what it had, VerbProlong for one whose remaining
// times are wrong because the wall clock was set. It waits for nothing.
func (l *Ledger) Resend(f *Flusher, v Verb) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for h := range l.bans.all() {
		for _, g := range l.cfg.Route(h.ban.Jail) {
			if g == f && f.push(v, h, nil) {
				h.waiting++
			}
		}
	}
}

// each calls do, which ends them, for the bans that a command names.
func (l *Ledger) each(j *Jail, ids []ID, do func(*held)) {
	if ids != nil && j != nil {
		for _, id := range ids {
			found := false
			for range 3 { // who is banned by himself may be banned with his networks too
				h := l.find(j, id)
				if h == nil {
					break
				}
				do(h)
				found = true
			}
			if p, ok := id.Prefix(); !found && ok && !p.IsSingleIP() {
				l.inside(j, id, do)
			}
		}
		return
	}
	if ids == nil {
		for h := range l.bans.all() {
			if j == nil || h.ban.Jail == j {
				do(h)
			}
		}
		return
	}
	for jail := range l.jails {
		l.each(jail, ids, do)
	}
}

// inside calls do for the jail's bans inside a network.
func (l *Ledger) inside(j *Jail, network ID, do func(*held)) {
	for h := range l.bans.all() {
		p, ok := h.ban.ID.Prefix()
		if ok && h.ban.Jail == j && network.prefix.Bits() <= p.Bits() && network.prefix.Contains(p.Addr()) {
			do(h)
		}
	}
}

// compareBans orders by end, then by jail and ID, so that lists are the same each time.
func compareBans(a, b Ban) int {
	if c := cmp.Compare(a.UntilNanos, b.UntilNanos); c != 0 {
		return c
	}
	if a.Jail != b.Jail {
		return strings.Compare(a.Jail.Name, b.Jail.Name)
	}
	if c := a.ID.prefix.Compare(b.ID.prefix); c != 0 {
		return c
	}
	return strings.Compare(a.ID.text, b.ID.text)
}

// wait is a command that waits for the sinks. A nil wait waits for nothing.
type wait struct {
	mu   sync.Mutex
	left int // orders that are not answered, and 1 until wait is called
	errs []error
	done chan struct{}
}

func newWait() *wait { return &wait{left: 1, done: make(chan struct{})} }

// add expects one more answer.
func (w *wait) add() {
	w.mu.Lock()
	w.left++
	w.mu.Unlock()
}

// finish enters an answer that nobody has announced by add.
func (w *wait) finish(id ID, err error) {
	if w != nil {
		w.add()
		w.answer(id, err)
	}
}

// answer enters one answer.
func (w *wait) answer(id ID, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.errs = append(w.errs, &IDError{id, err})
	}
	w.left--
	if w.left == 0 {
		close(w.done)
	}
}

// wait returns when every answer has come, with the errors among them.
func (w *wait) wait(ctx context.Context) error {
	w.answer(ID{}, nil)
	select {
	case <-w.done:
		w.mu.Lock()
		defer w.mu.Unlock()
		return errors.Join(w.errs...)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
