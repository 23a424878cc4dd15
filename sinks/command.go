package sinks

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Phase is what a command of an action is for: fail2ban's options without "action".
type Phase string

// The phases.
const (
	PhaseStart   Phase = "start"
	PhaseStop    Phase = "stop"
	PhaseFlush   Phase = "flush"
	PhaseReload  Phase = "reload"
	PhaseCheck   Phase = "check"
	PhaseRepair  Phase = "repair"
	PhaseBan     Phase = "ban"
	PhaseReban   Phase = "reban"
	PhaseUnban   Phase = "unban"
	PhaseProlong Phase = "prolong"
)

// AddressFamily is whose addresses a command is about: 0 is IPv4 (and what is no
// address), 1 is IPv6.
type AddressFamily uint8

const addressFamilies = 2

// Commands are the commands of one action.
type Commands interface {
	// Text tells the commands apart: "" is none, and two families with equal
	// texts share what the command does.
	Text(p Phase, f AddressFamily) string
	// Run runs one. The error says that nobody knows what became of it.
	Run(ctx context.Context, p Phase, f AddressFamily, values map[string]string) (Outcome, error)
}

// Outcome is what became of a command.
type Outcome struct {
	OK      bool
	Absent  bool   // the action has no such command after all
	Problem string // why it failed, in one line; text of others in it is escaped
	Script  string // what failed, likewise
}

// CommandConfig says what a Command does.
type CommandConfig struct {
	Jail, Action string // for the log
	Commands     Commands
	// Value returns the values of a phase's tags for a ban.
	Values func(ctx context.Context, p Phase, b *pipeline.Ban) map[string]string

	OnDemand      bool // starts at the first ban of a family
	NoRestored    bool // is not told of bans that are restored
	RepairOnUnban bool
	// SinceNanos, if not 0, is when a reload brought the action: bans from before
	// count as restored for it.
	SinceNanos int64
	Once       bool // what fails is not tried a second time, even where the check says that all is well

	// Lost is called when what was banned has to be banned anew: the action was
	// started again. It is called in Apply.
	Lost func()
	Log  *slog.Logger
}

// Command is the sink of one action that is carried out by commands, as
// fail2ban carries it out: started once or at the first ban of a family,
// checked, repaired and started again when a command fails, flushed or freed of
// its bans one by one and stopped at the end.
//
// A command that fails is logged and counted, not tried again later: it may have
// done half of its work, or sent its mail. An order is refused only where nobody
// knows what became of it. Its flusher is a Background one. All methods are safe
// for concurrent use; commands run one after the other.
type Command struct {
	cfg CommandConfig

	turn    chan struct{} // has room for who may run commands and use what follows
	tried   bool          // Start was
	started [addressFamilies]bool
	held    map[pipeline.ID]AddressFamily // whose ban was carried out, be it in vain
	again   map[pipeline.ID]struct{}      // whose ban was lost when the action was put right
	lost    bool                          // Lost is to be called

	mu    sync.Mutex
	state CommandState
	holds int // len(held)
}

// CommandState is how an action fares.
type CommandState struct {
	Done    int64  // commands that succeeded
	Failed  int64  // commands that failed
	Problem string // why the last one did; empty: it did not
	Waiting int    // orders that were handed over and are not carried out
}

var _ pipeline.Sink = (*Command)(nil)

// commandPatience is how long Apply goes on with further orders. They wait as a set
// then, not as a queue: a ban and its unban cancel each other.
const commandPatience = 50 * time.Millisecond

// NewCommand returns the sink of an action. Nothing is run.
func NewCommand(cfg CommandConfig) *Command {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Command{cfg: cfg, turn: make(chan struct{}, 1), held: map[pipeline.ID]AddressFamily{}, again: map[pipeline.ID]struct{}{}}
}

// State returns how the action fares.
func (c *Command) State() CommandState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Holds returns of how many bans the action was told and not of their end.
func (c *Command) Holds() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holds
}

// enter waits for the turn to run commands.
func (c *Command) enter(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Command) leave() {
	c.mu.Lock()
	c.holds = len(c.held)
	c.mu.Unlock()
	<-c.turn
}

// run runs one command, none being done at once. ok says that it succeeded.
func (c *Command) run(ctx context.Context, p Phase, f AddressFamily, values map[string]string) (ok bool, err error) {
	if c.cfg.Commands.Text(p, f) == "" {
		return true, nil
	}
	out, err := c.cfg.Commands.Run(ctx, p, f, values)
	if err != nil {
		return false, fmt.Errorf("action %s: %w", c.cfg.Action, err)
	}
	// A check that fails is an answer, not a failure.
	if p != PhaseCheck {
		c.note(p, out)
	}
	return out.OK, nil
}

// note counts what became of a command. Of a trouble that lasts only the
// beginning and the end are logged.
func (c *Command) note(p Phase, out Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.state.Problem
	if out.OK {
		c.state.Done++
		if c.state.Problem = ""; before != "" {
			c.cfg.Log.Info("action works again", "jail", c.cfg.Jail, "action", c.cfg.Action)
		}
		return
	}
	c.state.Failed++
	c.state.Problem = out.Problem
	if before != out.Problem {
		c.cfg.Log.Error("command of an action failed", "jail", c.cfg.Jail, "action", c.cfg.Action, "command", "action"+string(p), "problem", out.Problem, "script", out.Script)
	}
}

// Apply implements pipeline.Sink.
func (c *Command) Apply(ctx context.Context, _ int64, orders []pipeline.Order) {
	if err := c.enter(ctx); err != nil {
		for i := range orders {
			orders[i].Err = err
		}
		return
	}
	c.waiting(len(orders))
	if !c.freeAll(ctx, orders) {
		began := time.Now()
		for i := range orders {
			c.waiting(len(orders) - i)
			if i > 0 && time.Since(began) > commandPatience {
				orders[i].Err = pipeline.ErrDeferred
				continue
			}
			orders[i].Err = c.do(ctx, &orders[i])
		}
	}
	c.waiting(0)
	lost := c.lost
	c.lost = false
	c.leave()
	if lost && c.cfg.Lost != nil {
		c.cfg.Lost()
	}
}

func (c *Command) waiting(n int) {
	c.mu.Lock()
	c.state.Waiting = n
	c.mu.Unlock()
}

// freeAll carries out orders that free everybody by one command, where the
// action has one. It returns whether it did.
func (c *Command) freeAll(ctx context.Context, orders []pipeline.Order) bool {
	if len(orders) < 2 || len(orders) != len(c.held) {
		return false
	}
	for i := range orders {
		if _, held := c.held[orders[i].Ban.ID]; orders[i].Verb != pipeline.VerbUnban || !held {
			return false
		}
	}
	return c.flush(ctx)
}

// flush frees everybody by one command a family. It returns whether there is
// one and it succeeded.
func (c *Command) flush(ctx context.Context) bool {
	var has [addressFamilies]bool
	for _, f := range c.held {
		has[f] = true
		if c.cfg.Commands.Text(PhaseFlush, f) == "" {
			return false
		}
	}
	if !c.each(ctx, PhaseFlush, has) {
		return false
	}
	clear(c.held)
	return true
}

// each runs a command once for the families, or once where it is the same for both.
func (c *Command) each(ctx context.Context, p Phase, families [addressFamilies]bool) bool {
	done := map[string]bool{}
	all := true
	for f := range AddressFamily(addressFamilies) {
		text := c.cfg.Commands.Text(p, f)
		if !families[f] || text == "" || done[text] {
			continue
		}
		done[text] = true
		ok, err := c.run(ctx, p, f, nil)
		all = all && ok && err == nil
	}
	return all
}

// do carries out one order.
func (c *Command) do(ctx context.Context, o *pipeline.Order) error {
	b := &o.Ban
	if b.AtNanos < c.cfg.SinceNanos {
		b.Restored = true
	}
	_, held := c.held[b.ID]
	switch {
	case c.cfg.NoRestored && b.Restored && !held:
		return nil // nor is it told of their end
	case o.Verb == pipeline.VerbUnban:
		delete(c.again, b.ID)
		if !held {
			return nil
		}
		err := c.carry(ctx, PhaseUnban, b)
		if err == nil {
			delete(c.held, b.ID)
		}
		return err
	case held && o.Verb == pipeline.VerbBan:
		return nil // it has it: a ban that goes out again after something else was lost
	case held:
		return c.carry(ctx, PhaseProlong, b)
	}
	f := familyOf(b)
	c.startAll(ctx)
	if c.cfg.OnDemand {
		if ok, err := c.start(ctx, f); err != nil || !ok {
			return err // not ok is logged; the next ban tries to start again
		}
	}
	phase := PhaseBan
	if _, again := c.again[b.ID]; again {
		phase = PhaseReban
	}
	err := c.carry(ctx, phase, b)
	if err == nil {
		delete(c.again, b.ID)
		c.held[b.ID] = f
	}
	return err
}

// carry runs the command of a ban; where it fails the action is checked and put
// right, and the command tried a second time. The error says that nobody knows
// what became of it.
func (c *Command) carry(ctx context.Context, p Phase, b *pipeline.Ban) error {
	f := familyOf(b)
	if c.cfg.Commands.Text(p, f) == "" {
		return nil
	}
	values := c.cfg.Values(ctx, p, b)
	ok, err := c.run(ctx, p, f, values)
	if ok || err != nil || c.cfg.Once {
		return err
	}
	if sane, err := c.putRight(ctx, p, f); !sane || err != nil {
		return err
	}
	_, err = c.run(ctx, p, f, values)
	return err
}
