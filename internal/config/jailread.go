package config

import (
	"errors"
	"strings"
)

// jailOptions are the options that fail2ban's client reads from a jail, in its order.
var jailOptions = append([]string{
	"enabled", "backend", "maxretry", "maxmatches", "findtime", "bantime",
	"bantime.increment", "bantime.factor", "bantime.formula", "bantime.multipliers",
	"bantime.maxtime", "bantime.rndtime", "bantime.overalljails",
	"ignorecommand", "ignoreself", "ignoreip", "ignorecache",
	"filter", "logtimezone", "logencoding", "logpath", "action",
}, filterOptions...)

// notStreamed are those that the client does not hand to the server as they are.
var notStreamed = func() map[string]bool {
	m := map[string]bool{"action": true, "filter": true, "enabled": true, "backend": true, "logpath": true, "ignoreip": true}
	for _, name := range filterOptions {
		m[name] = true
	}
	return m
}()

// jailReader reads one jail.
type jailReader struct {
	*stream
	parser *parser
	name   string
	jail   *Jail
	opts   *section       // as the second reading found them; texts as Python prints them
	typed  map[string]any // the same, as they are streamed
	filter *filterReader  // nil: none, or it could not be read
	broken bool           // the filter could not be read
}

// jail reads the jail of that name. Everything that is wrong with it is
// reported, and as much as possible is read beside it.
func (l *loader) jail(p *parser, name string) *Jail {
	r := &jailReader{stream: &stream{loader: l, jail: name}, parser: p, name: name, jail: &Jail{Name: name}}
	j := r.jail
	r.unknown()
	r.options([]string{"enabled", "backend", "filter"})
	enabled, _ := r.typed["enabled"].(bool)
	if r.enabledByCaller() {
		enabled = true
		r.set("enabled", text{s: "True"}, true)
	}
	j.Enabled = enabled
	if !enabled {
		j.Options = r.effective()
		return j
	}
	r.readFilter()
	j.Options = r.effective()
	r.options(jailOptions)
	if r.enabledByCaller() {
		r.set("enabled", text{s: "True"}, true)
	}
	r.streamAll()
	j.Rules = r.rules()
	r.logtype()
	r.judge()
	j.commands = r.commands
	return j
}

func (r *jailReader) enabledByCaller() bool {
	return contains(r.opt.Enable, r.name) || contains(r.opt.Enable, AllJails)
}

// jailDefaults is what holds where no file says anything: fail2ban's server
// has it, or we.
var jailDefaults = map[string]string{
	"enabled": "false", "backend": "auto", "maxretry": "3", "maxmatches": "5", "findtime": "600", "bantime": "600",
	"bantime.increment": "false", "bantime.overalljails": "false", "ignoreself": "true", "usedns": "warn",
	"logencoding": "auto", "skip_if_nologs": "false", "systemd_if_nologs": "true", "counter": string(CounterFail2ban),
}

// effective returns all options that hold for the jail, as far as they can be
// filled in now: those that need %(known/…)s only after its filter was read.
func (r *jailReader) effective() map[string]Value {
	own := r.parser.lookup(r.name)
	out := make(map[string]Value, len(jailDefaults)+1+len(r.parser.defaults.keys)+len(own.keys))
	for k, v := range jailDefaults {
		out[k] = Value{Text: v}
	}
	if r.opt.NativeActions != "" {
		out["native-actions"] = Value{Text: r.opt.NativeActions}
	}
	for _, s := range []*section{r.parser.defaults, own} {
		for _, k := range s.keys {
			if !strings.HasPrefix(k, "known/") {
				out[k] = r.effectiveIn(s, k).value()
			}
		}
	}
	return out
}

// effectiveIn returns an option of section s of the jail: filled in, or as it
// was written where that is not possible now.
func (r *jailReader) effectiveIn(s *section, option string) text {
	v, ok, err := r.parser.get(r.name, option, nil)
	if !ok || err != nil {
		return s.opts[option]
	}
	return v
}

// effectively returns the text of one option, as effective has it.
func (r *jailReader) effectively(option string) string {
	for _, s := range []*section{r.parser.lookup(r.name), r.parser.defaults} {
		if _, ok := s.get(option); ok {
			return r.effectiveIn(s, option).s
		}
	}
	return jailDefaults[option]
}

func (r *jailReader) set(name string, v text, typed any) {
	r.opts.set(name, v)
	r.typed[name] = typed
}

func (r *jailReader) error(option string, err error) {
	var oe *optionError
	if errors.As(err, &oe) {
		option, err = oe.option, oe.wrong
	}
	r.reportWrong(Error, r.name, option, err)
}

// options reads options of the jail, each by its type.
func (r *jailReader) options(names []string) {
	r.opts, r.typed = newSection(), map[string]any{}
	for _, name := range names {
		v, ok, err := r.parser.get(r.name, name, nil)
		if err != nil {
			// What the filter would have defined is not missing for itself.
			if !r.broken || !strings.HasPrefix(asWrong(err).text, "%(known/") {
				r.error(name, err)
			}
			continue
		}
		if !ok {
			switch name {
			case "enabled":
				r.set(name, text{s: "False"}, false)
			case "backend":
				r.set(name, text{s: "auto"}, "auto")
			case "filter", "action":
				r.set(name, text{}, "")
			}
			continue
		}
		r.typedOption(name, v)
	}
}

func (r *jailReader) typedOption(name string, v text) {
	switch name {
	case "enabled", "bantime.increment", "bantime.overalljails", "ignoreself":
		yes, known := parseBool(v.s)
		if !known {
			r.reportOnce(Problem{Severity: Warning, Jail: r.name, Option: name, Text: v.s, Message: notBool}, v)
		}
		r.set(name, text{s: pythonBool(yes), marks: v.marks[:min(1, len(v.marks))]}, yes)
	case "maxretry", "maxmatches", "maxlines":
		n, err := parseInt(v.s)
		if err != nil {
			r.error(name, &wrong{at: v.at(0), text: v.s, msg: "expected a whole number"})
			return
		}
		r.set(name, text{s: formatInt(n), marks: v.marks[:min(1, len(v.marks))]}, n)
	default:
		r.set(name, v, v.s)
	}
}

// reportOnce reports a problem at v that an earlier reading may have reported.
func (r *jailReader) reportOnce(p Problem, v text) {
	at := v.at(0)
	p.File, p.Line = at.file, at.line
	for _, q := range r.problems {
		if p == q {
			return
		}
	}
	r.report(p)
}

const notBool = "neither yes nor no: taken for no (expected true, yes, on, 1 or false, no, off, 0)"

func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// readFilter reads the jail's filter and puts what it defines into the jail's
// section as known/NAME.
func (r *jailReader) readFilter() {
	t, ok := r.opts.get("filter")
	if !ok || t.s == "" {
		if r.effectively("failregex") == "" {
			r.reportOnce(Problem{Severity: Warning, Jail: r.name, Option: "filter", Message: "the jail has no filter and no failregex"}, t)
		}
		return
	}
	diskOnly := strings.EqualFold(r.effectively("stockfilters"), "disk")
	f, err := r.newFilterReader(t, r.name, diskOnly)
	if err != nil {
		r.broken = true
		r.error("filter", err)
		return
	}
	r.reportFaults(f.parser, r.name)
	r.warnDefinition(f.parser, r.name, filterOptions)
	r.warnParams(f.parser, r.name, "filter", f.spec, filterOptions)
	backend, _ := r.opts.get("backend")
	f.setLogtype(backend.s)
	if err := f.read(r.opts, true); err != nil {
		r.broken = true
		r.error("filter", err)
		return
	}
	all, err := f.combined(nil)
	if err != nil {
		r.broken = true
		r.error("filter", err)
		return
	}
	if r.fallsBack(all) {
		f.setLogtype("systemd")
		if err = f.read(r.opts, true); err == nil {
			all, err = f.combined(nil)
		}
		if err != nil {
			r.broken = true
			r.error("filter", err)
			return
		}
	}
	filter := f.filter(all)
	r.jail.Filter = &filter
	own := r.parser.lookup(r.name)
	for _, k := range all.keys {
		if !strings.HasPrefix(k, "known/") {
			own.set("known/"+k, all.opts[k])
		}
	}
	r.filter = f
}

// streamAll builds the jail's commands in the client's order.
func (r *jailReader) streamAll() {
	if r.filter != nil {
		if err := r.filter.read(r.opts, false); err != nil {
			r.error("filter", err)
		} else if opts, err := r.filter.combined(nil); err != nil {
			r.error("filter", err)
		} else {
			r.filterRules(opts)
		}
	}
	r.filterOptions(r.opts)
	for _, name := range r.opts.keys {
		v := r.opts.opts[name]
		switch {
		case name == "ignoreip":
			args := Command{"set", r.name, "addignoreip"}
			for _, w := range splitWords(v) {
				args = append(args, w.s)
			}
			r.commands = append(r.commands, command{args: args})
		case !notStreamed[name]:
			r.add("", nil, "set", r.name, name, r.typed[name])
		}
	}
	r.logPaths()
	a := &actionReader{stream: r.stream, jailOpts: r.opts}
	if v, ok := r.opts.get("action"); ok {
		for _, t := range splitSpecs(v) {
			if t.s == "" {
				continue
			}
			if err := a.read(t); err != nil {
				r.error("action", err)
			}
		}
	}
	r.jail.Actions = a.actions
	backend, _ := r.opts.get("backend")
	r.insert(0, command{args: Command{"add", r.name, backend.s}})
}

// filterRules streams the filter's own options and keeps them as its rules.
func (r *jailReader) filterRules(opts *section) {
	s := &stream{loader: r.loader, jail: r.name}
	s.filterOptions(opts)
	r.jail.Filter.Rules = s.rules()
	r.commands = s.commands
}

// logPaths takes logpath apart; a journal has none.
func (r *jailReader) logPaths() {
	v, ok := r.opts.get("logpath")
	if backend, _ := r.opts.get("backend"); !ok || strings.HasPrefix(backend.s, "systemd") {
		return
	}
	for _, line := range v.lines() {
		p := LogPath{Pattern: line.value()}
		if i := strings.LastIndexByte(line.s, ' '); i >= 0 {
			word := line.slice(i+1, len(line.s))
			p.Pattern, p.Word = line.slice(0, i).value(), word.value()
			p.Tail = word.s == "tail"
		}
		if p.Pattern.Text == "" {
			continue
		}
		r.jail.LogPaths = append(r.jail.LogPaths, p)
		r.commands = append(r.commands, command{log: &p})
	}
}

// logtype tells which part of its filter the jail matches by.
func (r *jailReader) logtype() {
	if r.filter == nil {
		return
	}
	if v, ok := r.filter.init.get("logtype"); ok {
		r.jail.Logtype = v.value()
	} else {
		r.jail.Logtype = r.jail.Filter.Options["logtype"]
	}
	r.jail.Filter.Logtype = r.jail.Logtype
}
