package service

import (
	"context"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// keptDecisions is how many decisions a service shows again.
const keptDecisions = 1000

// LogArgs ask for the last decisions.
type LogArgs struct {
	Jail  string  `json:"jail,omitempty"`  // of this jail alone
	After int64   `json:"after,omitempty"` // those after this number, see Logged; 0: all that are kept
	Last  int     `json:"last,omitempty"`  // this many at most, the newest; 0: no limit
	Wait  float64 `json:"wait,omitempty"`  // where there is none: seconds to wait for the next, 60 at most
}

// Logged are decisions, the oldest first.
type Logged struct {
	Next      int64            `json:"next"` // the number of the last one there is: what LogArgs.After is next
	Missed    int64            `json:"missed"`
	Decisions []LoggedDecision `json:"decisions"`
}

// LoggedDecision is what became of somebody. Keys are only ever added.
type LoggedDecision struct {
	Action   string   `json:"action"` // ban, unban, prolong, refused (by the kernel or an action), enforced (after all)
	Jail     string   `json:"jail"`
	IP       string   `json:"ip"` // an address, a network or an ID
	Time     float64  `json:"time"`
	Until    *float64 `json:"until"` // null: permanent
	Failures int      `json:"failures"`
	Restored bool     `json:"restored,omitempty"` // a ban of the run before
	Problem  string   `json:"problem,omitempty"`
}

// decision is what an event tells, written out when somebody asks: most never are.
type decision struct {
	action            string
	jail              string
	id                pipeline.ID
	atNanos, endNanos int64
	failures          int
	restored          bool
	err               error
}

// logged returns the decision as it is shown.
func (d *decision) logged() LoggedDecision {
	out := LoggedDecision{Action: d.action, Jail: d.jail, IP: d.id.String(), Time: epoch(d.atNanos), Failures: d.failures, Restored: d.restored}
	if d.endNanos != pipeline.Permanent {
		until := epoch(d.endNanos)
		out.Until = &until
	}
	if d.err != nil {
		out.Problem = d.err.Error()
	}
	return out
}

// decisions are the last ones of a service. Safe for concurrent use.
type decisions struct {
	mu   sync.Mutex
	last []decision    // a ring once it is full
	n    int64         // how many there were
	more chan struct{} // closed when there is one more; nil: nobody waits
}

// note keeps what an event tells.
func (d *decisions) note(e pipeline.Event) {
	entry := decision{jail: e.Ban.Jail.Name, id: e.Ban.ID, atNanos: e.AtNanos, endNanos: e.Ban.UntilNanos, failures: e.Ban.Failures, err: e.Err}
	switch e.Kind {
	case pipeline.EventBan:
		entry.action, entry.restored = "ban", e.Ban.Restored
	case pipeline.EventUnban:
		entry.action = "unban"
	case pipeline.EventProlong:
		entry.action = "prolong"
	case pipeline.EventRefused:
		entry.action = "refused"
	case pipeline.EventEnforced:
		entry.action = "enforced"
	default:
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.last) < keptDecisions {
		d.last = append(d.last, entry)
	} else {
		d.last[d.n%keptDecisions] = entry
	}
	d.n++
	if d.more != nil {
		close(d.more)
		d.more = nil
	}
}

// since returns the decisions after a number, of one jail where it is named,
// and a channel that is closed when there are more.
func (d *decisions) since(a LogArgs) (*Logged, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &Logged{Next: d.n, Decisions: []LoggedDecision{}}
	first := max(0, d.n-int64(len(d.last)))
	if a.After > 0 {
		out.Missed = max(0, first-a.After)
	}
	for i := max(first, min(a.After, d.n)); i < d.n; i++ {
		if entry := &d.last[i%keptDecisions]; a.Jail == "" || entry.jail == a.Jail {
			out.Decisions = append(out.Decisions, entry.logged())
		}
	}
	if a.Last > 0 && len(out.Decisions) > a.Last {
		out.Decisions = out.Decisions[len(out.Decisions)-a.Last:]
	}
	if d.more == nil {
		d.more = make(chan struct{})
	}
	return out, d.more
}

// logged answers VerbLog: at once where there are decisions, else when there
// are or the time is over.
func (v verbs) logged(ctx context.Context, a LogArgs) (*Logged, error) {
	if a.Jail != "" && v.jail(a.Jail) == nil {
		return nil, control.ErrorUnknownJail(a.Jail)
	}
	wait := time.NewTimer(time.Duration(min(max(a.Wait, 0), 60) * float64(time.Second)))
	defer wait.Stop()
	for {
		out, more := v.decisions.since(a)
		if len(out.Decisions) > 0 || a.Wait <= 0 {
			return out, nil
		}
		select {
		case <-more:
		case <-wait.C:
			return out, nil
		case <-v.closing:
			return out, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
