package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/service"
)

type checkCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print one JSON object."`
	All  bool `help:"Check every jail, as if it were enabled."`
}

// Help documents what --json prints.
func (*checkCmd) Help() string {
	return `The exit status is 0 without errors (warnings are none), 1 with errors.

--json prints one object; keys are only ever added:

  dir       the directory that was read
  other     {"dir", "enabled"}: the one that holds jails too and is not read, and how many are enabled in it; or null
  errors    number of errors
  warnings  number of warnings
  problems  [{"severity": "error" or "warning", "file", "line", "jail", "option", "text", "message", "hint"}];
            all but severity and message only where there is one
  jails     the enabled jails, [{
    "name", "disabled" (by an error),
    "filter": null or {"name", "file" (that was taken; "stock:…" is built in), "files" (all that was read), "stock",
               "replaces" (the file on disk that the built-in one is taken for, or ""), "regexes", "maxlines"},
    "actions": [{"name", "file", "files", "by": "nftables" (ours, in its place), "command", "python3" or "" (not carried out), "reason"}],
    "logs": [{"path", "tail", "files" (none: waited for)}],
    "journal": null or {"matches": [["FIELD=VALUE", "+", …]]},
    "slow": [{"index" (in failregex), "file", "line", "regex", "cost": "every line" or "prefregex"}],
    "forbidden": [{"what": "action NAME" or "log PATH", "why", "lines" (for [Service] of a drop-in)}] (by the unit f2bpipe.service)}]`
}

// Run checks.
func (c *checkCmd) Run(s *streams) error {
	o := c.options()
	if c.All {
		o.Enable = []string{config.AllJails}
	}
	found := service.Check(o, c.other())
	if c.JSON {
		if err := printJSON(s.buffered, found); err != nil {
			return err
		}
	} else {
		printChecked(s.buffered, found)
	}
	if found.Errors > 0 {
		return errSilent
	}
	return nil
}

func printChecked(w io.Writer, c *service.Checked) {
	fmt.Fprintf(w, "configuration: %s\n", readDirs(c.Dir, c.Other))
	printProblems(w, c.Problems)
	disabled := 0
	for i := range c.Jails {
		j := &c.Jails[i]
		if j.Disabled {
			disabled++
		}
		printCheckedJail(w, j)
	}
	fmt.Fprintf(w, "%d jails are enabled", len(c.Jails))
	if disabled > 0 {
		fmt.Fprintf(w, ", %d of them DISABLED by errors", disabled)
	}
	fmt.Fprintf(w, "; %d errors, %d warnings\n", c.Errors, c.Warnings)
}

// printProblems prints problems, one a line.
func printProblems(w io.Writer, problems config.Problems) {
	for _, p := range problems {
		fmt.Fprintf(w, "%s: %s\n", p.Severity, printable([]byte(p.Error())))
	}
}

// readDirs says which directory is read, and which is not.
func readDirs(dir string, other *service.OtherDir) string {
	if other == nil {
		return dir
	}
	return fmt.Sprintf("%s (%s, which is not read, has %d enabled jails)", dir, other.Dir, other.Enabled)
}

func printCheckedJail(w io.Writer, j *service.CheckedJail) {
	note := ""
	if j.Disabled {
		note = " DISABLED by an error"
	}
	fmt.Fprintf(w, "%s%s\n", j.Name, note)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %-8s %s\n", what, printable(fmt.Appendf(nil, format, args...)))
	}
	switch f := j.Filter; {
	case f == nil:
		line("filter", "none")
	default:
		line("filter", "%s, failregexes: %d, from %s", f.Name, f.Regexes, f.File)
		if f.Replaces != "" {
			line("", "in place of %s, which misses what is logged today (stockfilters = disk keeps it)", f.Replaces)
		}
	}
	for _, re := range j.Slow {
		cost := "every line is tried"
		if re.Cost == service.CostPrefregex {
			cost = "every line that prefregex may take is tried"
		}
		line("slow", "%s: failregex %d needs no certain text: %s", config.Value{File: re.File, Line: re.Line}.Place(), re.Index, cost)
	}
	for _, a := range j.Actions {
		how := map[string]string{"": "not carried out", "nftables": "by our nftables", "command": "by its commands", "python3": "by python3"}[a.By]
		if a.Reason != "" {
			how += ": " + a.Reason
		}
		line("action", "%s from %s: %s", a.Name, a.File, how)
	}
	for _, f := range j.Forbidden {
		line("unit", "%s forbids the %s: %s; %s permits it with: %s", service.UnitName, f.What, f.Why, service.DropIn, strings.Join(f.Lines, "; "))
	}
	for _, l := range j.Logs {
		switch {
		case len(l.Files) == 0:
			line("log", "%s: no such file yet, waited for", l.Path)
		case len(l.Files) == 1 && l.Files[0] == l.Path:
			line("log", "%s", l.Path)
		default:
			line("log", "%s: %s", l.Path, strings.Join(l.Files, " "))
		}
	}
	if j.Journal != nil && len(j.Journal.Matches) == 0 {
		line("journal", "every entry")
	} else if j.Journal != nil {
		for _, match := range j.Journal.Matches {
			line("journal", "%s", strings.Join(match, " "))
		}
	}
}
