package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
)

type configCmd struct {
	configFlag
	Jail string `arg:"" optional:"" help:"Show this jail alone, be it enabled or not."`
	JSON bool   `name:"json" help:"Print one JSON object."`
	All  bool   `help:"Show every jail, as if it were enabled."`
}

// Help documents what is printed.
func (*configCmd) Help() string {
	return `Without a jail: fail2ban.conf's options and every enabled jail. A value is printed as "FILE:LINE: NAME = VALUE", further
lines of it indented; FILE is "stock:…" where it is built in, and "default" stands for a value that nobody wrote.

--json prints one object; keys are only ever added:

  dir    the directory that was read
  main   fail2ban.conf's options, {NAME: {"value", "file", "line"}}; without a jail named
  jails  [{"name", "options": {NAME: {"value", "file", "line"}},
          "filter": null or {"name", "files", "options": {NAME: [{"value", "file", "line"}]}},
          "actions": [{"name", "files", "options": {NAME: [{"value", "file", "line"}]}}]}];
         a filter's failregex has one value each regular expression, those of the jail itself included`
}

// shownConfig is the configuration as --json prints it.
type shownConfig struct {
	Dir   string                  `json:"dir"`
	Main  map[string]config.Value `json:"main,omitempty"`
	Jails []shownJail             `json:"jails"`
}

// shownJail is a jail; Options are its own and those of [DEFAULT].
type shownJail struct {
	Name    string                  `json:"name"`
	Options map[string]config.Value `json:"options"`
	Filter  *shownPart              `json:"filter"`
	Actions []shownPart             `json:"actions"`
}

// shownPart is a filter or an action.
type shownPart struct {
	Name    string                    `json:"name"`
	Files   []string                  `json:"files"`
	Options map[string][]config.Value `json:"options"`
}

// Run prints the values, and what is wrong on stderr.
func (c *configCmd) Run(s *streams) error {
	o := c.options()
	switch {
	case c.Jail != "":
		o.Only, o.Enable = c.Jail, []string{c.Jail}
	case c.All:
		o.Enable = []string{config.AllJails}
	}
	o.Fallback = true
	tree, problems := config.Load(o)
	out := shownConfig{Dir: tree.Dir, Jails: []shownJail{}}
	if c.Jail == "" {
		out.Main = tree.Main.Options
	}
	for i := range tree.Jails {
		if j := &tree.Jails[i]; j.Enabled {
			out.Jails = append(out.Jails, shown(j))
		}
	}
	if c.Jail != "" && len(out.Jails) == 0 {
		return problems.Err()
	}
	if !c.JSON {
		printConfig(s.buffered, &out)
	} else if err := printJSON(s.buffered, &out); err != nil {
		return err
	}
	return problems.Err()
}

func shown(j *config.Jail) shownJail {
	out := shownJail{Name: j.Name, Options: j.Options, Actions: []shownPart{}}
	rules := rulesOf(&j.Rules)
	if j.Filter != nil {
		part := shownPart{Name: j.Filter.Name, Files: j.Filter.Files, Options: map[string][]config.Value{}}
		for name, v := range j.Filter.Options {
			part.Options[name] = []config.Value{v}
		}
		maps.Copy(part.Options, rules)
		out.Filter = &part
	}
	for i := range j.Actions {
		out.Actions = append(out.Actions, shownAction(&j.Actions[i]))
	}
	return out
}

// rulesOf are the options of the rules that were given, each value at its own place.
func rulesOf(r *config.Rules) map[string][]config.Value {
	out := map[string][]config.Value{}
	for name, v := range map[string]config.Value{"usedns": r.Usedns, "prefregex": r.Prefregex, "logtype": r.Logtype} {
		if v.IsSet() || v.Text != "" {
			out[name] = []config.Value{v}
		}
	}
	for name, vs := range map[string][]config.Value{"failregex": r.Failregex, "ignoreregex": r.Ignoreregex, "datepattern": r.Datepattern} {
		if len(vs) > 0 {
			out[name] = vs
		}
	}
	for _, match := range r.Journalmatch {
		if len(match) > 0 {
			words := make([]string, len(match))
			for i, v := range match {
				words[i] = v.Text
			}
			out["journalmatch"] = append(out["journalmatch"], config.Value{Text: strings.Join(words, " "), File: match[0].File, Line: match[0].Line})
		}
	}
	return out
}

func shownAction(a *config.Action) shownPart {
	part := shownPart{Name: a.ActName, Files: append([]string{}, a.Files...), Options: map[string][]config.Value{}}
	if a.Python != "" {
		part.Files = []string{a.Python}
	}
	for _, params := range [][]config.Param{a.Params, a.Init} {
		for _, p := range params {
			part.Options[p.Name] = []config.Value{p.Value}
		}
	}
	for name, v := range map[string]config.Value{
		"actionstart": a.Start, "actionstop": a.Stop, "actionflush": a.Flush, "actionreload": a.Reload, "actioncheck": a.Check,
		"actionrepair": a.Repair, "actionban": a.Ban, "actionunban": a.Unban, "actionprolong": a.Prolong, "actionreban": a.Reban,
	} {
		if v.IsSet() {
			part.Options[name] = []config.Value{v}
		}
	}
	for name, yes := range map[string]bool{"norestored": a.NoRestored, "actionrepair_on_unban": a.RepairOnUnban} {
		if _, ok := part.Options[name]; !ok {
			part.Options[name] = []config.Value{{Text: strconv.FormatBool(yes)}}
		}
	}
	return part
}

func printConfig(w io.Writer, c *shownConfig) {
	if c.Main != nil {
		fmt.Fprintln(w, "[fail2ban.conf]")
		printOptions(w, c.Main)
	}
	for _, j := range c.Jails {
		fmt.Fprintf(w, "[%s]\n", j.Name)
		printOptions(w, j.Options)
		if j.Filter != nil {
			printPart(w, j.Name, "filter", j.Filter)
		}
		for i := range j.Actions {
			printPart(w, j.Name, "action", &j.Actions[i])
		}
	}
}

func printOptions(w io.Writer, options map[string]config.Value) {
	for _, name := range slices.Sorted(maps.Keys(options)) {
		printValue(w, name, options[name])
	}
}

func printPart(w io.Writer, jail, kind string, p *shownPart) {
	fmt.Fprintf(w, "[%s, %s %s]\n", jail, kind, p.Name)
	for _, name := range slices.Sorted(maps.Keys(p.Options)) {
		for _, v := range p.Options[name] {
			printValue(w, name, v)
		}
	}
}

func printValue(w io.Writer, name string, v config.Value) {
	fmt.Fprintf(w, "%s: %s =", v.Place(), name)
	for i, line := range strings.Split(v.Text, "\n") {
		if i > 0 {
			fmt.Fprint(w, "\n   ")
		}
		if line != "" {
			fmt.Fprint(w, " "+printable([]byte(line)))
		}
	}
	fmt.Fprintln(w)
}
