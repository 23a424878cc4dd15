package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/ignore"
	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/internal/runner"
	"github.com/f2bpipe/f2bpipe/internal/sandbox"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
	"github.com/f2bpipe/f2bpipe/sources"
)

// Manual is the jail of bans by command that name none: every port, no log.
const Manual = "manual"

// Config says what a Service runs.
type Config struct {
	Options config.Options
	Socket  string // control socket; empty: the configuration's
	Version string
	Other   string        // a configuration directory that holds jails too and is not read; empty: none
	DryRun  pipeline.Sink // instead of the kernel; nil: bans are carried out
	NetNS   int           // file descriptor of the network namespace to ban in; 0: the process's
	// Fail2ban runs under fail2ban's names: in its nftables layout, where the bans end with us.
	Fail2ban bool
	// Runner runs the commands of actions; nil: this process does. Who made it
	// closes it.
	Runner runner.Runner
	// UnitJob asks for the type of systemd's job for the service; nil: systemd is asked where it has started us.
	UnitJob func(context.Context) (string, error)
	Log     *slog.Logger
	// Out is the log in fail2ban's format: Found, Ban, Unban… Nil: nobody reads
	// it. Who made it closes it.
	Out     *logtarget.Log
	PidFile string // written while it runs; empty: none
	Ready   func() // called when the service runs; nil: nobody waits for it
	Await   bool   // read no jails: a client sends them
	// StatusSocket is a second socket, for who may only look; empty: the configuration's, or none.
	StatusSocket string
	StatusGroup  string // the group that may connect there, by name or number; empty: the configuration's
	// Confine locks the process in when everything is open; nil: nothing does.
	Confine func(sandbox.Config) (sandbox.State, error)
}

// Service is a set of running jails with their ledger and control socket.
type Service struct {
	cfg      Config
	log      *slog.Logger
	socket   string
	clock    *pipeline.Clock
	running  atomic.Pointer[[]*jail] // never changed, only replaced
	resolver matchers.Resolver
	guard    *ignore.Guard // whom the jails never count
	other    *OtherDir     // nil: none

	out        *logtarget.Log // in fail2ban's format
	mainTarget string         // logtarget as fail2ban.conf has it

	wards    *wards // whom no log line bans
	leaks    *leaks // who fails although he is banned
	meter    *meter
	networks *pipeline.Networks // nil: addresses are banned singly

	daemon  bool          // expiry = daemon
	nft     *sinks.Kernel // nil in a dry run
	gate    *gate         // before the sink
	flusher *pipeline.Flusher
	actions actions // beside the sink
	// plainRoute is that of a jail without actions beside the sink.
	plainRoute []*pipeline.Flusher
	line       *pipeline.Pipeline // while it runs
	window     *pipeline.Window
	ledger     *pipeline.Ledger
	stop       context.CancelFunc // ends Run
	stopped    atomic.Bool        // by a command
	again      atomic.Bool        // Run ends with ErrRestart
	down       chan struct{}      // closed when Run has stopped everything but the sockets
	paused     pause
	files      *sources.Files // nil: no file is followed
	alarm      alarm
	keep       keeping
	history    *history
	trouble    trouble

	settings  serverSettings
	decisions decisions
	closing   chan struct{} // closed when the sockets are: who waits there for news is answered

	mu     sync.Mutex
	inputs map[string]*input   // by path
	there  map[string]struct{} // paths that a reload found: they are older than their jail
	lates  []*lateInput        // that have not joined yet
	// journals are by key: the input's name, and a number where one reader is not enough.
	journals map[string]*journal

	joining    sync.Mutex     // held while journals are stopped and started
	lateNumber int            // of the last journal that caught up
	joiners    sync.WaitGroup // goroutines that wait for it
	grown      chan struct{}  // has a token after a reload
	drained    chan struct{}  // closed when the pipeline has drained

	reloading sync.Mutex        // one reload at a time
	known     map[string]string // problems of the configuration in force: their jails by key
}

// New reads the configuration and compiles every enabled jail. A jail that has
// an error is logged and left out; the error says that nothing can run.
func New(cfg Config) (*Service, error) {
	if cfg.Fail2ban {
		// What fail2ban has nftables do stands in its layout; the rest runs as written.
		cfg.Options.NativeActions = nativeNFTables
	}
	s := newService(cfg, pipeline.WallClock())
	var r *reading
	if cfg.Await {
		r = &reading{main: MainOf(cfg.Options)}
	} else {
		r = read(cfg.Options)
	}
	s.logDirs(r.replaced)
	s.logProblems(r.problems)
	if errs := r.problems.Jail("").Err(); errs != nil {
		return nil, errs
	}
	if s.socket == "" {
		s.socket = r.main.Socket.Text
	}
	for _, name := range r.disabled {
		s.log.Error("jail disabled: its configuration has errors", "jail", name)
	}
	s.known, s.daemon = r.known(), r.daemon
	target := ""
	if cfg.Out != nil {
		target = cfg.Out.Target()
	}
	s.settings.take(&r.main, target)
	s.mainTarget = r.main.LogTarget.Text
	s.statusDoor(&r.main)
	s.keepBy(&r.main)
	s.setJails(withManual(r.jails))
	return s, nil
}

func newService(cfg Config, clock *pipeline.Clock) *Service {
	s := &Service{
		down: make(chan struct{}), closing: make(chan struct{}),
		cfg: cfg, log: cfg.Log, out: outOf(cfg), socket: cfg.Socket, clock: clock, inputs: map[string]*input{}, resolver: newResolver(),
		journals: map[string]*journal{}, drained: make(chan struct{}), grown: make(chan struct{}, 1),
		window: pipeline.NewWindow(pipeline.WindowConfig{}), stop: func() {},
	}
	s.guard, s.history = newGuard(cfg.Log, banLog{s.out}), newHistory(banLog{s.out})
	s.leaks, s.meter = newLeaks(), &meter{startNanos: clock.Now()}
	s.wards = newWards(cfg.NetNS, cfg.Log, banLog{s.out}, s.sshdPorts)
	s.setJails(nil)
	return s
}

// outOf returns the log in fail2ban's format.
func outOf(cfg Config) *logtarget.Log {
	if cfg.Out != nil {
		return cfg.Out
	}
	out, err := logtarget.New(logtarget.Config{Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		panic(err) // the defaults are understood
	}
	return out
}

// jails returns the jails that run. The slice is never changed.
func (s *Service) jails() []*jail { return *s.running.Load() }

func (s *Service) setJails(jails []*jail) {
	s.setIgnore(jails)
	s.history.setJails(jails)
	s.running.Store(&jails)
}

// withManual adds the built-in jail where the configuration has none of its name.
func withManual(jails []*jail) []*jail {
	if named(jails, Manual) != nil {
		return jails
	}
	c := &config.Jail{Name: Manual, Enabled: true, MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: -1}
	if len(jails) > 0 {
		c.BanTime = jails[0].config.BanTime
	}
	return append(slices.Clip(jails), &jail{config: c, identity: pipeline.NewJail(Manual, policyOf(c)), drop: &sinks.Action{}})
}

// builtIn says whether it is the jail that withManual added.
func (j *jail) builtIn() bool {
	return j.config.Name == Manual && j.config.Filter == nil && len(j.config.Options) == 0
}

// jail returns the jail of that name, or nil.
func (s *Service) jail(name string) *jail { return named(s.jails(), name) }

func named(jails []*jail, name string) *jail {
	for _, j := range jails {
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
		var err error
		if sink, err = s.openKernel(); err != nil {
			return err
		}
		cfg = pipeline.FlusherConfig{Name: "nftables"}
	}
	s.gate = newGate(sink)
	s.serveGate(s.jails())
	s.flusher = pipeline.NewFlusher(s.gate, cfg)
	s.wards.start(s.clock.Now())
	s.networks = s.newNetworks()
	s.plainRoute = []*pipeline.Flusher{s.flusher}
	s.ledger = pipeline.NewLedger(pipeline.LedgerConfig{Route: s.route, Wide: s.networks != nil, Observer: observer, History: s.history, Keep: s.keep.store != nil})
	if s.tells() {
		s.window.KeepMatches(pipeline.DefaultMatchBytes)
	}
	if s.cfg.DryRun != nil {
		return nil
	}
	return s.openActions()
}

// Run bans until ctx is done or a command stops it. What becomes of the bans in
// the kernel then depends on who ends it (stop.go).
func (s *Service) Run(ctx context.Context) (err error) {
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	signals := catchSignals()
	defer signals.ignore()
	doors, err := s.openDoors(ctx)
	if err != nil {
		return serverRuns(s.socket, err)
	}
	var working, serving sync.WaitGroup
	var serveErr error
	serveCtx, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	door := newOpening(s)
	if s.cfg.Await {
		serving.Go(func() { serveErr = s.serveDoors(serveCtx, doors, door) })
		s.runs()
		err = door.wait(ctx)
	}
	if err == nil {
		err = s.takeUp(ctx)
	}
	if err == nil {
		s.lookAtKernel()
		err = s.confine()
	}
	if err != nil {
		close(s.down)
		stopServing()
		serving.Wait()
		return errors.Join(err, s.closeStore(), doors.close())
	}
	for _, j := range s.jails() {
		s.announce(j)
	}
	s.line = s.newPipeline()
	working.Go(func() { s.obey(ctx, signals) })
	s.work(ctx, &working)
	close(door.ready)
	if !s.cfg.Await {
		serving.Go(func() { serveErr = s.serveDoors(serveCtx, doors, door) })
	}
	s.watchOver(serveCtx, &serving)
	s.startActions(s.actions.all())
	// The socket answers until the pipeline has drained: commands are the
	// pipeline's. A stop is answered when everything else is done.
	if !s.cfg.Await {
		s.runs()
	}
	err = s.line.Run(ctx)
	s.stop()
	close(s.closing)
	stopServing()
	close(s.drained)
	s.joiners.Wait()
	working.Wait()
	err = errors.Join(err, s.closeActions(true), s.closeStore(), s.closeKernel(s.ended(signals)), doors.close())
	close(s.down)
	serving.Wait()
	if err = errors.Join(err, serveErr); err == nil && s.again.Load() {
		err = ErrRestart
	}
	return err
}

// stopTimeout is how long a stop may take to count what was read, and to store
// it: well below what those who stop services grant (systemd 90 s, our unit and
// docker-mailserver 55 s).
const stopTimeout = 20 * time.Second

// newPipeline puts the stages together.
func (s *Service) newPipeline() *pipeline.Pipeline {
	return pipeline.New(pipeline.Config{
		Window: s.window, Ledger: s.ledger, Clock: s.clock, Sources: s.sources(), Flushers: s.flushers(),
		Stay: true, StopTimeout: stopTimeout, Ignore: judge{s.guard, s}, Networks: s.networks, History: s.history, Store: s.checkpoints(), Watch: watcher{s}, Log: s.log,
	})
}

// work starts what goes on beside the pipeline until ctx is done.
func (s *Service) work(ctx context.Context, group *sync.WaitGroup) {
	group.Go(func() { s.lookForBlind(ctx) })
	group.Go(func() { s.report(ctx) })
	group.Go(func() { s.tendStore(ctx) })
	group.Go(func() { s.giveBack(ctx) })
	if s.nft != nil {
		s.gate.begin(s.flusher)
		group.Go(func() { s.nft.Run(ctx) })
		group.Go(func() { s.reconcile(ctx) })
	}
}

// watchOver starts what bans and commands ask until the pipeline has drained.
func (s *Service) watchOver(ctx context.Context, group *sync.WaitGroup) {
	group.Go(func() { s.guard.Run(ctx) })
	group.Go(func() { s.wards.run(ctx, s.clock) })
	group.Go(func() { s.diagnoseLeaks(ctx) })
	group.Go(func() { s.measure(ctx) })
}

// announce logs that a jail runs.
func (s *Service) announce(j *jail) {
	s.log.Info("jail runs", "jail", j.config.Name, "maxretry", j.config.MaxRetry, "findtime", j.config.FindTime, "bantime", j.config.BanTime,
		"filter", filterFile(j.config), "reads", j.source())
	if path, is := s.unwritten(j); is {
		s.log.Warn("the jail reads our log from a file that we do not write: run with --logtarget config", "jail", j.config.Name, "file", path)
	}
	s.announceActions(j)
}
