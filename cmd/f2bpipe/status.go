package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/service"
)

type statusCmd struct {
	clientFlags
	Jail string `arg:"" optional:"" help:"Show this jail alone, with everybody that it bans."`
}

// Run shows the state of the service.
func (c *statusCmd) Run(ctx context.Context, s *streams) error {
	var st service.Status
	if err := c.call(ctx, service.VerbStatus, service.StatusArgs{Jail: c.Jail}, &st); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.buffered, &st)
	}
	printStatus(screenOf(s.buffered, s.out), &st, c.Jail != "")
	return nil
}

// printStatus prints what a person wants to know, the worst first.
func printStatus(s screen, st *service.Status, one bool) {
	since := time.Unix(int64(st.Since), 0).Format(time.DateTime)
	if st.Enforced {
		fmt.Fprintf(s, "f2bpipe %s, bans are %s, since %s\n", st.Version, s.paint(green, "enforced"), since)
	} else {
		fmt.Fprintf(s, "f2bpipe %s, bans are %s: %s; since %s\n", st.Version, s.paint(red, "NOT ENFORCED"), printable([]byte(st.Reason)), since)
	}
	kernelLines(s, &st.Kernel)
	s.line("", "configuration: %s", readDirs(st.Config.Dir, st.Config.Other))
	for _, what := range st.Degraded {
		if !strings.HasPrefix(what, "kernel: ") { // the first line has said it
			s.line(yellow, "degraded: %s", what)
		}
	}
	blindList(s, st.Jails)
	for _, j := range st.Jails {
		if j.Degraded != "" {
			s.line(yellow, "%s cannot read its log: %s", j.Name, j.Degraded)
		}
	}
	jailTable(s, st)
	if one {
		jailLines(s, &st.Jails[0])
	}
	rateLines(s, st)
	leakLines(s, st.Leaks)
	recentTable(s, st.Recent)
	if !one {
		sourceTable(s, st.Sources)
	}
}

func jailTable(s screen, st *service.Status) {
	t := table{columns: []column{
		{name: "JAIL", left: true, least: 8}, {name: "FAILING"}, {name: "FAILED", minor: 2}, {name: "BANNED"}, {name: "BANS", minor: 3},
		{name: "ENFORCED", minor: 1}, {name: "LEAKED", minor: 4}, {name: "GUARDED", minor: 5},
		{name: "ACTIONS", left: true, minor: 6, least: 12},
	}}
	row := func(name, colour string, n service.Totals, actions cell) {
		enforced := plain(n.Enforced)
		if n.Enforced < n.Banned {
			enforced.colour = red
		}
		t.add(cell{printable([]byte(name)), colour}, plain(n.Failing), plain(n.Failed), plain(n.Banned), plain(n.Bans), enforced,
			alarming(yellow, n.Leaked), alarming(yellow, n.Guarded), actions)
	}
	for _, j := range st.Jails {
		row(j.Name, "", service.TotalsOf(j), actionCell(j.Actions))
	}
	if len(st.Jails) > 1 {
		row("all", bold, st.Totals, cell{})
	}
	t.print(s)
}

// actionCell says which actions of a jail our own sink carries out, which are
// commands, and which are nothing.
func actionCell(actions []service.ActionStatus) cell {
	var words []string
	colour := ""
	for _, a := range actions {
		switch {
		case a.By == "":
			words, colour = append(words, a.Name+" NOT carried out"), yellow
		case a.Problem != "":
			words, colour = append(words, a.Name+" by "+a.By+" FAILS"), red
		case a.By == "nftables":
			words = append(words, a.Name+" native")
		default:
			words = append(words, a.Name+" by "+a.By)
		}
	}
	c := plain(strings.Join(words, ", "))
	c.colour = colour
	return c
}

// actionLines tells the rest of a jail's actions.
func actionLines(s screen, actions []service.ActionStatus) {
	for _, a := range actions {
		text, colour := "by "+a.By, ""
		switch a.By {
		case "":
			text, colour = "not carried out", yellow
		case "nftables":
			text = "native: carried out in the kernel, without a command"
		default:
			text += fmt.Sprintf(": %d done, %d failed, %d wait", a.Done, a.Failed, a.Pending)
		}
		if a.Reason != "" {
			text += "; " + a.Reason
		}
		if a.Problem != "" {
			text, colour = text+"; FAILS: "+a.Problem, red
		}
		s.line(colour, "action %s: %s", a.Name, text)
	}
}

// jailLines tells the rest of one jail.
func jailLines(s screen, j *service.JailStatus) {
	if j.Filter != "" {
		s.line("", "filter: %s", j.Filter)
	}
	if len(j.Files) > 0 {
		s.line("", "logs: %s", strings.Join(j.Files, " "))
	}
	l := j.Lines
	s.line("", "lines: %d matched, %d ignored, %d too old, %d without a date, %d without an address", l.Matched, l.Ignored, l.TooOld, l.NoDate, l.NoID)
	actionLines(s, j.Actions)
	s.line("", "refused: %d packets, %d bytes", j.Refused.Packets, j.Refused.Bytes)
	if g := j.Guard; g != (service.GuardStatus{}) {
		s.line(yellow, "guard: %d bans of our own addresses, %d of gateways, %d of ssh peers were kept from being", g.Own, g.Gateway, g.SSH)
	}
	s.line("", "banned: %s", strings.Join(j.Banned.List, " "))
}

func rateLines(s screen, st *service.Status) {
	r := st.Rates
	s.line("", "%.1f lines a second; failures: %d in the last minute, %d in the last hour; bans: %d, %d",
		r.LinesPerSecond, r.Failures.Minute, r.Failures.Hour, r.Bans.Minute, r.Bans.Hour)
	if n := st.Networks; n.Groups+n.Subnets+n.Spared+n.Capped > 0 {
		s.line("", "networks: %d /64 and %d subnets banned; %d spared for somebody in them, %d beyond the cap", n.Groups, n.Subnets, n.Spared, n.Capped)
	}
	if c := st.Counter; c.Evicted+c.LostHits > 0 {
		s.line("", "counter: %d of %d places taken, %d evicted, %d first failures forgotten", c.Entries, c.Room, c.Evicted, c.LostHits)
	}
	if l := st.Log; l.Dropped+l.Lost > 0 {
		s.line(yellow, "log: %d lines of failures dropped because they came too fast, %d others lost", l.Dropped, l.Lost)
	}
}

func leakLines(s screen, leaks []service.LeakStatus) {
	for _, l := range leaks {
		if l.Why != "" {
			s.line(yellow, "leak: %s in %s: %d failures although the ban is in the kernel: %s", l.IP, l.Jail, l.Failures, l.Why)
		}
	}
}

// recentTable prints the last bans with what led to them.
func recentTable(s screen, recent []service.RecentBan) {
	if len(recent) == 0 {
		return
	}
	t := table{columns: []column{
		{name: "LAST BANS", left: true}, {name: "JAIL", left: true, minor: 2}, {name: "UNTIL", left: true, minor: 3}, {name: "TIME", left: true, minor: 4},
		{name: "BECAUSE", left: true, minor: 1, least: 20},
	}}
	for _, b := range recent[:min(len(recent), 10)] {
		until := "permanent"
		if b.Until != nil {
			until = time.Unix(int64(*b.Until), 0).Format(time.DateTime)
		}
		because := "by command"
		if b.Failures > 0 {
			because = fmt.Sprintf("%d failures", b.Failures)
			if b.Count > 1 {
				because += fmt.Sprintf(", ban no. %d", b.Count)
			}
			if b.Regex >= 0 {
				because += fmt.Sprintf(", failregex %d", b.Regex)
			}
			if line := strings.TrimSpace(b.Line); line != "" {
				because += ": " + line
			}
		}
		t.add(plain(b.IP), plain(b.Jail), plain(until), plain(time.Unix(int64(b.Time), 0).Format(time.TimeOnly)), plain(because))
	}
	t.print(s)
}

func sourceTable(s screen, sources []service.SourceStatus) {
	if len(sources) == 0 {
		return
	}
	t := table{columns: []column{
		{name: "SOURCE", left: true, least: 12}, {name: "LINES"}, {name: "CUT", minor: 3}, {name: "INVALID", minor: 2}, {name: "BEHIND"},
		{name: "PROBLEM", left: true, minor: 1, least: 10},
	}}
	for _, in := range sources {
		behind := plain("0")
		if in.LagBytes > 0 || in.LagSeconds > 0 {
			behind = cell{text: fmt.Sprintf("%d B, %.1f s", in.LagBytes, in.LagSeconds)}
			if in.LagSeconds > 10 {
				behind.colour = yellow
			}
		}
		problem := plain(in.Problem)
		problem.colour = red
		t.add(plain(in.Name), plain(in.Lines), plain(in.Cut), plain(in.Invalid), behind, problem)
	}
	t.print(s)
}
