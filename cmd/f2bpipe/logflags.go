package main

import (
	"fmt"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/internal/service"
)

// logFlags say where the service's log goes.
type logFlags struct {
	LogTarget string `name:"logtarget" default:"STDERR" help:"Where the log goes, in fail2ban's format: a file, STDOUT, STDERR, SYSLOG, SYSOUT or SYSTEMD-JOURNAL; config: what fail2ban.conf says." placeholder:"TARGET"`
	LogLevel  string `name:"loglevel" help:"What the log tells, from CRITICAL to HEAVYDEBUG (default: the configuration's)." placeholder:"LEVEL"`
}

// open opens the log that the flags and fail2ban.conf ask for. What is wrong
// with fail2ban.conf the service says when it reads it. box is the sandbox that
// the service is to live in; nil: none.
func (f *logFlags) open(o config.Options, s *streams, box *confinement) (*logtarget.Log, error) {
	main := service.MainOf(o)
	cfg := logtarget.Config{Target: f.LogTarget, Level: f.LogLevel, SyslogSocket: main.SyslogSocket.Text, Stdout: s.out, Stderr: s.err}
	if cfg.Target == "config" {
		cfg.Target = main.LogTarget.Text
	}
	if cfg.Level == "" {
		if _, err := logtarget.ParseLevel(main.LogLevel.Text); err == nil {
			cfg.Level = main.LogLevel.Text
		}
	}
	if err := box.log(&cfg); err != nil {
		return nil, err
	}
	out, err := logtarget.New(cfg)
	if err != nil {
		return nil, usageError{fmt.Errorf("log: %w", err)}
	}
	return out, nil
}
