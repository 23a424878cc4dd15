package main

import (
	"context"
	"log/slog"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

type runCmd struct {
	configFlag
	Socket string `help:"Control socket (default: the configuration's)." placeholder:"PATH" type:"path"`
	DryRun bool   `help:"Ban nothing: print what would be done."`
	JSON   bool   `name:"json" help:"With --dry-run: one JSON object a decision."`
	doorFlags
	kernelFlags
	storeFlags
	logFlags
	sandboxFlag
}

// Run runs the service until it is stopped.
func (c *runCmd) Run(ctx context.Context, s *streams) error {
	box, err := confined(c.options(), c.Sandbox, true)
	if err != nil {
		return err
	}
	out, err := c.logFlags.open(c.options(), s, box)
	if err != nil {
		return err
	}
	defer out.Close()
	cfg := service.Config{
		Options: c.storeFlags.over(c.kernelFlags.over(c.options())), Other: c.other(), Socket: c.Socket, Version: version, Log: slog.New(out.Handler("fail2ban.server")), Out: out,
	}
	c.doorFlags.over(&cfg)
	box.over(&cfg)
	if c.DryRun {
		cfg.DryRun = pipeline.Sink(&sinks.DryRun{W: s.out, JSON: c.JSON})
	} else if r := spawnRunner(&cfg.Options, cfg.Log); r != nil {
		defer r.Close()
		cfg.Runner = r
	}
	svc, err := service.New(cfg)
	if err != nil {
		return err
	}
	err = svc.Run(ctx)
	out.Close() // before a new beginning writes to it
	return again(err, box)
}

// kernelFlags are our own options for the kernel's end. They win over the files.
type kernelFlags struct {
	Expiry      string `enum:",kernel,daemon" default:"" placeholder:"kernel|daemon" help:"Who ends a ban in the kernel: its timeout (kernel, the default), or the service's unban, in fail2ban's nftables layout (daemon)."`
	Scope       string `enum:",local,all" default:"" placeholder:"local|all" help:"Refuse what is for this host and its published ports (local, the default), or transit too (all)."`
	KillSockets bool   `help:"End the open TCP sockets of an address at its ban."`
}

// over returns the options with the flags that were given.
func (f *kernelFlags) over(o config.Options) config.Options {
	set := func(m *map[string]string, option, value string) {
		if value != "" {
			if *m == nil {
				*m = map[string]string{}
			}
			(*m)[option] = value
		}
	}
	set(&o.Overrides.Main, "expiry", f.Expiry)
	set(&o.Overrides.Jail, "scope", f.Scope)
	if f.KillSockets {
		set(&o.Overrides.Jail, "kill-sockets", "yes")
	}
	return o
}
