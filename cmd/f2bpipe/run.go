package main

import (
	"context"
	"log/slog"

	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

type runCmd struct {
	configFlag
	Socket string `help:"Control socket (default: the configuration's)." placeholder:"PATH" type:"path"`
	DryRun bool   `help:"Ban nothing: print what would be done."`
	JSON   bool   `name:"json" help:"With --dry-run: one JSON object a decision."`
}

// Run runs the service until it is stopped.
func (c *runCmd) Run(ctx context.Context, s *streams) error {
	cfg := service.Config{
		Options: c.options(), Other: c.other(), Socket: c.Socket, Version: version, Log: slog.New(slog.NewTextHandler(s.err, nil)),
	}
	if c.DryRun {
		cfg.DryRun = pipeline.Sink(&sinks.DryRun{W: s.out, JSON: c.JSON})
	}
	svc, err := service.New(cfg)
	if err != nil {
		return err
	}
	return svc.Run(ctx)
}
