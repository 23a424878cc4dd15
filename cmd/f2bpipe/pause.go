package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/sinks"
)

type pauseCmd struct {
	clientFlags
	End  bool   `help:"End the pause now."`
	Time string `arg:"" optional:"" help:"Length, such as 10m." default:"10m"`
}

// Run takes all bans out of the kernel for a while, or puts them back.
func (c *pauseCmd) Run(ctx context.Context, s *streams) error {
	seconds, err := service.Seconds(c.Time)
	if err == nil && seconds <= 0 {
		err = fmt.Errorf("a pause of %s has no end", c.Time)
	}
	if err != nil {
		return usageError{err}
	}
	var paused service.Paused
	if err := c.call(ctx, service.VerbPause, service.PauseArgs{Seconds: seconds, End: c.End}, &paused); err != nil {
		return err
	}
	switch {
	case c.JSON:
		return printJSON(s.buffered, &paused)
	case paused.Until == nil:
		fmt.Fprintln(s.buffered, "bans are enforced again")
	default:
		fmt.Fprintf(s.buffered, "nothing is enforced until %s; f2bpipe pause --end ends it\n", time.Unix(int64(*paused.Until), 0).Format(time.DateTime))
	}
	return nil
}

type stopCmd struct {
	clientFlags
}

// Run stops the service. Where none runs it takes away what one has left in the
// kernel: the bans of a service that crashed, or that a supervisor stopped.
func (c *stopCmd) Run(ctx context.Context, s *streams) error {
	err := c.call(ctx, service.VerbStop, nil, nil)
	if !errors.Is(err, control.ErrNoSocket) && !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	found, removeErr := sinks.RemoveLeft(0)
	switch {
	case !found: // without rights nothing is found
		return err
	case removeErr != nil:
		return errors.Join(err, fmt.Errorf("its bans are still in the kernel: %w", removeErr))
	}
	fmt.Fprintln(s.err, "f2bpipe: no service runs; what one had left in the kernel is taken away")
	return nil
}

// kernelLines say how the kernel enforces bans, where that is worth a line.
func kernelLines(w io.Writer, k *service.KernelStatus) {
	if k.Coarse != "" {
		fmt.Fprintf(w, "enforced by %s: %s\n", k.By, printable([]byte(k.Coarse)))
	}
	if k.Healed > 0 {
		fmt.Fprintf(w, "removed from the kernel by somebody else and put back: %d times (f2bpipe pause stops that)\n", k.Healed)
	}
}
