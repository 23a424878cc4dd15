package pipeline

import (
	"context"
	"maps"
	"time"
)

const (
	saveBans  = 50 * time.Millisecond // from the first event to the checkpoint
	saveBurst = 3 * time.Second       // the same at most, while a burst goes on
	// burst is the bans within saveBans that begin one: to write so many takes a
	// store as long again. Fewer are on disk within 100 ms.
	burst         = 2000
	lull          = 64              // it goes on while within saveBans more than that come
	savePositions = 5 * time.Second // the same where only positions have moved
	saveAgain     = time.Second     // the same for a store that failed
	maxUnsaved    = 1 << 20         // events kept for a store that fails
)

// saver writes checkpoints.
type saver struct {
	p       *Pipeline
	keep    Checkpoint // not yet saved
	failing bool
	next    time.Time // failing: no attempt before this
}

// run saves until ctx is done.
func (s *saver) run(ctx context.Context) {
	positions := time.NewTicker(savePositions)
	defer positions.Stop()
	for {
		changed, again := s.p.cfg.Ledger.changed, (<-chan time.Time)(nil)
		if s.failing {
			changed, again = nil, time.After(time.Until(s.next))
		}
		select {
		case <-changed:
			if !s.gather(ctx) {
				return
			}
		case <-again:
		case <-positions.C:
			select {
			case <-s.p.moved:
			default:
				continue
			}
			if s.failing {
				continue
			}
		case <-ctx.Done():
			return
		}
		s.save(ctx)
	}
}

// gather waits for what goes along, which nobody waits for. As long as a burst
// goes on the store does not take the processor that its bans need. It returns
// false when ctx is done.
func (s *saver) gather(ctx context.Context) bool {
	t := time.NewTicker(saveBans)
	defer t.Stop()
	before, quiet := 0, 1
	for waited := time.Duration(0); waited < saveBurst && quiet < 2; waited += saveBans {
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
		events := s.p.cfg.Ledger.unsaved()
		switch {
		case waited == 0 && events >= burst, waited > 0 && events-before > lull:
			quiet = 0
		default:
			quiet++ // twice in a burst: a busy machine's ticks come late, and then at once
		}
		before = events
	}
	return true
}

// save takes a checkpoint and writes it. What cannot be written is kept and
// goes with the next one.
func (s *saver) save(ctx context.Context) {
	s.take()
	if s.keep.IsEmpty() {
		return
	}
	err := s.p.cfg.Store.Save(ctx, &s.keep)
	switch {
	case err == nil:
		if s.failing {
			s.p.cfg.Log.Info("store works again")
		}
		s.keep, s.failing = Checkpoint{Events: emptied(s.keep.Events), Counts: emptied(s.keep.Counts), Inputs: emptied(s.keep.Inputs)}, false
	case !s.failing:
		s.p.cfg.Log.Error("store does not work, bans go on", "error", err)
		s.failing = true
	}
	s.next = time.Now().Add(saveAgain)
	if over := len(s.keep.Events) - maxUnsaved; over > 0 {
		s.p.cfg.Log.Error("events lost to the store", "events", over)
		s.keep.Events = append([]Event(nil), s.keep.Events[over:]...)
	}
}

// emptied returns the memory of a list, unless it is much.
func emptied[T any](list []T) []T {
	if cap(list) > 10_000 {
		return nil
	}
	clear(list)
	return list[:0]
}

// take adds what has changed since the last call, while no batch is under way.
// After a failed attempt counts and memory are taken whole: what of them was
// not written is not added up.
func (s *saver) take() {
	p := s.p
	p.step.Lock()
	defer p.step.Unlock()
	s.keep.Events = p.cfg.Ledger.takeEvents(s.keep.Events)
	if p.cfg.Window.dirt.on {
		s.keep.Counts, s.keep.AllCounts = p.cfg.Window.Changes(s.keep.Counts[:0], s.failing)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, old := range s.keep.Inputs {
		if _, moved := p.ends[old.Input]; !moved {
			p.ends[old.Input] = old.End
		}
	}
	s.keep.Inputs = s.keep.Inputs[:0]
	for in, end := range maps.All(p.ends) {
		e := InputEnd{Input: in, End: end}
		if m, ok := in.Matcher().(Rememberer); ok {
			e.Memory, e.AllMemory = m.Memory(nil, s.failing)
		}
		s.keep.Inputs = append(s.keep.Inputs, e)
	}
	clear(p.ends)
}
