package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// backend is what bans where there is no nf_tables: it knows addresses and
// networks, and neither jails nor ports.
type backend interface {
	name() string
	// limits says in what its bans are not what a jail asks for.
	limits() string
	// prepare makes what bans stand in, or finds it; the error says that it cannot be used.
	prepare() error
	// apply carries edits out; errs has as many places, for the error of each.
	apply(edits []coarseEdit, errs []error)
	// replace makes everything just what the edits, all additions, say; it may
	// sort them. errs is apply's; the error returned is everybody's.
	replace(edits []coarseEdit, errs []error) error
	// holds says whether what bans stand in is there still.
	holds() bool
	// clear takes everything away.
	clear() error
	// left says whether something of ours is there, be it another process's.
	left() (bool, error)
	// lasts says whether bans end by themselves when nobody is there.
	lasts() bool
	close() error
}

// coarseEdit adds, renews or removes.
type coarseEdit struct {
	prefix  netip.Prefix
	timeout time.Duration // 0: none
	remove  bool
}

// backends are tried in this order.
var backends = []func(netns int) (backend, error){newIPSet, newRoutes}

// coarse bans without nf_tables. It keeps what each jail wants, because one
// address may be banned by several and a backend holds it once.
type coarse struct {
	cfg Config
	log *slog.Logger
	why string // nf_tables is not used

	mu      sync.Mutex // over everything below
	backend backend    // nil: none can be used yet
	reason  string     // why nothing is enforced; empty: it is
	retryAt time.Time
	wait    time.Duration
	paused  bool
	healed  int64
	jails   map[string]Action
	cutter  cutter
	wants   map[netip.Prefix]map[string]int64 // by jail: when it ends
}

// until is the latest end that a jail wants; 0: none does.
func (c *coarse) until(p netip.Prefix) (latest int64) {
	for _, end := range c.wants[p] {
		latest = max(latest, end)
	}
	return latest
}

// edit brings a backend to what is wanted of a network.
func (c *coarse) edit(p netip.Prefix, nowNanos int64) coarseEdit {
	end := c.until(p)
	e := coarseEdit{prefix: p, remove: end == 0}
	if end != 0 && end != pipeline.Permanent {
		e.timeout = max(minTimeout, time.Duration(end-nowNanos))
	}
	return e
}

// Apply is NFTables.Apply.
func (c *coarse) Apply(_ context.Context, nowNanos int64, orders []pipeline.Order) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range orders {
		orders[i].Err = c.want(&orders[i])
	}
	switch {
	case c.paused:
		refuse(orders, ErrPaused)
		return
	case c.backend == nil || c.reason != "":
		if c.cfg.Now().Before(c.retryAt) {
			refuse(orders, errors.New(c.reason))
			return
		}
		refused, err := c.resync(nowNanos)
		for i := range orders {
			if p, ok := orders[i].Ban.ID.Prefix(); ok && orders[i].Err == nil {
				orders[i].Err = cmp.Or(err, refused[p])
			}
		}
		return
	}
	var edits []coarseEdit
	var of []int
	for i := range orders {
		if p, ok := orders[i].Ban.ID.Prefix(); ok && orders[i].Err == nil {
			edits, of = append(edits, c.edit(p, nowNanos)), append(of, i)
		}
	}
	errs := make([]error, len(edits))
	c.backend.apply(edits, errs)
	var targets []target
	for at, err := range errs {
		o := &orders[of[at]]
		o.Err = err
		if a := c.jails[o.Ban.Jail.Name]; err == nil && a.KillSockets && o.Verb != pipeline.VerbUnban {
			targets = append(targets, target{edits[at].prefix, a.Ports})
		}
		if err != nil && refusedRight(err) {
			c.damaged(err)
		}
	}
	c.cutter.cut(c.cfg, targets)
}

func (c *coarse) knows(jail string) bool {
	_, ok := c.jails[jail]
	return ok
}

// refuse gives the orders without an error of their own one.
func refuse(orders []pipeline.Order, err error) {
	for i := range orders {
		if orders[i].Err == nil {
			orders[i].Err = err
		}
	}
}

// want makes an order part of what is wanted.
func (c *coarse) want(o *pipeline.Order) error {
	if o.Ban.Jail == nil || !c.knows(o.Ban.Jail.Name) {
		return ErrUnknownJail
	}
	p, ok := o.Ban.ID.Prefix()
	switch {
	case !ok:
		return fmt.Errorf("%s %q: %w", o.Verb, o.Ban.ID, ErrNotAddress)
	case p.Bits() == 0:
		return errors.New("everybody cannot be banned without nf_tables")
	}
	c.record(o.Ban.Jail.Name, p, o.Ban.UntilNanos, o.Verb == pipeline.VerbUnban)
	return nil
}

func (c *coarse) record(jail string, p netip.Prefix, untilNanos int64, remove bool) {
	if remove {
		delete(c.wants[p], jail)
		if len(c.wants[p]) == 0 {
			delete(c.wants, p)
		}
		return
	}
	if c.wants[p] == nil {
		c.wants[p] = make(map[string]int64)
	}
	c.wants[p][jail] = untilNanos
}

// resync finds a backend where there is none, and makes it hold what is wanted.
// The bans that it refused alone are in refused, and in the log.
func (c *coarse) resync(nowNanos int64) (refused map[netip.Prefix]error, err error) {
	if err := c.choose(); err != nil {
		c.damaged(err)
		return nil, err
	}
	var edits []coarseEdit
	for p := range c.wants {
		if c.until(p) > nowNanos {
			edits = append(edits, c.edit(p, nowNanos))
		}
	}
	errs := make([]error, len(edits))
	if err := c.backend.replace(edits, errs); err != nil {
		c.damaged(err)
		return nil, err
	}
	refused = make(map[netip.Prefix]error)
	for i, err := range errs {
		if err != nil {
			refused[edits[i].prefix] = err
			c.log.Error("ban is not in the kernel", "ip", edits[i].prefix, "reason", err.Error())
		}
	}
	if c.reason != "" {
		c.log.Info("bans are enforced again")
	}
	c.reason, c.wait = "", 0
	return refused, nil
}

// choose takes the first backend that works. Without the right to find out
// nothing is chosen.
func (c *coarse) choose() error {
	if c.backend != nil {
		return c.backend.prepare()
	}
	var reasons []string
	for _, open := range backends {
		b, err := open(c.cfg.NetNS)
		if err == nil {
			err = b.prepare()
			if err == nil {
				c.backend = b
				c.log.Warn("kernel has no nf_tables that can be used: bans are coarser", "by", b.name(), "reason", strings.Join(append([]string{c.why}, reasons...), "; "), "limits", b.limits())
				return nil
			}
			if refusedRight(err) {
				return errors.Join(err, b.close())
			}
			_ = b.clear() // what it came to make; that it cannot is said already
			err = errors.Join(err, b.close())
		}
		reasons = append(reasons, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return fmt.Errorf("this kernel has nothing to ban with: %s; %s", c.why, strings.Join(reasons, "; "))
}

// damaged notes that nothing can be done at present; one line for each reason.
func (c *coarse) damaged(err error) {
	if reason := err.Error(); c.reason != reason {
		c.reason = reason
		c.log.Error("bans are not enforced", "reason", reason)
	}
	c.wait = min(max(2*c.wait, firstWait), lastWait)
	c.retryAt = c.cfg.Now().Add(c.wait)
}

// tick tries again what could not be done; with compare it looks whether what
// was done still holds.
func (c *coarse) tick(compare bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	switch {
	case c.paused || len(c.wants) == 0 && c.reason == "":
	case c.reason != "":
		if !now.Before(c.retryAt) {
			_, _ = c.resync(now.UnixNano()) // noted
		}
	case compare && c.backend != nil && !c.backend.holds():
		if _, err := c.resync(now.UnixNano()); err == nil && c.backend.lasts() {
			c.healed++
			c.log.Warn("bans were removed by somebody else and put back", "what", c.backend.name())
		}
	}
}

// removeJail forgets the bans of a jail.
func (c *coarse) removeJail(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.jails, name)
	var edits []coarseEdit
	for p, jails := range c.wants {
		if _, ok := jails[name]; ok {
			c.record(name, p, 0, true)
			edits = append(edits, c.edit(p, c.cfg.Now().UnixNano()))
		}
	}
	if c.backend == nil || c.paused || len(edits) == 0 {
		return nil
	}
	errs := make([]error, len(edits))
	c.backend.apply(edits, errs)
	return errors.Join(errs...)
}

// pause and resume are NFTables'.
func (c *coarse) pause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.backend != nil && !c.paused {
		if err := c.backend.clear(); err != nil {
			return err
		}
	}
	c.paused = true
	return nil
}

func (c *coarse) resume() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.paused {
		return nil
	}
	c.paused = false
	_, err := c.resync(c.cfg.Now().UnixNano())
	return err
}

// close ends it; bans that would never end are always taken away.
func (c *coarse) close(remove bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.backend == nil {
		return nil
	}
	var err error
	if remove || !c.backend.lasts() {
		err = c.backend.clear()
	}
	return errors.Join(err, c.backend.close())
}
