package config

import (
	"slices"
	"strings"
)

// canonicalFamilies are the actions that say how packets are dropped, which
// others than a shell may carry out: their names, and the beginnings of them.
var canonicalFamilies = []string{"nftables", "iptables", "firewallcmd"}

// canonicalParams are the parameters of those that only say what is dropped,
// where and how: whoever carries an action out another way takes them from it.
var canonicalParams = []string{
	"name", "actname", "port", "protocol", "chain", "blocktype", "blocktype?family=inet6", "rejecttype", "rejecttype?family=inet6",
	"table", "table_family", "chain_type", "chain_hook", "chain_priority", "addr_set", "addr_set?family=inet6",
}

// IsDropper says whether an action of that name is one of fail2ban's that drop packets.
func IsDropper(name string) bool {
	return slices.ContainsFunc(canonicalFamilies, func(f string) bool { return name == f || strings.HasPrefix(name, f+"-") })
}

// canonical returns an action as it would be with a placeholder for each
// parameter that only says what is dropped, and everything else as a has it: two
// actions whose canonical commands are equal differ in those alone. nil: it
// cannot be read so.
func (l *loader) canonical(name string, init []Param) *Action {
	key := name
	params := newSection()
	for _, p := range init {
		if slices.Contains(canonicalParams, p.Name) || p.Name == "timeout" {
			continue
		}
		params.set(p.Name, text{s: p.Value.Text})
		key += "\x00" + p.Name + "\x00" + p.Value.Text
	}
	if a, ok := l.files.canonicals[key]; ok {
		return a
	}
	for _, p := range canonicalParams {
		params.set(p, text{s: "@" + strings.ReplaceAll(p, "?family=inet6", "6") + "@"})
	}
	a := l.plainAction(name, params)
	l.files.canonicals[key] = a
	return a
}

// plainAction reads an action for nobody: it reports nothing. nil: it cannot be read.
func (l *loader) plainAction(name string, params *section) *Action {
	quiet := l.quiet()
	r := &actionReader{stream: &stream{loader: quiet}}
	p := quiet.parser(quiet.join("action.d", name), false)
	if !p.found {
		return nil
	}
	d := newDefinition(p, actionOptions, params)
	if err := d.read(nil, false); err != nil {
		return nil
	}
	opts, err := d.combined(laterTags)
	if err != nil {
		return nil
	}
	a := &Action{Name: name, Files: p.files, Timeout: DefaultTimeout}
	r.commandsOf(a, opts, d.init)
	return a
}

// Recognize sets Canonical of an action that was not read from a file, but was
// handed over by fail2ban's client: where the file of its name, with its
// properties for parameters, has the very commands that it has.
func Recognize(o Options, a *Action) {
	if !IsDropper(a.Name) || a.Canonical != nil || a.Python != "" {
		return
	}
	l := newLoader(o)
	params := newSection()
	for _, p := range a.Init {
		if p.Name != "timeout" {
			params.set(p.Name, text{s: p.Value.Text})
		}
	}
	same := l.plainAction(a.Name, params)
	if same == nil {
		return
	}
	for i, v := range same.commands() {
		if v.Text != a.commands()[i].Text {
			return
		}
	}
	a.Files, a.Stock = same.Files, same.Stock
	a.Canonical = l.canonical(a.Name, a.Init)
}

// commands returns the action's commands, always in the same order.
func (a *Action) commands() []Value {
	return []Value{a.Start, a.Stop, a.Flush, a.Reload, a.Check, a.Repair, a.Ban, a.Unban, a.Prolong, a.Reban}
}
