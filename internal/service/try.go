package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sources"
)

// Try says what to try a filter on, as `f2bpipe test` does: nothing is counted
// and nothing is banned.
type Try struct {
	Config      config.Options
	Filter      string    // a filter's name with parameters, a file of one, or a regular expression
	Ignoreregex string    // instead of the filter's; empty: the filter's
	Log         io.Reader // the lines
	LogName     string
	Now         time.Time // the clock; zero: the real one
	Journal     bool      // lines of a journal: no date in them, their time is the clock's
	All         bool      // try every failregex on a line
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
}

// Run reads the log to its end and calls each for every failure, in order. The
// failure is valid until each returns.
func (t *Try) Run(ctx context.Context, each func(*pipeline.Failure)) (*Tried, error) {
	set, jail, filter, err := t.compile()
	if err != nil {
		return nil, err
	}
	in := pipeline.NewInput(t.LogName, set)
	feed := pipeline.NewFeed(4)
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer feed.Close()
		r := sources.Reader{Input: in, R: t.Log}
		done <- r.Run(ctx, feed)
	}()
	out := &Tried{Filter: filter, Hits: make([]int64, len(filter.Failregex()))}
	start, last := time.Now(), int64(0)
	var failures []pipeline.Failure
	for b := range feed.Full() {
		if t.Journal {
			stamp(b, t.Now.UnixNano())
		}
		failures = set.Match(failures[:0], b)
		for i := range failures {
			f := &failures[i]
			if f.Line != last {
				out.Matched, last = out.Matched+1, f.Line
			}
			out.Hits[f.Regex]++
			each(f)
		}
		out.Failures += int64(len(failures))
		feed.Recycle(b)
	}
	out.Took = time.Since(start)
	out.Lines, out.Cut, out.Invalid = in.Lines.Load(), in.Cut.Load(), in.Invalid.Load()
	out.Ignored = set.Counters(jail).Ignored.Load()
	return out, <-done
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

func (t *Try) compile() (*matchers.Set, *pipeline.Jail, *matchers.Filter, error) {
	if t.Now.IsZero() {
		t.Now = time.Now()
	}
	if t.Journal {
		t.Config.Backend = "systemd"
	}
	name, rules := "", &config.Rules{}
	if plainName.MatchString(t.Filter) || strings.HasPrefix(t.Filter, "/") || strings.HasPrefix(t.Filter, "./") {
		f, problems := config.LoadFilter(t.Config, t.Filter)
		if f == nil {
			return nil, nil, nil, problems
		}
		name, rules = f.Name, &f.Rules
	} else {
		name = "(command line)"
		rules.Failregex = []config.Value{{Text: t.Filter, File: config.CommandLine}}
	}
	if t.Ignoreregex != "" {
		rules.Ignoreregex = []config.Value{{Text: t.Ignoreregex, File: config.CommandLine}}
	}
	filter, err := compileRules(name, rules)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(filter.Failregex()) == 0 {
		return nil, nil, nil, fmt.Errorf("filter %s: %w", name, errors.New("it has no failregex"))
	}
	jail := pipeline.NewJail(name, pipeline.Policy{})
	now := t.Now.UnixNano()
	set, err := matchers.NewSet(matchers.Options{
		Now: func() int64 { return now }, Clock: matchers.Undated, All: t.All, Fields: true, RawHost: true, Exhaustive: true,
	}, []matchers.JailFilter{{Jail: jail, Filter: filter, Dates: texts(rules.Datepattern)}}, nil)
	return set, jail, filter, err
}
