package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// maxKept bounds what -v remembers of one regular expression or prefregex.
const maxKept = 1 << 20

// regexStats are the counts and lines of the report.
type regexStats struct {
	limit           int // lines of a kind that are printed without being asked for all
	tested          int
	matched, missed lineStats
	ignored         lineStats
	fail            []failStats // by failregex
	prefMatched     int
	prefGroups      []string
	multiline       bool
	buffered        []matchers.BufferedLine
}

// lineStats are the lines of one kind.
type lineStats struct {
	count int
	lines []string // those that will be printed
	texts []string // with --debuggex: what the regular expression sees
}

// failStats are the hits of one failregex.
type failStats struct {
	hits int
	ids  []string // with -v: who, when
}

func (s *regexStats) init(t *regexTest) {
	s.limit = 20
	if t.opts.maxlines != 0 {
		s.limit = t.opts.maxlines
	}
	s.fail = make([]failStats, len(t.rules.Failregex))
	s.multiline = t.rules.Maxlines > 1
}

// count takes a line into the report.
func (t *regexTest) count(failures []pipeline.Failure) {
	s := &t.stats
	before := s.buffered
	if s.multiline {
		s.buffered = t.trial.Set.Buffered()
	}
	real, quiet := 0, false
	for _, f := range t.found(failures) {
		t.countFailure(f, real > 1)
		if f.match.NoFail {
			quiet = true
		} else {
			real++
		}
	}
	t.countPrefregex()
	text := string(t.trial.Set.LineText())
	debug := text
	if s.multiline {
		debug = t.countBuffered(before, text)
	}
	o := &t.opts
	switch {
	case quiet || t.trace.Ignored:
		s.ignored.add(text, debug, !o.noIgnored && (o.allIgnored || s.ignored.count <= s.limit))
	case real > 0:
		s.matched.add(text, debug, o.allMatched)
	default:
		s.missed.add(text, debug, !o.noMissed && (o.allMissed || s.missed.count <= s.limit))
	}
	s.tested++
}

// add counts a line, and keeps it to be printed.
func (l *lineStats) add(text, debug string, keep bool) {
	l.count++
	if keep {
		l.lines = append(l.lines, text)
		l.texts = append(l.texts, debug)
	}
}

// countFailure counts a failure for its failregex.
func (t *regexTest) countFailure(f regexFound, several bool) {
	st := &t.stats.fail[f.match.Regex]
	st.hits++
	if t.opts.verbose == 0 || len(st.ids) >= maxKept {
		return
	}
	at := time.Now()
	if f.failure.AtNanos != matchers.NoTime {
		at = time.Unix(0, f.failure.AtNanos)
	}
	line := fmt.Sprintf("    %s  %s", idText(f.failure.ID), at.Format("Mon Jan 02 15:04:05 2006"))
	if several {
		line += " (multiple regex matched)"
	}
	st.ids = append(st.ids, line)
}

// idText is an ID as Python prints it.
func idText(id pipeline.ID) string {
	if id.IsZero() {
		return "None"
	}
	return id.String()
}

// countPrefregex counts a line for prefregex. Like fail2ban-regex it asks how
// the last search ended, also where an ignoreregex made this line need none.
func (t *regexTest) countPrefregex() {
	pre := t.trial.Filter.Prefregex()
	if pre == nil || !t.trace.Timing(pre).Last {
		return
	}
	s := &t.stats
	s.prefMatched++
	switch {
	case t.opts.verbose == 0 || len(s.prefGroups) > s.limit:
	case len(s.prefGroups) < s.limit:
		s.prefGroups = append(s.prefGroups, "    "+fieldsOf(t.trace.Groups, nil))
	default:
		s.prefGroups = append(s.prefGroups, "    ...")
	}
}

// countBuffered makes matched lines of those that had been missed and were now
// needed by a match of several lines. It returns the text of the match.
func (t *regexTest) countBuffered(before []matchers.BufferedLine, text string) string {
	s := &t.stats
	if len(before) >= t.rules.Maxlines {
		before = before[1:]
	}
	var together []string
	for _, line := range before {
		if slices.Contains(s.buffered, line) {
			continue
		}
		s.missed.forget(line)
		if t.opts.allMatched {
			if t.opts.debuggex {
				together = append(together, line.Undated)
			} else {
				s.matched.lines = append(s.matched.lines, line.Text)
				s.matched.texts = append(s.matched.texts, line.Text)
			}
		}
		s.matched.count++
		s.missed.count--
	}
	if len(together) == 0 {
		return text
	}
	return strings.Join(append(together, t.trial.Set.UndatedText()), "\n")
}

// forget takes a line out of those that will be printed. Like fail2ban-regex it
// looks for the line without its date among the texts of --debuggex, which have
// it, and so finds only a line that has none.
func (l *lineStats) forget(line matchers.BufferedLine) {
	i := slices.Index(l.lines, line.Text)
	if i < 0 {
		return
	}
	l.lines = slices.Delete(l.lines, i, i+1)
	if i := slices.Index(l.texts, line.Undated); i >= 0 {
		l.texts = slices.Delete(l.texts, i, i+1)
	}
}

// report prints what was found.
func (t *regexTest) report(took time.Duration) {
	t.say("\nResults\n=======")
	if pre := t.trial.Filter.Prefregex(); pre != nil {
		t.say("\nPrefregex: %d total", t.stats.prefMatched)
		t.list("", append([]string{pre.String()}, t.stats.prefGroups...))
	}
	t.reportRegexes("Failregex", len(t.stats.fail), func(i int) (string, failStats) {
		return t.rules.Failregex[i].Text, t.stats.fail[i]
	})
	ignore := t.trial.Filter.Ignoreregex()
	t.reportRegexes("Ignoreregex", len(ignore), func(i int) (string, failStats) {
		return t.rules.Ignoreregex[i].Text, failStats{hits: int(t.trace.Timing(ignore[i]).Hits)}
	})
	t.reportDates()
	s := &t.stats
	t.say("\nLines: %d lines, %d ignored, %d matched, %d missed", s.tested, s.ignored.count, s.matched.count, s.missed.count)
	t.say("[processed in %.2f sec]", took.Seconds())
	t.say("")
	o := &t.opts
	if o.allMatched {
		t.reportLines("matched", &s.matched, o.allMatched, t.trial.Filter.Failregex())
	}
	if !o.noIgnored {
		t.reportLines("ignored", &s.ignored, o.allIgnored, ignore)
	}
	if !o.noMissed {
		t.reportLines("missed", &s.missed, o.allMissed, t.trial.Filter.Failregex())
	}
}

// list prints a list with its frame; an empty one is not shown.
func (t *regexTest) list(header string, lines []string) {
	if len(lines) == 0 {
		return
	}
	if header != "" {
		t.say("|- %s", header)
	}
	for _, line := range lines {
		t.say("|  %s", line)
	}
	t.say("`-")
}

func (t *regexTest) reportRegexes(title string, n int, at func(int) (text string, st failStats)) {
	total := 0
	var lines []string
	for i := range n {
		text, st := at(i)
		total += st.hits
		if st.hits > 0 || t.opts.verbose > 0 {
			lines = append(lines, fmt.Sprintf("%2d) [%d] %s", i+1, st.hits, text))
		}
		lines = append(lines, st.ids...)
	}
	t.say("\n%s: %d total", title, total)
	t.list(" #) [# of hits] regular expression", lines)
}

func (t *regexTest) reportDates() {
	t.say("\nDate template hits:")
	if t.stats.tested == 0 && !t.dateSet {
		return // fail2ban takes its defaults with the first line
	}
	var lines []string
	for _, h := range t.trial.Set.DateHits() {
		if h.Hits == 0 && t.opts.verbose == 0 {
			continue
		}
		lines = append(lines, fmt.Sprintf("[%d] %s", h.Hits, h.Name.Name))
		if t.opts.verboseDate {
			lines = append(lines, fmt.Sprintf("    # weight: %.3f (%.3f), pattern: %s", h.Weight, h.Base, h.Pattern),
				fmt.Sprintf("    # regex:   %s", h.Regex))
		}
	}
	t.list("[# of hits] date format", lines)
}

// reportLines prints the lines of a kind, unless they are many.
func (t *regexTest) reportLines(kind string, l *lineStats, all bool, regexes []*regex.Regexp) {
	if l.count == 0 {
		return
	}
	header := strings.ToUpper(kind[:1]) + kind[1:] + " line(s):"
	if l.count >= t.stats.limit && !all {
		t.say("%s too many to print.  Use --print-all-%s to print all %d lines", header, kind, l.count)
		return
	}
	var lines []string
	if t.opts.debuggex {
		sources := t.rules.Failregex
		if kind == "ignored" {
			sources = t.rules.Ignoreregex
		}
		for _, text := range l.texts {
			for i, re := range regexes {
				lines = append(lines, text+" | "+sources[i].Text+" |  "+t.debuggex(text, re.String()))
			}
		}
	} else {
		lines = slices.Clone(l.lines)
	}
	for i := range lines {
		lines[i] = strings.TrimRightFunc(lines[i], unicode.IsSpace)
	}
	t.list(header, lines)
}

// debuggex is the address where debuggex.com shows the pattern at work.
func (t *regexTest) debuggex(text, pattern string) string {
	u := "https://www.debuggex.com/?re=" + quotePlus(pattern) + "&str=" + quotePlus(text) + "&flavor=python"
	if t.stats.multiline {
		u += "&flags=m"
	}
	return u
}

// quotePlus is Python's quote_plus: as QueryEscape, but for the tilde.
func quotePlus(s string) string { return url.QueryEscape(s) }
