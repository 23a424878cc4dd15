package service

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/internal/runner"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// methodPhases are the methods of an action that a command may call, and the
// command of the action that each runs.
var methodPhases = map[string]sinks.Phase{
	"start": sinks.PhaseStart, "stop": sinks.PhaseStop, "flush": sinks.PhaseFlush, "reload": sinks.PhaseReload,
	"ban": sinks.PhaseBan, "reban": sinks.PhaseReban, "unban": sinks.PhaseUnban, "prolong": sinks.PhaseProlong,
	"consistencyCheck": sinks.PhaseCheck,
}

// methodArgs are the arguments of a method: the tags of a ban, or a family.
type methodArgs struct {
	Info   map[string]any `json:"aInfo"`
	Family string         `json:"family"`
}

// CallAction implements control.Actions: it runs a command of an action as
// fail2ban does, once. A method whose command is empty has done its work; what
// our sink carries out has no commands to run.
func (v verbs) CallAction(ctx context.Context, name, action, method string, args json.RawMessage) (any, error) {
	j, err := v.byName(name)
	if err != nil {
		return nil, err
	}
	i, err := actionOf(j.config, action)
	if err != nil {
		return nil, err
	}
	a := &j.config.Actions[i]
	phase, ok := methodPhases[method]
	if !ok {
		return nil, control.ErrorPlain("method %s of an action cannot be called by a command", method)
	}
	if command := commandsOf(a)["action"+string(phase)]; command != nil && a.Python == "" && command.Text == "" {
		return true, nil
	}
	run := v.commandsOf(j, a)
	if v.cfg.DryRun != nil {
		return nil, control.ErrorPlain("this is a dry run: no command is run")
	}
	if run == nil {
		return nil, control.ErrorPlain("action %s of jail %s is carried out in the kernel: it has no command to run", action, name)
	}
	var given methodArgs
	if err := json.Unmarshal(args, &given); err != nil {
		return nil, control.ErrorValue("arguments of %s: %v", method, err)
	}
	values, family := given.values()
	out, err := run.Run(ctx, phase, family, values)
	switch {
	case err != nil:
		return nil, err
	case out.Absent:
		return nil, &control.Exception{Module: "builtins", Name: "AttributeError", Args: []any{fmt.Sprintf("'Action' object has no attribute '%s'", method)}}
	case !out.OK:
		return nil, &control.Exception{Module: "builtins", Name: "RuntimeError", Args: []any{fmt.Sprintf("Error calling %s of action %s: %s", method, action, out.Problem)}}
	}
	return true, nil
}

// values are what the command's tags stand for, and whose addresses it is about.
func (m *methodArgs) values() (map[string]string, sinks.AddressFamily) {
	values := map[string]string{}
	for name, value := range m.Info {
		if group, ok := runner.Capture(name); ok {
			name = "F-" + group // as actions know it
		}
		values[name] = fmt.Sprint(value)
	}
	family := m.Family
	if text, ok := values["family"]; ok {
		family = text
	} else if addr, err := netip.ParseAddr(strings.SplitN(values["ip"], "/", 2)[0]); err == nil && addr.Unmap().Is6() {
		family = "inet6"
	}
	if family == "inet6" {
		return values, 1
	}
	return values, 0
}

// commandsOf returns what runs the commands of a jail's action; nil where our
// sink carries it out, or nobody does.
func (s *Service) commandsOf(j *jail, a *config.Action) *commands {
	t := s.actions.table.Load()
	if t == nil || (*t)[j.identity] == nil {
		return nil
	}
	for _, c := range (*t)[j.identity].carried {
		if c.name == a.ActName && c.command != nil {
			return &commands{run: s.actions.runner, action: c.action}
		}
	}
	return nil
}
