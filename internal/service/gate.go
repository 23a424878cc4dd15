package service

import (
	"context"
	"sync"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// gate stands before a sink and lets no order through for a jail that is not the
// sink's: one that bans by its commands alone, or one that is gone, which a batch
// that was under way when the jail ended may still ban for. Such an order counts
// as carried out.
type gate struct {
	sink pipeline.Sink

	mu     sync.Mutex
	closed map[*pipeline.Jail]struct{}
	pass   []pipeline.Order // memory
	from   []int            // memory: where each of pass came from

	// restored is closed when the orders of the start (the bans that were
	// restored) have gone out.
	restored chan struct{}
	left     int // of those orders; below 0: none is
	idle     func() bool
}

// newGate returns a gate before a sink.
func newGate(sink pipeline.Sink) *gate {
	return &gate{sink: sink, restored: make(chan struct{})}
}

// begin counts the orders that stand as those of the start. The flusher does not run yet.
func (g *gate) begin(f *pipeline.Flusher) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left, _ = f.Pending()
	g.idle = func() bool { standing, _ := f.Pending(); return standing == 0 }
	if g.left == 0 {
		g.end()
	}
}

func (g *gate) end() {
	g.left, g.idle = -1, nil
	close(g.restored)
}

// applied counts orders that have gone out.
func (g *gate) applied(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle == nil {
		return
	}
	g.left -= n
	if g.left <= 0 || g.idle() { // some may have been cancelled
		g.end()
	}
}

// close lets nothing of the jail through any more.
func (g *gate) close(j *pipeline.Jail) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = map[*pipeline.Jail]struct{}{}
	}
	g.closed[j] = struct{}{}
}

// open lets the jail's orders through again.
func (g *gate) open(j *pipeline.Jail) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.closed, j)
}

// Apply implements pipeline.Sink.
func (g *gate) Apply(ctx context.Context, nowNanos int64, orders []pipeline.Order) {
	defer g.applied(len(orders))
	if !g.stops(orders) {
		g.sink.Apply(ctx, nowNanos, orders)
		return
	}
	g.sink.Apply(ctx, nowNanos, g.pass)
	for i, o := range g.pass {
		orders[g.from[i]].Err = o.Err
	}
}

// stops says whether some order is not let through; pass are the others then.
func (g *gate) stops(orders []pipeline.Order) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.closed) == 0 {
		return false
	}
	g.pass, g.from = g.pass[:0], g.from[:0]
	for i, o := range orders {
		if _, closed := g.closed[o.Ban.Jail]; !closed {
			g.pass, g.from = append(g.pass, o), append(g.from, i)
		}
	}
	return len(g.pass) < len(orders)
}

var _ pipeline.Sink = (*gate)(nil)

// serveGate opens the gate before the kernel for jails, and closes it for those
// that ban by commands alone. A jail without any action is let through: the sink
// says that nothing enforces its bans.
func (s *Service) serveGate(jails []*jail) {
	if s.nft == nil {
		return
	}
	for _, j := range jails {
		if j.drop == nil && len(j.actions) > 0 {
			s.gate.close(j.identity)
		} else {
			s.gate.open(j.identity)
		}
	}
}
