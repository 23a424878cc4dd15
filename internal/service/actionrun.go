package service

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/runner"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// aliased is our sink for an action that drops beside its jail's drop: under a
// name of its own.
type aliased struct {
	sink   pipeline.Sink
	jail   *pipeline.Jail
	orders []pipeline.Order // memory
}

// Apply implements pipeline.Sink.
func (a *aliased) Apply(ctx context.Context, nowNanos int64, orders []pipeline.Order) {
	a.orders = append(a.orders[:0], orders...)
	for i := range a.orders {
		a.orders[i].Ban.Jail = a.jail
	}
	a.sink.Apply(ctx, nowNanos, a.orders)
	for i := range a.orders {
		orders[i].Err = a.orders[i].Err
	}
	clear(a.orders)
}

// commands are an action's commands, by a runner.
type commands struct {
	run    runner.Runner
	action *action
}

// Text implements sinks.Commands.
func (c *commands) Text(p sinks.Phase, f sinks.AddressFamily) string {
	if c.action.by == byPython && (p == sinks.PhaseCheck || p == sinks.PhaseRepair || p == sinks.PhaseReload) {
		return ""
	}
	return c.action.program.Text(runner.Phase(p), runner.Family(f))
}

// Run implements sinks.Commands.
func (c *commands) Run(ctx context.Context, p sinks.Phase, f sinks.AddressFamily, values map[string]string) (sinks.Outcome, error) {
	r, err := c.run.Run(ctx, runner.Call{Digest: c.action.digest, Phase: runner.Phase(p), Family: runner.Family(f), Values: values})
	if errors.Is(err, runner.ErrUnknown) {
		return sinks.Outcome{Problem: "the action runner does not know it"}, nil
	}
	return sinks.Outcome{OK: r.OK, Absent: r.Absent, Problem: problemOf(r, c.action), Script: escaped(r.Script)}, err
}

// problemOf says in a line what went wrong.
func problemOf(r runner.Result, a *action) string {
	if r.OK {
		return ""
	}
	what := fmt.Sprintf("exit status %d", r.Exit)
	switch {
	case r.TimedOut:
		what = fmt.Sprintf("not done after %s and killed", a.program.Timeout)
	case r.Exit == 127:
		what = "a program that it calls is not installed (exit status 127)"
	case r.Exit == 126:
		what = "a program that it calls may not be executed (exit status 126)"
	}
	if r.Output != "" {
		what += ": " + escaped(r.Output)
	}
	return what
}

// maxEscaped is how much of a program's text is shown.
const maxEscaped = 400

// escaped returns a text that somebody else has written so that it stands in one
// line and nothing in it means anything to a terminal or a log.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= maxEscaped {
			b.WriteString("…")
			break
		}
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteByte(' ')
		case r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff || r == '\uFFFD':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
