package service

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// PauseArgs take everything out of the kernel for a while, or end that.
type PauseArgs struct {
	Seconds float64 `json:"seconds"`
	End     bool    `json:"end"`
}

// Paused is what came of it.
type Paused struct {
	Until *float64 `json:"until"` // epoch seconds; null: enforcement goes on
}

// pause is a pause that ends by itself. What is banned meanwhile goes into the
// kernel at its end.
type pause struct {
	mu    sync.Mutex
	timer *time.Timer // not nil: paused
	turn  int         // which pause it is
	until time.Time
}

// pause carries PauseArgs out. A pause during another takes its place.
func (s *Service) pause(a PauseArgs) (*Paused, error) {
	if s.nft == nil {
		return nil, errors.New("this is a dry run: nothing is in the kernel")
	}
	if a.End {
		return &Paused{}, s.endPause(0)
	}
	length := time.Duration(a.Seconds * float64(time.Second))
	if length <= 0 {
		return nil, errors.New("a pause has a length")
	}
	p := &s.paused
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := s.nft.Pause(); err != nil {
		return nil, fmt.Errorf("take the bans out of the kernel: %w", err)
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	p.turn++
	turn := p.turn
	p.until = time.Now().Add(length)
	p.timer = time.AfterFunc(length, func() {
		if err := s.endPause(turn); err != nil {
			s.log.Error("pause has ended, bans are not back in the kernel yet", "problem", err)
		}
	})
	s.log.Warn("paused: nothing is enforced", "until", p.until.Format(time.DateTime))
	until := epoch(p.until.UnixNano())
	return &Paused{Until: &until}, nil
}

// endPause puts all bans back, at the end of one pause (its turn) or, by 0, of any.
func (s *Service) endPause(turn int) error {
	p := &s.paused
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil || turn != 0 && turn != p.turn {
		return nil
	}
	p.timer.Stop()
	p.timer = nil
	err := s.nft.Resume()
	// The ledger asks again for what it was refused meanwhile.
	s.ledger.Resend(s.flusher, pipeline.VerbBan)
	return err
}

// end stops the timer of a pause that is still on when the service ends.
func (p *pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// ends is when the pause that is on ends; zero: none is.
func (p *pause) ends() (until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		until = p.until
	}
	return until
}
