package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// verbs implements control.Verbs over a Service. What a running service cannot
// change yet is answered as fail2ban answers a command that does not exist.
type verbs struct{ *Service }

var _ control.Verbs = verbs{}

// Version implements control.Lifecycle.
func (v verbs) Version() string { return v.cfg.Version }

// Stop implements control.Lifecycle: the process ends once the reply is written.
func (v verbs) Stop(context.Context) error {
	v.stopped.Store(true)
	v.stop()
	return nil
}

// FlushLogs implements control.Lifecycle. The log goes to stderr: there is
// nothing to reopen.
func (v verbs) FlushLogs(context.Context) (rolled bool, err error) { return false, nil }

// ConfigError implements control.Lifecycle.
func (v verbs) ConfigError(text string) {
	v.log.Error("configuration error found by a client", "problem", text)
}

// JailNames implements control.Jails.
func (v verbs) JailNames(context.Context) ([]string, error) {
	jails := v.jails()
	names := make([]string, len(jails))
	for i, j := range jails {
		names[i] = j.config.Name
	}
	return names, nil
}

// byName returns a jail, or fail2ban's error where there is none.
func (v verbs) byName(name string) (*jail, error) {
	if j := v.jail(name); j != nil {
		return j, nil
	}
	return nil, control.ErrorUnknownJail(name)
}

// JailStatus implements control.Jails.
func (v verbs) JailStatus(_ context.Context, name string, detail control.Detail) (control.JailStatus, error) {
	j, err := v.byName(name)
	if err != nil {
		return control.JailStatus{}, err
	}
	out := control.JailStatus{Backend: j.config.Backend.Name, Files: v.filesOf(j)}
	out.FailedNow, out.FailedTotal = v.window.Failing(j.identity)
	totals := v.ledger.Totals(j.identity)
	out.BannedNow, out.BannedTotal = totals.Current, totals.Total
	if detail >= control.WithBans {
		for _, b := range v.ledger.Banned(j.identity) {
			out.Banned = append(out.Banned, b.ID.String())
		}
	}
	return out, nil
}

// filesOf returns the files that a jail's lines come from.
func (v verbs) filesOf(j *jail) []string {
	var out []string
	for _, in := range v.inputList() {
		if in.current().Counters(j.identity) != nil {
			out = append(out, in.Name)
		}
	}
	return out
}

// AddJail implements control.Jails.
func (v verbs) AddJail(context.Context, string, string) error { return control.ErrNotOffered }

// StartJail implements control.Jails: every jail runs from the start.
func (v verbs) StartJail(_ context.Context, name string) error {
	_, err := v.byName(name)
	return err
}

// StopJail implements control.Jails.
func (v verbs) StopJail(context.Context, string) error { return control.ErrNotOffered }

// StopAllJails implements control.Jails.
func (v verbs) StopAllJails(context.Context) error { return control.ErrNotOffered }

// BanList implements control.Bans.
func (v verbs) BanList(_ context.Context, name string) ([]control.Ban, error) {
	j, err := v.byName(name)
	if err != nil {
		return nil, err
	}
	var out []control.Ban
	for _, b := range v.ledger.Banned(j.identity) {
		c := control.Ban{ID: b.ID.String(), At: time.Unix(0, b.AtNanos), BanTime: -time.Second}
		if b.UntilNanos != pipeline.Permanent {
			c.BanTime = time.Duration(b.UntilNanos - b.AtNanos)
		}
		out = append(out, c)
	}
	return out, nil
}

// IsBanned implements control.Bans.
func (v verbs) IsBanned(_ context.Context, name, id string) (bool, error) {
	j, err := v.byName(name)
	if err != nil {
		return false, err
	}
	_, banned := v.ledger.Lookup(j.identity, pipeline.ParseID(id))
	return banned, nil
}

// Ban implements control.Bans.
func (v verbs) Ban(ctx context.Context, name string, ids []string) (int, error) {
	j, err := v.byName(name)
	if err != nil {
		return 0, err
	}
	done, err := v.banIDs(ctx, j, ids, nil)
	if len(done.Refused) > 0 {
		return done.Changed, errors.Join(err, fmt.Errorf("%s: %s", done.Refused[0].ID, done.Refused[0].Problem))
	}
	// The number is what the ledger took; that the kernel refused is said by
	// the log and by status.
	return done.Changed, nil
}

// Unban implements control.Bans.
func (v verbs) Unban(ctx context.Context, name string, ids []string) (ended int, absent []string, err error) {
	j, err := v.byName(name)
	if err != nil {
		return 0, nil, err
	}
	for _, id := range ids {
		n, err := v.ledger.Unban(ctx, j.identity, []pipeline.ID{pipeline.ParseID(id)}, v.clock.Now())
		if err != nil {
			v.log.Error("unban", "jail", name, "id", id, "problem", err)
		}
		v.window.Forget(j.identity, pipeline.ParseID(id))
		if n == 0 {
			absent = append(absent, id)
		}
		ended += n
	}
	return ended, absent, nil
}

// UnbanEverywhere implements control.Bans.
func (v verbs) UnbanEverywhere(ctx context.Context, ids []string) (int, error) {
	return v.unbanIDs(ctx, nil, ids)
}

// UnbanAll implements control.Bans.
func (v verbs) UnbanAll(ctx context.Context) (int, error) { return v.unbanIDs(ctx, nil, nil) }

// Attempt implements control.Bans: 0 where the jail ignores the ID.
func (v verbs) Attempt(_ context.Context, name, id string, matches []string) (int, error) {
	j, err := v.byName(name)
	if err != nil {
		return 0, err
	}
	now := v.clock.Now()
	for range max(1, len(matches)) {
		f := pipeline.Failure{Jail: j.identity, ID: pipeline.ParseID(id), AtNanos: now, Count: 1, Attempts: 1}
		if v.guard.Ignores(&f) {
			return 0, nil
		}
		v.line.Count(&f)
	}
	return 1, nil
}

// ServerSettings implements control.Settings.
func (v verbs) ServerSettings(context.Context) (control.ServerSettings, error) {
	return control.ServerSettings{}, control.ErrNotOffered
}

// ChangeServer implements control.Settings.
func (v verbs) ChangeServer(context.Context, string, string) error { return control.ErrNotOffered }

// JailSettings implements control.Settings.
func (v verbs) JailSettings(context.Context, string) (control.JailSettings, error) {
	return control.JailSettings{}, control.ErrNotOffered
}

// ChangeJail implements control.Settings.
func (v verbs) ChangeJail(context.Context, string, control.Change) error {
	return control.ErrNotOffered
}

// ActionNames implements control.Actions.
func (v verbs) ActionNames(_ context.Context, name string) ([]string, error) {
	j, err := v.byName(name)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range j.config.Actions {
		out = append(out, a.ActName)
	}
	return out, nil
}

// Action implements control.Actions.
func (v verbs) Action(context.Context, string, string) (control.Action, error) {
	return control.Action{}, control.ErrNotOffered
}

// AddAction implements control.Actions.
func (v verbs) AddAction(context.Context, string, control.NewAction) error {
	return control.ErrNotOffered
}

// DeleteAction implements control.Actions.
func (v verbs) DeleteAction(context.Context, string, string) error { return control.ErrNotOffered }

// ChangeAction implements control.Actions.
func (v verbs) ChangeAction(context.Context, string, string, string, string) error {
	return control.ErrNotOffered
}

// CallAction implements control.Actions.
func (v verbs) CallAction(context.Context, string, string, string, json.RawMessage) (any, error) {
	return nil, control.ErrNotOffered
}

// Configure implements control.Streams.
func (v verbs) Configure(context.Context, *control.Stream) error { return control.ErrNotOffered }

// Reload implements control.Streams.
func (v verbs) Reload(context.Context, control.ReloadOptions, *control.Stream) error {
	return control.ErrNotOffered
}
