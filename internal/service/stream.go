package service

import (
	"context"
	"errors"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Configure implements control.Streams: jails of the stream that run already
// are changed to what it says.
func (v verbs) Configure(ctx context.Context, st *control.Stream) error {
	v.reloading.Lock()
	defer v.reloading.Unlock()
	drafts, err := v.drafts(st)
	if err = errors.Join(err, v.takesDatabase(st)); err != nil {
		return err
	}
	jails := v.jails()
	for _, d := range drafts {
		jails = replaced(jails, d.config.Name, d)
	}
	return v.take(ctx, st, jails)
}

// Reload implements control.Streams. Everything is compiled before anything is
// touched: one expression that is wrong leaves all jails as they are, where
// fail2ban would have stopped them.
func (v verbs) Reload(ctx context.Context, o control.ReloadOptions, st *control.Stream) error {
	v.reloading.Lock()
	defer v.reloading.Unlock()
	defer v.tellReloading()()
	if o.Jail != "" && !o.IfExists && v.jail(o.Jail) == nil {
		return control.ErrorUnknownJail(o.Jail)
	}
	drafts, err := v.drafts(st)
	if err = errors.Join(err, v.takesDatabase(st)); err != nil {
		v.log.Error("reload refused, nothing has changed", "jail", o.Jail, "problem", err)
		return err
	}
	jails := drafts
	if o.Jail != "" {
		jails = v.jails()
		if named(drafts, o.Jail) == nil {
			jails = replaced(jails, o.Jail, nil)
		}
		for _, d := range drafts {
			jails = replaced(jails, d.config.Name, d)
		}
	}
	if _, err := v.plan("", &reading{jails: jails}); err != nil {
		return err
	}
	again, err := v.anew(ctx, o.Jail, o.Restart, o.Unban)
	if err != nil {
		return err
	}
	defer again()
	return v.take(ctx, st, jails)
}

// take puts the options of the server and the jails of a stream in force.
func (v verbs) take(ctx context.Context, st *control.Stream, jails []*jail) error {
	for _, text := range st.Errors {
		v.ConfigError(text)
	}
	for _, change := range st.Server {
		if change.Option == "logtarget" && change.Value == v.mainTarget {
			continue // as it was when the service began: a flag of its own may say otherwise
		}
		if err := v.ChangeServer(ctx, change.Option, change.Value); err != nil {
			return err
		}
	}
	if err := v.apply(ctx, jails); err != nil {
		return err
	}
	v.log.Info("configured by a client", "jails", len(jails))
	return nil
}

// takesDatabase refuses a stream that names another database than the one in
// use, before anything of it is in force.
func (v verbs) takesDatabase(st *control.Stream) error {
	for _, change := range st.Server {
		if change.Option == "dbfile" {
			if err := v.keepsDatabase(v.settings.get().DBFile, change.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// anew does what a reload does before the new values are in force: it ends the
// bans of a jail (empty: of all) for good, or stops it. again gives a stopped
// jail that is back the bans that it had: the store may not have the last of
// them yet. The caller holds s.reloading, and knows that what follows can be
// carried out.
func (s *Service) anew(ctx context.Context, name string, restart, unban bool) (again func(), err error) {
	again = func() {}
	if !restart && !unban {
		return again, nil
	}
	rest, bans := []*jail{}, map[string][]pipeline.Banned{}
	for _, j := range s.jails() {
		if name != "" && j.config.Name != name {
			rest = append(rest, j)
			continue
		}
		if unban {
			if _, err := s.ledger.Unban(ctx, j.identity, nil, s.clock.Now()); err != nil {
				s.log.Error("unban", "jail", j.config.Name, "problem", err)
			}
			s.forget(ctx, []*jail{j})
		}
		bans[j.config.Name] = s.bansInOrder(j)
	}
	if !restart {
		return again, nil
	}
	again = func() {
		for name, list := range bans {
			j := s.jail(name)
			if j == nil {
				continue
			}
			back := make([]pipeline.Ban, len(list))
			for i, b := range list {
				back[i] = b.Ban
				back[i].Jail = j.identity
			}
			s.ledger.Restore(back, s.clock.Now())
		}
	}
	return again, s.apply(ctx, rest)
}

// forget removes from the store what it has of IDs in jails; without IDs, of
// the whole jails.
func (s *Service) forget(ctx context.Context, jails []*jail, ids ...pipeline.ID) {
	if s.keep.store == nil {
		return
	}
	for _, j := range jails {
		if err := s.keep.store.Forget(ctx, j.config.Name, ids...); err != nil {
			s.log.Error("bans are not removed from the database", "jail", j.config.Name, "problem", err)
		}
	}
}

// drafts compiles the jails of a stream. The error joins everything that is
// wrong with any of them.
func (s *Service) drafts(st *control.Stream) ([]*jail, error) {
	var out []*jail
	var errs []error
	for _, sj := range st.Jails {
		j, err := s.draft(sj)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, j)
	}
	return out, errors.Join(errs...)
}

// draft compiles one jail of a stream.
func (s *Service) draft(sj *control.StreamJail) (*jail, error) {
	before := s.jail(sj.Name)
	var c *config.Jail
	stopped := !sj.Started
	switch {
	case sj.Added:
		var err error
		if c, err = newDraft(sj.Name, sj.Backend); err != nil {
			return nil, err
		}
		if before != nil {
			c.Counter = before.config.Counter
			keepOwn(c, before.config)
		}
	case before == nil:
		return nil, control.ErrorUnknownJail(sj.Name)
	default:
		c, stopped = draftOf(before.config), before.stopped && !sj.Started
	}
	for _, ch := range sj.Changes {
		if ch.Option == "idle" {
			continue // a reload wakes every jail
		}
		if err := changeDraft(c, ch); err != nil {
			return nil, err
		}
	}
	for _, sa := range sj.Actions {
		if err := streamAction(c, sa); err != nil {
			return nil, err
		}
	}
	s.recognize(c)
	j, err := compile(c)
	if err != nil {
		return nil, err
	}
	j.stopped = stopped
	return j, nil
}

// keepOwn keeps the options that a stream of fail2ban's client cannot carry:
// our own ones of the jail.
func keepOwn(c, before *config.Jail) {
	for name, v := range before.Options {
		if _, set := c.Options[name]; !set && !strings.HasPrefix(name, "bantime.") {
			c.Options[name] = v
		}
	}
}

func streamAction(c *config.Jail, sa *control.StreamAction) error {
	if sa.Added {
		if err := addAction(c, sa.NewAction); err != nil {
			return err
		}
	}
	i, err := actionOf(c, sa.Name)
	if err != nil {
		return err
	}
	for _, p := range sa.Properties {
		if err := setProperty(&c.Actions[i], p.Name, p.Value); err != nil {
			return err
		}
	}
	return nil
}
