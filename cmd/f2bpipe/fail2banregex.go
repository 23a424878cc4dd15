package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// The exit statuses of fail2ban-regex beside 0.
const (
	exitOptparse = 2   // an option is wrong
	exitFail2ban = 255 // everything else is
)

// regexTest is one run of fail2ban-regex.
type regexTest struct {
	opts regexOptions
	w    *bufio.Writer
	err  io.Writer

	name        string // of the filter
	rules       config.Rules
	timezone    string
	encoding    string
	dateSet     bool
	maxlinesSet bool

	trial *service.Trial
	trace matchers.Trace
	stats regexStats

	journal []config.Param           // of the backend, where LOG is systemd-journal
	out     func(found []regexFound) // with --out
}

// fail2banRegex is the program under the name fail2ban-regex: its arguments,
// its texts, its exit statuses.
func fail2banRegex(args []string, std stdio) int {
	t := &regexTest{w: bufio.NewWriter(std.out), err: std.err}
	status := t.main(args)
	// A reader that has gone away (head) is nobody's mistake.
	if err := t.w.Flush(); err != nil && !errors.Is(err, syscall.EPIPE) {
		fmt.Fprintf(std.err, "ERROR: write output: %v\n", err)
		return exitFail2ban
	}
	return status
}

func (t *regexTest) main(args []string) int {
	program := args[0]
	t.opts = regexOptions{config: configFlag{}.dir(), encoding: localeEncoding(), logLevel: "critical", checkAll: true}
	rest, err := t.opts.parse(args[1:])
	switch o := &t.opts; {
	case err != nil:
		fmt.Fprintf(t.err, "%s\n%s: error: %v\n", regexUsage(program), filepath.Base(program), err)
		return exitOptparse
	case o.help:
		o.printHelp(t.w, program)
		return exitDone
	case o.version:
		fmt.Fprintf(t.w, "%s %s (f2bpipe %s)\n", filepath.Base(program), config.DefaultVersion, version)
		return exitDone
	case o.shortVersion:
		fmt.Fprintln(t.w, config.DefaultVersion)
		return exitDone
	}
	if wrong := t.opts.wrong(rest); len(wrong) > 0 {
		t.opts.printHelp(t.w, program)
		_ = t.w.Flush() // help before mistakes; an error stays and is told at the end
		fmt.Fprintf(t.err, "\n%s\n", strings.Join(wrong, "\n"))
		return exitFail2ban
	}
	t.say("\nRunning tests\n=============\n")
	if err := t.run(rest); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(t.w, strings.TrimRight(line, "\n"))
		}
		return exitFail2ban
	}
	return exitDone
}

// wrong returns what is wrong with the options as a whole and the arguments.
func (o *regexOptions) wrong(args []string) []string {
	var out []string
	if o.noMissed && o.allMissed {
		out = append(out, "ERROR: --print-no-missed and --print-all-missed are mutually exclusive.")
	}
	if o.noIgnored && o.allIgnored {
		out = append(out, "ERROR: --print-no-ignored and --print-all-ignored are mutually exclusive.")
	}
	if len(args) != 2 && len(args) != 3 {
		out = append(out, "ERROR: provide both <LOG> and <REGEX>.")
	}
	return out
}

// say prints a line of the report, which --out does without.
func (t *regexTest) say(format string, args ...any) {
	if t.opts.out == "" {
		fmt.Fprintf(t.w, format+"\n", args...)
	}
}

// run tries args: LOG, REGEX and maybe IGNOREREGEX.
func (t *regexTest) run(args []string) error {
	if err := t.useOptions(); err != nil {
		return err
	}
	log := args[0]
	journal := strings.HasPrefix(log, "systemd-journal")
	if err := t.useFailregex(args[1], journal); err != nil {
		return err
	}
	if err := t.compile(); err != nil {
		return err
	}
	if len(args) == 3 {
		if err := t.useIgnoreregex(args[2]); err != nil {
			return err
		}
		if err := t.compile(); err != nil {
			return err
		}
	}
	in, err := t.open(log, journal)
	if err != nil {
		return err
	}
	if in != nil {
		defer in.Close()
	}
	t.say("")
	return t.process(log, in)
}

// useOptions carries out the options that are the same for every filter.
func (t *regexTest) useOptions() error {
	o := &t.opts
	if !knownLogLevel(o.logLevel) {
		return fmt.Errorf("ERROR: Invalid log level %s", config.Repr(o.logLevel))
	}
	if o.maxlines != 0 {
		t.setMaxlines(o.maxlines)
	}
	if o.timezone != "" {
		if _, err := service.DatePatternName(nil, o.timezone); err != nil {
			return fmt.Errorf("ERROR: Unknown or unsupported time zone: %s", config.Repr(o.timezone))
		}
		t.timezone = o.timezone
	}
	if o.datepattern != "" {
		var patterns []string
		for pattern := range strings.SplitSeq(o.datepattern, "\n") {
			if pattern = strings.TrimSpace(pattern); pattern != "" {
				patterns = append(patterns, pattern)
			}
		}
		return t.setDatepattern(patterns, o.datepattern)
	}
	return nil
}

// knownLogLevel says whether Python's logging knows the level: a number or a name.
func knownLogLevel(level string) bool {
	if level != "" && strings.Trim(level, "0123456789") == "" {
		return true
	}
	return slices.Contains([]string{"critical", "fatal", "error", "warning", "warn", "info", "debug", "notset",
		"notice", "heavydebug", "tracedebug", "msg", "trace"}, strings.ToLower(level))
}

// setMaxlines and setDatepattern take the first value that they are given: the
// command line's, else the filter's.
func (t *regexTest) setMaxlines(n int) {
	if !t.maxlinesSet {
		t.rules.Maxlines, t.maxlinesSet = n, true
		t.say("Use         maxlines : %d", max(1, n))
	}
}

func (t *regexTest) setDatepattern(patterns []string, shown string) error {
	if t.dateSet || len(patterns) == 0 {
		return nil
	}
	name, err := service.DatePatternName(patterns, "")
	if err != nil {
		return fmt.Errorf("ERROR: Failed to set datepattern %s (may be an invalid format or unescaped percent char): %w", config.Repr(shown), err)
	}
	t.dateSet = true
	for _, p := range patterns {
		t.rules.Datepattern = append(t.rules.Datepattern, config.Value{Text: p, File: config.CommandLine})
	}
	t.say("Use      datepattern : %s : %s", shown, name)
	return nil
}

// compile makes the trial of the rules read so far.
func (t *regexTest) compile() error {
	o := &t.opts
	t.trace = matchers.Trace{Report: true, Pending: o.out == ""}
	rules := t.rules
	if o.usedns != "" {
		rules.Usedns = config.Value{Text: o.usedns, File: config.CommandLine}
	} else {
		rules.Usedns = config.Value{}
	}
	if len(rules.Failregex) == 0 {
		return errors.New("ERROR: the filter has no failregex")
	}
	trial, err := service.NewTrial(service.TrialOptions{
		Name: t.name, Rules: rules, TimeZone: t.timezone, Encoding: t.encoding,
		All: o.checkAll && o.out == "", RawHost: o.raw, Resolve: !o.raw, Trace: &t.trace,
	})
	if err != nil {
		return regexMistakes(err)
	}
	t.trial = trial
	return nil
}

// regexMistakes words errors of regular expressions as fail2ban does, and adds
// where they stand.
func regexMistakes(err error) error {
	var out []error
	var walk func(error)
	walk = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				walk(e)
			}
			return
		}
		var wrong *matchers.RegexError
		var syntax *regex.Error
		switch {
		case !errors.As(err, &wrong):
			err = fmt.Errorf("ERROR: %w", err)
		case errors.As(wrong.Err, &syntax):
			err = fmt.Errorf("ERROR: Unable to compile regular expression '%s':\n%w", syntax.Pattern, wrong.Err)
		case errors.Is(wrong.Err, matchers.ErrNoFailureID):
			err = fmt.Errorf("ERROR: No failure-id group in '%s'", wrong.Expanded)
		default:
			err = fmt.Errorf("ERROR: Cannot add empty regex")
		}
		if wrong != nil {
			if where := wrong.Excerpt(); where != "" {
				err = fmt.Errorf("%w\n%s", err, where)
			}
			if wrong.Regex.Where != "" && wrong.Regex.Where != config.CommandLine {
				err = fmt.Errorf("%w\nin %s: %s %d of filter %s", err, wrong.Regex.Where, wrong.Option, wrong.Index+1, wrong.Filter)
			}
		}
		out = append(out, err)
	}
	walk(err)
	return errors.Join(out...)
}

// open opens LOG: a file, or its own text.
func (t *regexTest) open(log string, journal bool) (io.ReadCloser, error) {
	if info, err := os.Stat(log); err == nil && info.Mode().IsRegular() {
		f, err := os.Open(log)
		if err != nil {
			return nil, err
		}
		t.encoding = t.opts.encoding
		// The encoding is only known to be one when the set is made for it.
		if err := t.compile(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		t.say("Use         log file : %s", log)
		t.say("Use         encoding : %s", t.encoding)
		return f, nil
	}
	if journal {
		return nil, t.openJournal(log)
	}
	if t.rules.Maxlines <= 1 && !strings.Contains(log, "\n") {
		t.say("Use      single line : %s", short(log))
	} else {
		lines := strings.Split(log, "\n")
		t.say("Use      multi line : %d line(s)", len(lines))
		for i, line := range lines {
			if i >= 5 {
				t.say("| ...")
				break
			}
			t.say("| %2d: %s", i+1, short(line))
		}
		t.say("`-")
	}
	return io.NopCloser(strings.NewReader(log + "\n")), nil
}

// short cuts a text that is long.
func short(s string) string {
	if r := []rune(s); len(r) > 53 {
		return string(r[:50]) + "..."
	}
	return s
}

// process runs the lines through the filter and prints what was found.
func (t *regexTest) process(log string, in io.Reader) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if t.opts.out != "" {
		t.out = t.outputOf(t.opts.out)
	}
	t.stats.init(t)
	start := time.Now()
	each := t.tell
	if t.out == nil {
		each = t.count
	}
	var err error
	if in == nil {
		err = t.trial.Journal(ctx, t.journal, t.journalMatches(), each)
	} else {
		err = t.trial.Lines(ctx, log, in, each)
	}
	if err != nil {
		return fmt.Errorf("ERROR: read log: %w", err)
	}
	if t.out == nil {
		t.report(time.Since(start))
	}
	return nil
}

// tell prints a line's failures as --out has it; nobody's and those that are
// none are left out.
func (t *regexTest) tell(failures []pipeline.Failure) {
	var found []regexFound
	for _, f := range t.found(failures) {
		if !f.match.NoFail {
			found = append(found, f)
		}
	}
	switch {
	case !t.opts.invert && len(found) > 0:
		t.out(found)
	case t.opts.invert && len(found) == 0:
		fmt.Fprintf(t.w, "%s\n", t.trial.Set.LineText())
	}
}

// regexFound is a failure with the match that it came of.
type regexFound struct {
	failure *pipeline.Failure
	match   *matchers.Match
}

// found pairs the failures of a line with their matches.
func (t *regexTest) found(failures []pipeline.Failure) []regexFound {
	var out []regexFound
	matches := t.trace.Matches
	for i := range failures {
		for len(matches) > 1 && matches[1].First <= i {
			matches = matches[1:]
		}
		out = append(out, regexFound{&failures[i], &matches[0]})
	}
	return out
}
