package service

import (
	"context"
	"sync"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// gate stands before a sink and lets no order through for a jail that is gone.
// There can be one, for a moment: a batch that was under way when the jail
// ended may still ban. Such an order counts as carried out.
type gate struct {
	sink pipeline.Sink

	mu   sync.Mutex
	gone map[*pipeline.Jail]struct{}
	pass []pipeline.Order // memory
	from []int            // memory: where each of pass came from

	// settle is called once, when the orders of the start (the bans that were
	// restored) have gone out: what else stands in the kernel is nobody's.
	settle func()
	left   int // of those orders
	idle   func() bool
}

// begin counts the orders that stand now as those of the start; settle is
// called after them, or at once where there are none. The flusher does not run yet.
func (g *gate) begin(f *pipeline.Flusher, settle func()) {
	standing, _ := f.Pending()
	if standing == 0 {
		settle()
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settle, g.left = settle, standing
	g.idle = func() bool { standing, _ := f.Pending(); return standing == 0 }
}

// applied counts orders that have gone out.
func (g *gate) applied(n int) {
	g.mu.Lock()
	g.left -= n
	settle := g.settle
	if settle != nil && g.left > 0 && !g.idle() { // some may have been cancelled
		settle = nil
	}
	if settle != nil {
		g.settle = nil
	}
	g.mu.Unlock()
	if settle != nil {
		settle()
	}
}

// close lets nothing of the jail through any more.
func (g *gate) close(j *pipeline.Jail) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone == nil {
		g.gone = map[*pipeline.Jail]struct{}{}
	}
	g.gone[j] = struct{}{}
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
	if len(g.gone) == 0 {
		return false
	}
	g.pass, g.from = g.pass[:0], g.from[:0]
	for i, o := range orders {
		if _, gone := g.gone[o.Ban.Jail]; !gone {
			g.pass, g.from = append(g.pass, o), append(g.from, i)
		}
	}
	return len(g.pass) < len(orders)
}

var _ pipeline.Sink = (*gate)(nil)
