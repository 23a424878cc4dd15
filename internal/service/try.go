package service

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Try says what to try a filter on, as `f2bpipe test` does: nothing is counted
// and nothing is banned.
type Try struct {
	Config      config.Options
	Filter      string    // a filter's or jail's name with parameters, a file of one, or a regular expression
	Ignoreregex string    // instead of the filter's; empty: the filter's
	Log         io.Reader // the lines
	LogName     string
	Now         time.Time // the clock; zero: the real one
	Journal     bool      // lines of a journal: no date in them, their time is the clock's
	All         bool      // try every failregex on a line
	Profile     bool      // measure each regular expression
}

// Tried is what came of a Try.
type Tried struct {
	Filter   *matchers.Filter
	Lines    int64
	Matched  int64   // lines that were a failure
	Ignored  int64   // lines that an ignoreregex took out
	Failures int64   // ≥ Matched with All
	Cut      int64   // lines too long to be matched whole
	Invalid  int64   // lines that were not valid in their encoding
	Hits     []int64 // failures by failregex
	Took     time.Duration
	Profile  []Profiled // prefregex, failregexes, ignoreregexes; where it was asked for
}

// Profiled is how one regular expression did.
type Profiled struct {
	Option   string       // prefregex, failregex or ignoreregex
	Index    int          // in the option's list
	Source   config.Value // as it was written
	Literals []string     // texts one of which is in every line that it matches; nil: none is known
	matchers.Timing
}

// Run reads the log to its end and calls each for every failure, in order. The
// failure is valid until each returns.
func (t *Try) Run(ctx context.Context, each func(*pipeline.Failure)) (*Tried, error) {
	if t.Now.IsZero() {
		t.Now = time.Now()
	}
	if t.Journal {
		t.Config.Backend = "systemd"
	}
	opts, err := t.options()
	if err != nil {
		return nil, err
	}
	trial, err := NewTrial(opts)
	if err != nil {
		return nil, err
	}
	out := &Tried{Filter: trial.Filter, Hits: make([]int64, len(trial.Filter.Failregex()))}
	in := pipeline.NewInput(t.LogName, trial.Set)
	start, last := time.Now(), int64(0)
	var failures []pipeline.Failure
	err = trial.batches(ctx, in, t.Log, func(b *pipeline.Batch) {
		if t.Journal {
			stamp(b, t.Now.UnixNano())
		}
		failures = trial.Set.Match(failures[:0], b)
		for i := range failures {
			f := &failures[i]
			if f.Line != last {
				out.Matched, last = out.Matched+1, f.Line
			}
			out.Hits[f.Regex]++
			each(f)
		}
		out.Failures += int64(len(failures))
	})
	out.Took = time.Since(start)
	out.Lines, out.Cut, out.Invalid = in.Lines.Load(), in.Cut.Load(), in.Invalid.Load()
	out.Ignored = trial.Set.Counters(trial.Jail).Ignored.Load()
	if t.Profile {
		out.Profile = profile(trial.Filter, &opts.Rules, opts.Trace)
	}
	return out, err
}

// profile lists the filter's regular expressions with what the trace measured.
func profile(f *matchers.Filter, r *config.Rules, t *matchers.Trace) []Profiled {
	var out []Profiled
	add := func(option string, sources []config.Value, list ...*regex.Regexp) {
		for i, re := range list {
			out = append(out, Profiled{Option: option, Index: i, Source: sources[i], Literals: matchers.Literals(re), Timing: t.Timing(re)})
		}
	}
	if re := f.Prefregex(); re != nil {
		add("prefregex", []config.Value{r.Prefregex}, re)
	}
	add("failregex", r.Failregex, f.Failregex()...)
	add("ignoreregex", r.Ignoreregex, f.Ignoreregex()...)
	return out
}

// stamp gives every line of the batch the same time, as a journal gives its own.
func stamp(b *pipeline.Batch, at int64) {
	for range b.Lines {
		b.Stamps = append(b.Stamps, at)
	}
}

// plainName is what the name of a filter looks like: no regular expression
// that could match a line looks like it.
var plainName = regexp.MustCompile(`^[\w.\-]+(\[.*\])*$`)

// options finds what the filter names.
func (t *Try) options() (TrialOptions, error) {
	o := TrialOptions{Name: "(command line)", Now: t.Now, All: t.All, RawHost: true}
	if t.Profile {
		o.Trace = &matchers.Trace{}
	}
	path, _, _ := strings.Cut(t.Filter, "[")
	info, err := os.Stat(path)
	isFile := err == nil && info.Mode().IsRegular() && strings.Contains(path, "/")
	switch {
	case isFile || plainName.MatchString(t.Filter) || strings.HasPrefix(t.Filter, "/") || strings.HasPrefix(t.Filter, "./"):
		f, problems := config.LoadFilter(t.Config, t.Filter)
		if f != nil {
			o.Name, o.Rules = f.Name, f.Rules
			break
		}
		jail, err := FindJail(t.Config, t.Filter)
		if err != nil {
			return o, err
		}
		if jail == nil {
			return o, problems
		}
		o.Name, o.Rules, o.TimeZone, o.Encoding = jail.Name, jail.Rules, jail.Logtimezone.Text, jail.Logencoding.Text
	default:
		o.Rules.Failregex = []config.Value{{Text: t.Filter, File: config.CommandLine}}
	}
	if t.Ignoreregex != "" {
		o.Rules.Ignoreregex = []config.Value{{Text: t.Ignoreregex, File: config.CommandLine}}
	}
	return o, nil
}

// jailSpec is a jail's name with parameters.
var jailSpec = regexp.MustCompile(`^([\w\-]+)(?:\[.*\])?$`)

// FindJail returns the jail that spec names, enabled or not, with the
// parameters given as its options: NAME or NAME[option=value]. It returns nil
// where the configuration has none of that name.
func FindJail(o config.Options, spec string) (*config.Jail, error) {
	name := jailSpec.FindStringSubmatch(spec)
	if name == nil {
		return nil, nil
	}
	o.Only, o.Enable = name[1], []string{name[1]}
	for _, p := range SpecParams(spec) {
		if o.Overrides.Jail == nil {
			o.Overrides.Jail = map[string]string{}
		}
		o.Overrides.Jail[p[0]] = p[1]
	}
	c, problems := config.Load(o)
	jail := c.Jail(name[1])
	if jail == nil {
		return nil, nil
	}
	if problems.Err() != nil && len(jail.Failregex) == 0 {
		return nil, problems
	}
	return jail, nil
}

// specParam is one parameter of NAME[option=value, …].
var specParam = regexp.MustCompile(`[\[,]\s*([\w\-.]+)=(?:"([^"]*)"|'([^']*)'|([^,\]]*))`)

// SpecParams returns the parameters of NAME[option=value, …] as pairs of name
// and value. What is no parameter is passed over.
func SpecParams(spec string) [][2]string {
	var out [][2]string
	for _, m := range specParam.FindAllStringSubmatch(spec, -1) {
		out = append(out, [2]string{m[1], strings.TrimSpace(m[2] + m[3] + m[4])})
	}
	return out
}
