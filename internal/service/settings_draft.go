package service

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// byCommand is the file of a value that a client's command set.
const byCommand = "fail2ban-client"

func commanded(text string) config.Value { return config.Value{Text: text, File: byCommand} }

// newDraft returns a jail as fail2ban's server makes it, before anything is set.
func newDraft(name, backend string) (*config.Jail, error) {
	c := &config.Jail{
		Name: name, Enabled: true, MaxRetry: 3, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute, MaxMatches: 5,
		Counter: config.CounterFail2ban, Logencoding: config.Value{Text: "auto"}, Options: map[string]config.Value{},
	}
	c.Ignore.Self = true
	return c, setBackend(c, backend)
}

func setBackend(c *config.Jail, text string) error {
	kind, params, err := config.SplitOptions(text)
	if err != nil {
		return control.ErrorValue("backend %s: %v", text, err)
	}
	switch kind {
	case "auto", "polling", "pyinotify", "gamin", "systemd":
	default:
		return control.ErrorValue("Unknown backend %s. Must be among ['pyinotify', 'polling', 'systemd'] or 'auto'", text)
	}
	c.Backend = config.Backend{Name: kind, Params: params, Value: commanded(text)}
	c.Options["backend"] = commanded(text)
	return nil
}

// draftOf returns a copy of a configured jail that can be changed.
func draftOf(c *config.Jail) *config.Jail {
	out := *c
	out.Problems = nil
	out.Failregex, out.Ignoreregex = slices.Clone(c.Failregex), slices.Clone(c.Ignoreregex)
	out.Datepattern, out.Journalmatch = slices.Clone(c.Datepattern), slices.Clone(c.Journalmatch)
	out.LogPaths, out.Actions = slices.Clone(c.LogPaths), slices.Clone(c.Actions)
	out.Increment.Multipliers, out.Ignore.List = slices.Clone(c.Increment.Multipliers), slices.Clone(c.Ignore.List)
	out.Options = maps.Clone(c.Options)
	if out.Options == nil {
		out.Options = map[string]config.Value{}
	}
	return &out
}

// edit changes a running jail by a draft of its configuration: what is wrong
// with it leaves the jail as it is, and what is right is carried out as a reload
// of that jail.
func (s *Service) edit(ctx context.Context, name string, change func(c *config.Jail) error) error {
	return s.editJail(ctx, name, func(_ *jail, c *config.Jail) error { return change(c) })
}

// editJail is edit for a change that is none of the configuration, too: change
// may set idle and stopped of the new jail.
func (s *Service) editJail(ctx context.Context, name string, change func(next *jail, c *config.Jail) error) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before := s.jail(name)
	if before == nil {
		return control.ErrorUnknownJail(name)
	}
	c := draftOf(before.config)
	state := &jail{idle: before.idle, stopped: before.stopped}
	if err := change(state, c); err != nil {
		return err
	}
	s.recognize(c)
	next, err := compile(c)
	if err != nil {
		return regexError(err, c)
	}
	next.idle, next.stopped = state.idle, state.stopped
	return s.apply(ctx, replaced(s.jails(), name, next))
}

// apply makes these the jails that run; a pipe's are for its whole life. The
// caller holds s.reloading.
func (s *Service) apply(ctx context.Context, jails []*jail) error {
	if s.files == nil {
		return ErrNoReload
	}
	c, err := s.plan("", &reading{jails: jails})
	if err != nil {
		return err
	}
	s.carryOut(ctx, c)
	return nil
}

// regexError turns what is wrong with a regular expression into fail2ban's error
// for it, which shows the expression with the groups that its tags stand for.
func regexError(err error, c *config.Jail) error {
	var wrong *matchers.RegexError
	if !errors.As(err, &wrong) {
		return err
	}
	shown := shownRegexes(c, config.Value{Text: wrong.Regex.Text})[0]
	switch {
	case strings.TrimSpace(wrong.Regex.Text) == "":
		return control.ErrorRegex("Cannot add empty regex")
	case errors.Is(wrong, matchers.ErrNoFailureID):
		return control.ErrorRegex("No failure-id group in '%s'", shown)
	}
	why := wrong.Err
	if _, err := regex.Compile(shown, 0); err != nil {
		why = err // it counts the place in what is shown
	}
	return control.ErrorRegex("Unable to compile regular expression '%s':\n%v", shown, why)
}
