package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// ReloadArgs ask for one jail, or for all where Jail is empty.
type ReloadArgs struct {
	Jail     string `json:"jail,omitempty"`
	Restart  bool   `json:"restart,omitempty"`   // stop the jails before
	Unban    bool   `json:"unban,omitempty"`     // end their bans for good
	IfExists bool   `json:"if_exists,omitempty"` // that there is no such jail is no error
}

// Reloaded is what a reload has changed. Keys are only ever added.
type Reloaded struct {
	Added     []string `json:"added"`
	Changed   []string `json:"changed"`
	Removed   []string `json:"removed"`
	Unchanged int      `json:"unchanged"`
	Disabled  []string `json:"disabled"` // by errors that were there before
}

// ErrNoReload is the error of a reload where there is nothing to read: a pipe.
var ErrNoReload = errors.New("this is a pipe: its jails cannot be changed while it runs")

// A reading is what one look at the configuration came to. Nothing is changed
// by it.
type reading struct {
	main     config.Main
	replaced []config.Replaced // files on disk that ours were taken for
	jails    []*jail           // enabled and without errors, in order
	disabled []string
	problems config.Problems // warnings too
	daemon   bool            // expiry
}

// read reads and compiles the configuration.
func read(o config.Options) *reading {
	o.Fallback = true
	tree, problems := config.Load(o)
	jails, more := compileAll(tree)
	r := &reading{main: tree.Main, replaced: tree.Replaced, jails: jails, problems: slices.Concat(problems, more), daemon: daemonExpiry(&tree.Main, jails)}
	for _, c := range tree.Jails {
		if c.Enabled && named(jails, c.Name) == nil {
			r.disabled = append(r.disabled, c.Name)
		}
	}
	return r
}

// has says whether the configuration enables a jail.
func (r *reading) has(name string) bool {
	return named(r.jails, name) != nil || slices.Contains(r.disabled, name)
}

// known returns the jails of the problems by key.
func (r *reading) known() map[string]string {
	out := map[string]string{}
	for _, p := range r.problems {
		out[p.Key()] = p.Jail
	}
	return out
}

// logProblems logs problems of the configuration.
func (s *Service) logProblems(list config.Problems) {
	for _, p := range list {
		level := slog.LevelWarn
		if p.Severity == config.Error {
			level = slog.LevelError
		}
		s.log.Log(context.Background(), level, "configuration", "problem", p.Error())
	}
}

// Reload reads the configuration again, or that of one jail, and changes what
// has changed. An unchanged jail keeps everything; one that is changed keeps
// its counts, bans and sessions; one that is gone ends, and its bans with it.
// Where there is an error that was not there before, nothing is changed and the
// error says so. Reloads come one after the other. When ctx is done Reload does
// not wait for the kernel any longer; what it began is done all the same.
func (s *Service) Reload(ctx context.Context, name string) (*Reloaded, error) {
	return s.reload(ctx, ReloadArgs{Jail: name})
}

func (s *Service) reload(ctx context.Context, a ReloadArgs) (*Reloaded, error) {
	name := a.Jail
	if s.files == nil {
		return nil, ErrNoReload
	}
	s.reloading.Lock()
	defer s.reloading.Unlock()
	defer s.tellReloading()()
	options := s.cfg.Options
	options.Only = name
	r := read(options)
	if name != "" && a.IfExists && !r.has(name) && s.jail(name) == nil {
		return &Reloaded{Added: []string{}, Changed: []string{}, Removed: []string{}, Unchanged: len(s.jails()), Disabled: []string{}}, nil
	}
	fresh := slices.DeleteFunc(slices.Clone(r.problems), func(p config.Problem) bool { _, old := s.known[p.Key()]; return old })
	err := fresh.Err()
	var c *change
	if err == nil {
		c, err = s.plan(name, r)
	}
	if err != nil {
		s.log.Error("reload refused, nothing has changed", "jail", name, "problem", err)
		return nil, fmt.Errorf("reload refused, nothing has changed:\n%w", err)
	}
	s.logProblems(fresh)
	if r.daemon != s.daemon {
		s.log.Warn("another expiry: in force after a restart")
	}
	if a.Restart || a.Unban {
		again, err := s.anew(ctx, name, a.Restart, a.Unban)
		if err != nil {
			return nil, err
		}
		defer again()
		if c, err = s.plan(name, r); err != nil {
			return nil, err // it was right a moment ago
		}
	}
	s.carryOut(ctx, c)
	maps.DeleteFunc(s.known, func(_, jail string) bool { return name == "" || jail == name })
	maps.Copy(s.known, r.known())
	out := &Reloaded{Added: names(c.added), Changed: names(c.changed), Removed: names(c.removed), Disabled: append([]string{}, r.disabled...)}
	out.Unchanged = len(c.jails) - len(c.added) - len(c.changed)
	s.log.Info("reloaded", "added", out.Added, "changed", out.Changed, "removed", out.Removed, "unchanged", out.Unchanged, "disabled", out.Disabled)
	select {
	case s.grown <- struct{}{}:
	default: // it is told already
	}
	return out, nil
}

func names(jails []*jail) []string {
	out := []string{}
	for _, j := range jails {
		out = append(out, j.config.Name)
	}
	return out
}

// A change is what a reload is going to do.
type change struct {
	jails                   []*jail // that run after it
	added, changed, removed []*jail
	refilter                []*jail // whose filter is another one
	redrop                  []*jail // that drop in another way, added ones too
	before                  map[*jail]*jail
}

// plan compares a reading with the jails that run. The error is an action that
// the sink cannot express.
func (s *Service) plan(name string, r *reading) (*change, error) {
	old := s.jails()
	c := &change{jails: slices.Clone(r.jails), before: map[*jail]*jail{}}
	if name != "" {
		c.jails = replaced(old, name, named(r.jails, name))
	}
	c.jails = withManual(c.jails)
	for i, j := range c.jails {
		if name != "" && j.config.Name != name {
			continue
		}
		before := named(old, j.config.Name)
		if before == nil {
			c.added, c.redrop = append(c.added, j), append(c.redrop, j)
			continue
		}
		j = j.after(before)
		c.jails[i], c.before[j] = j, before
		rules, drop := j.matcher.Filter == before.matcher.Filter, reflect.DeepEqual(j.drop, before.drop)
		if !rules {
			c.refilter = append(c.refilter, j)
		}
		if !drop {
			c.redrop = append(c.redrop, j)
		}
		if !rules || !drop || *before.identity.Policy() != policyOf(j.config) || !sameRest(j, before) {
			c.changed = append(c.changed, j)
		}
	}
	for _, j := range old {
		if named(c.jails, j.config.Name) == nil {
			c.removed = append(c.removed, j)
		}
	}
	return c, s.checkDrops(c.redrop)
}

// replaced returns jails with the one of a name replaced, added where there was
// none, or left out where j is nil.
func replaced(jails []*jail, name string, j *jail) []*jail {
	out := slices.DeleteFunc(slices.Clone(jails), func(x *jail) bool { return j == nil && x.config.Name == name })
	if j == nil {
		return out
	}
	if at := slices.IndexFunc(out, func(x *jail) bool { return x.config.Name == name }); at >= 0 {
		out[at] = j
		return out
	}
	return append(out, j)
}

// after returns the jail as the successor of another: with its identity, and
// with its filter where that says the same.
func (j *jail) after(before *jail) *jail {
	out := *j
	out.identity = before.identity
	out.matcher.Jail = before.identity
	if sameRules(j.config, before.config) {
		out.matcher = before.matcher
	}
	return &out
}

// sameRules says whether two jails match by the same texts.
func sameRules(a, b *config.Jail) bool {
	text := func(c *config.Jail) []string {
		var out []string
		for _, list := range [][]config.Value{c.Failregex, c.Ignoreregex, c.Datepattern, {c.Prefregex, c.Usedns, c.Logtimezone, c.Logencoding}} {
			out = append(append(out, texts(list)...), "\x00")
		}
		return append(out, fmt.Sprint(c.Maxlines))
	}
	return slices.Equal(text(a), text(b))
}

// sameRest says whether two jails agree in what is neither policy nor filter
// nor drop action.
func sameRest(a, b *jail) bool {
	paths := func(j *jail) (out []string) {
		for _, p := range j.config.LogPaths {
			out = append(out, fmt.Sprint(p.Pattern.Text, "\x00", p.Tail))
		}
		return out
	}
	return slices.Equal(paths(a), paths(b)) && slices.Equal(a.other, b.other) && slices.EqualFunc(a.actions, b.actions, (*action).same) &&
		a.blind == b.blind && a.net == b.net && a.kernel == b.kernel && a.idle == b.idle && a.stopped == b.stopped && sameJournal(a, b) &&
		sameIncrement(a.config, b.config) && sameIgnore(a.config, b.config)
}

// checkDrops refuses what the sink cannot express, before anything is changed.
func (s *Service) checkDrops(jails []*jail) error {
	if s.nft == nil {
		return nil
	}
	var errs []error
	for _, j := range jails {
		if j.drop != nil {
			// A name that no jail has: without a ban nothing of it reaches the kernel.
			trial := j.config.Name + "\x00"
			errs = append(errs, s.nft.SetJail(trial, *j.drop), s.nft.RemoveJail(trial))
		}
	}
	return errors.Join(errs...)
}

// carryOut makes the change. From here on nothing can be refused: what the
// kernel does not take is logged and tried again by the sink.
func (s *Service) carryOut(ctx context.Context, c *change) {
	s.serveGate(c.jails)
	for _, j := range c.redrop {
		s.setDrop(j)
	}
	for _, j := range c.jails {
		if _, same := c.before[j]; same {
			j.identity.SetPolicy(policyOf(j.config))
		}
	}
	for _, j := range c.refilter {
		s.alarm.forget(j.identity)
	}
	s.history.setJails(c.jails)
	s.recall(ctx, slices.DeleteFunc(slices.Concat(c.added, c.changed), func(j *jail) bool { b := c.before[j]; return b != nil && b.increment != nil }))
	s.restore(ctx, c.added)
	s.retarget(c)
	s.rejournal(c)
	s.nameJails(ctx)
	for _, j := range c.added {
		s.announce(j)
	}
	s.changeActions(c.jails)
	for _, j := range c.removed {
		s.end(ctx, j)
	}
	// The bans in force of a jail that drops only now, or no longer, go out again.
	if slices.ContainsFunc(c.redrop, func(j *jail) bool { b := c.before[j]; return b != nil && (b.drop == nil || j.drop == nil) }) {
		s.ledger.Resend(s.flusher, pipeline.VerbBan)
	}
	s.files.Rescan()
}

// setDrop tells the sink how a jail drops.
func (s *Service) setDrop(j *jail) {
	if s.nft == nil {
		return
	}
	var err error
	if j.drop == nil {
		err = s.nft.RemoveJail(j.config.Name)
	} else {
		err = s.nft.SetJail(j.config.Name, *j.drop)
	}
	if err != nil {
		s.log.Error("drop action is not changed in the kernel yet", "jail", j.config.Name, "problem", err)
	}
}

// retarget puts the jails in force: each file that is followed gets a matcher
// with those that watch it now. Lines that a source has read already meet the
// one or the other.
func (s *Service) retarget(c *change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.there = map[string]struct{}{}
	for _, j := range slices.Concat(c.added, c.changed) {
		if b := c.before[j]; !j.reads() || b != nil && b.idle {
			continue // an idle jail has seen what there was: it goes on where the file is
		}
		for _, p := range j.config.LogPaths {
			if j.journal != nil {
				break
			}
			for _, path := range p.Expand() {
				if in := s.inputs[path]; in == nil || len(in.current().jails) == 0 {
					s.there[path] = struct{}{}
				}
			}
		}
	}
	s.setJails(c.jails)
	s.retargetLate(c)
	for path, in := range s.inputs {
		was := in.current()
		jails, late := s.newcomers(c, path, was, watchers(c.jails, path))
		if late != nil {
			s.files.CatchUp(path, late.Input, late.start)
		}
		if slices.EqualFunc(was.jails, jails, sameMember) {
			continue
		}
		w, err := s.watch(in, jails, was)
		if err != nil {
			// Every jail was checked when it was compiled.
			s.log.Error("file goes on with the jails before", "path", path, "problem", err)
			continue
		}
		in.SetMatcher(w)
	}
}

// sameMember says whether two jails are one to a matcher.
func sameMember(a, b *jail) bool {
	return a.identity == b.identity && a.matcher.Filter == b.matcher.Filter && needsFields(a) == needsFields(b)
}

// end takes away what a jail has that is gone: its bans, from the ledger and
// the kernel, and what it counted. In the store its bans remain, should it come
// back.
func (s *Service) end(ctx context.Context, j *jail) {
	banned := s.ledger.Totals(j.identity).Current
	banLog{s.out}.lifted(s.ledger.Banned(j.identity))
	// That the sink refuses is no matter: RemoveJail takes all at once.
	_ = s.ledger.Release(ctx, j.identity)
	// A ban that the last lines of the jail cause only now stays out of the kernel.
	s.gate.close(j.identity)
	if s.nft != nil {
		if err := s.nft.RemoveJail(j.config.Name); err != nil {
			s.log.Error("jail's bans are not lifted in the kernel yet", "jail", j.config.Name, "problem", err)
		}
	}
	s.window.Forget(j.identity)
	s.log.Info("jail has ended", "jail", j.config.Name, "lifted", banned)
}
