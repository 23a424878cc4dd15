package service

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// The bounds of looking a host name up from a line's way: an attacker chooses
// the name and answers for it.
const (
	lookupTimeout = time.Second
	lookupLife    = 5 * time.Minute
	lookupNames   = 1000
	lookupAddrs   = 8
)

// resolver looks host names up and remembers the answers, also that there was none.
type resolver struct {
	mu    sync.Mutex
	known *simplelru.LRU[string, answer]
}

type answer struct {
	addrs []netip.Addr
	until time.Time
}

func newResolver() *resolver {
	// The size is a positive constant, the only thing that NewLRU can refuse.
	known, _ := simplelru.NewLRU[string, answer](lookupNames, nil)
	return &resolver{known: known}
}

// Resolve implements matchers.Resolver. It waits a second at most.
func (r *resolver) Resolve(name string) []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if a, ok := r.known.Get(name); ok && now.Before(a.until) {
		return a.addrs
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		addrs = nil
	}
	addrs = addrs[:min(len(addrs), lookupAddrs)]
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	r.known.Add(name, answer{addrs, now.Add(lookupLife)})
	return addrs
}
