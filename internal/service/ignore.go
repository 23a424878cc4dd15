package service

import (
	"log/slog"
	"reflect"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/ignore"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// newGuard returns what knows whom the jails never count, without jails.
func newGuard(log *slog.Logger, lines banLog) *ignore.Guard {
	return ignore.New(ignore.Config{Observer: lines.ignored, Log: log})
}

// ignoreRules is what a configured jail says about whom it never counts.
func ignoreRules(c *config.Jail) ignore.Rules {
	r := ignore.Rules{Self: c.Ignore.Self, Command: c.Ignore.Command.Text}
	for _, item := range c.Ignore.List {
		text := item.Value.Text
		if item.Kind == config.IgnoreFile {
			text = "file:" + text
		}
		r.Items = append(r.Items, text)
	}
	if cache := c.Ignore.Cache; cache != nil {
		r.Cache = &ignore.Cache{Key: cache.Key.Text, MaxCount: cache.MaxCount, MaxTime: cache.MaxTime}
	}
	return r
}

// setIgnore puts the jails' rules in force.
func (s *Service) setIgnore(jails []*jail) {
	rules := make(map[*pipeline.Jail]ignore.Rules, len(jails))
	for _, j := range jails {
		rules[j.identity] = ignoreRules(j.config)
	}
	s.guard.SetJails(rules)
}

// sameIgnore says whether two jails ignore by the same texts.
func sameIgnore(a, b *config.Jail) bool { return reflect.DeepEqual(ignoreRules(a), ignoreRules(b)) }

// needsFields says whether the failures of a jail must have the named groups of
// their line, for tags of its ignorecommand.
func needsFields(j *jail) bool {
	r := ignoreRules(j.config)
	return r.NeedsFields() || j.wantsFields()
}
