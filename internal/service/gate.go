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
