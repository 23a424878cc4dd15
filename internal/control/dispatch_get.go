package control

import (
	"context"
	"slices"
	"strings"
	"time"
)

// get carries out the words after "get".
func (d *Dispatcher) get(ctx context.Context, c command) (any, error) {
	jail, err := c.text(0)
	if err != nil {
		return nil, err
	}
	if isServerOption(jail) {
		s, err := d.Verbs.ServerSettings(ctx)
		if err != nil {
			return nil, err
		}
		v, _ := serverValue(s, jail)
		return v, nil
	}
	option, err := c.text(1)
	if err != nil {
		return nil, err
	}
	switch option {
	case "banned":
		return d.bannedIn(ctx, jail, c.texts(2))
	case "banip":
		return d.banList(ctx, jail, c.is(2, "--with-time"))
	case "actions":
		names, err := d.Verbs.ActionNames(ctx, jail)
		return listOf(names), err
	case "action", "actionproperties", "actionmethods":
		return d.getAction(ctx, jail, option, c)
	}
	// An option that is none is told before a jail that is none.
	if _, known := jailValue(JailSettings{}, option); !known {
		return nil, ErrNotOffered
	}
	s, err := d.Verbs.JailSettings(ctx, jail)
	if err != nil {
		return nil, err
	}
	v, _ := jailValue(s, option)
	return v, nil
}

func isServerOption(name string) bool {
	_, known := serverValue(ServerSettings{}, name)
	return known
}

// serverValue is an option of the server as fail2ban replies it.
func serverValue(s ServerSettings, option string) (v any, known bool) {
	switch option {
	case "loglevel":
		return s.LogLevel, true
	case "logtarget":
		return s.LogTarget, true
	case "syslogsocket":
		return s.SyslogSocket, true
	case "thread":
		return Dict{{"stacksize", s.StackSize}}, true
	case "dbfile", "dbmaxmatches", "dbpurgeage":
	default:
		return nil, false
	}
	if s.DBFile == "" {
		return nil, true
	}
	switch option {
	case "dbfile":
		return s.DBFile, true
	case "dbmaxmatches":
		return s.DBMaxMatches, true
	}
	return seconds(s.DBPurgeAge), true
}

// jailValue is an option of a jail as fail2ban replies it.
func jailValue(s JailSettings, option string) (v any, known bool) {
	switch option {
	case "idle":
		return s.Idle, true
	case "logpath":
		return listOf(s.LogPaths), true
	case "logencoding":
		return s.LogEncoding, true
	case "journalmatch":
		return listOfLists(s.JournalMatch), true
	case "prefregex":
		return s.PrefRegex, true
	case "failregex":
		return listOf(s.FailRegex), true
	case "ignoreregex":
		return listOf(s.IgnoreRegex), true
	case "datepattern":
		return dateValue(s.DatePattern), true
	case "logtimezone":
		return textOrNone(s.LogTimeZone), true
	case "ignoreself":
		return s.IgnoreSelf, true
	case "ignoreip":
		return listOf(s.IgnoreIP), true
	case "ignorecommand":
		return s.IgnoreCommand, true
	case "ignorecache":
		return cacheValue(s.IgnoreCache), true
	case "usedns":
		return s.UseDNS, true
	case "findtime":
		return seconds(s.FindTime), true
	case "bantime":
		return seconds(s.BanTime), true
	case "maxretry":
		return s.MaxRetry, true
	case "maxmatches":
		return s.MaxMatches, true
	case "maxlines":
		return s.MaxLines, true
	}
	if extra, ok := strings.CutPrefix(option, "bantime."); ok {
		return s.BanTimeOptions[extra], true
	}
	return nil, false
}

func dateValue(p *DatePattern) any {
	if p == nil {
		return nil
	}
	return Tuple{textOrNone(p.Pattern), p.Name}
}

func cacheValue(c *IgnoreCache) any {
	if c == nil {
		return nil
	}
	return []any{c.Key, c.MaxCount, seconds(c.MaxTime)}
}

func textOrNone(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func listOf(s []string) []any {
	list := make([]any, len(s))
	for i := range s {
		list[i] = s[i]
	}
	return list
}

func listOfLists(s [][]string) []any {
	list := make([]any, len(s))
	for i := range s {
		list[i] = listOf(s[i])
	}
	return list
}

// getAction carries out "get JAIL action A PROPERTY" and the two that list.
func (d *Dispatcher) getAction(ctx context.Context, jail, what string, c command) (any, error) {
	name, err := c.text(2)
	if err != nil {
		return nil, err
	}
	var property string
	if what == "action" {
		if property, err = c.text(3); err != nil {
			return nil, err
		}
	}
	a, err := d.Verbs.Action(ctx, jail, name)
	if err != nil {
		return nil, err
	}
	switch what {
	case "action":
		return a.property(property)
	case "actionmethods":
		return listOf(pythonSorted(a.Methods)), nil
	}
	names := make([]string, len(a.Properties))
	for i, p := range a.Properties {
		names[i] = p.Name
	}
	return listOf(pythonSorted(names)), nil
}

// bannedIn lists the bans of a jail, or tells of the IDs whether they are
// banned there: a number for one, a list of them for several.
func (d *Dispatcher) bannedIn(ctx context.Context, jail string, ids []string) (any, error) {
	if len(ids) == 0 {
		return d.bannedIDs(ctx, jail)
	}
	flags := make([]any, len(ids))
	for i, id := range ids {
		banned, err := d.Verbs.IsBanned(ctx, jail, id)
		if err != nil {
			return nil, err
		}
		flags[i] = 0
		if banned {
			flags[i] = 1
		}
	}
	if len(flags) == 1 {
		return flags[0], nil
	}
	return flags, nil
}

func (d *Dispatcher) bannedIDs(ctx context.Context, jail string) ([]any, error) {
	bans, err := d.Verbs.BanList(ctx, jail)
	if err != nil {
		return nil, err
	}
	list := make([]any, len(bans))
	for i, b := range bans {
		list[i] = b.ID
	}
	return list, nil
}

// banList lists the bans of a jail by their end, where asked for with times:
// beginning, length and end, in local time.
func (d *Dispatcher) banList(ctx context.Context, jail string, withTime bool) (any, error) {
	bans, err := d.Verbs.BanList(ctx, jail)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(bans, func(a, b Ban) int { return a.end().Compare(b.end()) })
	list := make([]any, len(bans))
	for i, b := range bans {
		list[i] = b.ID
		if withTime {
			list[i] = b.ID + " \t" + stamp(b.At) + " + " + Str(wholeSeconds(b.BanTime)) + " = " + stamp(b.end())
		}
	}
	return list, nil
}

// end is when a ban ends; fail2ban's last second for one that does not.
func (b Ban) end() time.Time {
	if b.BanTime < 0 {
		return time.Date(9999, time.December, 31, 23, 59, 59, 0, time.Local)
	}
	return b.At.Add(b.BanTime)
}

// wholeSeconds is how a ban's length is written: cut to seconds, -1 for ever.
// Bans of one command begin nanoseconds after each other and end together.
func wholeSeconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64(d.Round(time.Microsecond) / time.Second)
}

func stamp(t time.Time) string { return t.Local().Format(time.DateTime) }
