package pipeline

import (
	"context"
	"fmt"
	"slices"
)

// stride is the number of failures that are counted before the ledger takes the
// bans among them: the sinks are at work while the rest of a batch is counted,
// and nobody waits for the ledger longer than so many bans take.
const stride = 128

// reader is a source that runs: one goroutine for the source, one that takes
// its batches through matcher, window and ledger.
type reader struct {
	stop    context.CancelFunc
	read    chan struct{} // closed when the source has returned
	matched chan struct{} // closed when the second goroutine has
	done    chan struct{} // closed when both have
}

// StartSource runs one more source, for a reload. It ends by itself, or by StopSource.
func (p *Pipeline) StartSource(r Reading) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running || p.soft.Err() != nil {
		return ErrNotRunning
	}
	if p.readers[r.Name] != nil {
		return fmt.Errorf("source %s runs already", r.Name)
	}
	p.startReader(r)
	return nil
}

// StopSource stops a source and returns when what it had read has been
// counted, or ctx is done. A name that does not run is no error.
func (p *Pipeline) StopSource(ctx context.Context, name string) error {
	p.mu.Lock()
	r := p.readers[name]
	p.mu.Unlock()
	if r == nil {
		return nil
	}
	r.stop()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *Pipeline) startReader(cfg Reading) {
	if cfg.Batches <= 0 {
		cfg.Batches = 4
	}
	ctx, stop := context.WithCancel(p.soft)
	r := &reader{stop: stop, read: make(chan struct{}), matched: make(chan struct{}), done: make(chan struct{})}
	p.readers[cfg.Name] = r
	feed := NewFeed(cfg.Batches)
	go func() {
		defer close(r.matched)
		p.drain(feed, cfg.Workers)
	}()
	go func() {
		err := cfg.Source.Run(ctx, feed)
		if err != nil && ctx.Err() == nil {
			p.fail(fmt.Errorf("%s: %w", cfg.Name, err))
		}
		stop()
		close(r.read)
		feed.Close()
		<-r.matched
		p.mu.Lock()
		delete(p.readers, cfg.Name)
		p.mu.Unlock()
		close(r.done)
		signal(p.readerEnded)
	}()
}

// waitReaders returns when every source has ended and its batches are through
// (with Stay: not before the pipeline is stopped), or when the stop is hard.
func (p *Pipeline) waitReaders() {
	if p.cfg.Stay {
		<-p.soft.Done()
	}
	for {
		p.mu.Lock()
		left := len(p.readers)
		p.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-p.readerEnded:
		case <-p.hard.Done():
			p.leaveReaders()
			return
		}
	}
}

// leaveReaders waits for the matchers after a hard stop, which end with the
// batch that they are at. A source that does not return, because a read blocks
// that nothing can interrupt, is left behind.
func (p *Pipeline) leaveReaders() {
	p.mu.Lock()
	left := make(map[string]*reader, len(p.readers))
	for name, r := range p.readers {
		left[name] = r
	}
	p.mu.Unlock()
	for name, r := range left {
		<-r.matched
		select {
		case <-r.read:
		default:
			p.cfg.Log.Warn("source did not stop", "source", name)
		}
	}
}

// step takes one batch after the other through matcher, window and ledger,
// with the memory that it keeps for that.
type step struct {
	p        *Pipeline
	failures []Failure
	bans     []Ban
	ban      Ban            // that a failure has caused
	none     uint64         // means nothing
	judged   chan bool      // has the answer that addByLog waits for
	answer   func(ban bool) // sends it
}

func newStep(p *Pipeline) *step {
	s := &step{p: p, judged: make(chan bool, 1)}
	s.answer = func(ban bool) { s.judged <- ban }
	return s
}

// do carries one batch through. It blocks only where the sinks are too far behind.
func (s *step) do(b *Batch, match func([]Failure) []Failure) {
	p := s.p
	p.step.RLock()
	s.failures = p.unignored(match(s.failures[:0]))
	if p.cfg.Watch != nil {
		p.cfg.Watch.Watch(b, s.failures)
	}
	s.bans = s.bans[:0]
	if p.cfg.Clock.FromLog() {
		for i := range s.failures {
			if i%ahead == 0 {
				s.none += p.cfg.Window.expect(s.failures[i:min(i+ahead, len(s.failures))])
			}
			s.countByLog(&s.failures[i])
		}
	} else {
		for some := range slices.Chunk(s.failures, stride) {
			before := len(s.bans)
			for i := range some {
				if i%ahead == 0 {
					s.none += p.cfg.Window.expect(some[i:min(i+ahead, len(some))])
				}
				if p.add(&some[i], &s.ban) {
					s.bans = append(s.bans, s.ban)
				}
			}
			p.enter(s.bans[before:])
		}
	}
	if p.cfg.Store != nil {
		p.mu.Lock()
		p.ends[b.Input] = b.End
		p.mu.Unlock()
		signal(p.moved)
	}
	p.step.RUnlock()
	clear(s.failures) // they point into the batch
	// Not within the step: a checkpoint need not wait for a slow sink. An error
	// is the hard stop, which drain sees by itself.
	_ = p.cfg.Ledger.throttle(p.hard, s.bans)
}

// countByLog counts one failure where the log is the clock: bans end between
// two failures. The window's beat does not strike: over a log that is read at
// once fail2ban's does not either, and what a quiet address had counted is
// scaled down by its rate, not forgotten.
func (s *step) countByLog(f *Failure) {
	p := s.p
	p.cfg.Clock.Advance(f.AtNanos)
	now := p.cfg.Clock.Now()
	p.cfg.Ledger.Expire(now)
	if s.addByLog(f) {
		s.bans = append(s.bans, s.ban)
		p.enter(s.bans[len(s.bans)-1:])
	}
}

// addByLog is add, to s.ban, where the log is the clock: it waits for the answer,
// since what the ban does depends on the lines that follow.
func (s *step) addByLog(f *Failure) (banned bool) {
	p := s.p
	if !p.count(f, &s.ban) {
		return false
	}
	if p.cfg.Ignore == nil {
		return true
	}
	judgment := p.cfg.Ignore.Judge(f, s.ban, s.answer)
	if judgment != JudgeLater {
		return judgment == JudgeBan
	}
	select {
	case ban := <-s.judged:
		return ban
	case <-p.hard.Done():
		return false
	}
}

// Count takes a failure that no source found through window and ledger: a
// command's, which counts for those too whom Config.Ignore ignores. It returns
// when the ledger has the ban that it caused, if any; a ban that waits for
// Config.Ignore comes later.
func (p *Pipeline) Count(f *Failure) (Ban, bool) {
	p.step.RLock()
	defer p.step.RUnlock()
	var ban Ban
	if !p.add(f, &ban) {
		return Ban{}, false
	}
	p.enter([]Ban{ban})
	return ban, true
}
