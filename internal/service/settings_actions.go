package service

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
)

// ActionNames implements control.Actions.
func (v verbs) ActionNames(_ context.Context, name string) ([]string, error) {
	j, err := v.byName(name)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range j.config.Actions {
		out = append(out, a.ActName)
	}
	return out, nil
}

// action returns the index of a jail's action.
func actionOf(c *config.Jail, action string) (int, error) {
	if i := slices.IndexFunc(c.Actions, func(a config.Action) bool { return a.ActName == action }); i >= 0 {
		return i, nil
	}
	return -1, control.ErrorUnknownAction(action)
}

// Action implements control.Actions.
func (v verbs) Action(_ context.Context, name, action string) (control.Action, error) {
	j, err := v.byName(name)
	if err != nil {
		return control.Action{}, err
	}
	i, err := actionOf(j.config, action)
	if err != nil {
		return control.Action{}, err
	}
	a := &j.config.Actions[i]
	if a.Python != "" {
		return pythonProperties(a), nil
	}
	return control.Action{Properties: commandProperties(a), Methods: control.CommandMethods}, nil
}

// commandsOf are the commands of an action by the names of its options.
func commandsOf(a *config.Action) map[string]*config.Value {
	return map[string]*config.Value{
		"actionstart": &a.Start, "actionstop": &a.Stop, "actionflush": &a.Flush, "actionreload": &a.Reload, "actioncheck": &a.Check,
		"actionrepair": &a.Repair, "actionban": &a.Ban, "actionunban": &a.Unban, "actionprolong": &a.Prolong, "actionreban": &a.Reban,
	}
}

// commandProperties are the properties of an action of commands: those that
// every one has, and those that were set.
func commandProperties(a *config.Action) []control.Property {
	values := map[string]any{"timeout": wholeOrFloat(a.Timeout), "name": a.ActName, "actname": a.ActName, "banEpoch": int64(0),
		"ESCAPE_CRE": "", "ESCAPE_VN_CRE": ""}
	for _, p := range a.Init {
		if p.Name != "timeout" {
			values[p.Name] = p.Value.Text
		}
	}
	for name, command := range commandsOf(a) {
		if name != "actionprolong" || command.Text != "" {
			values[name] = command.Text
		}
	}
	if a.StartOnDemand != nil {
		values["actionstart_on_demand"] = *a.StartOnDemand
	}
	if a.RepairOnUnban {
		values["actionrepair_on_unban"] = true
	}
	if a.NoRestored {
		values["norestored"] = true
	}
	out := make([]control.Property, 0, len(values))
	for name, value := range values {
		out = append(out, control.Property{Name: name, Value: value})
	}
	return out
}

// pythonProperties are what is known of an action in Python without asking it.
func pythonProperties(a *config.Action) control.Action {
	out := control.Action{Methods: []string{"ban", "start", "stop", "unban"}}
	for _, p := range a.Params {
		out.Properties = append(out.Properties, control.Property{Name: p.Name, Value: p.Value.Text})
	}
	return out
}

// AddAction implements control.Actions.
func (v verbs) AddAction(ctx context.Context, name string, n control.NewAction) error {
	return v.edit(ctx, name, func(c *config.Jail) error { return addAction(c, n) })
}

func addAction(c *config.Jail, n control.NewAction) error {
	if _, err := actionOf(c, n.Name); err == nil {
		return control.ErrorValue("Action %s already exists", n.Name)
	}
	a := config.Action{Name: n.Name, ActName: n.Name, At: commanded(n.Name), Timeout: config.DefaultTimeout, Python: n.File}
	if n.File != "" {
		var err error
		if a.Params, err = argsText(n.Args); err != nil {
			return err
		}
	}
	c.Actions = append(c.Actions, a)
	return nil
}

// DeleteAction implements control.Actions.
func (v verbs) DeleteAction(ctx context.Context, name, action string) error {
	return v.edit(ctx, name, func(c *config.Jail) error {
		i, err := actionOf(c, action)
		if err == nil {
			c.Actions = slices.Delete(c.Actions, i, i+1)
		}
		return err
	})
}

// ChangeAction implements control.Actions.
func (v verbs) ChangeAction(ctx context.Context, name, action, property, value string) error {
	return v.edit(ctx, name, func(c *config.Jail) error {
		i, err := actionOf(c, action)
		if err != nil {
			return err
		}
		return setProperty(&c.Actions[i], property, value)
	})
}

// setProperty sets a property of an action of commands, as fail2ban's client
// does. The action is the draft's own; what its slices hold is not.
func setProperty(a *config.Action, name, value string) error {
	a.Canonical = nil // recognize looks again
	if command := commandsOf(a)[name]; command != nil {
		*command = commanded(value)
		return nil
	}
	switch yes := asBool(value); name {
	case "actionstart_on_demand":
		a.StartOnDemand = &yes
		return nil
	case "actionrepair_on_unban":
		a.RepairOnUnban = yes
		return nil
	case "norestored":
		a.NoRestored = yes
		return nil
	case "timeout":
		d, err := config.ParseDuration(value)
		if err != nil || d <= 0 {
			return control.ErrorValue("invalid literal for int() with base 10: %s", control.Repr(value))
		}
		a.Timeout = d.Truncate(time.Second)
		value = strconv.Itoa(int(d / time.Second))
	}
	a.Init = slices.Clone(a.Init)
	if i := slices.IndexFunc(a.Init, func(p config.Param) bool { return p.Name == name }); i >= 0 {
		a.Init[i].Value = commanded(value)
		return nil
	}
	a.Init = append(a.Init, config.Param{Name: name, Value: commanded(value)})
	return nil
}
