package service

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// record is a log, or the output of a dry run, that a test can wait for. Whole
// lines are written to it.
type record struct {
	mu    sync.Mutex
	more  sync.Cond
	lines []string
}

func newRecord() *record {
	r := &record{}
	r.more.L = &r.mu
	return r
}

// Write implements io.Writer.
func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = slices.AppendSeq(r.lines, strings.Lines(string(p)))
	r.more.Broadcast()
	return len(p), nil
}

// wait returns when a line has all of the parts, for the n'th time.
func (r *record) wait(t *testing.T, n int, parts ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	late := false
	defer time.AfterFunc(20*time.Second, func() {
		r.mu.Lock()
		late = true
		r.mu.Unlock()
		r.more.Broadcast()
	}).Stop()
	for found, seen := 0, 0; ; r.more.Wait() {
		found += count(r.lines[seen:], parts)
		seen = len(r.lines)
		if found >= n {
			return
		}
		if late {
			t.Fatalf("%d lines with %q, want %d, in:\n%s", found, parts, n, strings.Join(r.lines, ""))
		}
	}
}

// times returns how many lines have all of the parts.
func (r *record) times(parts ...string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return count(r.lines, parts)
}

func count(lines, parts []string) int {
	n := 0
	for _, line := range lines {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			n++
		}
	}
	return n
}

// site is a configuration directory and logs beside it.
type site struct {
	t   *testing.T
	dir string
}

func newSite(t *testing.T) *site {
	tr := &site{t, t.TempDir()}
	tr.write("fail2ban.local", "[Definition]\ndbfile = None\n")
	tr.write("filter.d/login.conf", "[Definition]\nfailregex = ^ login failed from <HOST>$\ndatepattern = {^LN-BEG}%%Y-%%m-%%d %%H:%%M:%%S\n")
	return tr
}

func (tr *site) path(name string) string { return filepath.Join(tr.dir, name) }

// write writes a file; DIR in it stands for the site's path.
func (tr *site) write(name, text string) {
	tr.t.Helper()
	path := tr.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", tr.dir)), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

// log appends lines that happened now.
func (tr *site) log(name string, lines ...string) {
	tr.t.Helper()
	f, err := os.OpenFile(tr.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		tr.t.Fatal(err)
	}
	defer f.Close()
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "%s %s\n", time.Now().Format(time.DateTime), line)
	}
	if _, err := f.WriteString(b.String()); err != nil {
		tr.t.Fatal(err)
	}
}

func failed(addrs ...string) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, "login failed from "+a)
	}
	return out
}

// jailText is the text of a jail with a log of its own name, and options that
// win over what it has else.
func jailText(name string, options ...string) string {
	text := "[" + name + "]\n"
	for _, o := range []string{"enabled = true", "filter = login", "logpath = DIR/" + name + ".log", "maxretry = 2"} {
		key, _, _ := strings.Cut(o, " ")
		if !slices.ContainsFunc(options, func(x string) bool { return strings.HasPrefix(x, key+" ") }) {
			text += o + "\n"
		}
	}
	return text + strings.Join(options, "\n") + "\n"
}

// running is a service that runs over a tree until the test ends.
type running struct {
	*Service
	log, out *record
	stopped  chan error
}

// start runs a service; it bans nothing and prints JSON unless set changes that.
func (tr *site) start(set ...func(*Config)) *running {
	tr.t.Helper()
	r := &running{log: newRecord(), out: newRecord(), stopped: make(chan error, 1)}
	cfg := Config{
		Options: config.Options{Dir: tr.dir}, Socket: tr.path("sock"), Version: "test",
		DryRun: &sinks.DryRun{W: r.out, JSON: true}, Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	var err error
	if cfg.Out, err = logtarget.New(logtarget.Config{Stderr: r.log}); err != nil {
		tr.t.Fatal(err)
	}
	tr.t.Cleanup(cfg.Out.Close)
	for _, f := range set {
		f(&cfg)
	}
	if r.Service, err = New(cfg); err != nil {
		tr.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.stopped <- r.Run(ctx)
	}()
	tr.t.Cleanup(func() {
		stop()
		<-ended
	})
	r.log.wait(tr.t, 1, `msg="service runs"`)
	return r
}

func (r *running) status(t *testing.T, jail string) JailStatus {
	t.Helper()
	st, err := verbs{r.Service}.status(StatusArgs{Jail: jail})
	if err != nil {
		t.Fatal(err)
	}
	return st.Jails[0]
}

func (r *running) reload(t *testing.T, jail string) *Reloaded {
	t.Helper()
	out, err := r.Reload(t.Context(), jail)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
