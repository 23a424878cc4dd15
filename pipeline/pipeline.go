package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config puts the stages together. Window, Ledger and Clock are required.
type Config struct {
	Window   *Window
	Ledger   *Ledger
	Clock    *Clock
	Sources  []Reading
	Flushers []*Flusher // those that the ledger routes to

	// Stay keeps the pipeline running when every source has ended, until it is stopped.
	Stay bool
	// NoBeat keeps what an address has counted however long it is quiet: for a
	// log that is read at once, whose times are not the clock's.
	NoBeat bool
	// StopTimeout is the time that everything has to end after ctx is done; 0: 1 s.
	StopTimeout time.Duration

	Networks *Networks // nil: no network is banned for its members
	Ignore   Ignore    // nil: everybody counts
	History  History   // nil: nobody was banned before
	Watch    Watcher   // nil: nobody
	Store    Store     // nil: nothing is stored
	Log      *slog.Logger
}

// Reading is a source with the name that it has in errors and logs.
type Reading struct {
	Name    string
	Source  Source
	Batches int // of its feed; 0: 4
	Workers int // goroutines for the stateless half of a Splitter over a big input; 0: 1
}

// Watcher is told of the failures of each batch that are not ignored, before
// they are counted: for the Found lines of a log and for progress. It is called
// from every source's goroutine; batch and failures are valid until it returns.
type Watcher interface {
	Watch(b *Batch, failures []Failure)
}

var (
	// ErrStopTimeout is the cause of what a pipeline had to leave undone.
	ErrStopTimeout = errors.New("stop timeout")
	// ErrNotRunning is the error of a change to a pipeline that does not run.
	ErrNotRunning = errors.New("pipeline is not running")
)

const beatEvery = 5 * time.Second // fail2ban's

// Pipeline is running stages. Make one with New and run it once.
type Pipeline struct {
	cfg  Config
	soft context.Context // done: sources return
	hard context.Context // done: everything returns
	end  context.CancelFunc

	// step is held for reading while a batch changes window and ledger, and for
	// writing while a checkpoint is taken.
	step sync.RWMutex

	mu       sync.Mutex
	running  bool // sources and flushers may be started
	readers  map[string]*reader
	started  map[*Flusher]struct{}
	flushers sync.WaitGroup
	ends     map[*Input]Position // changed since the last checkpoint
	err      error               // the first one

	held holder

	readerEnded chan struct{} // has a token after a reader left the map
	moved       chan struct{} // has a token when there are ends

	lostLines  atomic.Int64
	lostOrders atomic.Int64
}

// New returns a pipeline that Run will run.
func New(cfg Config) *Pipeline {
	if cfg.StopTimeout <= 0 {
		cfg.StopTimeout = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Store != nil {
		cfg.Window.Track()
	}
	return &Pipeline{
		cfg:         cfg,
		readers:     make(map[string]*reader),
		started:     make(map[*Flusher]struct{}),
		ends:        make(map[*Input]Position),
		held:        holder{bans: make(map[banKey]*Ban), empty: make(chan struct{}, 1)},
		readerEnded: make(chan struct{}, 1),
		moved:       make(chan struct{}, 1),
	}
}

// Run runs the stages until every source has ended (with Stay: until ctx is
// done) and all that they read has gone its way to the sinks and the store.
//
// When ctx is done or a stage fails it stops in two steps. Soft: the sources
// return, their batches drain, the flushers flush. Hard, StopTimeout later:
// everything returns; what was lost is logged once, with its number. Run
// returns the first error of a stage, or ErrStopTimeout if something was lost.
// To be stopped is no error.
func (p *Pipeline) Run(ctx context.Context) error {
	var kill context.CancelCauseFunc
	p.soft, p.end = context.WithCancel(ctx)
	p.hard, kill = context.WithCancelCause(context.WithoutCancel(ctx))
	var own sync.WaitGroup // what is no source and no flusher
	ended := make(chan struct{})
	own.Go(func() { p.deadline(ended, kill) })

	p.begin()
	ticking, stopTicking := context.WithCancel(p.hard)
	own.Go(func() { p.tick(ticking) })
	saving, stopSaving := context.WithCancel(p.hard)
	saver := &saver{p: p}
	var saved sync.WaitGroup
	if p.cfg.Store != nil {
		saved.Go(func() { saver.run(saving) })
	}

	p.waitReaders()
	p.waitHeld(p.hard)
	stopTicking()
	p.waitFlushers()
	stopSaving()
	saved.Wait()
	if p.cfg.Store != nil {
		saver.save(p.hard)
	}
	close(ended)
	own.Wait()
	p.end()
	kill(nil)
	return p.outcome(saver)
}

// deadline makes the stop hard when it has been soft for StopTimeout.
func (p *Pipeline) deadline(ended <-chan struct{}, kill context.CancelCauseFunc) {
	select {
	case <-p.soft.Done():
	case <-ended:
		return
	}
	t := time.NewTimer(p.cfg.StopTimeout)
	defer t.Stop()
	select {
	case <-t.C:
		kill(ErrStopTimeout)
	case <-ended:
	}
}

// begin starts what the configuration names.
func (p *Pipeline) begin() {
	p.mu.Lock()
	p.running = true
	for _, f := range p.cfg.Flushers {
		p.startFlusher(f)
	}
	for _, r := range p.cfg.Sources {
		p.startReader(r)
	}
	p.mu.Unlock()
}

// waitFlushers makes all flushers carry out what stands and waits for them. From
// here on none can be started.
func (p *Pipeline) waitFlushers() {
	p.mu.Lock()
	p.running = false
	for f := range p.started {
		f.Close()
	}
	p.mu.Unlock()
	p.flushers.Wait()
}

// fail notes a stage's error, and stops the pipeline if it is the first one.
func (p *Pipeline) fail(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	p.mu.Unlock()
	p.end()
}

// outcome logs what was lost and returns Run's error.
func (p *Pipeline) outcome(s *saver) error {
	p.mu.Lock()
	err := p.err
	p.mu.Unlock()
	lines, orders, events, held := p.lostLines.Load(), p.lostOrders.Load(), len(s.keep.Events), p.Held()
	if lines == 0 && orders == 0 && events == 0 && held == 0 {
		return err
	}
	p.cfg.Log.Error("stopped with work undone", "lines", lines, "orders", orders, "unsaved", events, "waiting", held)
	if err == nil && p.hard.Err() != nil && context.Cause(p.hard) == ErrStopTimeout {
		err = fmt.Errorf("%w: %d lines not counted, %d orders not carried out, %d bans not judged", ErrStopTimeout, lines, orders, held)
	}
	return err
}

// StartFlusher runs one more flusher, for a sink that a reload brings. To end
// one, call its Close.
func (p *Pipeline) StartFlusher(f *Flusher) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running {
		return ErrNotRunning
	}
	p.startFlusher(f)
	return nil
}

func (p *Pipeline) startFlusher(f *Flusher) {
	p.started[f] = struct{}{}
	p.flushers.Go(func() {
		p.lostOrders.Add(int64(f.run(p.hard, p.cfg.Ledger, p.cfg.Clock)))
		p.mu.Lock()
		delete(p.started, f)
		p.mu.Unlock()
	})
}
