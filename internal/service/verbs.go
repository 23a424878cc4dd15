package service

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// verbs implements control.Verbs over a Service. Settings and actions of jails
// are in settings*.go, streams in stream.go.
type verbs struct{ *Service }

var _ control.Verbs = verbs{}

// Version implements control.Lifecycle.
func (v verbs) Version() string { return v.cfg.Version }

// FlushLogs implements control.Lifecycle.
func (v verbs) FlushLogs(context.Context) (rolled bool, err error) { return v.reopenLog() }

// ConfigError implements control.Lifecycle.
func (v verbs) ConfigError(text string) {
	v.log.Error("configuration error found by a client", "problem", text)
}

// JailNames implements control.Jails. Under fail2ban's names the built-in jail
// is not shown while it has no ban: there is none in fail2ban.
func (v verbs) JailNames(context.Context) ([]string, error) {
	var names []string
	for _, j := range v.jails() {
		if v.cfg.Fail2ban && j.builtIn() && v.ledger.Totals(j.identity).Current == 0 {
			continue
		}
		names = append(names, j.config.Name)
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
func (v verbs) JailStatus(ctx context.Context, name string, detail control.Detail) (control.JailStatus, error) {
	j, err := v.byName(name)
	if err != nil {
		return control.JailStatus{}, err
	}
	c := j.config
	out := control.JailStatus{Backend: shownBackend(c), Files: logPaths(c), Journal: readsJournal(c), JournalMatch: journalMatches(c)}
	out.FailedNow, out.FailedTotal = v.window.Failing(j.identity)
	totals := v.ledger.Totals(j.identity)
	out.BannedNow, out.BannedTotal = totals.Current, totals.Total
	if detail >= control.WithBans {
		for _, b := range v.bansInOrder(j) {
			out.Banned = append(out.Banned, b.ID.String())
		}
	}
	if j.drop != nil {
		out.NotEnforced = v.NotEnforced(ctx)
	}
	return out, nil
}

// NotEnforced implements control.Jails. A dry run is not asked to enforce.
func (v verbs) NotEnforced(context.Context) string {
	if v.nft == nil {
		return ""
	}
	if ok, why := v.enforced(); !ok {
		return why
	}
	return ""
}

// shownBackend is what a jail reads its lines with, as fail2ban names it.
func shownBackend(c *config.Jail) string {
	switch {
	case readsJournal(c):
		return "systemd"
	case c.Backend.Name == "" || c.Backend.Name == "auto":
		return "pyinotify"
	}
	return c.Backend.Name
}

// bansInOrder returns a jail's bans in the order in which they began.
func (s *Service) bansInOrder(j *jail) []pipeline.Banned {
	bans := s.ledger.Banned(j.identity)
	slices.SortStableFunc(bans, func(a, b pipeline.Banned) int { return cmp.Compare(a.AtNanos, b.AtNanos) })
	return bans
}

// filesOf returns the files that a jail's lines come from; a journal is none.
func (v verbs) filesOf(j *jail) []string {
	var out []string
	if j.journal != nil {
		return out
	}
	for _, in := range v.inputList() {
		if in.current().Counters(j.identity) != nil {
			out = append(out, in.Name)
		}
	}
	return out
}

// AddJail implements control.Jails: the jail does not read before it is started.
func (v verbs) AddJail(ctx context.Context, name, backend string) error {
	v.reloading.Lock()
	defer v.reloading.Unlock()
	if v.jail(name) != nil {
		return control.ErrorDuplicateJail(name)
	}
	c, err := newDraft(name, backend)
	if err != nil {
		return err
	}
	j, err := compile(c)
	if err != nil {
		return err
	}
	j.stopped = true
	return v.apply(ctx, append(slices.Clone(v.jails()), j))
}

// StartJail implements control.Jails.
func (v verbs) StartJail(ctx context.Context, name string) error {
	return v.editJail(ctx, name, func(next *jail, _ *config.Jail) error {
		next.stopped = false
		return nil
	})
}

// StopJail implements control.Jails.
func (v verbs) StopJail(ctx context.Context, name string) error {
	v.reloading.Lock()
	defer v.reloading.Unlock()
	if _, err := v.byName(name); err != nil {
		return err
	}
	return v.apply(ctx, replaced(v.jails(), name, nil))
}

// StopAllJails implements control.Jails.
func (v verbs) StopAllJails(ctx context.Context) error {
	v.reloading.Lock()
	defer v.reloading.Unlock()
	return v.apply(ctx, nil)
}

// BanList implements control.Bans.
func (v verbs) BanList(_ context.Context, name string) ([]control.Ban, error) {
	j, err := v.byName(name)
	if err != nil {
		return nil, err
	}
	var out []control.Ban
	for _, b := range v.bansInOrder(j) {
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
	_, banned := v.ledger.Lookup(j.identity, commandID(id))
	return banned, nil
}

// Ban implements control.Bans.
func (v verbs) Ban(ctx context.Context, name string, ids []string) (int, error) {
	j, err := v.byName(name)
	if err != nil {
		return 0, err
	}
	done, err := v.banIDs(ctx, j, ids, nil)
	// The number is what the ledger took: scripts reckon with it. Who was
	// refused, or is not in the kernel, the log and status say.
	for _, r := range done.Refused {
		v.log.Error("ban by command", "jail", name, "id", r.ID, "problem", r.Problem)
	}
	return done.Changed, err
}

// Unban implements control.Bans.
func (v verbs) Unban(ctx context.Context, name string, ids []string) (ended int, absent []string, err error) {
	j, err := v.byName(name)
	if err != nil {
		return 0, nil, err
	}
	for _, id := range ids {
		n, err := v.ledger.Unban(ctx, j.identity, []pipeline.ID{commandID(id)}, v.clock.Now())
		if err != nil {
			v.log.Error("unban", "jail", name, "id", id, "problem", err)
		}
		v.window.Forget(j.identity, commandID(id))
		if n == 0 {
			absent = append(absent, id)
			v.forget(ctx, []*jail{j}, commandID(id))
		}
		ended += n
	}
	return ended, absent, nil
}

// UnbanEverywhere implements control.Bans.
func (v verbs) UnbanEverywhere(ctx context.Context, ids []string) (int, error) {
	n, err := v.unbanIDs(ctx, nil, ids)
	for _, id := range ids {
		v.forget(ctx, v.jails(), commandID(id))
	}
	return n, v.freed(err)
}

// UnbanAll implements control.Bans.
func (v verbs) UnbanAll(ctx context.Context) (int, error) {
	n, err := v.unbanIDs(ctx, nil, nil)
	v.forget(ctx, v.jails())
	return n, v.freed(err)
}

// freed logs who could not be freed in the kernel: the ledger has freed him all
// the same, and the number is what scripts reckon with. What remains is returned.
func (v verbs) freed(err error) error {
	var out Done
	err = out.refuse(err, "not freed in the kernel")
	for _, r := range out.Refused {
		v.log.Error("unban by command", "id", r.ID, "problem", r.Problem)
	}
	return err
}

// Attempt implements control.Bans. As in fail2ban it counts whoever it is: whom
// the jail ignores, it ignores in its log.
func (v verbs) Attempt(_ context.Context, name, id string, matches []string) (int, error) {
	j, err := v.byName(name)
	if err != nil {
		return 0, err
	}
	n := max(1, len(matches))
	f := pipeline.Failure{Jail: j.identity, ID: commandID(id), AtNanos: v.clock.Now(), Count: n, Attempts: n}
	banLog{v.out}.attempt(&f)
	v.line.Count(&f)
	return 1, nil
}
