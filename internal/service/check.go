package service

import (
	"slices"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
)

// Checked is what Check found, and what `f2bpipe check --json` prints. Keys are
// only ever added; a list is never null.
type Checked struct {
	Dir      string           `json:"dir"`
	Other    *OtherDir        `json:"other"` // null: no other directory holds jails
	Errors   int              `json:"errors"`
	Warnings int              `json:"warnings"`
	Problems []config.Problem `json:"problems"`
	Jails    []CheckedJail    `json:"jails"` // the enabled ones
}

// CheckedJail is what an enabled jail would do.
type CheckedJail struct {
	Name     string          `json:"name"`
	Disabled bool            `json:"disabled"` // by an error
	Filter   *CheckedFilter  `json:"filter"`   // null: the jail has none
	Actions  []CheckedAction `json:"actions"`
	Logs     []CheckedLog    `json:"logs"`
	Journal  *CheckedJournal `json:"journal"` // null: the jail reads files alone
	Slow     []SlowRegex     `json:"slow"`    // failregexes that no text of a line can rule out
	// Forbidden is what the installed unit does not let the jail do.
	Forbidden []Forbidden `json:"forbidden"`
}

// CheckedFilter is a jail's filter and where it comes from.
type CheckedFilter struct {
	Name     string   `json:"name"`
	File     string   `json:"file"`     // the file that was taken; "stock:…" is built in
	Files    []string `json:"files"`    // all that it was read from, in order
	Stock    bool     `json:"stock"`    // the file is built in
	Replaces string   `json:"replaces"` // the file on disk that it is taken for; empty: none
	Regexes  int      `json:"regexes"`  // failregexes
	MaxLines int      `json:"maxlines"` // above 1 its rules see so many lines joined
}

// CheckedAction is an action and how it is carried out.
type CheckedAction struct {
	Name   string   `json:"name"`
	File   string   `json:"file"`
	Files  []string `json:"files"`
	By     string   `json:"by"`     // nftables (in its place), command, python3, or empty: not carried out
	Reason string   `json:"reason"` // why it is not carried out, or not in nftables
}

// CheckedLog is one logpath and the files that it means now; without any, it
// is waited for.
type CheckedLog struct {
	Path  string   `json:"path"`
	Tail  bool     `json:"tail"` // read from the end
	Files []string `json:"files"`
}

// CheckedJournal is what the jail wants of the journal: the entries that one
// of the matches takes, all where there is no match.
type CheckedJournal struct {
	Matches [][]string `json:"matches"` // FIELD=VALUE and +
}

// The costs of a failregex without a literal.
const (
	CostEveryLine = "every line" // it is tried on every line of the jail's logs
	CostPrefregex = "prefregex"  // on every line that has prefregex's literal
)

// SlowRegex is a failregex that no literal text can rule out.
type SlowRegex struct {
	Index int    `json:"index"` // in failregex
	File  string `json:"file"`
	Line  int    `json:"line"`
	Regex string `json:"regex"` // as written
	Cost  string `json:"cost"`  // every line, or prefregex
}

// Check reads and compiles everything and touches nothing. other is the
// configuration directory that holds jails and is not read; empty: none.
func Check(o config.Options, other string) *Checked {
	o.Fallback = true
	unit := loadedUnit()
	tree, problems := config.Load(o)
	jails, found := compileAll(tree)
	problems = append(problems, found...)
	out := &Checked{
		Dir: tree.Dir, Other: otherDir(o, other), Problems: append([]config.Problem{}, problems...), Jails: []CheckedJail{},
		Errors: len(problems.Errors()), Warnings: len(problems.Warnings()),
	}
	for i := range tree.Jails {
		if c := &tree.Jails[i]; c.Enabled {
			at := slices.IndexFunc(jails, func(j *jail) bool { return j.config == c })
			var j *jail
			if at >= 0 {
				j = jails[at]
			}
			out.Jails = append(out.Jails, checkedJail(c, j, tree.Replaced))
			last := &out.Jails[len(out.Jails)-1]
			last.Forbidden = unit.forbidden(c, last.Actions)
		}
	}
	return out
}

// checkedJail describes a jail; j is nil where an error disables it.
func checkedJail(c *config.Jail, j *jail, replaced []config.Replaced) CheckedJail {
	out := CheckedJail{
		Name: c.Name, Disabled: j == nil, Filter: checkedFilter(c, replaced), Actions: []CheckedAction{}, Logs: []CheckedLog{}, Slow: []SlowRegex{},
	}
	for i := range c.Actions {
		out.Actions = append(out.Actions, checkedAction(&c.Actions[i], j))
	}
	found := false
	for _, p := range c.LogPaths {
		files := append([]string{}, p.Expand()...)
		found = found || len(files) > 0
		out.Logs = append(out.Logs, CheckedLog{Path: p.Pattern.Text, Tail: p.Tail, Files: files})
	}
	out.Journal = checkedJournal(c, found)
	if j != nil && j.matcher.Filter != nil {
		out.Slow = slowRegexes(c, j.matcher.Filter)
	}
	return out
}

func checkedFilter(c *config.Jail, replaced []config.Replaced) *CheckedFilter {
	if c.Filter == nil {
		return nil
	}
	out := &CheckedFilter{
		Name: specText(c.Filter.Name, c.Filter.Params), File: filterFile(c), Files: append([]string{}, c.Filter.Files...),
		Stock: c.Filter.Stock, Regexes: len(c.Failregex), MaxLines: max(1, c.Maxlines),
	}
	for _, r := range replaced {
		if r.Stock == out.File {
			out.Replaces = r.Disk
		}
	}
	return out
}

// specText writes a filter or an action as a jail asks for it: NAME[option=value, …].
func specText(name string, params []config.Param) string {
	if len(params) == 0 {
		return name
	}
	texts := make([]string, len(params))
	for i, p := range params {
		texts[i] = p.Name + "=" + p.Value.Text
	}
	return name + "[" + strings.Join(texts, ", ") + "]"
}

// checkedAction says how an action is carried out; j is nil where the jail does not run.
func checkedAction(a *config.Action, j *jail) CheckedAction {
	out := CheckedAction{Name: a.ActName, File: definingFile(a.Files, "action.d/", a.Name), Files: append([]string{}, a.Files...)}
	if a.Python != "" {
		out.File, out.Files = a.Python, []string{a.Python}
	}
	switch {
	case j == nil:
		out.Reason = "the jail is disabled"
	case slices.Contains(j.dropBy, a.ActName):
		out.By = byNFTables
	default:
		for _, x := range j.actions {
			if x.name == a.ActName {
				out.By, out.Reason = x.by, x.note
			}
		}
		for _, o := range j.other {
			if o.action == a.ActName {
				out.Reason = o.reason
			}
		}
	}
	return out
}

// checkedJournal says what the jail reads of the journal: backend = systemd
// reads nothing else, auto reads it where no log file is found.
func checkedJournal(c *config.Jail, found bool) *CheckedJournal {
	auto := c.Backend.Name == "auto" && c.SystemdIfNoLogs && !found && len(c.Journalmatch) > 0
	if c.Backend.Name != "systemd" && !auto {
		return nil
	}
	out := &CheckedJournal{Matches: [][]string{}}
	for _, match := range c.Journalmatch {
		out.Matches = append(out.Matches, texts(match))
	}
	return out
}

// slowRegexes returns the failregexes that no literal text can rule out: the
// prefilter has to leave them lines to try.
func slowRegexes(c *config.Jail, f *matchers.Filter) []SlowRegex {
	out := []SlowRegex{}
	cost := CostEveryLine
	if pref := f.Prefregex(); pref != nil && f.MaxLines() == 1 && matchers.Literals(pref) != nil {
		cost = CostPrefregex
	}
	for i, re := range f.Failregex() {
		if v := c.Failregex[i]; f.TriesEveryLine(re) {
			out = append(out, SlowRegex{Index: i, File: v.File, Line: v.Line, Regex: v.Text, Cost: cost})
		}
	}
	return out
}
