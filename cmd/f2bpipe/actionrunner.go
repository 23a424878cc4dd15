package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/runner"
)

// actionRunnerCmd is the process that runs the commands of actions. The service
// starts it; nobody else does.
type actionRunnerCmd struct {
	Options string `help:"Run what the configuration has that is read by these options, and nothing else."`
	Serve   bool   `help:"Run commands; else keep a process that does."`
}

// Run runs commands until the service is gone.
func (c *actionRunnerCmd) Run(_ context.Context, s *streams) error {
	// A stop is the service's to tell: actions have to be ended first. The signals
	// are caught, not ignored, so that no command inherits that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	ctx := context.Background()
	if !c.Serve {
		command := []string{"/proc/self/exe", "action-runner", "--serve"}
		if c.Options != "" {
			command = append(command, "--options", c.Options)
		}
		return runner.Supervise(ctx, runner.Socket(), command, s.err)
	}
	e := new(runner.Engine)
	if c.Options != "" {
		var err error
		if e.Options, err = runner.ParseOptions(c.Options); err != nil {
			return err
		}
	}
	return runner.Serve(ctx, os.Stdin, os.Stdout, e)
}

// spawnRunner starts the process that runs the commands of actions: those that
// the configuration has by these options or, where they are nil, those that it
// is told. Where none can be started this process runs them: nil.
func spawnRunner(o *config.Options, log *slog.Logger) *runner.Client {
	command := []string{"/proc/self/exe", "action-runner"}
	if o != nil {
		command = append(command, "--options", runner.OptionsText(*o))
	}
	c, err := runner.Spawn(command, &lineWriter{log: log})
	if err != nil {
		log.Error("actions are run by this process", "problem", err)
		return nil
	}
	return c
}

// lineWriter logs what a process of ours writes to stderr.
type lineWriter struct {
	log  *slog.Logger
	rest []byte
}

// maxLine bounds what waits for the end of its line.
const maxLine = 4 << 10

// Write implements io.Writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 && len(w.rest) < maxLine {
			return len(p), nil
		} else if i < 0 {
			i = len(w.rest) - 1
		}
		if text := bytes.TrimSpace(w.rest[:i]); len(text) > 0 {
			w.log.Error("action runner", "says", string(text))
		}
		w.rest = w.rest[i+1:]
	}
}
