package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

type pipeCmd struct {
	configFlag
	Name     string   `arg:"" optional:"" name:"filter-or-jail" help:"Jail, or filter with parameters (sshd[mode=aggressive]); with --filter it may be left out."`
	Files    []string `arg:"" optional:"" name:"file" help:"Logs to read one after the other (default: stdin)."`
	Filter   []string `help:"One more filter or jail; repeatable." placeholder:"F" sep:"none"`
	MaxRetry int      `name:"maxretry" help:"Failures that ban (default: the jail's)." placeholder:"N"`
	FindTime string   `name:"findtime" help:"Window in which they count (default: the jail's)." placeholder:"TIME"`
	BanTime  string   `name:"bantime" help:"Length of a ban; -1 is permanent (default: the jail's)." placeholder:"TIME"`
	Socket   string   `help:"Control socket (default: the configuration's)." placeholder:"PATH" type:"path"`
	DryRun   bool     `help:"Ban nothing: print what would be done."`
	JSON     bool     `name:"json" help:"One JSON object a decision."`
	Failures bool     `help:"Print every failure too."`
	Count    bool     `help:"Print the numbers of lines, failures and bans only."`
	Profile  bool     `help:"Print, on stderr, what each jail and regular expression cost."`
	Now      nowFlag  `help:"Set the clock: epoch seconds or RFC 3339." placeholder:"TIME"`
}

// inputs returns what to match by and the logs to read. With --filter the first
// argument may be a log already.
func (c *pipeCmd) inputs() (names, files []string, err error) {
	switch {
	case c.Name == "" && len(c.Filter) == 0:
		return nil, nil, usageError{errors.New("expected <filter-or-jail>, or --filter")}
	case c.Name == "":
		return c.Filter, nil, nil
	case len(c.Filter) > 0 && isLog(c.Name):
		return c.Filter, append([]string{c.Name}, c.Files...), nil
	}
	return append([]string{c.Name}, c.Filter...), c.Files, nil
}

// isLog says whether a path is that of a log, and not of a filter file.
func isLog(path string) bool {
	if ext := filepath.Ext(path); ext == ".conf" || ext == ".local" {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// Run reads to the end.
func (c *pipeCmd) Run(ctx context.Context, s *streams) error {
	names, files, err := c.inputs()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		// It ends soon and keeps little: with the collector's own choice the start
		// alone has four collections.
		debug.SetGCPercent(400)
	}
	out := &lockedWriter{w: s.buffered}
	report := newReport(out, c)
	p := service.Pipe{
		Config: service.Config{
			Options: c.options(), Socket: c.Socket, Version: version,
			Log: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
		},
		Names: names, Overrides: c.overrides(), Files: files, In: s.in, Now: c.Now.Time, Workers: runtime.GOMAXPROCS(0),
		Watch: report, Observer: report,
	}
	if c.DryRun {
		p.Config.DryRun = report.sink()
	}
	stopProgress := report.progress(s.err)
	result, err := p.Run(ctx)
	stopProgress()
	if result == nil {
		return err
	}
	report.finish(result, s.err)
	if c.Profile {
		profileTable(s.err, result.Profile, result.Lines)
	}
	if err == nil && result.NotEnforced > 0 {
		return fmt.Errorf("%d bans are not enforced: %s", result.NotEnforced, cmp.Or(result.Reason, "the log says why"))
	}
	return err
}

// overrides are the options of the jails that the command line sets.
func (c *pipeCmd) overrides() map[string]string {
	out := map[string]string{}
	if c.MaxRetry > 0 {
		out["maxretry"] = strconv.Itoa(c.MaxRetry)
	}
	if c.FindTime != "" {
		out["findtime"] = c.FindTime
	}
	if c.BanTime != "" {
		out["bantime"] = c.BanTime
	}
	return out
}

// lockedWriter is written to by the sink and the watcher.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// report prints what a pipe finds and decides: as it goes for machines and with
// --failures, as a table at the end for people.
type report struct {
	cmd    *pipeCmd
	out    *lockedWriter
	lines  atomic.Int64
	found  atomic.Int64
	banned atomic.Int64

	mu   sync.Mutex
	bans []*tableRow
	byID map[rowKey]*tableRow
	row  []byte
}

type rowKey struct {
	jail *pipeline.Jail
	id   pipeline.ID
}

// tableRow is one address in the table.
type tableRow struct {
	pipeline.Ban
	times int
}

func newReport(out *lockedWriter, c *pipeCmd) *report {
	return &report{cmd: c, out: out, byID: map[rowKey]*tableRow{}}
}

// sink returns what carries decisions out in a dry run.
func (r *report) sink() pipeline.Sink {
	if r.cmd.Count || !r.cmd.JSON && !r.cmd.Failures {
		return silent{} // the table says it
	}
	return &sinks.DryRun{W: r.out, JSON: r.cmd.JSON}
}

// silent is a sink that neither does nor prints what it is ordered.
type silent struct{}

// Apply implements pipeline.Sink.
func (silent) Apply(ctx context.Context, _ int64, orders []pipeline.Order) {
	for i := range orders {
		orders[i].Err = ctx.Err()
	}
}

// Watch implements pipeline.Watcher.
func (r *report) Watch(b *pipeline.Batch, failures []pipeline.Failure) {
	r.lines.Add(int64(b.Lines))
	r.found.Add(int64(len(failures)))
	if !r.cmd.Failures || r.cmd.Count {
		return
	}
	row := r.row[:0]
	for i := range failures {
		row = r.appendFailure(row, &failures[i])
	}
	r.row = row
	_, _ = r.out.Write(row) // an error of the buffered writer stays and is told at the end
}

func (r *report) appendFailure(dst []byte, f *pipeline.Failure) []byte {
	if !r.cmd.JSON {
		return fmt.Appendf(dst, "failure  %s  [%s] %s, line %d\n", time.Unix(0, f.AtNanos).Format(time.DateTime), f.Jail.Name, printable([]byte(f.ID.String())), f.Line)
	}
	dst = append(dst, `{"action":"failure","jail":`...)
	dst = appendJSONString(dst, f.Jail.Name)
	dst = append(dst, `,"ip":`...)
	dst = appendJSONString(dst, f.ID.String())
	dst = append(dst, `,"time":`...)
	dst = appendSeconds(dst, f.AtNanos)
	dst = append(dst, `,"line":`...)
	dst = strconv.AppendInt(dst, f.Line, 10)
	return append(dst, '}', '\n')
}

func appendJSONString(dst []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string can always be written
	return append(dst, text...)
}

// Observe implements pipeline.Observer.
func (r *report) Observe(e pipeline.Event) {
	switch e.Kind {
	case pipeline.EventBan:
		r.banned.Add(1)
	case pipeline.EventProlong:
	default:
		return
	}
	if r.cmd.Count {
		return // no table
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := rowKey{e.Ban.Jail, e.Ban.ID}
	row := r.byID[key]
	if row == nil {
		row = &tableRow{Ban: e.Ban}
		r.byID[key], r.bans = row, append(r.bans, row)
	}
	row.UntilNanos = e.Ban.UntilNanos
	row.times++
}

// progress shows how far the reading is, once a second, where a person watches.
func (r *report) progress(w io.Writer) (stop func()) {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) && os.Getenv("F2BPIPE_PROGRESS") != "1" {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	start := time.Now()
	show := func() {
		n := r.lines.Load()
		rate := float64(n) / time.Since(start).Seconds()
		fmt.Fprintf(w, "\r%d lines, %.0f lines/s, %d failures, %d banned ", n, rate, r.found.Load(), r.banned.Load())
	}
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show()
			case <-done:
				show()
				fmt.Fprintln(w)
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// finish prints the table and the sums.
func (r *report) finish(p *service.Piped, stderr io.Writer) {
	w := io.Writer(r.out)
	switch {
	case r.cmd.Count && r.cmd.JSON:
		fmt.Fprintf(w, `{"lines":%d,"failures":%d,"bans":%d}`+"\n", p.Lines, p.Failures, p.Bans)
		return
	case r.cmd.Count:
	case r.cmd.JSON:
		w = stderr
	default:
		r.table(w)
	}
	fmt.Fprintf(w, "%d lines, %d failures, %d bans", p.Lines, p.Failures, p.Bans)
	if p.Cut > 0 {
		fmt.Fprintf(w, ", %d lines were too long and matched by head and tail only", p.Cut)
	}
	if p.Invalid > 0 {
		fmt.Fprintf(w, ", %d lines were not valid in their encoding", p.Invalid)
	}
	fmt.Fprintln(w)
}

// table says who is banned, when and why.
func (r *report) table(w io.Writer) {
	if len(r.bans) == 0 {
		return
	}
	slices.SortStableFunc(r.bans, func(a, b *tableRow) int { return cmp.Compare(a.AtNanos, b.AtNanos) })
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ADDRESS\tJAIL\tBANNED\tUNTIL\tWHY")
	for _, b := range r.bans {
		until := "permanent"
		if b.UntilNanos != pipeline.Permanent {
			until = time.Unix(0, b.UntilNanos).Format(time.DateTime)
		}
		policy := b.Jail.Policy()
		why := fmt.Sprintf("%d failures within %s", b.Failures, policy.FindTime)
		if b.times > 1 {
			why += fmt.Sprintf(", and again (%d times)", b.times)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", printable([]byte(b.ID.String())), b.Jail.Name, time.Unix(0, b.AtNanos).Format(time.DateTime), until, why)
	}
	_ = t.Flush() // an error of the buffered writer stays and is told at the end
	fmt.Fprintln(w)
}

// isTerminal says whether a person sees what is written to f.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
