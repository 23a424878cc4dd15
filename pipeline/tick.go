package pipeline

import (
	"context"
	"time"
)

// tick ends bans when their time is over and strikes the window's beat, until
// ctx is done. A log clock needs neither: the failures bring their time along.
func (p *Pipeline) tick(ctx context.Context) {
	if p.cfg.Clock.FromLog() {
		return
	}
	wall := newWallWatch(p.cfg.Clock)
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
		if jump := wall.jumped(); jump != 0 {
			p.follow(jump)
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

// maxDrift is what the wall clock may differ from the monotonic one between two
// looks before the remaining times in the sinks count as wrong.
const maxDrift = 2 * time.Second

// wallWatch sees when the wall clock is set. Bans end by it; a kernel counts
// their remaining time down by a clock that does not jump.
type wallWatch struct {
	clock *Clock
	begin time.Time // only its monotonic reading counts
	drift int64     // of the wall, nanoseconds
}

func newWallWatch(c *Clock) *wallWatch {
	w := &wallWatch{clock: c, begin: time.Now()}
	w.drift = w.now()
	return w
}

func (w *wallWatch) now() int64 { return w.clock.Now() - int64(time.Since(w.begin)) }

// jumped returns how far the wall clock was set since the last call, 0 where it
// was not, or by less than maxDrift: that adds up until it is more.
func (w *wallWatch) jumped() time.Duration {
	jump := time.Duration(w.now() - w.drift)
	if jump.Abs() < maxDrift {
		return 0
	}
	w.drift += int64(jump)
	return jump
}

// follow gives the sinks the remaining times anew.
func (p *Pipeline) follow(jump time.Duration) {
	p.cfg.Log.Warn("wall clock was set, remaining times are set anew", "by", jump)
	p.mu.Lock()
	flushers := make([]*Flusher, 0, len(p.started))
	for f := range p.started {
		flushers = append(flushers, f)
	}
	p.mu.Unlock()
	for _, f := range flushers {
		if !f.cfg.Ordered && !f.cfg.Background {
			p.cfg.Ledger.Resend(f, VerbProlong)
		}
	}
}
