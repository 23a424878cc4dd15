package sinks

import (
	"context"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// After has the action do nothing until done is closed: one that it takes the
// place of has to end first. It is called before anything else, and done is
// closed in any case.
func (c *Command) After(done <-chan struct{}) {
	c.turn <- struct{}{} // nobody else has it
	go func() {
		<-done
		c.leave()
	}()
}

// Start starts the action, unless it starts on demand.
func (c *Command) Start(ctx context.Context) {
	if c.enter(ctx) != nil {
		return
	}
	defer c.leave()
	c.startAll(ctx)
}

func (c *Command) startAll(ctx context.Context) {
	if c.tried || c.cfg.OnDemand {
		return
	}
	c.tried = true
	for f := range AddressFamily(addressFamilies) {
		// What fails is logged; the first ban meets it again, and the repair with it.
		_, _ = c.start(ctx, f)
	}
}

// start starts the action for a family, unless it has been for one whose command
// is the same.
func (c *Command) start(ctx context.Context, f AddressFamily) (ok bool, err error) {
	if c.started[f] {
		return true, nil
	}
	text := c.cfg.Commands.Text(PhaseStart, f)
	if other := 1 - f; c.started[other] && c.cfg.Commands.Text(PhaseStart, other) == text {
		c.started[f] = true
		return true, nil
	}
	if ok, err = c.run(ctx, PhaseStart, f, nil); ok {
		c.started[f] = true
	}
	return ok, err
}

// putRight checks an action after a command failed, and repairs it, or stops and
// starts it. It returns whether it is sane now.
func (c *Command) putRight(ctx context.Context, p Phase, f AddressFamily) (sane bool, err error) {
	if ok, err := c.run(ctx, PhaseCheck, f, nil); ok || err != nil {
		return ok, err
	}
	if p == PhaseUnban && !c.cfg.RepairOnUnban {
		c.cfg.Log.Error("action is not as it left things: an address cannot be freed by it", "jail", c.cfg.Jail, "action", c.cfg.Action)
		return false, nil
	}
	c.cfg.Log.Error("action is not as it left things: it is put right", "jail", c.cfg.Jail, "action", c.cfg.Action)
	c.forget(f)
	if c.cfg.Commands.Text(PhaseRepair, f) != "" {
		ok, err := c.run(ctx, PhaseRepair, f, nil)
		if !ok || err != nil {
			c.started[f] = false
			return false, err
		}
		c.started[f] = true
	} else {
		// What it cannot stop it may still be able to start.
		if _, err := c.run(ctx, PhaseStop, f, nil); err != nil {
			return false, err
		}
		c.started[f] = false
		if p == PhaseUnban {
			return true, nil
		}
		// Another family that shares the command has been stopped with it.
		if other := 1 - f; c.cfg.Commands.Text(PhaseStart, other) == c.cfg.Commands.Text(PhaseStart, f) {
			c.started[other] = false
			c.forget(other)
		}
		if ok, err := c.start(ctx, f); !ok || err != nil {
			return false, err
		}
	}
	sane, err = c.run(ctx, PhaseCheck, f, nil)
	if !sane && err == nil {
		c.cfg.Log.Error("action could not be put right", "jail", c.cfg.Jail, "action", c.cfg.Action)
	}
	return sane, err
}

// Recheck checks what the action has started although no command failed, and
// puts it right: somebody who is banned was seen again. An action that has no
// check is taken to be well.
func (c *Command) Recheck(ctx context.Context) {
	if c.enter(ctx) != nil {
		return
	}
	done := map[string]bool{}
	for f := range AddressFamily(addressFamilies) {
		text := c.cfg.Commands.Text(PhaseCheck, f)
		if c.started[f] && text != "" && !done[text] {
			done[text] = true
			_, _ = c.putRight(ctx, PhaseBan, f) // it is logged
		}
	}
	lost := c.lost
	c.lost = false
	c.leave()
	if lost && c.cfg.Lost != nil {
		c.cfg.Lost()
	}
}

// forget drops what an action of the family held: it is banned anew.
func (c *Command) forget(f AddressFamily) {
	for id, g := range c.held {
		if f == g {
			delete(c.held, id)
			c.again[id] = struct{}{}
			c.lost = true
		}
	}
}

// Reload tells a started action that the configuration was read again.
func (c *Command) Reload(ctx context.Context) {
	if c.enter(ctx) != nil {
		return
	}
	defer c.leave()
	c.each(ctx, PhaseReload, c.started)
}

// freeEach frees everybody that the action holds one by one: those of bans
// first, then those whose ban is over and of whose end it was not told.
func (c *Command) freeEach(ctx context.Context, bans []pipeline.Banned) {
	free := func(b *pipeline.Ban) {
		if _, held := c.held[b.ID]; held && ctx.Err() == nil {
			delete(c.held, b.ID)
			_ = c.carry(ctx, PhaseUnban, b) // it is logged
		}
	}
	for i := range bans {
		free(&bans[i].Ban)
	}
	for id := range c.held {
		free(&pipeline.Ban{ID: id, UntilNanos: pipeline.Permanent})
	}
	clear(c.held)
}

// Stop frees everybody that the action holds, of the bans of its jail, and stops
// it. It returns when that is done or ctx is.
func (c *Command) Stop(ctx context.Context, bans []pipeline.Banned) {
	if c.enter(ctx) != nil {
		c.cfg.Log.Error("action is not stopped: a command of it still runs", "jail", c.cfg.Jail, "action", c.cfg.Action)
		return
	}
	defer c.leave()
	if len(c.held) > 0 && !c.flush(ctx) {
		c.freeEach(ctx, bans)
	}
	clear(c.again)
	families := c.started
	if !c.cfg.OnDemand && c.tried {
		families = [addressFamilies]bool{true, true}
	}
	c.each(ctx, PhaseStop, families)
	c.started, c.tried = [addressFamilies]bool{}, false
	if ctx.Err() != nil {
		c.cfg.Log.Error("action is not stopped in time", "jail", c.cfg.Jail, "action", c.cfg.Action)
	}
}
