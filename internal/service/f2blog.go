package service

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/ignore"
	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// The loggers of fail2ban whose lines are read by others.
const (
	loggerFilter   = "fail2ban.filter"
	loggerActions  = "fail2ban.actions"
	loggerObserver = "fail2ban.observer"
	loggerServer   = "fail2ban.server"
)

// banLog writes what happens to bans as fail2ban does, line for line. What
// fail2ban has no line for is worded so that nobody takes it for one of those.
type banLog struct{ out *logtarget.Log }

// about is how a line begins that is about an ID of a jail.
func about(j *pipeline.Jail, verb string, id pipeline.ID) string {
	var room [96]byte
	return string(appendAbout(room[:0], j, verb, id))
}

func appendAbout(b []byte, j *pipeline.Jail, verb string, id pipeline.ID) []byte {
	b = append(append(append(b, '['), logtarget.Jail(j.Name)...), "] "...)
	if verb != "" {
		b = append(append(b, verb...), ' ')
	}
	if _, ok := id.Prefix(); ok { // nothing to escape
		return id.AppendTo(b)
	}
	return append(b, logtarget.ID(id.String())...)
}

// Observe implements pipeline.Observer.
func (l banLog) Observe(e pipeline.Event) {
	j, id := e.Ban.Jail, e.Ban.ID
	actions := func(level logtarget.Level, text string) { l.out.Print(level, loggerActions, false, text) }
	switch e.Kind {
	case pipeline.EventBan:
		if e.Ban.Restored {
			actions(logtarget.Notice, about(j, "Restore Ban", id))
			return
		}
		actions(logtarget.Notice, about(j, "Ban", id))
		if t := e.Ban.Ticket; t != nil && t.Grown != nil {
			l.grown(&e.Ban)
		}
	case pipeline.EventUnban:
		actions(logtarget.Notice, about(j, "Unban", id))
	case pipeline.EventAlready:
		// Who is banned and goes on is told of again at the 2nd, 4th, 8th… time.
		if e.Leaks&(e.Leaks-1) == 0 {
			actions(alreadyLevel(time.Duration(e.AtNanos-e.Ban.AtNanos)), about(j, "", id)+" already banned")
		}
	case pipeline.EventTooLate:
		actions(logtarget.Info, about(j, "Ignore", id)+", expired bantime")
	case pipeline.EventFull:
		actions(logtarget.Error, about(j, "No room for", id)+": too many bans")
	case pipeline.EventRefused:
		actions(logtarget.Error, about(j, "Not enforced:", id)+": "+logtarget.Text(fmt.Sprint(e.Err)))
	case pipeline.EventEnforced:
		actions(logtarget.Info, about(j, "Enforced now:", id))
	}
}

// grown writes what bantime.increment made of a new ban: what is known of whom
// it bans, and how long it lasts where that is longer than the jail's bans.
func (l banLog) grown(b *pipeline.Ban) {
	g := b.Ticket.Grown
	say := func(level logtarget.Level, text string) { l.out.Print(level, loggerObserver, false, text) }
	if !g.Again {
		say(logtarget.Info, fmt.Sprintf("%s is bad: %d # last %s - incr %s to %s", about(b.Jail, "IP", b.ID), g.Before,
			time.Unix(0, g.LastNanos).Format(time.DateTime), lengthText(g.From.Seconds()), lengthText(g.To.Seconds())))
	}
	if g.To != g.From {
		say(logtarget.Notice, fmt.Sprintf("%s (%d # %s)", about(b.Jail, "Increase Ban", b.ID), b.Ticket.Count, lasting(b)))
	}
}

// bad writes that a failure of somebody who was banned bans times counts as
// weight, maxRetry at most: fail2ban's weights are floats, its maxretry is not.
func (l banLog) bad(f *pipeline.Failure, bans, weight, maxRetry int) {
	if !l.out.Room(logtarget.Info) {
		return
	}
	counts, ban := strconv.Itoa(weight)+".0", ""
	if weight > maxRetry {
		counts = strconv.Itoa(maxRetry)
	}
	if weight >= maxRetry {
		ban = ", Ban"
	}
	l.out.Print(logtarget.Info, loggerObserver, true, fmt.Sprintf("%s, bad - %s, %d # -> %s%s", about(f.Jail, "Found", f.ID),
		time.Unix(0, f.AtNanos).Format(time.DateTime), bans, counts, ban))
}

// alreadyLevel is the level of "already banned", by the time since the ban.
func alreadyLevel(since time.Duration) logtarget.Level {
	switch {
	case since < 3*time.Second:
		return logtarget.Debug
	case since < time.Minute:
		return logtarget.Notice
	}
	return logtarget.Warning
}

// lasting is how long a ban lasts and when it ends, as an increased one is logged.
func lasting(b *pipeline.Ban) string {
	if b.UntilNanos == pipeline.Permanent {
		return "permanent -> infinite"
	}
	return lengthText(float64(b.UntilNanos-b.AtNanos)/1e9) + " -> " + time.Unix(0, b.UntilNanos).Format(time.DateTime)
}

// lengthText writes a number of seconds as fail2ban's log does: the longer, the coarser.
func lengthText(seconds float64) string {
	const hour, day, week, year = 60, 24 * 60, 7 * 24 * 60, 365 * 24 * 60 // minutes
	if seconds < 3595 {
		return parts(int64(seconds), "m", 60, "s", 1)
	}
	minutes := func(unit float64) int64 { return int64(math.RoundToEven(seconds/unit) * unit / 60) }
	switch {
	case seconds < 86400:
		return parts(int64(seconds+5)/60, "h", hour, "m", 1)
	case seconds < 7*86400:
		return parts(minutes(60), "d", day, "h", hour, "m", 1)
	case seconds < 365*86400:
		return parts(minutes(3600), "w", week, "d", day, "h", hour)
	}
	years := int64(seconds) / (365 * 86400)
	rest := int64(math.RoundToEven((seconds-float64(years*365*86400))/86400)) * day
	return parts(years*year+rest, "y", year, "w", week, "d", day)
}

// parts writes n in the given units, those that it has none of left out.
func parts(n int64, units ...any) string {
	out := ""
	for i := 0; i < len(units); i += 2 {
		size := int64(units[i+1].(int))
		if n/size > 0 {
			if out != "" {
				out += " "
			}
			out += strconv.FormatInt(n/size, 10) + units[i].(string)
		}
		n %= size
	}
	if out == "" {
		return "0"
	}
	return out
}

// lifted writes the bans that end with their jail, or with the service. They
// come back with it, as "Restore Ban".
func (l banLog) lifted(bans []pipeline.Banned) {
	for i := range bans {
		l.out.Print(logtarget.Notice, loggerActions, false, about(bans[i].Jail, "Unban", bans[i].ID))
	}
}

// found writes the failures that were found. Where lines come faster than the
// log takes them these are left out, and counted.
func (l banLog) found(failures []pipeline.Failure) {
	for i := range failures {
		if f := &failures[i]; l.out.Room(logtarget.Info) {
			l.out.Print(logtarget.Info, loggerFilter, true, l.seen("Found", f))
		}
	}
}

// attempt writes a failure that a command tells of.
func (l banLog) attempt(f *pipeline.Failure) {
	l.out.Print(logtarget.Info, loggerFilter, false, l.seen("Attempt", f))
}

func (l banLog) seen(verb string, f *pipeline.Failure) string {
	var room [128]byte
	b := append(appendAbout(room[:0], f.Jail, verb, f.ID), " - "...)
	return string(time.Unix(0, f.AtNanos).AppendFormat(b, time.DateTime))
}

// ignored writes whom a jail does not count.
func (l banLog) ignored(j *pipeline.Jail, id pipeline.ID, by ignore.Source) {
	if l.out.Room(logtarget.Info) {
		l.out.Print(logtarget.Info, loggerFilter, true, about(j, "Ignore", id)+" by "+by.String())
	}
}

// MainOf returns what fail2ban.conf says, as far as it can be understood.
func MainOf(o config.Options) config.Main {
	o.Only = Manual // no jail is of interest
	tree, _ := config.Load(o)
	return tree.Main
}

// unwritten says that a jail reads the log that fail2ban.conf names, as recidive
// does, and that it is not the one that is written.
func (s *Service) unwritten(j *jail) (path string, is bool) {
	path, _, _ = strings.Cut(s.mainTarget, "[")
	path = strings.TrimSpace(path)
	return path, strings.HasPrefix(path, "/") && path != s.out.Target() && j.logPath(path) != nil
}

// reopenLog opens the log again, for a file that was moved away; rolled says
// that it is a file.
func (s *Service) reopenLog() (rolled bool, err error) {
	rolled, err = s.out.Reopen()
	switch {
	case err != nil:
		s.log.Error("log is not opened again, it goes on as it was", "target", s.out.Target(), "problem", err)
	case rolled:
		s.out.Print(logtarget.Info, loggerServer, false, "rollover performed on "+logtarget.Text(s.out.Target()))
	default:
		s.out.Print(logtarget.Info, loggerServer, false, "flush performed on "+logtarget.Text(s.out.Target()))
	}
	return rolled, err
}
