package service

import (
	"context"
	"testing"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// swallow is a sink that takes everything.
type swallow struct{}

func (swallow) Apply(context.Context, int64, []pipeline.Order) {}

// TestGateRestored: what a process before us left may go once the orders of
// the start have gone out, and at once where there are none.
func TestGateRestored(t *testing.T) {
	passed := func(g *gate) bool {
		select {
		case <-g.restored:
			return true
		default:
			return false
		}
	}
	g := newGate(swallow{})
	f := pipeline.NewFlusher(g, pipeline.FlusherConfig{})
	g.begin(f)
	if !passed(g) {
		t.Error("without restored bans it waits")
	}
	g = newGate(swallow{})
	f = pipeline.NewFlusher(g, pipeline.FlusherConfig{})
	l := pipeline.NewLedger(pipeline.LedgerConfig{Route: func(*pipeline.Jail) []*pipeline.Flusher { return []*pipeline.Flusher{f} }})
	j := pipeline.NewJail("sshd", pipeline.Policy{MaxRetry: 1})
	var bans []pipeline.Ban
	for _, id := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		bans = append(bans, pipeline.Ban{Jail: j, ID: pipeline.ParseID(id), UntilNanos: pipeline.Permanent})
	}
	l.Restore(bans, 1)
	g.begin(f)
	g.Apply(t.Context(), 1, make([]pipeline.Order, 2))
	if passed(g) {
		t.Error("two of three have gone out, and it does not wait")
	}
	g.Apply(t.Context(), 1, make([]pipeline.Order, 2))
	g.Apply(t.Context(), 1, make([]pipeline.Order, 2)) // later ones change nothing
	if !passed(g) {
		t.Error("all have gone out, and it waits")
	}
}
