package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

type testCmd struct {
	configFlag
	Log         string `arg:"" help:"Log file, - for stdin, or a single line as text."`
	Filter      string `arg:"" help:"Filter with parameters (sshd[mode=aggressive]), a filter file, or a regular expression."`
	Ignoreregex string `arg:"" optional:"" help:"Regular expression of lines to ignore, instead of the filter's."`

	JSON    bool    `name:"json" help:"One JSON object a failure."`
	All     bool    `help:"Try every failregex on each line."`
	Journal bool    `help:"The lines come from a journal: no date in them, their time is that of the clock."`
	Count   bool    `help:"Print the number of failures only."`
	Now     nowFlag `help:"Set the clock: epoch seconds or RFC 3339." placeholder:"TIME"`
}

// A found failure, as --json prints it.
type foundJSON struct {
	Line   int64             `json:"line"`
	Host   string            `json:"host"`
	Time   *seconds          `json:"time"`
	Regex  int               `json:"regex"`
	Fields map[string]string `json:"fields"`
}

// Run tries the filter.
func (c *testCmd) Run(ctx context.Context, s *streams) error {
	log, err := c.open(s)
	if err != nil {
		return err
	}
	defer log.Close()
	try := service.Try{
		Config: c.options(), Filter: c.Filter, Ignoreregex: c.Ignoreregex, Log: log, LogName: c.Log,
		Now: c.Now.Time, Journal: c.Journal, All: c.All,
	}
	enc := json.NewEncoder(s.buffered)
	enc.SetEscapeHTML(false)
	result, err := try.Run(ctx, func(f *pipeline.Failure) {
		switch {
		case c.Count:
		case c.JSON:
			_ = enc.Encode(foundOf(f)) // an error of the buffered writer stays and is told at the end
		default:
			fmt.Fprintf(s.buffered, "%d\t%s\t%s\t#%d\t%s\n", f.Line, timeText(f.AtNanos), f.ID, f.Regex, printable(f.Text))
		}
	})
	if err != nil {
		return err
	}
	c.summary(s, result)
	return nil
}

// summary goes to stderr where stdout is for machines.
func (c *testCmd) summary(s *streams, r *service.Tried) {
	w := io.Writer(s.buffered)
	switch {
	case c.Count:
		fmt.Fprintln(w, r.Failures)
		return
	case c.JSON:
		w = s.err
	}
	for i, re := range r.Filter.Failregex() {
		if r.Hits[i] > 0 || !c.JSON {
			fmt.Fprintf(w, "failregex %d: %d failures: %s\n", i, r.Hits[i], re)
		}
	}
	fmt.Fprintf(w, "%d lines, %d ignored, %d matched, %d missed, %d cut, %d not valid in their encoding, in %.3f s\n",
		r.Lines, r.Ignored, r.Matched, r.Lines-r.Matched-r.Ignored, r.Cut, r.Invalid, r.Took.Seconds())
}

// open opens the log: a file, stdin, or the text of the argument itself.
func (c *testCmd) open(s *streams) (io.ReadCloser, error) {
	if c.Log == "-" {
		return io.NopCloser(s.in), nil
	}
	f, err := os.Open(c.Log)
	if err == nil {
		return f, nil
	}
	// What has no blank in it was meant to be a file.
	if errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(c.Log, " \t") {
		return io.NopCloser(strings.NewReader(c.Log)), nil
	}
	return nil, fmt.Errorf("open log: %w", err)
}

func foundOf(f *pipeline.Failure) foundJSON {
	out := foundJSON{Line: f.Line, Host: f.ID.String(), Regex: f.Regex, Fields: map[string]string{}}
	if f.AtNanos != matchers.NoTime {
		at := seconds(f.AtNanos)
		out.Time = &at
	}
	for _, x := range f.Fields {
		out.Fields[x.Name] = string(x.Value)
	}
	return out
}

func timeText(nanos int64) string {
	if nanos == matchers.NoTime {
		return "-"
	}
	return time.Unix(0, nanos).Format("2006-01-02T15:04:05.999999999Z07:00")
}
