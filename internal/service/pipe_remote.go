package service

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// decisionBytes is about how many bytes of lines and fields one command to the
// service carries: in base64, and with all else, well under what it takes.
const decisionBytes = 1 << 20

// remote gives decisions to the service that runs.
type remote struct{ client *control.Client }

var _ pipeline.Sink = (*remote)(nil)

// Apply implements pipeline.Sink.
func (r *remote) Apply(ctx context.Context, _ int64, orders []pipeline.Order) {
	for len(orders) > 0 {
		n, bytes := 0, 0
		for n < len(orders) && bytes < decisionBytes {
			bytes += ticketBytes(orders[n].Ban.Ticket)
			n++
		}
		r.give(ctx, orders[:n])
		orders = orders[n:]
	}
}

// give gives the service orders in one command. It ends its bans itself.
func (r *remote) give(ctx context.Context, orders []pipeline.Order) {
	var list []Decision
	for i := range orders {
		if orders[i].Verb != pipeline.VerbUnban {
			list = append(list, decisionOf(&orders[i].Ban))
		}
	}
	if len(list) == 0 {
		return
	}
	var done Done
	err := r.client.CallJSON(ctx, VerbDecide, list, &done)
	for i := range orders {
		o := &orders[i]
		switch {
		case o.Verb == pipeline.VerbUnban:
		case err != nil:
			o.Err = fmt.Errorf("give the ban to the service: %w", err)
		default:
			if at := slices.IndexFunc(done.Refused, func(x Refusal) bool { return x.ID == o.Ban.ID.String() }); at >= 0 {
				o.Err = errors.New(done.Refused[at].Problem)
			}
		}
	}
}

// decisionOf is a ban as another process is told of it.
func decisionOf(b *pipeline.Ban) Decision {
	d := Decision{Jail: b.Jail.Name, ID: b.ID.String(), At: b.AtNanos, Until: b.UntilNanos, Failures: b.Failures}
	if b.Ticket == nil {
		return d
	}
	for _, line := range b.Ticket.Matches {
		d.Matches = append(d.Matches, []byte(line))
	}
	if len(b.Ticket.Fields) > 0 {
		d.Fields = make(map[string][]byte, len(b.Ticket.Fields))
		for name, value := range b.Ticket.Fields {
			d.Fields[name] = []byte(value)
		}
	}
	return d
}

// ticket is what led to the decision, with the last lines alone, as many as the
// jail keeps; nil where nothing is said of it.
func (d *Decision) ticket(most int) *pipeline.Ticket {
	if len(d.Matches) == 0 && len(d.Fields) == 0 {
		return nil
	}
	t := &pipeline.Ticket{Count: 1}
	for _, line := range d.Matches[max(0, len(d.Matches)-most):] {
		t.Matches = append(t.Matches, string(line))
	}
	if len(d.Fields) > 0 {
		t.Fields = make(map[string]string, len(d.Fields))
		for name, value := range d.Fields {
			t.Fields[name] = string(value)
		}
	}
	return t
}

// ticketBytes is the size of what a ticket says, and of the decision around it.
func ticketBytes(t *pipeline.Ticket) int {
	n := 128
	if t == nil {
		return n
	}
	for _, line := range t.Matches {
		n += len(line)
	}
	for name, value := range t.Fields {
		n += len(name) + len(value)
	}
	return n
}
