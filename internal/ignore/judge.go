package ignore

import (
	"context"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

const (
	// nameWait is how long a ban waits for a name that has no answer yet.
	nameWait = 30 * time.Second
	// maxQueue is the number of bans that wait for the command at most; those
	// that there is no room for are let through, as where the command fails.
	maxQueue = 4096
)

var _ pipeline.Ignore = (*Guard)(nil)

// ask is a ban that waits.
type ask struct {
	jail   *pipeline.Jail
	id     pipeline.ID
	rules  *rules
	values []string // of the command's tags
	key    string   // of the cache
	until  time.Time
	answer func(ban bool)
}

// wait are the bans that wait for names, in the order of their time.
type wait struct {
	mu   sync.Mutex
	asks []*ask
	wake chan struct{} // has a token when a name has an answer, or rules have changed
}

// Ignores implements pipeline.Ignore. It allocates nothing but where an
// ignorecache has to be asked, and blocks for nothing but a file of addresses
// that has to be read.
func (g *Guard) Ignores(f *pipeline.Failure) bool {
	s := g.jail(f.Jail)
	if s == nil {
		return false
	}
	r := s.rules.Load()
	if r.cache != nil {
		if ignore, _ := r.cache.get(r.cacheKey(f, pipeline.Ban{AtNanos: f.AtNanos})); ignore {
			s.by[ByCommand].Add(1)
			return true
		}
	}
	by := g.source(r, f.ID)
	if by == 0 {
		return false
	}
	g.tell(s, f.Jail, f.ID, by)
	return true
}

func (g *Guard) tell(s *jail, j *pipeline.Jail, id pipeline.ID, by Source) {
	s.by[by].Add(1)
	if g.cfg.Observer != nil {
		g.cfg.Observer(j, id, by)
	}
}

// source returns why an ID is ignored, the command apart, or 0.
func (g *Guard) source(r *rules, id pipeline.ID) Source {
	addr, isAddr := id.Addr()
	if own := g.own.Load(); isAddr && r.Self && own != nil {
		if _, ok := (*own)[addr]; ok {
			return BySelf
		}
	}
	place := r.list.find(id)
	if place == single {
		return ByIP
	}
	if len(r.files) > 0 {
		place = min(place, g.inFiles(r, id))
	}
	if t := r.dns.Load(); isAddr && len(t.places) > 0 {
		if at, ok := t.places[addr]; ok && at < place {
			return ByDNS
		}
	}
	if place < none {
		return ByIP
	}
	return 0
}

// inFiles returns the first place of a file that lists the ID.
func (g *Guard) inFiles(r *rules, id pipeline.ID) int32 {
	place := int32(none)
	now := time.Now()
	for _, f := range r.files {
		if f.look(now) {
			g.refresh() // the file may have brought names
		}
		if f.order < place && f.list.Load().find(id) < none {
			place = f.order
		}
	}
	return place
}

func (r *rules) cacheKey(f *pipeline.Failure, b pipeline.Ban) string {
	return r.cache.key.render(values(r.cache.key.tags, f, b))
}

// Judge implements pipeline.Ignore: a ban waits for names that have no answer
// yet, and for the command.
func (g *Guard) Judge(f *pipeline.Failure, b pipeline.Ban, answer func(ban bool)) pipeline.Judgment {
	s := g.jail(f.Jail)
	if s == nil {
		return pipeline.JudgeBan
	}
	r := s.rules.Load()
	open := r.dns.Load().open
	if !open && r.command == nil {
		return pipeline.JudgeBan
	}
	a := &ask{jail: f.Jail, id: f.ID, rules: r, answer: answer}
	if r.command != nil {
		a.values = values(r.command.tags, f, b)
		if r.cache != nil {
			a.key = r.cacheKey(f, b)
		}
	}
	if open {
		a.until = time.Now().Add(nameWait)
		g.waits.mu.Lock()
		first := len(g.waits.asks) == 0
		g.waits.asks = append(g.waits.asks, a)
		g.waits.mu.Unlock()
		if first { // the later ones wait longer
			signal(g.waits.wake)
		}
		return pipeline.JudgeLater
	}
	return g.askCommand(a)
}

// askCommand queues a ban for the command, unless the cache knows the answer or
// there is no room.
func (g *Guard) askCommand(a *ask) pipeline.Judgment {
	if a.rules.cache != nil {
		if ignore, ok := a.rules.cache.get(a.key); ok && ignore {
			return pipeline.JudgeFree
		} else if ok {
			return pipeline.JudgeBan
		}
	}
	select {
	case g.queue <- a:
		return pipeline.JudgeLater
	default:
		if g.full.Add(1) == 1 {
			g.log.Warn("ignorecommand is too slow: bans that there is no room for do not wait for it", "jail", a.jail.Name, "room", maxQueue)
		}
		return pipeline.JudgeBan
	}
}

// release lets go of the bans that wait for names, until ctx is done.
func (g *Guard) release(ctx context.Context) {
	timer := time.NewTimer(nameWait)
	defer timer.Stop()
	for {
		ready, wait := g.ready()
		for _, a := range ready {
			g.judgeAgain(a)
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-g.waits.wake:
		case <-ctx.Done():
			return
		}
	}
}

// ready takes those bans out that have waited enough, and says when to look again.
func (g *Guard) ready() (out []*ask, wait time.Duration) {
	g.waits.mu.Lock()
	defer g.waits.mu.Unlock()
	now := time.Now()
	wait = nameWait
	left := g.waits.asks[:0]
	for _, a := range g.waits.asks {
		s := g.jail(a.jail)
		if s != nil && s.rules.Load().dns.Load().open && now.Before(a.until) {
			left = append(left, a)
			wait = min(wait, a.until.Sub(now))
		} else {
			out = append(out, a)
		}
	}
	clear(g.waits.asks[len(left):])
	g.waits.asks = left
	return out, wait
}

// judgeAgain judges a ban that has waited for names, by the rules of now.
func (g *Guard) judgeAgain(a *ask) {
	s := g.jail(a.jail)
	if s == nil {
		a.answer(false)
		return
	}
	if by := g.source(s.rules.Load(), a.id); by != 0 {
		g.tell(s, a.jail, a.id, by)
		a.answer(false)
		return
	}
	judgment := pipeline.JudgeBan
	if a.rules.command != nil {
		judgment = g.askCommand(a)
	}
	if judgment != pipeline.JudgeLater {
		a.answer(judgment == pipeline.JudgeBan)
	}
}

// work runs commands until ctx is done.
func (g *Guard) work(ctx context.Context) {
	for {
		select {
		case a := <-g.queue:
			ignore, err := g.command(ctx, a)
			if ctx.Err() != nil {
				return
			}
			g.decided(a, ignore, err)
		case <-ctx.Done():
			return
		}
	}
}

// command asks the command, or what is built in instead of it.
func (g *Guard) command(ctx context.Context, a *ask) (ignore bool, err error) {
	if a.rules.cache != nil {
		if ignore, ok := a.rules.cache.get(a.key); ok { // since it was queued
			return ignore, nil
		}
	}
	c := a.rules.command
	addr, isAddr := a.id.Addr()
	if c.google {
		return isAddr && isGooglebot(ctx, g.cfg.Lookup, addr), nil
	}
	for i, tag := range c.tags {
		if tag == "ip-host" && isAddr {
			a.values[i] = hostOf(ctx, g.cfg.Lookup, addr)
		}
	}
	return c.run(ctx, a.values, g.cfg.CommandTimeout)
}

// decided enters the command's answer. A command that failed does not ignore.
func (g *Guard) decided(a *ask, ignore bool, err error) {
	if err != nil {
		g.log.Warn("ignorecommand failed: the ban goes ahead", "jail", a.jail.Name, "id", a.id.String(), "problem", err)
	}
	if a.rules.cache != nil {
		a.rules.cache.set(a.key, ignore)
	}
	s := g.jail(a.jail)
	if ignore && s != nil {
		g.tell(s, a.jail, a.id, ByCommand)
	}
	a.answer(!ignore && s != nil)
}
