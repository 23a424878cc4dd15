package main

import (
	"context"
	"fmt"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/service"
)

type logCmd struct {
	clientFlags
	Follow bool   `short:"f" help:"Go on with what is decided from now on, until it is interrupted."`
	Number int    `short:"n" default:"50" help:"Show this many of the last decisions; the service keeps 1000."`
	Jail   string `arg:"" optional:"" help:"Show those of this jail alone."`
}

// Help documents what --json prints.
func (*logCmd) Help() string {
	return `--json prints an object a line: {"action", "jail", "ip", "time", "until", "failures"}, and "restored" and "problem" where
there is one; keys are only ever added. action is ban, unban, prolong, refused (by the kernel or an action, with the problem)
or enforced (what was refused before). time and until are epoch seconds, until is null for ever.`
}

// logWait is how long the service may take to answer that there is nothing new.
const logWait = 20

// Run shows the last decisions of the service.
func (c *logCmd) Run(ctx context.Context, s *streams) error {
	args := service.LogArgs{Jail: c.Jail, Last: c.Number}
	if c.Number <= 0 {
		args.Last = 1
	}
	for first := true; ; first = false {
		var got service.Logged
		if err := c.call(ctx, service.VerbLog, args, &got); err != nil {
			if ctx.Err() != nil {
				return nil // interrupted
			}
			return err
		}
		if got.Missed > 0 {
			fmt.Fprintf(s.err, "f2bpipe: %d decisions came too fast and are not shown\n", got.Missed)
		}
		if first && c.Number <= 0 {
			got.Decisions = nil
		}
		for i := range got.Decisions {
			if err := c.print(s, &got.Decisions[i]); err != nil {
				return err
			}
		}
		if err := s.buffered.Flush(); err != nil || !c.Follow {
			return err
		}
		args.After, args.Last, args.Wait = got.Next, 0, logWait
	}
}

func (c *logCmd) print(s *streams, d *service.LoggedDecision) error {
	if c.JSON {
		return printJSON(s.buffered, d)
	}
	until := "for ever"
	if d.Until != nil {
		until = "until " + localTime(*d.Until)
	}
	note := ""
	switch d.Action {
	case "ban":
		if note = fmt.Sprintf(" %s, %d failures", until, d.Failures); d.Failures == 0 {
			note = " " + until + ", by command"
		}
		if d.Restored {
			note = " " + until + ", restored"
		}
	case "prolong":
		note = " " + until
	case "refused":
		note = ": " + d.Problem
	}
	_, err := fmt.Fprintf(s.buffered, "%s [%s] %s %s%s\n", localTime(d.Time), printable([]byte(d.Jail)), d.Action, printable([]byte(d.IP)), printable([]byte(note)))
	return err
}

func localTime(epoch float64) string {
	return time.UnixMicro(int64(epoch * 1e6)).Local().Format(time.DateTime)
}
