package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/matchers/dates"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sources"
)

// TrialOptions say what a Trial tries and how.
type TrialOptions struct {
	Name     string // of the filter, for messages
	Rules    config.Rules
	TimeZone string // of dates that name none
	Encoding string // of the log; empty: auto
	Now      time.Time
	All      bool // try every failregex on a line
	RawHost  bool // a host that is a name is not looked up
	Resolve  bool // look names up; else a name has no address
	Trace    *matchers.Trace
}

// Trial is a compiled filter and the state of one log that it is tried on:
// nothing is counted and nothing is banned.
type Trial struct {
	Filter  *matchers.Filter
	Set     *matchers.Set
	Jail    *pipeline.Jail
	TooLong int64 // lines that were too long to be matched whole
}

// NewTrial compiles a filter. The error joins everything that is wrong with it.
func NewTrial(o TrialOptions) (*Trial, error) {
	filter, err := compileRules(o.Name, &o.Rules)
	if err != nil {
		return nil, err
	}
	if len(filter.Failregex()) == 0 {
		return nil, fmt.Errorf("filter %s: %w", o.Name, errors.New("it has no failregex"))
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	now := o.Now.UnixNano()
	opts := matchers.Options{
		Now: func() int64 { return now }, Clock: matchers.Undated, All: o.All, Fields: true, RawHost: o.RawHost,
		Exhaustive: true, Trace: o.Trace,
	}
	if o.Resolve {
		opts.Resolver = newResolver()
	}
	t := &Trial{Filter: filter, Jail: pipeline.NewJail(o.Name, pipeline.Policy{})}
	t.Set, err = matchers.NewSet(opts, []matchers.JailFilter{{
		Jail: t.Jail, Filter: filter, Dates: texts(o.Rules.Datepattern), TimeZone: o.TimeZone, Encoding: o.Encoding,
	}}, nil)
	return t, err
}

// batches reads a log to its end and calls do for each batch of it, in order.
// The batch is do's until it returns.
func (t *Trial) batches(ctx context.Context, in *pipeline.Input, log io.Reader, do func(*pipeline.Batch)) error {
	return t.feed(ctx, in, &sources.Reader{Input: in, R: log}, do)
}

// feed is batches of any source.
func (t *Trial) feed(ctx context.Context, in *pipeline.Input, src pipeline.Source, do func(*pipeline.Batch)) error {
	feed := pipeline.NewFeed(4)
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer feed.Close()
		done <- src.Run(ctx, feed)
	}()
	for b := range feed.Full() {
		do(b)
		feed.Recycle(b)
	}
	t.TooLong = in.Cut.Load()
	return <-done
}

// Lines reads a log to its end and calls each for every line of it, but for
// those that are empty or begin with #, with the failures in it. They are valid
// until each returns.
func (t *Trial) Lines(ctx context.Context, name string, log io.Reader, each func(found []pipeline.Failure)) error {
	return t.batches(ctx, pipeline.NewInput(name, t.Set), log, t.linewise(each))
}

// Journal is Lines for the entries that a systemd journal holds now, which
// have their times with them. matches are alternatives (journalmatch), params
// the parameters of the backend: journalpath, journalfiles, journalflags, namespace.
func (t *Trial) Journal(ctx context.Context, params []config.Param, matches [][]string, each func(found []pipeline.Failure)) error {
	o, err := journalOptions(params)
	if err != nil {
		return err
	}
	o.Matches = matches
	in := pipeline.NewInput("systemd-journal", t.Set)
	return t.feed(ctx, in, &sources.JournalLog{Input: in, Options: o}, t.linewise(each))
}

// linewise matches a batch line by line.
func (t *Trial) linewise(each func(found []pipeline.Failure)) func(*pipeline.Batch) {
	var found []pipeline.Failure
	one := &pipeline.Batch{Lines: 1}
	return func(b *pipeline.Batch) {
		n := 0
		for line := range bytes.Lines(b.Data) {
			one.First, one.Data, one.Stamps = b.First+int64(n), line, one.Stamps[:0]
			if n < len(b.Stamps) {
				one.Stamps = append(one.Stamps, b.Stamps[n])
			}
			n++
			if text := bytes.TrimRight(line, "\r\n"); len(text) == 0 || text[0] == '#' {
				continue
			}
			found = t.Set.Match(found[:0], one)
			each(found)
		}
	}
}

// DatePatternName returns the name by which fail2ban shows a datepattern, or
// what is wrong with it or with the time zone.
func DatePatternName(patterns []string, zone string) (string, error) {
	d, err := dates.New(dates.Setting{Patterns: patterns, Zone: zone}, time.Now().UnixNano())
	if err != nil {
		return "", err
	}
	_, _, name := d.Shown()
	return name, nil
}
