package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
)

const notAnchored = "not anchored: who can write into the line (a user name) can write a whole match there, host and all (begin it with ^ and what the line begins with)"

// warnMatching warns of rules that are accepted but surely meant otherwise.
func (r *jailReader) warnMatching() {
	j := r.jail
	for _, v := range j.Failregex {
		if !r.warnVariant("failregex", v) && !anchored(v.Text) {
			r.wrongValue(Warning, v, "failregex", notAnchored)
		}
	}
	r.warnVariant("prefregex", j.Prefregex)
	for _, v := range j.Ignoreregex {
		r.warnVariant("ignoreregex", v)
	}
	if len(r.problems.Jail(r.name).Errors()) > 0 {
		return // what is missing may be missing because of them
	}
	if len(j.Failregex) == 0 && j.Prefregex.Text == "" && len(j.LogPaths) > 0 {
		r.wrongValue(Warning, j.LogPaths[0].Pattern, "logpath", "the jail reads a log and has no failregex")
	}
	if j.Backend.Name == "systemd" && len(j.Journalmatch) == 0 && len(j.Failregex) > 0 {
		r.wrongValue(Warning, j.Backend.Value, "backend", "without journalmatch every entry of the journal is matched, whoever wrote it")
	}
	if r.readsJournal() {
		for _, match := range j.Journalmatch {
			r.warnJournalmatch(match)
		}
	}
	for _, item := range j.Ignore.List {
		if item.Kind != IgnoreFile || !strings.HasPrefix(item.Value.Text, "/") {
			continue
		}
		if _, err := os.Stat(item.Value.Text); err != nil {
			r.wrongValue(Warning, item.Value, "ignoreip", reason(err)+" (the file is looked for again while the jail runs)")
		}
	}
}

// variant is a tag that a parameter completes, as <mode> does in <mdre-<mode>>.
var variant = regexp.MustCompile(`<(\w[\w\-]*-)(\w+)>`)

// warnVariant warns of a tag that is left because the filter has no such
// variant (mode = agressive), and says whether there is one. Like fail2ban we
// take it as text.
func (r *jailReader) warnVariant(option string, v Value) bool {
	if r.jail.Filter == nil {
		return false
	}
	for _, m := range variant.FindAllStringSubmatch(v.Text, -1) {
		var known []string
		for name := range r.jail.Filter.Options {
			if rest, ok := strings.CutPrefix(name, m[1]); ok {
				known = append(known, rest)
			}
		}
		if len(known) == 0 {
			continue
		}
		slices.Sort(known)
		r.report(Problem{Severity: Warning, File: v.File, Line: v.Line, Jail: r.name, Option: option, Text: v.Text,
			Message: m[0] + " has no value, so that the tag itself is searched for: the filter knows " + strings.Join(known, ", ") + ", not " + m[2],
			Hint:    didYouMean(m[2], known)})
		return true
	}
	return false
}

// readsJournal says whether the jail's lines come from the journal: it asks for
// it, or there is no log file now.
func (r *jailReader) readsJournal() bool {
	j := r.jail
	if j.Backend.Name != "auto" || !j.SystemdIfNoLogs {
		return j.Backend.Name == "systemd"
	}
	return !slices.ContainsFunc(j.LogPaths, func(p LogPath) bool { return len(p.Expand()) > 0 })
}

// freeStart is what a regular expression may begin with before it comes to
// what it must match: groups that open, flags, tags that name a group.
var freeStart = regexp.MustCompile(`^(?:\((?:\?(?:[aiLmsux]+\)|(?:[aiLmsux]*-?[aims]*:)|P<\w+>))?|<F-[A-Z0-9_\-]+>)+`)

// anchored says whether a regular expression is held at the start of the line
// (or of what prefregex leaves of it): it begins with ^ and not with ^.*.
func anchored(regex string) bool {
	s := regex
	for {
		rest := freeStart.ReplaceAllString(s, "")
		if rest == s {
			break
		}
		s = rest
	}
	if !strings.HasPrefix(s, "^") && !strings.HasPrefix(s, `\A`) {
		return false
	}
	s = strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(s, `\A`), "^"), "^(")
	s = strings.TrimPrefix(s, "?:")
	if !strings.HasPrefix(s, ".*") && !strings.HasPrefix(s, ".+") {
		return true
	}
	return strings.HasPrefix(strings.TrimPrefix(s[2:], "?"), `\n`) // the whole of a line, of several
}

// warnJournalmatch warns of a match that any user of the machine can satisfy:
// only fields with an underscore are journald's own, and _COMM is the name
// that a process gives itself.
func (r *jailReader) warnJournalmatch(match []Value) {
	var fields []string
	flush := func(at Value) {
		if len(fields) == 0 {
			return
		}
		trusted := false
		for _, f := range fields {
			trusted = trusted || strings.HasPrefix(f, "_") && f != "_COMM"
		}
		if !trusted && !(strings.HasPrefix(at.File, StockPrefix) || isReleased(at.File, fields)) {
			r.wrongValue(Warning, at, "journalmatch", "any user of the machine can write such entries: add _SYSTEMD_UNIT=…, or _UID=0")
		}
		fields = nil
	}
	last := Value{}
	for _, v := range match {
		if v.Text == "+" {
			flush(last)
			continue
		}
		field, _, ok := strings.Cut(v.Text, "=")
		if !ok {
			return // no match at all, which is reported elsewhere
		}
		fields, last = append(fields, field), v
	}
	flush(last)
}

// isReleased says whether a match by _COMM alone stands in a filter's .conf:
// fail2ban's own filters have it, and there is nothing their user can do.
func isReleased(file string, fields []string) bool {
	return strings.Contains(file, "/filter.d/") && strings.HasSuffix(file, ".conf") && slices.Contains(fields, "_COMM")
}

// warnDefinition warns of options of a filter or action that are nearly those
// that mean something and that no tag or %(…)s mentions.
func (l *loader) warnDefinition(p *parser, jail string, wanted []string) {
	own := p.sections["Definition"]
	if own == nil {
		if n := len(p.files); n > 0 {
			l.report(Problem{Severity: Warning, File: p.files[n-1], Jail: jail, Message: "no section [Definition]: the file defines nothing"})
		}
		return
	}
	if p.mistyped == nil {
		p.mistyped = p.findMistyped(own, wanted)
	}
	for _, problem := range p.mistyped {
		problem.Jail = jail
		l.report(problem)
	}
}

// findMistyped returns the warnings for all jails that use the definition.
func (p *parser) findMistyped(own *section, wanted []string) Problems {
	out := Problems{}
	for _, k := range own.keys {
		v := own.opts[k]
		at := v.at(0)
		name, _, _ := strings.Cut(k, "?")
		if contains(wanted, name) || strings.HasPrefix(at.file, StockPrefix) {
			continue
		}
		if hint := didYouMean(name, wanted); hint != "" && !p.mentions(k) {
			out = append(out, Problem{Severity: Warning, File: at.file, Line: at.line, Option: k, Text: v.s, Message: "unknown option: nothing reads it", Hint: hint})
		}
	}
	return out
}

// warnParams warns of parameters that are nearly something that the filter or
// action mentions. One that resembles nothing is common: jail.conf hands every
// filter its mode.
func (l *loader) warnParams(p *parser, jail, option string, s spec, wanted []string) {
	known := append([]string{"mode", "logtype", "name", "actname", "timeout"}, wanted...)
	for _, name := range []string{"Definition", "Init"} {
		if sec := p.sections[name]; sec != nil {
			known = append(known, sec.keys...)
		}
	}
	for _, param := range s.list() {
		if contains(known, param.Name) {
			continue
		}
		hint := didYouMean(param.Name, known)
		if hint == "" || p.mentions(param.Name) {
			continue
		}
		v := param.Value
		l.report(Problem{Severity: Warning, File: v.File, Line: v.Line, Jail: jail, Option: option, Text: param.Name, Message: "unknown parameter of " + s.name, Hint: hint})
	}
}

// mentions says whether any value refers to the option, by %(…)s or a tag.
func (p *parser) mentions(option string) bool {
	for _, s := range append([]*section{p.defaults}, valuesOf(p.sections)...) {
		for _, v := range s.opts {
			for _, form := range []string{"<" + option + ">", "%(" + option + ")s", "/" + option + ">", "/" + option + ")s"} {
				if strings.Contains(v.s, form) {
					return true
				}
			}
		}
	}
	return false
}

func valuesOf(m map[string]*section) []*section {
	out := make([]*section, 0, len(m))
	for _, s := range m {
		out = append(out, s)
	}
	return out
}
