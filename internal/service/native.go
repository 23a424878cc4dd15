package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Our own verbs on the control socket. Arguments and answers are JSON.
const (
	VerbStatus = "status" // StatusArgs -> Status
	VerbBan    = "ban"    // BanArgs -> Done
	VerbUnban  = "unban"  // UnbanArgs -> Done
	VerbBanned = "banned" // nothing -> []BanInfo
	VerbStop   = "stop"   // nothing -> nothing
	VerbPause  = "pause"  // PauseArgs -> Paused
	VerbReload = "reload" // ReloadArgs -> Reloaded
	VerbLog    = "log"    // LogArgs -> Logged
	// VerbRestart: nothing -> nothing. The service begins anew in the same
	// process, which takes up a new binary and the whole configuration.
	VerbRestart = "restart"
	VerbDecide  = "decide" // []Decision -> Done: what a pipe has decided
)

// BanArgs are bans by command.
type BanArgs struct {
	Jail    string   `json:"jail"`
	IDs     []string `json:"ids"`
	Seconds *float64 `json:"seconds"` // nil: the jail's bantime; negative: permanent
	Force   bool     `json:"force"`   // ban even what is guarded
	Peer    string   `json:"peer"`    // the address that who asks is connected from by ssh; empty: not known
}

// UnbanArgs end bans.
type UnbanArgs struct {
	Jail string   `json:"jail"` // empty: every jail
	IDs  []string `json:"ids"`
	All  bool     `json:"all"`
}

// Done is what came of bans and unbans.
type Done struct {
	Changed int       `json:"changed"`
	Refused []Refusal `json:"refused"`
}

// Refusal is an ID that a command could not ban or free, or not in the kernel.
type Refusal struct {
	ID      string `json:"id"`
	Problem string `json:"problem"`
}

// Decision is a ban that another process has decided.
type Decision struct {
	Jail     string `json:"jail"`
	ID       string `json:"id"`
	At       int64  `json:"at"`    // nanoseconds since the epoch
	Until    int64  `json:"until"` // likewise; pipeline.Permanent
	Failures int    `json:"failures"`

	// What led to it, as in pipeline.Ticket. Bytes: a log may hold any.
	Matches [][]byte          `json:"matches,omitempty"`
	Fields  map[string][]byte `json:"fields,omitempty"`
}

// BanInfo is a ban in force.
type BanInfo struct {
	Jail     string   `json:"jail"`
	IP       string   `json:"ip"`
	Time     float64  `json:"time"`
	Until    *float64 `json:"until"` // null: permanent
	Failures int      `json:"failures"`
	Enforced bool     `json:"enforced"`
	Problem  string   `json:"problem,omitempty"`
}

// Native implements control.Native.
func (v verbs) Native(ctx context.Context, verb string, args json.RawMessage) (any, error) {
	switch verb {
	case VerbStatus:
		return with(args, func(a StatusArgs) (any, error) { return v.status(a) })
	case VerbBan:
		return with(args, func(a BanArgs) (any, error) { return v.ban(ctx, a) })
	case VerbUnban:
		return with(args, func(a UnbanArgs) (any, error) { return v.unban(ctx, a) })
	case VerbDecide:
		return with(args, func(a []Decision) (any, error) { return v.decide(ctx, a) })
	case VerbBanned:
		return v.banned(), nil
	case VerbReload:
		return with(args, func(a ReloadArgs) (any, error) { return v.reload(ctx, a) })
	case VerbStop:
		return nil, v.Stop(ctx)
	case VerbLog:
		return with(args, func(a LogArgs) (any, error) { return v.logged(ctx, a) })
	case VerbRestart:
		return nil, v.restart(ctx)
	case VerbPause:
		return with(args, func(a PauseArgs) (any, error) { return v.pause(a) })
	}
	return nil, fmt.Errorf("verb %q is not known: the service is of another version", verb)
}

// with reads the arguments and calls f.
func with[T any](args json.RawMessage, f func(T) (any, error)) (any, error) {
	var a T
	if err := json.Unmarshal(args, &a); err != nil {
		return nil, fmt.Errorf("read arguments: %w", err)
	}
	return f(a)
}

func (v verbs) ban(ctx context.Context, a BanArgs) (*Done, error) {
	if a.Jail == "" {
		a.Jail = Manual
	}
	j, err := v.byName(a.Jail)
	if err != nil {
		return nil, err
	}
	var banTime *time.Duration
	if a.Seconds != nil {
		d := time.Duration(*a.Seconds * float64(time.Second))
		banTime = &d
	}
	var guarded []Refusal
	if !a.Force {
		a.IDs, guarded = v.guarded(a.IDs, a.Peer)
	}
	done, err := v.banIDs(ctx, j, a.IDs, banTime)
	done.Refused = append(guarded, done.Refused...)
	return &done, err
}

// banIDs bans addresses and networks and returns when the kernel has them. An
// ID that is refused, or not enforced, does not keep the others from it.
func (v verbs) banIDs(ctx context.Context, j *jail, texts []string, banTime *time.Duration) (Done, error) {
	out := Done{Refused: []Refusal{}}
	var ids []pipeline.ID
	for _, text := range texts {
		id, err := j.target(text)
		if err != nil {
			out.Refused = append(out.Refused, Refusal{text, err.Error()})
			continue
		}
		ids = append(ids, id)
	}
	length := j.identity.Policy().BanTime
	if banTime != nil {
		length = *banTime
	}
	now := v.clock.Now()
	until := pipeline.Permanent
	if length >= 0 {
		until = now + int64(length)
	}
	var err error
	out.Changed, err = v.ledger.Ban(ctx, j.identity, ids, now, until)
	return out, out.refuse(err, "not enforced")
}

// refuse notes the IDs that an error of the ledger names, and what has not been
// done with them; what remains is returned.
func (d *Done) refuse(err error, what string) error {
	if err == nil {
		return nil
	}
	errs := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		errs = joined.Unwrap()
	}
	var rest []error
	for _, e := range errs {
		var id *pipeline.IDError
		if errors.As(e, &id) {
			d.Refused = append(d.Refused, Refusal{id.ID.String(), what + ": " + id.Err.Error()})
		} else {
			rest = append(rest, e)
		}
	}
	return errors.Join(rest...)
}

func (v verbs) unban(ctx context.Context, a UnbanArgs) (*Done, error) {
	var j *jail
	if a.Jail != "" {
		var err error
		if j, err = v.byName(a.Jail); err != nil {
			return nil, err
		}
	}
	if a.All {
		a.IDs = nil
	} else if len(a.IDs) == 0 {
		return nil, errors.New("nobody named")
	}
	n, err := v.unbanIDs(ctx, j, a.IDs)
	out := &Done{Changed: n, Refused: []Refusal{}}
	return out, out.refuse(err, "not freed in the kernel")
}

// unbanIDs frees IDs (nil: all) of a jail (nil: of every one) and forgets their failures.
func (v verbs) unbanIDs(ctx context.Context, j *jail, texts []string) (int, error) {
	var ids []pipeline.ID
	for _, text := range texts {
		ids = append(ids, commandID(text))
	}
	var identity *pipeline.Jail
	if j != nil {
		identity = j.identity
	}
	n, err := v.ledger.Unban(ctx, identity, ids, v.clock.Now())
	for _, each := range v.jails() {
		if len(ids) > 0 && (j == nil || j == each) {
			v.window.Forget(each.identity, ids...)
		}
	}
	return n, err
}

// decide takes the bans that a pipe has decided.
func (v verbs) decide(ctx context.Context, list []Decision) (*Done, error) {
	out := &Done{Refused: []Refusal{}}
	var bans []pipeline.Ban
	for _, d := range list {
		j := v.jail(d.Jail)
		if j == nil {
			j = v.jail(Manual)
		}
		id, err := j.target(d.ID)
		if err != nil {
			out.Refused = append(out.Refused, Refusal{d.ID, err.Error()})
			continue
		}
		bans = append(bans, pipeline.Ban{Jail: j.identity, ID: id, AtNanos: d.At, UntilNanos: d.Until, Failures: d.Failures,
			Ticket: d.ticket(j.identity.Policy().MaxMatches)})
	}
	var err error
	out.Changed, err = v.ledger.Take(ctx, bans, v.clock.Now())
	return out, out.refuse(err, "not enforced")
}

func (v verbs) banned() []BanInfo {
	out := []BanInfo{}
	for _, b := range v.ledger.Banned(nil) {
		if j := v.jail(b.Jail.Name); j == nil || j.identity != b.Jail {
			continue // of a jail that a reload took away while its last lines were counted
		}
		info := BanInfo{Jail: b.Jail.Name, IP: b.ID.String(), Time: epoch(b.AtNanos), Failures: b.Failures, Enforced: b.Enforced}
		if b.UntilNanos != pipeline.Permanent {
			until := epoch(b.UntilNanos)
			info.Until = &until
		}
		if b.Err != nil {
			info.Problem = b.Err.Error()
		}
		out = append(out, info)
	}
	return out
}

// epoch is nanoseconds as epoch seconds, to the microsecond.
func epoch(nanos int64) float64 { return float64(nanos/1000) / 1e6 }
