package ignore

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Source is why somebody is ignored.
type Source uint8

// The sources.
const (
	BySelf    Source = iota + 1 // the machine's own address
	ByIP                        // ignoreip: an address, a network or a raw ID
	ByDNS                       // ignoreip: a name
	ByCommand                   // ignorecommand
)

// String returns the source as fail2ban's log line "Ignore IP by …" has it.
func (s Source) String() string {
	switch s {
	case BySelf:
		return "ignoreself rule"
	case ByIP:
		return "ip"
	case ByDNS:
		return "dns"
	case ByCommand:
		return "command"
	}
	return "unknown source"
}

// Observer is told of every failure that is not counted, and of every ban that
// the command prevented; not of what a cached decision ignores, as in fail2ban.
// It is called from every source's goroutine and must not block.
type Observer func(j *pipeline.Jail, id pipeline.ID, by Source)

// Config is what a Guard works with. All fields may be zero.
type Config struct {
	Lookup         Lookup                       // nil: net.DefaultResolver
	Own            func() ([]netip.Addr, error) // the machine's addresses; nil: its interfaces'
	Answers        map[string][]netip.Addr      // what Guard.Answers said in a process before
	Observer       Observer                     // nil: nobody is told
	Commands       int                          // run at once; 0: 4
	CommandTimeout time.Duration                // 0: fail2ban's 60 s
	Log            *slog.Logger                 // nil: nothing is logged
}

// Rules are whom one jail never counts.
type Rules struct {
	Self    bool
	Items   []string // ignoreip: addresses, networks, names, raw IDs, file:PATH
	Command string   // ignorecommand; empty: none
	Cache   *Cache   // ignorecache; nil: off
}

// Cache is ignorecache.
type Cache struct {
	Key      string // with tags
	MaxCount int
	MaxTime  time.Duration
}

// Counts are how many failures of a jail were not counted, by source;
// Command counts bans that did not come about, and what its cache ignored.
type Counts struct{ Self, IP, DNS, Command int64 }

// Guard is the pipeline's Ignore for all jails. Ignores and Judge may be called
// beside everything else; names, own addresses and commands need Run.
type Guard struct {
	cfg   Config
	log   *slog.Logger
	jails sync.Map // *pipeline.Jail → *jail
	own   atomic.Pointer[map[netip.Addr]struct{}]
	names *names
	host  string

	mu    sync.Mutex // guards files and changes of jails; never held while anything is asked
	files map[string]*file

	waits wait
	queue chan *ask
	full  atomic.Int64 // bans that were not judged for want of room
}

// jail is what the guard knows of a jail; it stays when the rules are replaced.
type jail struct {
	rules atomic.Pointer[rules]
	by    [ByCommand + 1]atomic.Int64
}

// rules are Rules, compiled. All but dns are not changed.
type rules struct {
	Rules
	list    list
	files   []ruleFile
	command *command // nil: none
	cache   *cache   // nil: off
	dns     atomic.Pointer[table]
}

type ruleFile struct {
	*file
	order int32
}

// table is what the names of a jail have come to.
type table struct {
	places map[netip.Addr]int32 // the first place in the list
	open   bool                 // some name has no answer yet
}

// New returns a guard without jails.
func New(cfg Config) *Guard {
	if cfg.Lookup == nil {
		cfg.Lookup = net.DefaultResolver
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Commands <= 0 {
		cfg.Commands = 4
	}
	if cfg.CommandTimeout <= 0 {
		cfg.CommandTimeout = 60 * time.Second
	}
	g := &Guard{cfg: cfg, log: cfg.Log, files: make(map[string]*file), queue: make(chan *ask, maxQueue)}
	g.waits.wake = make(chan struct{}, 1)
	g.names = newNames(cfg.Lookup, cfg.Answers, g.refresh)
	if host, err := os.Hostname(); err == nil && isName(strings.ToLower(host)) {
		g.host = strings.ToLower(host)
	}
	return g
}

// SetJails makes the given jails those of the guard, with these rules: at once
// for whoever asks then. Of a jail that it had before, the counts stay, and
// what names, files and the cache know; bans of one that is gone and that still
// wait are not to be. The rules must not be changed afterwards.
func (g *Guard) SetJails(jails map[*pipeline.Jail]Rules) {
	g.mu.Lock()
	g.jails.Range(func(j, _ any) bool {
		if _, stays := jails[j.(*pipeline.Jail)]; !stays {
			g.jails.Delete(j)
		}
		return true
	})
	for j, r := range jails {
		v, ok := g.jails.Load(j)
		if !ok {
			v = new(jail)
		}
		state := v.(*jail)
		before := state.rules.Load()
		if before == nil || !reflect.DeepEqual(before.Rules, r) {
			state.rules.Store(g.compile(r, before))
		}
		g.jails.Store(j, state)
	}
	g.settle()
	g.mu.Unlock()
	signal(g.waits.wake)
}

// Counts returns the numbers of a jail.
func (g *Guard) Counts(j *pipeline.Jail) Counts {
	s := g.jail(j)
	if s == nil {
		return Counts{}
	}
	return Counts{Self: s.by[BySelf].Load(), IP: s.by[ByIP].Load(), DNS: s.by[ByDNS].Load(), Command: s.by[ByCommand].Load()}
}

// Answers returns the last good answer for each name, to be stored: with them
// in Config.Answers no ban waits for these names after a restart.
func (g *Guard) Answers() map[string][]netip.Addr { return g.names.good() }

// NotJudged returns the number of bans that were let through because too many
// waited for the command.
func (g *Guard) NotJudged() int64 { return g.full.Load() }

// NeedsFields says whether failures of a jail with these rules must have the
// named groups of their line (pipeline.Failure.Fields).
func (r *Rules) NeedsFields() bool {
	return r.Command != "" && usesFields(parseCommand(r.Command).tags) ||
		r.Cache != nil && usesFields(parseCommand(r.Cache.Key).tags)
}

// compile compiles rules. g.mu is held.
func (g *Guard) compile(r Rules, before *rules) *rules {
	out := &rules{Rules: r}
	for i, item := range r.Items {
		out.list.add(item, int32(i))
	}
	if out.list.dropped > 0 {
		g.log.Warn("ignoreip has too many names", "most", maxListNames, "left out", out.list.dropped)
	}
	for _, f := range out.list.files {
		if g.files[f.path] == nil {
			g.files[f.path] = &file{path: f.path, log: g.log}
		}
		out.files = append(out.files, ruleFile{g.files[f.path], f.order})
	}
	if r.Command != "" {
		out.command = parseCommand(r.Command)
		if r.Cache != nil {
			out.cache = newCache(r.Cache)
			if before != nil && before.cache != nil && before.Command == r.Command && *before.Cache == *r.Cache {
				out.cache = before.cache
			}
		}
	}
	out.dns.Store(g.table(out))
	return out
}

// refresh brings the tables up to date, after an answer or a change of the
// machine's addresses.
func (g *Guard) refresh() {
	g.mu.Lock()
	g.settle()
	g.mu.Unlock()
	signal(g.waits.wake)
}

// settle makes names and tables those of the jails' rules. g.mu is held.
func (g *Guard) settle() {
	wanted := map[string]struct{}{}
	used := map[string]struct{}{}
	self := false
	g.jails.Range(func(_, v any) bool {
		r := v.(*jail).rules.Load()
		self = self || r.Self
		for _, n := range r.list.names {
			wanted[n.name] = struct{}{}
		}
		for _, f := range r.files {
			used[f.path] = struct{}{}
			if l := f.list.Load(); l != nil {
				for _, n := range l.names {
					wanted[n.name] = struct{}{}
				}
			}
		}
		return true
	})
	if self && g.host != "" {
		wanted[g.host] = struct{}{}
	}
	for path := range g.files {
		if _, ok := used[path]; !ok {
			delete(g.files, path)
		}
	}
	g.names.want(wanted)
	g.jails.Range(func(_, v any) bool {
		r := v.(*jail).rules.Load()
		r.dns.Store(g.table(r))
		return true
	})
	g.readOwn(self)
}

// table gathers what the names of a jail have come to.
func (g *Guard) table(r *rules) *table {
	t := &table{places: map[netip.Addr]int32{}}
	add := func(name string, order int32) {
		addrs, answered := g.names.get(name)
		t.open = t.open || !answered
		for _, a := range addrs {
			if old, ok := t.places[a]; !ok || order < old {
				t.places[a] = order
			}
		}
	}
	for _, n := range r.list.names {
		add(n.name, n.order)
	}
	for _, f := range r.files {
		if l := f.list.Load(); l != nil {
			for _, n := range l.names {
				add(n.name, f.order)
			}
		}
	}
	return t
}

// readOwn reads the machine's own addresses: those of its interfaces, and what
// its host name stands for. Where they cannot be read the old ones stay.
func (g *Guard) readOwn(wanted bool) {
	if !wanted {
		return
	}
	read := g.cfg.Own
	if read == nil {
		read = interfaceAddrs
	}
	addrs, err := read()
	if err != nil {
		g.log.Warn("own addresses are not known", "problem", err)
		if g.own.Load() != nil {
			return
		}
	}
	own := make(map[netip.Addr]struct{}, len(addrs))
	for _, a := range addrs {
		own[a.WithZone("")] = struct{}{}
	}
	named, _ := g.names.get(g.host)
	for _, a := range named {
		own[a] = struct{}{}
	}
	g.own.Store(&own)
}

// Run looks names up, follows the machine's addresses and runs commands until
// ctx is done, and returns when all of that has ended. Bans that wait then get
// no answer: end the pipeline first.
func (g *Guard) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { g.names.run(ctx) })
	all.Go(func() { g.release(ctx) })
	all.Go(func() {
		if g.cfg.Own != nil {
			pollAddresses(ctx, g.refresh)
		} else {
			followAddresses(ctx, g.refresh)
		}
	})
	for range g.cfg.Commands {
		all.Go(func() { g.work(ctx) })
	}
	all.Wait()
}

func (g *Guard) jail(j *pipeline.Jail) *jail {
	if v, ok := g.jails.Load(j); ok {
		return v.(*jail)
	}
	return nil
}
