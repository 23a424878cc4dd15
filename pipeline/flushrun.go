package pipeline

import (
	"context"
	"errors"
	"time"
)

// run flushes until Close, then what still stands, and returns the number
// of orders that it had to leave because ctx, the hard stop, was done.
func (f *Flusher) run(ctx context.Context, l *Ledger, clock *Clock) (lost int) {
	gap := time.NewTimer(f.cfg.Gather) // since the last flush
	gap.Stop()
	retry := time.NewTimer(f.cfg.RetryEvery)
	retry.Stop()
	stop := f.stop
	stopping, cooling, retrying := false, false, false
	for ctx.Err() == nil {
		ready, refused := f.ready(stopping || !cooling)
		if refused && !retrying {
			retrying = true
			retry.Reset(f.cfg.RetryEvery)
		}
		switch {
		case ready:
			f.flush(ctx, l, clock)
			cooling = true
			gap.Reset(f.cfg.Gather)
			continue
		case stopping:
			return f.abandon(nil)
		}
		select {
		case <-f.wake:
		case <-gap.C:
			cooling = false
		case <-retry.C:
			retrying = false
			f.retry()
		case <-stop:
			stopping, stop = true, nil
		case <-ctx.Done():
		}
	}
	return f.abandon(context.Cause(ctx))
}

// Close makes the flusher carry out what stands and end. Orders that come
// later are lost: the ledger's Route should no longer name it.
func (f *Flusher) Close() { f.once.Do(func() { close(f.stop) }) }

// ready says whether there is something to flush now, and whether there are
// refused orders. rested: nothing was flushed within Gather, or nothing will
// come any more.
func (f *Flusher) ready(rested bool) (now, refused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now = f.live > 0 && (rested || f.awaited > 0 || f.live >= f.cfg.MaxOrders)
	return now, f.resting > 0
}

// flush carries out at most MaxOrders of the orders that stand.
func (f *Flusher) flush(ctx context.Context, l *Ledger, clock *Clock) {
	f.collect()
	f.sink.Apply(ctx, clock.Now(), f.orders)
	f.mu.Lock()
	var deferred []*item
	for i, it := range f.items {
		o := &f.orders[i]
		switch {
		case o.Err == nil || f.cfg.Ordered:
		case f.cfg.Background && errors.Is(o.Err, ErrDeferred):
			if f.deferItem(it) {
				deferred = append(deferred, it)
				f.items[i] = nil
			}
		default:
			f.refuse(it)
		}
		if !f.cfg.Background {
			f.answers = append(f.answers, answer{it.held, it.counted, o.Err})
		}
	}
	f.queue = append(deferred, f.queue...)
	f.mu.Unlock()
	// The ledger first: who waited for an answer may ask the ledger for it.
	l.answered(f, f.answers, clock.Now())
	for i, it := range f.items {
		if it == nil {
			continue // deferred: nobody waits for a Background flusher
		}
		for _, w := range it.waits {
			w.answer(it.key.id, f.orders[i].Err)
		}
	}
	f.recycle()
	clear(f.orders)
	clear(f.items)
	clear(f.answers)
	f.orders, f.items, f.answers = f.orders[:0], f.items[:0], f.answers[:0]
}

// recycle keeps the memory of the items that have gone out.
func (f *Flusher) recycle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range f.items {
		if it != nil && len(f.free) < f.cfg.MaxOrders {
			*it = item{}
			f.free = append(f.free, it)
		}
	}
}

// collect takes the next orders out of the queue. Their items belong to flush
// alone from then on.
func (f *Flusher) collect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := 0
	for _, it := range f.queue {
		if len(f.items) == f.cfg.MaxOrders {
			break
		}
		taken++
		if it.verb == 0 {
			continue
		}
		if !f.cfg.Ordered {
			delete(f.pending, it.key)
		}
		f.live--
		f.awaited -= min(len(it.waits), 1)
		f.items = append(f.items, it)
		f.orders = append(f.orders, Order{Verb: it.verb, Ban: it.ban})
	}
	clear(f.queue[:taken])
	f.queue = f.queue[taken:]
	if len(f.queue) == 0 {
		f.queue = nil // its room may have been a burst's
	}
	f.letIn()
}

// deferItem says whether an order that the sink has not looked at stands again. A
// newer one for the same ban goes on alone, knowing that this one never went out.
func (f *Flusher) deferItem(it *item) bool {
	newer := f.pending[it.key]
	switch {
	case newer == nil:
		it.queued = true
		f.live++
		f.pending[it.key] = it
		return true
	case it.verb == VerbBan && newer.verb == VerbUnban && it.tries == 0:
		f.cancel(newer)
	case it.verb == VerbBan && newer.verb == VerbProlong:
		newer.verb = VerbBan
	case it.verb == VerbUnban && newer.verb == VerbBan:
		newer.verb = VerbProlong
	}
	newer.tries = max(newer.tries, it.tries)
	return false
}

// refuse keeps an order that the sink could not carry out for another try. If
// the ledger has given a newer one for the ban, that one goes on alone, and no
// longer counts on what the sink should have had.
func (f *Flusher) refuse(it *item) {
	tries := it.tries + 1
	if newer := f.pending[it.key]; newer != nil {
		newer.tries = max(newer.tries, 1)
		if it.verb == VerbBan && newer.verb == VerbProlong {
			newer.verb = VerbBan
		}
		return
	}
	if it.verb == VerbUnban && f.resting >= maxResting {
		return // a sink that fails for so long must be sent everything anew
	}
	again := &item{key: it.key, verb: it.verb, ban: it.ban, held: it.held, tries: tries}
	again.pause = min(1<<min(tries-1, 30), maxPause)
	f.pending[it.key] = again
	f.refused = append(f.refused, again)
	f.resting++
}

// retry queues the refused orders whose pause is over.
func (f *Flusher) retry() {
	f.mu.Lock()
	defer f.mu.Unlock()
	resting := f.refused[:0]
	for _, it := range f.refused {
		if it.queued || it.verb == 0 {
			continue // a newer order took it along
		}
		if it.pause--; it.pause > 0 {
			resting = append(resting, it)
			continue
		}
		f.resting--
		f.enqueue(it)
	}
	clear(f.refused[len(resting):])
	f.refused = resting
}

// abandon answers everybody who waits with err and returns the number of orders
// that the sink does not have; those that nobody waits for count in Pending only.
func (f *Flusher) abandon(err error) (lost int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range f.queue {
		for _, w := range it.waits {
			w.answer(it.key.id, err)
		}
		it.waits = nil
	}
	if f.cfg.Background {
		return 0
	}
	return f.live + f.resting
}
