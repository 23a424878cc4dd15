package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// Manual is the jail of bans by command that name none: every port, no log.
const Manual = "manual"

// Config says what a Service runs.
type Config struct {
	Options config.Options
	Socket  string // control socket; empty: the configuration's
	Version string
	DryRun  pipeline.Sink // instead of the kernel; nil: bans are carried out
	NetNS   int           // file descriptor of the network namespace to ban in; 0: the process's
	Log     *slog.Logger
}

// Service is a set of running jails with their ledger and control socket.
type Service struct {
	cfg      Config
	log      *slog.Logger
	socket   string
	clock    *pipeline.Clock
	jails    []*jail
	resolver matchers.Resolver

	nft     *sinks.NFTables // nil in a dry run
	flusher *pipeline.Flusher
	window  *pipeline.Window
	ledger  *pipeline.Ledger
	stop    context.CancelFunc // ends Run

	mu     sync.Mutex
	inputs map[string]*input // by path
}

// New reads the configuration and compiles every enabled jail. A jail that has
// an error is logged and left out; the error says that nothing can run.
func New(cfg Config) (*Service, error) {
	tree, problems := config.Load(cfg.Options)
	for _, p := range problems {
		level := slog.LevelWarn
		if p.Severity == config.Error {
			level = slog.LevelError
		}
		cfg.Log.Log(context.Background(), level, "configuration", "problem", p.Error())
	}
	if errs := problems.Jail("").Err(); errs != nil {
		return nil, errs
	}
	s := newService(cfg, pipeline.WallClock())
	if s.socket == "" {
		s.socket = tree.Main.Socket.Text
	}
	for i := range tree.Jails {
		c := &tree.Jails[i]
		if !c.Enabled || c.Problems.Err() != nil {
			continue
		}
		j, err := compile(c)
		if err != nil {
			s.log.Error("jail disabled", "jail", c.Name, "problem", err)
			continue
		}
		s.jails = append(s.jails, j)
	}
	s.addManual()
	return s, nil
}

func newService(cfg Config, clock *pipeline.Clock) *Service {
	return &Service{
		cfg: cfg, log: cfg.Log, socket: cfg.Socket, clock: clock, inputs: map[string]*input{}, resolver: newResolver(),
		window: pipeline.NewWindow(pipeline.WindowConfig{}), stop: func() {},
	}
}

// addManual adds the built-in jail where the configuration has none of its name.
func (s *Service) addManual() {
	if s.jail(Manual) != nil {
		return
	}
	c := &config.Jail{Name: Manual, Enabled: true, MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: -1}
	if len(s.jails) > 0 {
		c.BanTime = s.jails[0].config.BanTime
	}
	s.jails = append(s.jails, &jail{config: c, identity: pipeline.NewJail(Manual, policyOf(c)), drop: &sinks.Action{}})
}

// jail returns the jail of that name, or nil.
func (s *Service) jail(name string) *jail {
	for _, j := range s.jails {
		if j.config.Name == name {
			return j
		}
	}
	return nil
}

// open opens the sink and makes the stages that follow the window.
func (s *Service) open(observer pipeline.Observer) error {
	sink, cfg := s.cfg.DryRun, pipeline.FlusherConfig{Name: "dry run", Ordered: true}
	if sink == nil {
		nft, err := sinks.OpenNFTables(sinks.Config{NetNS: s.cfg.NetNS, Log: s.log})
		if err != nil {
			return err
		}
		s.nft, sink, cfg = nft, nft, pipeline.FlusherConfig{Name: "nftables"}
		for _, j := range s.jails {
			if j.drop == nil {
				continue
			}
			if err := nft.SetJail(j.config.Name, *j.drop); err != nil {
				return errors.Join(err, nft.Close(false))
			}
		}
	}
	s.flusher = pipeline.NewFlusher(sink, cfg)
	s.ledger = pipeline.NewLedger(pipeline.LedgerConfig{
		Route: func(*pipeline.Jail) []*pipeline.Flusher { return []*pipeline.Flusher{s.flusher} }, Observer: observer,
	})
	return nil
}

// Run bans until ctx is done or a command stops it. What it has put into the
// kernel it takes away when it returns.
func (s *Service) Run(ctx context.Context) (err error) {
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	listener, err := control.Socket{Path: s.socket}.Listen(ctx)
	if err != nil {
		return err
	}
	if err := s.open(logObserver{s.log}); err != nil {
		return errors.Join(err, listener.Close())
	}
	for _, j := range s.jails {
		s.log.Info("jail runs", "jail", j.config.Name, "maxretry", j.config.MaxRetry, "findtime", j.config.FindTime, "bantime", j.config.BanTime)
		for _, name := range j.other {
			s.log.Warn("action is not carried out: only those that drop packets are", "jail", j.config.Name, "action", name)
		}
	}
	p := pipeline.New(pipeline.Config{
		Window: s.window, Ledger: s.ledger, Clock: s.clock, Sources: s.sources(), Flushers: []*pipeline.Flusher{s.flusher},
		Stay: true, Watch: foundLog{s.log}, Log: s.log,
	})
	var serving sync.WaitGroup
	var serveErr error
	if s.nft != nil {
		// What a process before us left in the kernel is nobody's ban any more.
		if err := s.nft.Reconcile(); err != nil {
			s.log.Error("bans of a process before are not cleared", "problem", err)
		}
		serving.Go(func() { s.nft.Run(ctx) })
	}
	serveCtx, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	serving.Go(func() { serveErr = s.serve(serveCtx, listener) })
	// The socket answers until the pipeline has drained: commands are the
	// pipeline's, and a stop is told when it is done.
	err = p.Run(ctx)
	stopServing()
	serving.Wait()
	return errors.Join(err, serveErr, s.close())
}

func (s *Service) serve(ctx context.Context, l net.Listener) error {
	server := control.Server{
		Handler: &control.Dispatcher{Verbs: verbs{s}, ReadVerbs: []string{VerbStatus, VerbBanned}}, Log: s.log,
	}
	return server.Serve(ctx, l)
}

func (s *Service) close() error {
	if s.nft == nil {
		return nil
	}
	return s.nft.Close(true)
}
