package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"
)

// FlusherConfig says how orders are gathered for a sink. The zero value of a
// field stands for its default.
type FlusherConfig struct {
	Name       string        // for logs and status
	MaxOrders  int           // orders in one Apply; 4,096
	Gather     time.Duration // at least this between two flushes, unless one is full or awaited; 2 ms
	MaxPending int           // orders that may stand before the stream waits; 65,536
	RetryEvery time.Duration // first pause before a refused order is tried again; doubles up to 64 times it; 1 s
	// Background says that nobody waits for the sink: it neither holds up the
	// stream nor a command, and a ban is in force without it (a mail, a report).
	Background bool
	// Ordered says that every order goes out, in order, even if another one has
	// made it pointless, and none is tried again: for a dry run that prints.
	Ordered bool
}

// ErrDeferred is the error of an order that a sink has not looked at yet: it
// stands again, in its place, and until the sink takes it another order may
// change it or cancel it. A sink that needs long for one order defers the others;
// its flusher is a Background one.
var ErrDeferred = errors.New("deferred")

// Flusher carries the ledger's orders to one sink. What has not gone out is a
// set, not a queue: an order for an ID changes the one that stands for it, and
// a ban and its unban cancel each other.
//
// A flush starts at once when the last one is Gather ago, or when a command
// waits for it; else when Gather has passed or MaxOrders have gathered. While
// one Apply runs the next flush gathers. Orders that a sink refused are tried
// again until the sink takes them or the ledger changes its mind.
type Flusher struct {
	cfg  FlusherConfig
	sink Sink

	mu      sync.Mutex
	pending map[banKey]*item // queued or refused: at most one for a ban
	queue   []*item          // in order; items cancelled since have verb 0
	refused []*item          // wait for another try, or have left in the meantime
	live    int              // items in the queue that are not cancelled
	resting int              // items in refused that still wait
	awaited int              // items in the queue that a command waits for
	room    chan struct{}    // not nil: closed when live is down to MaxPending

	wake chan struct{} // has a token after the queue changed
	stop chan struct{} // closed by Close
	once sync.Once

	orders  []Order // of the Apply that runs; reused
	items   []*item
	answers []answer
	free    []*item // memory of items that have gone out: MaxOrders at most
}

// item is an order that has not gone out, or that a sink refused.
type item struct {
	key     banKey
	verb    Verb // 0: cancelled
	ban     Ban
	held    *held
	queued  bool // in the queue; else it rests
	counted bool // in held.waiting
	waits   []*wait
	tries   int // how often it was refused; above 0, nobody knows what the sink has
	pause   int // RetryEvery periods until the next try
}

// maxPause is the longest pause between two tries, in periods of RetryEvery.
const maxPause = 64

// maxResting bounds what a sink that refuses everything can pile up: bans are
// bounded by the ledger, unbans by this.
const maxResting = 1 << 20

// NewFlusher returns a flusher of a sink. It does nothing until a pipeline runs it.
func NewFlusher(sink Sink, cfg FlusherConfig) *Flusher {
	def := func(p *int, n int) {
		if *p <= 0 {
			*p = n
		}
	}
	def(&cfg.MaxOrders, 4096)
	def(&cfg.MaxPending, 65_536)
	if cfg.Gather <= 0 {
		cfg.Gather = 2 * time.Millisecond
	}
	if cfg.RetryEvery <= 0 {
		cfg.RetryEvery = time.Second
	}
	return &Flusher{
		cfg:     cfg,
		sink:    sink,
		pending: make(map[banKey]*item),
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
	}
}

// Name returns the configured name.
func (f *Flusher) Name() string { return f.cfg.Name }

// Pending returns how many orders stand and how many of the sink's refusals
// wait for another try.
func (f *Flusher) Pending() (standing, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.live, f.resting
}

// push takes an order for a ban, with the ledger locked. It returns whether the
// ban has one more order to wait for.
func (f *Flusher) push(v Verb, h *held, w *wait) (counts bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := banKey{h.ban.Jail, h.ban.ID}
	it := f.pending[k]
	switch {
	case it == nil:
		it = f.newItem(k, v)
		f.enqueue(it)
	case it.verb == VerbBan && v == VerbUnban && it.tries == 0:
		f.cancel(it)
		return false
	default:
		f.merge(it, v)
	}
	if it.held != h {
		it.held, it.counted = h, false
	}
	it.ban = *h.decided()
	signal(f.wake)
	if f.cfg.Background {
		return false
	}
	if w != nil {
		w.add()
		if len(it.waits) == 0 {
			f.awaited++
		}
		it.waits = append(it.waits, w)
	}
	counts, it.counted = !it.counted, true
	return counts
}

// newItem returns an item, of memory that one before had where there is some.
func (f *Flusher) newItem(k banKey, v Verb) *item {
	n := len(f.free) - 1
	if n < 0 {
		return &item{key: k, verb: v}
	}
	it := f.free[n]
	f.free[n] = nil
	f.free = f.free[:n]
	*it = item{key: k, verb: v}
	return it
}

// enqueue puts an item at the end of the queue.
func (f *Flusher) enqueue(it *item) {
	it.queued = true
	f.live++
	f.queue = append(f.queue, it)
	if !f.cfg.Ordered {
		f.pending[it.key] = it
	}
}

// merge changes the item that stands for a ban into what it and a new order
// come to. An item whose verb is not VerbBan stands for an ID that the sink has.
func (f *Flusher) merge(it *item, v Verb) {
	switch {
	case v == VerbUnban:
		it.verb = VerbUnban
	case it.verb != VerbBan:
		it.verb = VerbProlong
	}
	if !it.queued { // something new is tried at once
		f.resting--
		f.enqueue(it)
	}
}

// cancel takes an item out of the queue that has never gone out.
func (f *Flusher) cancel(it *item) {
	it.verb = 0
	delete(f.pending, it.key)
	f.live--
	f.awaited -= min(len(it.waits), 1)
	for _, w := range it.waits {
		w.answer(it.key.id, nil)
	}
	f.letIn()
}

// throttle blocks while more than MaxPending orders stand.
func (f *Flusher) throttle(ctx context.Context) error {
	for {
		f.mu.Lock()
		if f.cfg.Background || f.live <= f.cfg.MaxPending {
			f.mu.Unlock()
			return nil
		}
		if f.room == nil {
			f.room = make(chan struct{})
		}
		room := f.room
		f.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// letIn lets the stream go on when there is room.
func (f *Flusher) letIn() {
	if f.room != nil && f.live <= f.cfg.MaxPending {
		close(f.room)
		f.room = nil
	}
}
