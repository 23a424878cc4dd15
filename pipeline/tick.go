package pipeline

import (
	"context"
	"maps"
	"time"
)

// tick ends bans when their time is over and strikes the window's beat, until
// ctx is done. A log clock needs neither: the failures bring their time along.
func (p *Pipeline) tick(ctx context.Context) {
	if p.cfg.Clock.FromLog() {
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	// Set anew at each beat, so that a wall clock that jumps is followed.
	end := time.NewTimer(p.untilEnd())
	defer end.Stop()
	for {
		select {
		case <-beat.C:
			if !p.cfg.NoBeat {
				p.cfg.Window.Expire(p.cfg.Clock.Now())
			}
		case <-end.C:
		case <-p.cfg.Ledger.sooner:
		case <-ctx.Done():
			return
		}
		p.cfg.Ledger.Expire(p.cfg.Clock.Now())
		end.Reset(p.untilEnd())
	}
}

// untilEnd returns the time until the next ban is over, a beat at most.
func (p *Pipeline) untilEnd() time.Duration {
	next, now := p.cfg.Ledger.next.Load(), p.cfg.Clock.Now()
	if next >= now+int64(beatEvery) {
		return beatEvery
	}
	// A ban is over after its last nanosecond.
	return max(time.Duration(next-now+1), 0)
}

const (
	saveBans      = 50 * time.Millisecond // from the first event to the checkpoint
	savePositions = time.Second           // the same where only positions have moved
	maxUnsaved    = 1 << 20               // events kept for a store that fails
)

// saver writes checkpoints.
type saver struct {
	p       *Pipeline
	keep    Checkpoint // not yet saved
	failing bool
}

// run saves until ctx is done.
func (s *saver) run(ctx context.Context) {
	positions := time.NewTicker(savePositions)
	defer positions.Stop()
	for {
		select {
		case <-s.p.cfg.Ledger.changed:
			// What follows within the pause goes along. Nobody waits for it.
			t := time.NewTimer(saveBans)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return
			}
		case <-positions.C:
			select {
			case <-s.p.moved:
			default:
				if !s.failing {
					continue
				}
			}
		case <-ctx.Done():
			return
		}
		s.save(ctx)
	}
}

// save takes a checkpoint and writes it. What cannot be written is kept and
// goes with the next one.
func (s *saver) save(ctx context.Context) {
	s.take()
	if len(s.keep.Events) == 0 && len(s.keep.Inputs) == 0 {
		return
	}
	err := s.p.cfg.Store.Save(ctx, &s.keep)
	switch {
	case err == nil:
		if s.failing {
			s.p.cfg.Log.Info("store works again")
		}
		s.keep, s.failing = Checkpoint{}, false
	case !s.failing:
		s.p.cfg.Log.Error("store does not work, bans go on", "error", err)
		s.failing = true
	}
	if over := len(s.keep.Events) - maxUnsaved; over > 0 {
		s.p.cfg.Log.Error("events lost to the store", "events", over)
		s.keep.Events = append([]Event(nil), s.keep.Events[over:]...)
	}
}

// take adds what has changed since the last call, while no batch is under way.
func (s *saver) take() {
	p := s.p
	p.step.Lock()
	defer p.step.Unlock()
	s.keep.Events = p.cfg.Ledger.takeEvents(s.keep.Events)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ends) == 0 {
		return
	}
	for _, old := range s.keep.Inputs {
		if _, moved := p.ends[old.Input]; !moved {
			p.ends[old.Input] = old.End
		}
	}
	s.keep.Inputs = s.keep.Inputs[:0]
	for in, end := range maps.All(p.ends) {
		s.keep.Inputs = append(s.keep.Inputs, InputEnd{in, end})
	}
	clear(p.ends)
}
