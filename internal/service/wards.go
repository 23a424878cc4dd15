package service

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Whom no log line bans, because the ban would lock out the wrong ones: an
// address of our own and a gateway are never a client's, whatever a log says,
// and whoever is logged in by ssh is the one who would have to repair it.

// wardKind says what somebody is whom the guard knows.
type wardKind uint8

const (
	wardOwn wardKind = iota + 1
	wardGateway
	wardPeer
)

// why says what the kind is, and what it usually means in a log of failures.
func (k wardKind) why() string {
	const proxied = "; failures from there are usually those of clients behind a proxy of this host (docker's userland proxy, a rootless network): " +
		"let it hand on the client's address, or set userland-proxy to false"
	switch k {
	case wardOwn:
		return "an address of this host" + proxied
	case wardGateway:
		return "the default gateway" + proxied
	case wardPeer:
		return "somebody who has logged in and is connected by ssh"
	}
	return ""
}

const (
	wardsEvery = 10 * time.Second // between two looks at addresses, gateways and sessions
	wardsTell  = time.Hour        // between two lines about one of them
)

// wards knows whom the guard keeps from bans. Safe for concurrent use.
type wards struct {
	netns    int
	log      *slog.Logger
	lines    banLog
	ports    func() []uint16 // of sshd
	wtmp     string
	sessions string
	sshd     []string // its configuration

	mu       sync.RWMutex
	own      map[netip.Addr]struct{}
	gateways map[netip.Addr]struct{}
	logins   map[netip.Addr]int64 // when somebody logged in last from there, nanoseconds
	told     map[netip.Addr]int64
	failing  map[string]bool // what was not known at the last look

	counts sync.Map // *pipeline.Jail → *wardCounts
}

// wardCounts are the bans of a jail that the guard kept from being.
type wardCounts struct{ own, gateway, peer atomic.Int64 }

// GuardStatus are the bans by log lines that a jail's guard kept from being,
// by what the address is.
type GuardStatus struct {
	Own     int64 `json:"own"`
	Gateway int64 `json:"gateway"`
	SSH     int64 `json:"ssh"`
}

func newWards(netns int, log *slog.Logger, lines banLog, ports func() []uint16) *wards {
	return &wards{netns: netns, log: log, lines: lines, ports: ports, wtmp: "/var/log/wtmp", sessions: "/run/systemd/sessions",
		sshd:   []string{"/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf"},
		logins: map[netip.Addr]int64{}, told: map[netip.Addr]int64{}, failing: map[string]bool{}}
}

// start looks for the first time.
func (w *wards) start(nowNanos int64) {
	since := nowNanos - int64(rememberLogins)
	// Without them (Debian 13 has none) the lines of sshd and the sessions tell.
	_ = readWtmp(w.wtmp, func(a netip.Addr, at time.Time) {
		if at.UnixNano() >= since {
			w.loggedIn(a, at.UnixNano())
		}
	})
	w.look(nowNanos)
}

// run looks again and again until ctx is done.
func (w *wards) run(ctx context.Context, clock *pipeline.Clock) {
	tick := time.NewTicker(wardsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.look(clock.Now())
		case <-ctx.Done():
			return
		}
	}
}

// look reads addresses, gateways and sessions. What cannot be read stays as it was.
func (w *wards) look(nowNanos int64) {
	read := func(what string, ask func(int) ([]netip.Addr, error), to *map[netip.Addr]struct{}) {
		list, err := ask(w.netns)
		w.mu.Lock()
		defer w.mu.Unlock()
		if err != nil {
			if !w.failing[what] {
				w.log.Warn("guard does not know all whom it is to spare", "what", what, "problem", err)
			}
			w.failing[what] = true
			return
		}
		w.failing[what] = false
		set := make(map[netip.Addr]struct{}, len(list))
		for _, a := range list {
			set[a.WithZone("")] = struct{}{}
		}
		*to = set
	}
	read("own addresses", ownAddrs, &w.own)
	read("gateways", gateways, &w.gateways)
	_ = readSessions(w.sessions, func(a netip.Addr) { w.loggedIn(a, nowNanos) }) // none without systemd
}

// loggedIn notes a login.
func (w *wards) loggedIn(a netip.Addr, atNanos int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logins[a] = max(w.logins[a], atNanos)
	if len(w.logins) <= maxLogins {
		return
	}
	oldest := a
	for b, at := range w.logins {
		if at < w.logins[oldest] {
			oldest = b
		}
	}
	delete(w.logins, oldest)
}

// is says what an address or a network that is to be banned covers, or 0.
func (w *wards) is(id pipeline.ID, nowNanos int64) wardKind {
	p, ok := id.Prefix()
	if !ok {
		return 0
	}
	w.mu.RLock()
	own, gateway, login := covers1(w.own, p), covers1(w.gateways, p), w.login(p, nowNanos)
	w.mu.RUnlock()
	switch {
	case own:
		return wardOwn
	case gateway:
		return wardGateway
	case login && w.connected(p):
		return wardPeer
	}
	return 0
}

// owns says whether an address is one of our own.
func (w *wards) owns(a netip.Addr) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	_, ok := w.own[a]
	return ok
}

// inside says whether somebody is in a network: one of our own, a gateway, or
// one who has logged in, connected now or not.
func (w *wards) inside(network netip.Prefix) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return covers1(w.own, network) || covers1(w.gateways, network) || w.login(network, time.Now().UnixNano())
}

func covers1(set map[netip.Addr]struct{}, p netip.Prefix) bool {
	if p.IsSingleIP() {
		_, ok := set[p.Addr()]
		return ok
	}
	for a := range set {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// login says whether somebody in p has logged in lately. w.mu is held.
func (w *wards) login(p netip.Prefix, nowNanos int64) bool {
	since := nowNanos - int64(rememberLogins)
	if p.IsSingleIP() {
		at, ok := w.logins[p.Addr()]
		return ok && at >= since
	}
	for a, at := range w.logins {
		if at >= since && p.Contains(a) {
			return true
		}
	}
	return false
}

// connected says whether somebody in p has a connection to sshd.
func (w *wards) connected(p netip.Prefix) bool {
	list, err := tcpSockets(w.netns, 1<<tcpEstablished)
	if err != nil {
		w.log.Warn("guard does not know who is connected by ssh", "problem", err)
		return true // he has logged in
	}
	ports := w.ports()
	for _, s := range list {
		for _, port := range ports {
			if s.local.Port() == port && p.Contains(s.remote.Addr()) {
				return true
			}
		}
	}
	return false
}

// spares says whether a ban by log lines is not to be, counts it and says why.
func (w *wards) spares(b *pipeline.Ban, nowNanos int64) bool {
	kind := w.is(b.ID, nowNanos)
	if kind == 0 {
		return false
	}
	v, ok := w.counts.Load(b.Jail)
	if !ok {
		v, _ = w.counts.LoadOrStore(b.Jail, new(wardCounts))
	}
	switch c := v.(*wardCounts); kind {
	case wardOwn:
		c.own.Add(1)
	case wardGateway:
		c.gateway.Add(1)
	case wardPeer:
		c.peer.Add(1)
	}
	p, _ := b.ID.Prefix()
	w.mu.Lock()
	tell := nowNanos-w.told[p.Addr()] >= int64(wardsTell)
	if tell {
		if len(w.told) >= 1000 {
			clear(w.told)
		}
		w.told[p.Addr()] = nowNanos
	}
	w.mu.Unlock()
	if tell {
		w.lines.out.Print(logtarget.Warning, loggerActions, false,
			fmt.Sprintf("%s: it is %s; guard = no in the jail bans it all the same", about(b.Jail, "Spared", b.ID), kind.why()))
	}
	return true
}

// status returns the numbers of a jail.
func (w *wards) status(j *pipeline.Jail) GuardStatus {
	v, ok := w.counts.Load(j)
	if !ok {
		return GuardStatus{}
	}
	c := v.(*wardCounts)
	return GuardStatus{c.own.Load(), c.gateway.Load(), c.peer.Load()}
}
