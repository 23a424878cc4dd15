package ignore

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The bounds of looking names up.
const (
	maxAddrs      = 8               // addresses a name
	nameLife      = 5 * time.Minute // between two lookups of a name
	nameRetry     = time.Second     // after a failure, twice as long after each further one
	nameRetryMost = 5 * time.Second // while there is no answer yet; then nameLife
	lookupTimeout = 10 * time.Second
	lookupsAtOnce = 8
)

// Lookup asks DNS. A *net.Resolver is one.
type Lookup interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// names are the DNS names that are looked up in the background.
type names struct {
	lookup  Lookup
	before  map[string][]netip.Addr // answers of a process before
	changed func()                  // called after an answer, without a lock

	mu   sync.Mutex
	all  map[string]*name
	wake chan struct{}
}

// name is one of them, guarded by names.mu.
type name struct {
	addrs    []netip.Addr // of the last answer that had any
	answered bool
	busy     bool
	due      time.Time
	retry    time.Duration
}

func newNames(l Lookup, before map[string][]netip.Addr, changed func()) *names {
	return &names{lookup: l, before: before, changed: changed, all: make(map[string]*name), wake: make(chan struct{}, 1)}
}

// want makes the given names those that are looked up. A name that was there
// before keeps its answer.
func (n *names) want(wanted map[string]struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for text := range n.all {
		if _, ok := wanted[text]; !ok {
			delete(n.all, text)
		}
	}
	for text := range wanted {
		if n.all[text] == nil {
			addrs, known := n.before[text]
			addrs = addrs[:min(len(addrs), maxAddrs)]
			n.all[text] = &name{addrs: addrs, answered: known, due: time.Now(), retry: nameRetry}
		}
	}
	signal(n.wake)
}

// get returns the last good answer for a name, and whether there was any answer yet.
func (n *names) get(text string) (addrs []netip.Addr, answered bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.all[text]; e != nil {
		return e.addrs, e.answered
	}
	return nil, false
}

// good returns the last good answers.
func (n *names) good() map[string][]netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make(map[string][]netip.Addr)
	for text, e := range n.all {
		if len(e.addrs) > 0 {
			out[text] = slices.Clone(e.addrs)
		}
	}
	return out
}

// run looks up until ctx is done.
func (n *names) run(ctx context.Context) {
	var lookups sync.WaitGroup
	defer lookups.Wait()
	slots := make(chan struct{}, lookupsAtOnce)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		text, wait := n.next()
		if text == "" {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-n.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		lookups.Go(func() {
			n.ask(ctx, text)
			<-slots
		})
	}
}

// next returns a name that is due, marked as busy, or the time until one is.
func (n *names) next() (text string, wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	wait = nameLife
	for text, e := range n.all {
		if e.busy {
			continue
		}
		if !e.due.After(now) {
			e.busy = true
			return text, 0
		}
		wait = min(wait, e.due.Sub(now))
	}
	return "", wait
}

// ask looks a name up and enters the answer.
func (n *names) ask(ctx context.Context, text string) {
	lookupCtx, cancel := context.WithTimeout(ctx, lookupTimeout)
	addrs, err := n.lookup.LookupNetIP(lookupCtx, "ip", text)
	cancel()
	if ctx.Err() != nil {
		return
	}
	var dns *net.DNSError
	good := err == nil || errors.As(err, &dns) && dns.IsNotFound
	addrs = addrs[:min(len(addrs), maxAddrs)]

	n.mu.Lock()
	if e := n.all[text]; e != nil {
		e.busy = false
		if len(addrs) > 0 {
			e.addrs = e.addrs[:0:0]
			for _, a := range addrs {
				e.addrs = append(e.addrs, a.Unmap().WithZone(""))
			}
		}
		e.answered = e.answered || good
		e.later(good)
	}
	n.mu.Unlock()
	signal(n.wake)
	n.changed()
}

// later sets when a name is looked up next.
func (e *name) later(good bool) {
	pause := nameLife
	if !good {
		pause = e.retry
		most := nameRetryMost
		if e.answered {
			most = nameLife
		}
		e.retry = min(2*e.retry, most)
	} else {
		e.retry = nameRetry
	}
	e.due = time.Now().Add(pause)
}

// signal puts a token into a channel of one, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
