package config

import (
	"encoding/json"
	"strings"
	"time"
)

// actionOptions are the options of an action's [Definition] that fail2ban's
// client streams, in its order.
var actionOptions = []string{
	"actionstart", "actionstart_on_demand", "actionstop", "actionflush", "actionreload", "actioncheck", "actionrepair",
	"actionrepair_on_unban", "actionban", "actionprolong", "actionreban", "actionunban", "norestored",
}

// laterTags are the tags that are filled in when banning although an option
// of the jail or the action may have the same name.
var laterTags = map[string]bool{"matches": true, "ipmatches": true, "ipjailmatches": true, "timeout": true, "bantime": true}

// DefaultTimeout is how long one command of an action may take.
const DefaultTimeout = time.Minute

// Action is one action of a jail with its parameters filled in. In the
// commands every <tag> is replaced that is known before a ban; those that a
// ban fills (<ip>, <F-USER>) and those that hold on a condition
// (blocktype?family=inet6 in Init) are left.
type Action struct {
	Name    string  // of the file in action.d, without .conf
	ActName string  // unique within a jail
	Params  []Param // as given: name[param=value]
	Files   []string
	Stock   bool  // the .conf was taken from the embedded configuration
	At      Value // the line of action= that asks for it

	Start, Stop, Flush, Reload, Check, Repair, Ban, Unban, Prolong, Reban Value

	StartOnDemand *bool // nil: not said; fail2ban then looks for conditions in Init
	RepairOnUnban bool
	NoRestored    bool          // not for bans that are restored
	Timeout       time.Duration // of one command
	// Init are the properties that tags in the commands may still ask for:
	// parameters, [Init], name and actname; tags in them are not replaced.
	Init []Param
	// Known is the files' [Init] where a parameter took an option's place: what
	// <known/NAME> in a parameter stands for.
	Known []Param

	// Canonical, where the action is one that drops packets (IsDropper), is the
	// same action with a placeholder for each parameter that only says what is
	// dropped, where and how; nil: it could not be read so.
	Canonical *Action

	// Python is the path of a Python action, which has no commands; its
	// parameters are Params.
	Python string
}

// actionReader reads the action= of one jail.
type actionReader struct {
	*stream
	jailOpts *section
	actions  []Action
}

// read reads one name[param=value] and streams its commands.
func (r *actionReader) read(t text) error {
	s, err := splitSpec(t)
	if err != nil {
		return &wrong{at: t.at(0), text: t.s, msg: "Invalid action definition " + Repr(t.s) + ": " + err.Error(), hint: "expected NAME or NAME[option=value, …]"}
	}
	a := Action{Name: s.name, Params: s.list(), At: t.value(), Timeout: DefaultTimeout}
	if strings.HasSuffix(s.name, ".py") {
		return r.python(a, s)
	}
	p := r.parser(r.join("action.d", s.name), false)
	if !p.found {
		return &wrong{at: t.at(0), text: t.s, msg: "Unable to read action " + Repr(s.name), hint: r.nearestFile("action.d", s.name)}
	}
	r.reportFaults(p, r.jail)
	r.warnDefinition(p, r.jail, actionOptions)
	r.warnParams(p, r.jail, "action", s, actionOptions)
	a.Files = p.files
	for _, f := range p.files {
		a.Stock = a.Stock || f == StockPrefix+"action.d/"+s.name+".conf"
	}
	d := newDefinition(p, actionOptions, withNames(s, r.jail))
	actName, _ := d.init.get("actname")
	a.ActName = actName.s
	if err := d.read(r.jailOpts, false); err != nil {
		return err
	}
	opts, err := d.combined(laterTags)
	if err != nil {
		return err
	}
	r.commandsOf(&a, opts, d.init)
	if IsDropper(a.Name) {
		a.Canonical = r.canonical(a.Name, a.Init)
	}
	r.actions = append(r.actions, a)
	return nil
}

// withNames returns the parameters with the name and actname that every action
// has: the jail's, and one that tells apart an action that is used twice.
func withNames(s spec, jail string) *section {
	params := s.params.clone()
	name, ok := params.get("name")
	if !ok {
		name = text{s: jail}
		params.set("name", name)
	}
	if _, ok := params.get("actname"); !ok {
		actName := s.name
		if name.s != jail {
			if rest, ok := strings.CutPrefix(name.s, jail); ok {
				actName += rest
			} else {
				actName += "-" + name.s
			}
		}
		params.set("actname", text{s: actName})
	}
	return params
}

// python notes a Python action: a file of action.d that only Python can run.
func (r *actionReader) python(a Action, s spec) error {
	params := s.params.clone()
	a.ActName = strings.TrimSuffix(s.name, ".py")
	if v, ok := params.get("actname"); ok {
		a.ActName = v.s
	}
	a.Python = r.join(r.join(r.opt.Dir, "action.d"), s.name)
	args := newSection()
	for _, k := range params.keys {
		if k != "actname" {
			args.set(k, params.opts[k])
		}
	}
	r.add("", nil, "set", r.jail, "addaction", a.ActName, a.Python, pythonJSON(args))
	r.actions = append(r.actions, a)
	return nil
}

// commandsOf streams an action and fills it from what is streamed.
func (r *actionReader) commandsOf(a *Action, opts, init *section) {
	r.add("", nil, "set", r.jail, "addaction", a.ActName)
	var list []any
	for _, name := range opts.keys {
		if contains(actionOptions, name) {
			list = append(list, []any{name, r.setting(a, name, opts.opts[name])})
		}
	}
	for _, name := range init.keys {
		if known, ok := strings.CutPrefix(name, "known/"); ok {
			a.Known = append(a.Known, Param{Name: known, Value: init.opts[name].value()})
		}
		if !contains(actionOptions, name) && !strings.HasPrefix(name, "known/") {
			v := init.opts[name]
			list = append(list, []any{name, v.s})
			a.Init = append(a.Init, Param{Name: name, Value: v.value()})
			if name == "timeout" {
				r.timeout(a, v)
			}
		}
	}
	switch len(list) {
	case 0:
	case 1:
		pair := list[0].([]any)
		r.add("", nil, "set", r.jail, "action", a.ActName, pair[0], pair[1])
	default:
		r.add("", nil, "multi-set", r.jail, "action", a.ActName, list)
	}
}

// setting stores one option in the action and returns what is streamed for it.
func (r *actionReader) setting(a *Action, name string, v text) any {
	if command := a.command(name); command != nil {
		*command = v.value()
		return v.s
	}
	yes, known := parseBool(v.s)
	if !known {
		r.reportWrong(Warning, r.jail, name, &wrong{at: v.at(0), text: v.s, msg: notBool})
	}
	switch name {
	case "actionstart_on_demand":
		a.StartOnDemand = &yes
	case "actionrepair_on_unban":
		a.RepairOnUnban = yes
	case "norestored":
		a.NoRestored = yes
	}
	return yes
}

// command returns where the command of an option belongs; nil: it has none.
func (a *Action) command(option string) *Value {
	switch option {
	case "actionstart":
		return &a.Start
	case "actionstop":
		return &a.Stop
	case "actionflush":
		return &a.Flush
	case "actionreload":
		return &a.Reload
	case "actioncheck":
		return &a.Check
	case "actionrepair":
		return &a.Repair
	case "actionban":
		return &a.Ban
	case "actionunban":
		return &a.Unban
	case "actionprolong":
		return &a.Prolong
	case "actionreban":
		return &a.Reban
	}
	return nil
}

func (r *actionReader) timeout(a *Action, v text) {
	d, err := ParseDuration(v.s)
	if err != nil || d <= 0 {
		r.reportWrong(Error, r.jail, "timeout", &wrong{at: v.at(0), text: v.s, msg: "expected how long a command may take, such as 60 or 2m"})
		return
	}
	a.Timeout = d
}

// pythonJSON is Python's json.dumps of a flat map of texts.
func pythonJSON(opts *section) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, k := range opts.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(asciiJSON(k) + ": " + asciiJSON(opts.opts[k].s))
	}
	b.WriteByte('}')
	return b.String()
}

// asciiJSON is a JSON string in ASCII alone.
func asciiJSON(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string into a strings.Builder: cannot fail
	return escapeNonASCII(strings.TrimSuffix(b.String(), "\n"))
}
