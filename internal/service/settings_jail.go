package service

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/matchers/dates"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// JailSettings implements control.Settings.
func (v verbs) JailSettings(_ context.Context, name string) (control.JailSettings, error) {
	j, err := v.byName(name)
	if err != nil {
		return control.JailSettings{}, err
	}
	c := j.config
	out := control.JailSettings{
		Idle: j.idle, LogPaths: logPaths(c), LogEncoding: shownEncoding(c.Logencoding.Text), JournalMatch: journalMatches(c),
		PrefRegex: shownRegexes(c, c.Prefregex)[0], FailRegex: shownRegexes(c, c.Failregex...), IgnoreRegex: shownRegexes(c, c.Ignoreregex...),
		DatePattern: v.shownDates(c), LogTimeZone: c.Logtimezone.Text, IgnoreSelf: c.Ignore.Self, IgnoreIP: ignoredTexts(c),
		IgnoreCommand: c.Ignore.Command.Text, UseDNS: shownUseDNS(c), FindTime: c.FindTime, BanTime: c.BanTime,
		MaxRetry: c.MaxRetry, MaxMatches: c.MaxMatches, MaxLines: max(1, c.Maxlines), BanTimeOptions: banTimeOptions(c),
	}
	if c.BanTime < 0 {
		out.BanTime = -time.Second
	}
	if cache := c.Ignore.Cache; cache != nil {
		out.IgnoreCache = &control.IgnoreCache{Key: cache.Key.Text, MaxCount: cache.MaxCount, MaxTime: cache.MaxTime}
	}
	return out, nil
}

// readsJournal says whether a jail reads the journal instead of files.
func readsJournal(c *config.Jail) bool {
	found := slices.ContainsFunc(c.LogPaths, func(p config.LogPath) bool { return len(p.Expand()) > 0 })
	return checkedJournal(c, found) != nil
}

// logPaths returns the files that a jail watches: those that a pattern means
// now, and a path without wildcards whether it is there or not.
func logPaths(c *config.Jail) []string {
	var out []string
	if readsJournal(c) {
		return out
	}
	for _, p := range c.LogPaths {
		files := []string{p.Pattern.Text}
		if p.IsPattern() {
			files = p.Expand()
		}
		for _, f := range files {
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	return out
}

// journalMatches returns the alternatives of a jail that reads the journal.
func journalMatches(c *config.Jail) [][]string {
	if !readsJournal(c) {
		return nil
	}
	return texts2(alternatives(c.Journalmatch))
}

func texts2(lists [][]config.Value) [][]string {
	var out [][]string
	for _, l := range lists {
		out = append(out, texts(l))
	}
	return out
}

// alternatives splits matches at their "+".
func alternatives(matches [][]config.Value) [][]config.Value {
	var out [][]config.Value
	for _, m := range matches {
		var one []config.Value
		for _, v := range m {
			if v.Text == "+" {
				out, one = append(out, one), nil
				continue
			}
			one = append(one, v)
		}
		out = append(out, one)
	}
	return out
}

// shownEncoding is how fail2ban names a log encoding; auto is the locale's.
func shownEncoding(text string) string {
	if text != "" && !strings.EqualFold(text, "auto") {
		return text
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if _, charset, ok := strings.Cut(os.Getenv(name), "."); ok {
			charset, _, _ = strings.Cut(charset, "@")
			return charset
		}
	}
	return "UTF-8"
}

// theirIPv6 is how fail2ban's <HOST> writes what ours does in fewer steps: the
// same texts match.
var theirIPv6 = strings.NewReplacer(`(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|:){1,7}(?:[0-9a-fA-F]{1,4}|:))`,
	`(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):))`)

// shownRegexes are regular expressions as fail2ban shows them: with the groups
// that its tags stand for. There is always at least one; it is empty for an
// expression that is not set.
func shownRegexes(c *config.Jail, list ...config.Value) []string {
	dns, _ := matchers.ParseUseDNS(c.Usedns.Text) // it was compiled with it
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = theirIPv6.Replace(matchers.ExpandTags(v.Text, dns))
	}
	return out
}

func shownUseDNS(c *config.Jail) string {
	if c.Usedns.Text == "" {
		return "warn"
	}
	return strings.ToLower(c.Usedns.Text)
}

// shownDates says how a jail finds dates; nil where it does not: the journal
// knows the time.
func (s *Service) shownDates(c *config.Jail) *control.DatePattern {
	if readsJournal(c) && len(c.Datepattern) == 0 {
		return nil
	}
	d, err := dates.New(dates.Setting{Patterns: texts(c.Datepattern), Zone: c.Logtimezone.Text}, s.clock.Now())
	if err != nil { // it was compiled with the same
		return &control.DatePattern{Name: "Default Detectors"}
	}
	pattern, _, name := d.Shown()
	return &control.DatePattern{Pattern: pattern, Name: name}
}

// ignoredTexts are the items of ignoreip in fail2ban's order: networks and
// names before addresses.
func ignoredTexts(c *config.Jail) []string {
	var first, addresses []string
	for _, item := range c.Ignore.List {
		text := ignoreText(item)
		_, single := pipeline.ParseID(text).Addr()
		switch {
		case single && item.Kind != config.IgnoreFile:
			addresses = append(addresses, text)
		default:
			first = append(first, text)
		}
	}
	return append(first, addresses...)
}

// banTimeOptions are the options bantime.X that somebody has set, by X, with
// the types that fail2ban keeps them in.
func banTimeOptions(c *config.Jail) map[string]any {
	out := map[string]any{}
	for name, v := range c.Options {
		extra, ok := strings.CutPrefix(name, "bantime.")
		if !ok || !v.IsSet() || v.Text == "" {
			continue
		}
		switch extra {
		case "increment":
			out[extra] = c.Increment.Enabled
		case "overalljails":
			out[extra] = c.Increment.OverallJails
		case "maxtime":
			out[extra] = wholeOrFloat(c.Increment.MaxTime)
		case "rndtime":
			out[extra] = wholeOrFloat(c.Increment.RndTime)
		default:
			out[extra] = v.Text
		}
	}
	return out
}

func wholeOrFloat(d time.Duration) any {
	if d%time.Second == 0 {
		return int64(d / time.Second)
	}
	return d.Seconds()
}
