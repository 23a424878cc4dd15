package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

var (
	usednsValues  = []string{"yes", "warn", "no", "raw"}
	logtypeValues = []string{"file", "short", "journal", "rfc5424"}
)

// checkRules reports what is wrong with rules as far as it shows without
// compiling them.
func (l *loader) checkRules(jail string, r *Rules) {
	if v := r.Usedns; v.Text != "" && !contains(usednsValues, strings.ToLower(v.Text)) {
		l.report(Problem{Severity: Error, File: v.File, Line: v.Line, Jail: jail, Option: "usedns", Text: v.Text,
			Message: "expected one of " + strings.Join(usednsValues, ", "), Hint: didYouMean(v.Text, usednsValues)})
	}
	if v := r.Logtype; v.Text != "" && !contains(logtypeValues, v.Text) {
		l.report(Problem{Severity: Warning, File: v.File, Line: v.Line, Jail: jail, Option: "logtype", Text: v.Text,
			Message: "none of " + strings.Join(logtypeValues, ", "), Hint: didYouMean(v.Text, logtypeValues)})
	}
	for _, o := range []struct {
		name  string
		lines []Value
	}{{"failregex", r.Failregex}, {"ignoreregex", r.Ignoreregex}} {
		seen := map[string]Value{}
		for _, v := range o.lines {
			if before, ok := seen[v.Text]; ok {
				l.report(Problem{Severity: Warning, File: v.File, Line: v.Line, Jail: jail, Option: o.name, Text: v.Text,
					Message: "the same as at " + before.Place()})
				continue
			}
			seen[v.Text] = v
		}
	}
	for _, match := range r.Journalmatch {
		l.checkJournalmatch(jail, match)
	}
}

func (l *loader) checkJournalmatch(jail string, match []Value) {
	for _, v := range match {
		if field, _, ok := strings.Cut(v.Text, "="); v.Text != "+" && (!ok || field == "") {
			l.report(Problem{Severity: Error, File: v.File, Line: v.Line, Jail: jail, Option: "journalmatch", Text: v.Text,
				Message: "expected FIELD=VALUE or +"})
		}
	}
}

// checkLogPaths reports paths that cannot be, that no file has, or that stand twice.
func (r *jailReader) checkLogPaths() {
	j := r.jail
	seen := map[string]bool{}
	found := false
	for _, p := range j.LogPaths {
		if p.Word.IsSet() && p.Word.Text != "head" && p.Word.Text != "tail" {
			r.wrongValue(Error, p.Word, "logpath", "expected head or tail after the path, or nothing (a path cannot contain blanks; each path stands on its own line)")
		}
		if seen[p.Pattern.Text] {
			r.wrongValue(Warning, p.Pattern, "logpath", "stands twice")
		}
		seen[p.Pattern.Text] = true
		found = found || len(p.Expand()) > 0
	}
	if found || len(j.LogPaths) == 0 {
		return
	}
	switch first := j.LogPaths[0].Pattern; {
	case j.Backend.Name == "auto" && j.SystemdIfNoLogs && len(j.Journalmatch) > 0:
		r.wrongValue(Warning, first, "logpath", "no such file yet: the jail reads the journal")
	case j.SkipIfNoLogs:
		r.wrongValue(Warning, first, "logpath", "no such file yet: the jail is left out (skip_if_nologs)")
	default:
		r.wrongValue(Warning, first, "logpath", "no such file yet")
	}
}

// checkActions reports actions that would take each other's place and Python
// actions that are not there.
func (r *jailReader) checkActions() {
	seen := map[string]bool{}
	for _, a := range r.jail.Actions {
		if seen[a.ActName] {
			r.wrongValue(Error, a.At, "action", fmt.Sprintf("a second action named %s (give one of them actname=…)", a.ActName))
		}
		seen[a.ActName] = true
		if a.Python != "" {
			if _, err := os.Stat(a.Python); err != nil {
				r.wrongValue(Error, a.At, "action", a.Python+": "+reason(err))
			}
		}
	}
	if v := r.value("action"); len(r.jail.Actions) == 0 && strings.TrimSpace(v.Text) == "" {
		r.wrongValue(Warning, v, "action", "the jail has no action: it bans nobody")
	}
}

// unknown warns of options of the jail, or of [DEFAULT], that nothing reads:
// neither fail2ban, nor we, nor any %(…)s of the jail's files. Those of the
// stock configuration are ours to get right.
func (r *jailReader) unknown() {
	own := r.parser.lookup(r.name)
	for _, k := range own.keys {
		r.unknownOption(r.name, k, own.opts[k])
	}
}

func (l *loader) unknownOption(jail, name string, v text) {
	at := v.at(0)
	if strings.HasPrefix(name, "known/") || strings.HasPrefix(at.file, StockPrefix) || at.file == CommandLine || at.file == "" || l.readsOption(name) {
		return
	}
	l.report(Problem{Severity: Warning, File: at.file, Line: at.line, Jail: jail, Option: name, Text: v.s,
		Message: "unknown option: nothing reads it", Hint: didYouMean(name, l.optionNames())})
}

// ownOptions are the options that f2bpipe has and fail2ban has not, or only in
// a later release than the client that jailOptions follows.
var ownOptions = []string{"skip_if_nologs", "systemd_if_nologs", "logtype", "mode", "counter", "stockfilters", "expiry", "scope", "kill-sockets", "blindalarm", "guard", "ipv6-prefix", "subnet-ban", "native-actions"}

// variableOptions are what fail2ban's stock jail.conf, and nothing else, gives
// a meaning to by %(…)s; another jail.conf need not read them.
var variableOptions = []string{
	"port", "protocol", "chain", "banaction", "banaction_allports", "action_", "action_mw", "action_mwl", "action_xarf",
	"action_cf_mwl", "action_blocklist_de", "action_abuseipdb", "action_badips", "action_badips_report", "destemail",
	"sender", "sendername", "mta", "fail2ban_agent", "fail2ban_version", "fail2ban_confpath",
}

func (l *loader) optionNames() []string {
	return slices.Concat(jailOptions, ownOptions, variableOptions)
}

// readsOption says whether anything reads an option of a jail.
func (l *loader) readsOption(name string) bool {
	if contains(l.optionNames(), name) {
		return true
	}
	return l.parser("jail", false).references()[name]
}

// references are the options that the files mention in %(…)s.
func (p *parser) references() map[string]bool {
	if p.mentioned != nil {
		return p.mentioned
	}
	p.mentioned = map[string]bool{}
	sections := []*section{p.defaults}
	for _, s := range p.sections {
		sections = append(sections, s)
	}
	for _, s := range sections {
		for _, v := range s.opts {
			for rest := v.s; ; {
				i := strings.Index(rest, "%(")
				if i < 0 {
					break
				}
				rest = rest[i+2:]
				if end := strings.Index(rest, ")s"); end > 0 {
					name := strings.ToLower(rest[:end])
					p.mentioned[name[strings.IndexByte(name, '/')+1:]] = true
				}
			}
		}
	}
	return p.mentioned
}

// reportFaults reports what is wrong with the files of a filter or action that
// a jail uses.
func (l *loader) reportFaults(p *parser, jail string) {
	for _, f := range p.faults {
		l.reportWrong(f.severity(), jail, f.option, &f.wrong)
	}
}

func (f *fault) severity() Severity {
	if f.warning {
		return Warning
	}
	return Error
}

// warnSections warns of mistyped options of [DEFAULT] and of sections that
// were meant to be [DEFAULT] or [INCLUDES]. A name that resembles none may be
// somebody's variable.
func (l *loader) warnSections(p *parser) {
	for _, name := range p.defaults.keys {
		v := p.defaults.opts[name]
		at := v.at(0)
		if !isJailFile(at.file) || l.readsOption(name) {
			continue
		}
		if hint := didYouMean(name, l.optionNames()); hint != "" {
			l.report(Problem{Severity: Warning, File: at.file, Line: at.line, Option: name, Text: v.s, Message: "unknown option: nothing reads it", Hint: hint})
		}
	}
	for _, name := range p.names {
		hint := didYouMean(strings.ToUpper(name), []string{defaultSection, includeSection})
		if name != includeSection && strings.EqualFold(name, defaultSection) || strings.EqualFold(name, includeSection) && name != includeSection {
			hint = "did you mean " + strings.ToUpper(name) + "?"
		}
		if keys := p.sections[name].keys; hint != "" && name != includeSection && len(keys) > 0 {
			at := p.sections[name].opts[keys[0]].at(0)
			l.report(Problem{Severity: Warning, File: at.file, Line: at.line, Jail: name, Message: "the section [" + name + "] is a jail", Hint: hint})
		}
	}
}

// isJailFile says whether a file on disk is jail.conf, jail.local or in jail.d.
func isJailFile(path string) bool {
	base := path[strings.LastIndexByte(path, '/')+1:]
	return base == "jail.conf" || base == "jail.local" || strings.Contains(path, "/jail.d/")
}
