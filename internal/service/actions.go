package service

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/runner"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// stopActions is how long all actions together may take to end.
const stopActions = 50 * time.Second

// holdTimeout is how long the runner may take to read the configuration.
const holdTimeout = 10 * time.Second

// actions are the actions that are carried out beside the jails' drops.
type actions struct {
	runner runner.Runner

	mu    sync.Mutex // over a change
	table atomic.Pointer[actionTable]
	// tasks are starts, reloads and ends that go on beside everything else; they
	// end with tasking.
	tasks   sync.WaitGroup
	tasking context.Context
	endTask context.CancelFunc
	gate    sync.Mutex // over ending
	ending  bool       // no task begins any more
}

// task begins a task, unless the service ends: then it returns false.
func (a *actions) task(f func()) bool {
	a.gate.Lock()
	defer a.gate.Unlock()
	if !a.ending {
		a.tasks.Go(f)
	}
	return !a.ending
}

// How soon after its ban somebody who is seen again has an action checked, as in
// fail2ban, and how often at most.
const (
	recheckAfter = 3 * time.Second
	recheckEvery = 10 * time.Second
)

// recheckActions checks a jail's actions: somebody got through. It does not block.
func (s *Service) recheckActions(j *pipeline.Jail) {
	t := s.actions.table.Load()
	if t == nil || (*t)[j] == nil {
		return
	}
	now := s.clock.Now()
	for _, c := range (*t)[j].carried {
		if last := c.checked.Load(); c.command != nil && now-last > int64(recheckEvery) && c.checked.CompareAndSwap(last, now) {
			s.actions.task(func() { c.command.Recheck(s.actions.tasking) })
		}
	}
}

// actionTable says what each jail has. It is never changed, only replaced.
type actionTable map[*pipeline.Jail]*jailActions

// jailActions are a jail's.
type jailActions struct {
	carried []*carried
	route   []*pipeline.Flusher // of the jail's orders: the drop's, then carried's
}

// carried is an action that runs.
type carried struct {
	*action
	jail    *jail
	flusher *pipeline.Flusher
	command *sinks.Command // nil: our sink carries it out
	alias   *pipeline.Jail // whom our sink knows it by
	checked atomic.Int64   // when Recheck was begun last, nanoseconds
}

// openActions makes what carries out the actions of the jails that run.
func (s *Service) openActions() error {
	a := &s.actions
	a.tasking, a.endTask = context.WithCancel(context.Background())
	if a.runner = s.cfg.Runner; a.runner == nil {
		a.runner = new(runner.Engine)
	}
	table := actionTable{}
	for _, j := range s.jails() {
		for _, x := range j.actions {
			c, err := s.carry(j, x, 0)
			if err != nil {
				return err
			}
			table.add(j, c)
		}
	}
	table.routes(s.flusher)
	a.table.Store(&table)
	s.hold(table, nil)
	return nil
}

func (t actionTable) add(j *jail, c *carried) {
	if t[j.identity] == nil {
		t[j.identity] = new(jailActions)
	}
	t[j.identity].carried = append(t[j.identity].carried, c)
}

func (t actionTable) routes(first *pipeline.Flusher) {
	for _, ja := range t {
		ja.route = []*pipeline.Flusher{first}
		for _, c := range ja.carried {
			ja.route = append(ja.route, c.flusher)
		}
	}
}

// all returns everything that is carried out.
func (t actionTable) all() []*carried {
	var out []*carried
	for _, ja := range t {
		out = append(out, ja.carried...)
	}
	return out
}

// hold makes the definitions of two tables known to the runner: what is no
// longer in force has still to be ended.
func (s *Service) hold(now, before actionTable) {
	var list []runner.Definition
	names := map[string]*carried{}
	for _, c := range slices.Concat(now.all(), before.all()) {
		if c.program != nil && names[c.digest] == nil {
			names[c.digest] = c
			list = append(list, c.program.Definition)
		}
	}
	if len(list) == 0 && len(before) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.actions.tasking, holdTimeout)
	defer cancel()
	missing, err := s.actions.runner.Hold(ctx, list)
	for _, d := range missing {
		s.log.Error("action cannot be run: it is not what the configuration on disk says, and the action runner runs nothing else", "jail", d.Jail, "action", d.Name)
	}
	if err != nil {
		s.log.Error("actions are not all known to the action runner", "problem", err)
	}
}

// route returns where a jail's orders go. It is called with the ledger locked,
// and neither blocks nor calls it.
func (s *Service) route(j *pipeline.Jail) []*pipeline.Flusher {
	if t := s.actions.table.Load(); t != nil {
		if ja := (*t)[j]; ja != nil {
			return ja.route
		}
	}
	return s.plainRoute
}

// all returns everything that is carried out now.
func (a *actions) all() []*carried {
	if t := a.table.Load(); t != nil {
		return t.all()
	}
	return nil
}

// flushers returns all flushers that there are at the start.
func (s *Service) flushers() []*pipeline.Flusher {
	out := []*pipeline.Flusher{s.flusher}
	for _, c := range s.actions.all() {
		out = append(out, c.flusher)
	}
	return out
}

// carry makes what carries out an action. sinceNanos is now where it comes by a
// reload, 0 at the start.
func (s *Service) carry(j *jail, x *action, sinceNanos int64) (*carried, error) {
	c := &carried{action: x, jail: j}
	name := j.config.Name + "/" + x.name
	if x.drop != nil {
		c.alias = pipeline.NewJail(name, *j.identity.Policy())
		if err := s.nft.SetJail(name, *x.drop); err != nil {
			return nil, err
		}
		c.flusher = pipeline.NewFlusher(&aliased{sink: s.nft, jail: c.alias}, pipeline.FlusherConfig{Name: name})
		return c, nil
	}
	d := &x.program.Definition
	c.command = sinks.NewCommand(sinks.CommandConfig{
		Jail: j.config.Name, Action: x.name, Commands: &commands{run: s.actions.runner, action: x},
		Values: func(ctx context.Context, p sinks.Phase, b *pipeline.Ban) map[string]string {
			return s.actionValues(ctx, c, p, b)
		},
		OnDemand: x.program.OnDemand(), NoRestored: d.NoRestored, RepairOnUnban: d.RepairOnUnban, Once: d.Python != "",
		SinceNanos: sinceNanos,
		Lost:       func() { s.ledger.Resend(c.flusher, pipeline.VerbBan) },
		Log:        s.log,
	})
	c.flusher = pipeline.NewFlusher(c.command, pipeline.FlusherConfig{Name: name, Background: true})
	return c, nil
}

// announceActions logs what is not carried out as one might think.
func (s *Service) announceActions(j *jail) {
	for _, o := range j.other {
		s.log.Warn("action is not carried out", "jail", j.config.Name, "action", o.action, "reason", o.reason)
	}
	for _, x := range j.actions {
		if x.note != "" {
			s.log.Warn("action runs by its commands, not in nftables", "jail", j.config.Name, "action", x.name, "reason", x.note)
		}
	}
}

// startActions starts the actions that do not start on demand.
func (s *Service) startActions(list []*carried) {
	for _, c := range list {
		if c.command != nil {
			s.actions.task(func() { c.command.Start(s.actions.tasking) })
		}
	}
}

// changeActions carries out what a reload has changed in the jails' actions. An
// action that is the same goes on, and is told of the reload; one that is
// another one ends, frees whom it holds, and begins anew with the bans in force.
func (s *Service) changeActions(jails []*jail) {
	a := &s.actions
	if a.table.Load() == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old, table := *a.table.Load(), actionTable{}
	kept := map[*carried]bool{}
	var fresh []*carried
	for _, j := range jails {
		for _, x := range j.actions {
			c := old.same(j, x)
			if c == nil {
				var err error
				if c, err = s.carry(j, x, s.clock.Now()); err != nil {
					s.log.Error("action is not carried out", "jail", j.config.Name, "action", x.name, "problem", err)
					continue
				}
				fresh = append(fresh, c)
			} else {
				kept[c] = true
			}
			table.add(j, c)
		}
	}
	table.routes(s.flusher)
	s.hold(table, old)
	a.table.Store(&table)
	for _, c := range old.all() {
		switch {
		case !kept[c]:
			i := slices.IndexFunc(fresh, func(next *carried) bool { return next.jail.identity == c.jail.identity && next.name == c.name })
			if i >= 0 && c.alias != nil && fresh[i].alias != nil {
				c.flusher.Close() // the kernel has the other rules already
				continue
			}
			if done := s.endAction(c); i >= 0 && fresh[i].command != nil {
				fresh[i].command.After(done)
			}
		case c.command != nil:
			a.task(func() { c.command.Reload(a.tasking) })
		}
	}
	s.startActions(fresh)
	for _, c := range fresh {
		if err := s.line.StartFlusher(c.flusher); err != nil {
			s.log.Error("action is not carried out", "jail", c.jail.config.Name, "action", c.name, "problem", err)
			continue
		}
		s.ledger.Resend(c.flusher, pipeline.VerbBan)
	}
}

// same returns the action of the jail that runs already as x says, or nil.
func (t actionTable) same(j *jail, x *action) *carried {
	ja := t[j.identity]
	if ja == nil {
		return nil
	}
	if i := slices.IndexFunc(ja.carried, func(c *carried) bool { return c.same(x) }); i >= 0 {
		return ja.carried[i]
	}
	return nil
}

// endAction ends an action that is no longer routed to. done is closed when it has.
func (s *Service) endAction(c *carried) (done chan struct{}) {
	done = make(chan struct{})
	c.flusher.Close()
	if c.alias != nil {
		if err := s.nft.RemoveJail(c.alias.Name); err != nil {
			s.log.Error("action's bans are not lifted in the kernel yet", "jail", c.jail.config.Name, "action", c.name, "problem", err)
		}
		close(done)
		return done
	}
	bans := s.ledger.Banned(c.jail.identity)
	begun := s.actions.task(func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(s.actions.tasking, stopActions)
		defer cancel()
		c.command.Stop(ctx, bans)
	})
	if !begun {
		close(done)
	}
	return done
}

// closeActions ends all actions, each its way, and the runner. With stop unset
// they are left as they are: nobody is freed.
func (s *Service) closeActions(stop bool) error {
	a := &s.actions
	if a.table.Load() == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopActions)
	defer cancel()
	defer a.endTask()
	a.gate.Lock()
	a.ending = true
	a.gate.Unlock()
	var ending sync.WaitGroup
	for _, c := range a.table.Load().all() {
		standing, refused := c.flusher.Pending()
		if c.command != nil && standing+refused > 0 {
			s.log.Warn("action is not told of everything", "jail", c.jail.config.Name, "action", c.name, "orders", standing+refused)
		}
		switch {
		case c.command == nil:
		case stop:
			ending.Go(func() { c.command.Stop(ctx, s.ledger.Banned(c.jail.identity)) })
		case c.command.Holds() > 0:
			s.log.Warn("bans of an action stay until somebody ends them: no service does", "jail", c.jail.config.Name, "action", c.name, "bans", c.command.Holds())
		}
	}
	ending.Wait()
	stopTasks := context.AfterFunc(ctx, a.endTask)
	a.tasks.Wait()
	stopTasks()
	if s.cfg.Runner != nil {
		return nil // who made it closes it
	}
	return a.runner.Close()
}
