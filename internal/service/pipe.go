package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sources"
)

// Pipe says what to read to its end, by which filters or jails, and what to do
// with what is decided.
type Pipe struct {
	Config
	Names     []string          // filters or jails; a name that is both is the jail
	Overrides map[string]string // jail options from the command line
	Files     []string          // read one after the other; none: In
	In        io.Reader
	Now       time.Time // the clock; zero: the real one
	Workers   int       // goroutines that match; 0: 1
	Watch     pipeline.Watcher
	Observer  pipeline.Observer // told of every decision, under the ledger's lock
}

// Piped is what came of a Pipe.
type Piped struct {
	Lines, Bytes, Cut, Invalid int64
	Failures                   int
	Bans                       int // decisions, those for somebody banned already left out
	NotEnforced                int // bans that the kernel does not have
	Reason                     string
	Profile                    map[string]JailProfile // by jail
}

// Run reads to the end, or until ctx is done, and returns when every decision
// has been carried out. Where a service answers on the socket, the decisions
// are given to it; else the process is the service while it lasts.
func (p *Pipe) Run(ctx context.Context) (*Piped, error) {
	clock := pipeline.LogClock()
	if p.DryRun == nil {
		clock = pipeline.WallClock()
	}
	s := newService(p.Config, clock)
	if err := s.resolveNames(p); err != nil {
		return nil, err
	}
	if s.socket == "" && p.DryRun == nil {
		s.socket = SocketOf(p.Options)
	}
	listener, err := p.owner(ctx, s)
	if err != nil {
		return nil, err
	}
	if listener != nil {
		if err := p.openStore(ctx, s); err != nil {
			return nil, errors.Join(err, listener.Close())
		}
	}
	if err := s.open(p.Observer); err != nil {
		return nil, errors.Join(err, s.closeStore())
	}
	s.recall(ctx, s.jails())
	s.restore(ctx, s.jails())
	input, err := s.pipeInput(p)
	if err != nil {
		return nil, errors.Join(err, s.closeActions(false), s.closeStore(), s.leaveKernel())
	}
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	s.stop = stop
	line := pipeline.New(pipeline.Config{
		Window: s.window, Ledger: s.ledger, Clock: s.clock, Flushers: s.flushers(), Ignore: judge{s.guard, s}, Networks: s.networks, History: s.history, Store: s.checkpoints(), Watch: p.Watch, Log: s.log, NoBeat: true,
		Sources: []pipeline.Reading{{Name: input.Name, Source: &pipeSource{input: input.Input, pipe: p}, Workers: p.Workers, Batches: 4 * p.Workers}},
	})
	var serving sync.WaitGroup
	serveCtx, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	s.line = line
	serving.Go(func() { s.guard.Run(serveCtx) })
	if listener != nil {
		s.mu.Lock()
		s.inputs[input.Name] = input
		s.mu.Unlock()
		serving.Go(func() {
			if err := s.serve(serveCtx, listener); err != nil {
				s.log.Error("control socket", "problem", err)
			}
		})
	}
	err = line.Run(runCtx)
	stopServing()
	close(s.down)
	serving.Wait()
	out := s.piped(input)
	// The bans stay: their elements end by themselves.
	return out, errors.Join(err, s.closeActions(false), s.closeStore(), s.leaveKernel())
}

// owner decides who carries the decisions out: a dry run prints them, a service
// that answers is given them, and otherwise this process listens in its place.
func (p *Pipe) owner(ctx context.Context, s *Service) (net.Listener, error) {

	if s.cfg.DryRun != nil {
		return nil, nil
	}
	client, err := control.Dial(ctx, s.socket)
	if err == nil {
		s.cfg.DryRun = &remote{client: client}
		return nil, nil
	}
	if errors.Is(err, control.ErrPermission) {
		return nil, err
	}
	return control.Socket{Path: s.socket}.Listen(ctx)
}

// openStore opens the store of a pipe that is the service while it lasts. Where
// its lines stand, and what they counted, is of no use to anybody after it.
func (p *Pipe) openStore(ctx context.Context, s *Service) error {
	main := MainOf(p.Options)
	s.keepBy(&main)
	s.keep.events = true
	return s.openStore(ctx)
}

// SocketOf returns the control socket that a configuration names.
func SocketOf(o config.Options) string {
	return MainOf(o).Socket.Text
}

// resolveNames makes the jails of a pipe: those of the configuration by name,
// and one of its own for a filter that no jail is named after.
func (s *Service) resolveNames(p *Pipe) error {
	options := p.Options
	options.Files = new(config.Files)
	options.Overrides.Jail = map[string]string{
		"backend": "polling", // the lines are laid out as a file's
		"logpath": "",        // whether the jail's own log is there does not matter
	}
	for name, value := range p.Overrides {
		options.Overrides.Jail[name] = value
	}
	// One is compiled while the next is read: half of a short pipe's time is its start.
	jails, errs := make([]*jail, len(p.Names)), make([]error, len(p.Names))
	var compiler compiler
	var compiling sync.WaitGroup
	for i, name := range p.Names {
		c, err := namedJail(options, name)
		if errs[i] = err; err != nil {
			break
		}
		compiling.Go(func() { jails[i], errs[i] = compiler.jail(c) })
	}
	compiling.Wait()
	for i, j := range jails {
		if errs[i] != nil {
			return errs[i]
		}
		if named(jails[:i], j.config.Name) != nil {
			return fmt.Errorf("%s is named twice", p.Names[i])
		}
	}
	s.setJails(jails)
	return nil
}

// namedJail reads the jail of a name, or makes one, with the options of
// [DEFAULT], of the filter of that name.
func namedJail(o config.Options, name string) (*config.Jail, error) {
	o.Only, o.Enable = name, []string{name}
	tree, problems := config.Load(o)
	if tree.Jail(name) == nil {
		if filter, problems := config.LoadFilter(o, name); filter == nil {
			return nil, fmt.Errorf("%s is no jail and no filter: %w", name, problems)
		}
		o.Overrides.Jail = maps.Clone(o.Overrides.Jail)
		o.Overrides.Jail["filter"] = name
		short, _, _ := strings.Cut(name, "[")
		short = strings.TrimSuffix(short[strings.LastIndexByte(short, '/')+1:], ".conf")
		o.Only, o.Enable, o.Make = short, []string{short}, true
		tree, problems = config.Load(o)
		name = short
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return tree.Jail(name), nil
}

// pipeInput makes the input whose matcher holds all jails of the pipe.
func (s *Service) pipeInput(p *Pipe) (*input, error) {
	name := "stdin"
	if len(p.Files) == 1 {
		name = p.Files[0]
	}
	var jails []matchers.JailFilter
	for _, j := range s.jails() {
		if j.matcher.Filter != nil && len(j.matcher.Filter.Failregex()) > 0 {
			jails = append(jails, j.matcher)
		}
	}
	if len(jails) == 0 {
		return nil, errors.New("no failregex: there is nothing to look for")
	}
	options := s.matching(matchers.ByLog)
	options.Now = func() int64 { return time.Now().UnixNano() }
	if !p.Now.IsZero() {
		now := p.Now.UnixNano()
		options.Now = func() int64 { return now }
	}
	set, err := matchers.NewSet(options, jails, nil)
	if err != nil {
		return nil, err
	}
	return newInput(name, &watched{Set: set, jails: s.jails()}), nil
}

// piped sums up.
func (s *Service) piped(in *input) *Piped {
	out := &Piped{Lines: in.Lines.Load(), Bytes: in.Bytes.Load(), Cut: in.Cut.Load(), Invalid: in.Invalid.Load(), Profile: map[string]JailProfile{}}
	for _, j := range s.jails() {
		out.Profile[j.config.Name] = profileOf(j, []*input{in})
		_, failures := s.window.Failing(j.identity)
		t := s.ledger.Totals(j.identity)
		out.Failures, out.Bans = out.Failures+failures, out.Bans+t.Total-t.Restored
		if s.cfg.DryRun == nil {
			out.NotEnforced += t.Current - t.Enforced
		}
	}
	if s.nft != nil {
		_, out.Reason = s.nft.State()
	}
	return out
}

// pipeSource reads stdin, or files one after the other.
type pipeSource struct {
	input *pipeline.Input
	pipe  *Pipe
}

// Run implements pipeline.Source.
func (s *pipeSource) Run(ctx context.Context, feed *pipeline.Feed) error {
	if len(s.pipe.Files) == 0 {
		r := sources.Reader{Input: s.input, R: s.pipe.In}
		return r.Run(ctx, feed)
	}
	for _, name := range s.pipe.Files {
		if err := s.file(ctx, feed, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *pipeSource) file(ctx context.Context, feed *pipeline.Feed, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer f.Close()
	r := sources.Reader{Input: s.input, R: f}
	return r.Run(ctx, feed)
}
