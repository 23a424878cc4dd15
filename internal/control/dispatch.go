package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// ownVerb is the first word of our own commands.
const ownVerb = "f2bpipe"

// Dispatcher is the Handler of fail2ban's commands and of ours: it reads their
// words, calls Verbs, and replies in fail2ban's types. It is safe for use by
// many goroutines where Verbs is.
type Dispatcher struct {
	Verbs Verbs
	// ReadVerbs are our own verbs that change nothing and may be carried out
	// through ReadOnly.
	ReadVerbs []string
}

var _ Handler = (*Dispatcher)(nil)

// The texts that are fail2ban's for commands that it has not.
const (
	invalidCommand = "Invalid command"
	invalidGet     = "Invalid command (no get action or not yet implemented)"
	invalidStatus  = "Invalid command (no status)"
)

// Handle carries out one command.
func (d *Dispatcher) Handle(ctx context.Context, cmd []any) (any, error) {
	c := command(cmd)
	name, err := c.text(0)
	if err != nil {
		return nil, err
	}
	v, err := d.dispatch(ctx, name, c)
	if errors.Is(err, ErrNotOffered) {
		err = notOffered(name, c)
	}
	return v, err
}

// notOffered is the exception for a command that the service does not have.
func notOffered(name string, c command) error {
	switch {
	case name == "get":
		return ErrorPlain(invalidGet)
	case name == "set" && len(c) > 2:
		return ErrorPlain("Invalid command %s (no set action or not yet implemented)", Repr(c[2]))
	}
	return ErrorPlain(invalidCommand)
}

func (d *Dispatcher) dispatch(ctx context.Context, name string, c command) (any, error) {
	switch name {
	case "ping":
		return "pong", nil
	case "echo":
		return []any(c[1:]), nil
	case "version":
		return d.Verbs.Version(), nil
	case "server-status":
		return "Server ready", nil
	case "sleep":
		return nil, sleep(ctx, c)
	case "flushlogs":
		return d.flushLogs(ctx)
	case "config-error":
		text, err := c.text(1)
		if err == nil {
			d.Verbs.ConfigError(text)
		}
		return nil, err
	case "add", "start", "stop":
		return d.jailCommand(ctx, name, c)
	case "set":
		return d.set(ctx, c[1:], false)
	case "multi-set":
		return d.set(ctx, c[1:], true)
	case "get":
		return d.get(ctx, c[1:])
	case "status", "stats", "statistic", "statistics":
		return d.status(ctx, name, c[1:])
	case "banned":
		return d.bannedEverywhere(ctx, c.texts(1))
	case "unban":
		return d.unban(ctx, c)
	case "server-stream", "reload":
		return d.stream(ctx, name, c)
	case ownVerb:
		return d.native(ctx, c)
	}
	return nil, ErrorPlain(invalidCommand)
}

// sleep is for fail2ban's own tests, and for ours.
func sleep(ctx context.Context, c command) error {
	word, err := c.text(1)
	if err != nil {
		return err
	}
	s, err := strconv.ParseFloat(word, 64)
	if err != nil || s < 0 || s > 3600 {
		return ErrorValue("could not convert string to float: %s", Repr(word))
	}
	timer := time.NewTimer(time.Duration(s * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *Dispatcher) flushLogs(ctx context.Context) (any, error) {
	rolled, err := d.Verbs.FlushLogs(ctx)
	if err != nil {
		return nil, err
	}
	if rolled {
		return "rolled over", nil
	}
	return "flushed", nil
}

// jailCommand makes, starts or stops a jail, or stops all or everything.
func (d *Dispatcher) jailCommand(ctx context.Context, name string, c command) (any, error) {
	if name == "stop" && len(c) == 1 {
		return nil, d.Verbs.Stop(ctx)
	}
	jail, err := c.text(1)
	if err != nil {
		return nil, err
	}
	switch {
	case name == "start":
		return nil, d.Verbs.StartJail(ctx, jail)
	case name == "stop" && jail == "--all":
		return nil, d.Verbs.StopAllJails(ctx)
	case name == "stop":
		return nil, d.Verbs.StopJail(ctx, jail)
	}
	backend, err := c.newJail()
	if err != nil {
		return nil, err
	}
	return jail, d.Verbs.AddJail(ctx, jail, backend)
}

// newJail returns the backend of an "add" whose name may be used.
func (c command) newJail() (backend string, err error) {
	if c.is(1, "--all") {
		return "", ErrorPlain("Reserved name %s", Repr(c[1]))
	}
	if len(c) < 3 {
		return "auto", nil
	}
	return configText(c[2]), nil
}

// native carries out one of our own verbs; its reply is JSON text.
func (d *Dispatcher) native(ctx context.Context, c command) (any, error) {
	verb, err := c.text(1)
	if err != nil {
		return nil, err
	}
	args := json.RawMessage("{}")
	if len(c) > 2 {
		text, ok := c[2].(string)
		if !ok || !json.Valid([]byte(text)) {
			return nil, ErrorValue("arguments of %s are no JSON", verb)
		}
		args = json.RawMessage(text)
	}
	v, err := d.Verbs.Native(ctx, verb, args)
	if errors.Is(err, ErrNotOffered) {
		return nil, ErrorName("unknown command %s", Repr(verb))
	}
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode answer to %s: %w", verb, err)
	}
	return string(text), nil
}

// readOnly lets the commands through that change nothing.
type readOnly struct{ d *Dispatcher }

// ReadOnly returns a Handler for a socket of people who may only look: status,
// bans, counters and the options of jails. Commands of actions are left out,
// for they hold passwords.
func (d *Dispatcher) ReadOnly() Handler { return readOnly{d} }

// Handle carries out a command that changes nothing and refuses any other.
func (r readOnly) Handle(ctx context.Context, cmd []any) (any, error) {
	c := command(cmd)
	if r.allowed(c) {
		return r.d.Handle(ctx, cmd)
	}
	return nil, ErrorPlain("Permission denied: this socket is read-only")
}

func (r readOnly) allowed(c command) bool {
	name, err := c.text(0)
	if err != nil {
		return true // the exception for it tells nothing
	}
	switch name {
	case "ping", "echo", "version", "server-status", "status", "stats", "statistic", "statistics", "banned":
		return true
	case "get":
		return !c.is(2, "action")
	case ownVerb:
		for _, verb := range r.d.ReadVerbs {
			if c.is(1, verb) {
				return true
			}
		}
	}
	return false
}
