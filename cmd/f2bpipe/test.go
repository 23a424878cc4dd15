package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

type testCmd struct {
	configFlag
	Log         string `arg:"" help:"Log file, - for stdin, or a single line as text."`
	Filter      string `arg:"" help:"Filter with parameters (sshd[mode=aggressive]), a filter file, a jail, or a regular expression."`
	Ignoreregex string `arg:"" optional:"" help:"Regular expression of lines to ignore, instead of the filter's."`

	JSON    bool    `name:"json" help:"One JSON object a failure."`
	All     bool    `help:"Try every failregex on each line."`
	Journal bool    `help:"The lines come from a journal: no date in them, their time is that of the clock."`
	Count   bool    `help:"Print the number of failures only."`
	Profile bool    `help:"With --json or --count: print, on stderr, how fast each regular expression ran."`
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
		Now: c.Now.Time, Journal: c.Journal, All: c.All, Profile: c.Profile || !c.JSON && !c.Count,
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

// summary prints what was counted and measured; to stderr where stdout is for machines.
func (c *testCmd) summary(s *streams, r *service.Tried) {
	w := io.Writer(s.buffered)
	if c.Count {
		fmt.Fprintln(w, r.Failures)
	}
	if c.JSON || c.Count {
		w = s.err
	}
	if r.Profile != nil {
		printProfile(w, r)
	}
	if c.Count {
		return
	}
	fmt.Fprintf(w, "%d lines, %d ignored, %d matched, %d missed, %d cut, %d not valid in their encoding, in %.3f s\n",
		r.Lines, r.Ignored, r.Matched, r.Lines-r.Matched-r.Ignored, r.Cut, r.Invalid, r.Took.Seconds())
}

// printProfile prints a line for each regular expression: its hits, its tries and
// what one costs, and the text that lets it skip lines.
func printProfile(w io.Writer, r *service.Tried) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "regex\thits\ttries\tns/try\t  needs one of")
	var never []string
	for _, p := range r.Profile {
		cost := "-"
		if p.Tries > 0 {
			cost = strconv.FormatInt(p.Took.Nanoseconds()/p.Tries, 10)
		}
		name := fmt.Sprintf("%s %d", p.Option, p.Index)
		fmt.Fprintf(tw, "%s\t%d\t%d\t%s\t  %s\n", name, p.Hits, p.Tries, cost, needsText(p.Literals))
		if p.Hits == 0 {
			never = append(never, fmt.Sprintf("%s: %s: %s", p.Source.Place(), name, p.Source.Text))
		}
	}
	_ = tw.Flush() // an error of the writer below stays and is told at the end
	if len(never) > 0 {
		fmt.Fprintf(w, "never hit:\n  %s\n", strings.Join(never, "\n  "))
	}
}

// needsText shows the texts one of which a line must hold.
func needsText(texts []string) string {
	const shown = 4
	if len(texts) == 0 {
		return "(nothing: no line can be skipped)"
	}
	var out []string
	for _, t := range texts[:min(shown, len(texts))] {
		out = append(out, strconv.Quote(t))
	}
	if len(texts) > shown {
		out = append(out, fmt.Sprintf("or %d more", len(texts)-shown))
	}
	return strings.Join(out, " ")
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
