package sinks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Kernel bans by the best that this kernel has: nf_tables; without it ipset and
// a rule of iptables a family; without those blackhole routes. Which it is, is
// found out at the first ban. Its methods are NFTables', and may be called from
// any goroutine.
type Kernel struct {
	cfg   Config
	nft   *NFTables              // nil: its socket cannot be had
	other atomic.Pointer[coarse] // not nil: in place of nft

	mu    sync.Mutex
	jails map[string]Action // declared
}

var _ pipeline.Sink = (*Kernel)(nil)

// OpenKernel is OpenNFTables for a Kernel.
func OpenKernel(cfg Config) (*Kernel, error) {
	k := &Kernel{cfg: cfg, jails: make(map[string]Action)}
	var err error
	k.nft, err = OpenNFTables(cfg)
	if err == nil {
		k.cfg = k.nft.cfg
		return k, nil
	}
	if !noSocket(err) {
		return nil, err
	}
	k.cfg = cfg.withDefaults()
	k.nft = nil
	k.other.Store(k.coarse(err.Error()))
	return k, nil
}

// noSocket says whether the kernel, or what confines us, has no such socket.
func noSocket(err error) bool {
	for _, errno := range []unix.Errno{unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EPERM, unix.EACCES, unix.ENOSYS} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func (k *Kernel) coarse(why string) *coarse {
	c := &coarse{cfg: k.cfg, log: k.cfg.Log, why: why, jails: maps.Clone(k.jails), wants: make(map[netip.Prefix]map[string]int64)}
	return c
}

// fall puts what is wanted into the hands of the next best where nf_tables has
// turned out not to be there.
func (k *Kernel) fall() *coarse {
	if c := k.other.Load(); c != nil || k.nft == nil {
		return c
	}
	why := k.nft.absent()
	if why == "" {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.other.Load(); c != nil {
		return c
	}
	c := k.coarse(why)
	k.nft.wants(func(jail string, p netip.Prefix, untilNanos int64) { c.record(jail, p, untilNanos, false) })
	k.other.Store(c)
	return c
}

// Apply implements pipeline.Sink; see NFTables.Apply. Where nf_tables is not
// used, bans of all jails go by one list, and of each order the error is its own.
func (k *Kernel) Apply(ctx context.Context, nowNanos int64, orders []pipeline.Order) {
	if c := k.other.Load(); c != nil {
		c.Apply(ctx, nowNanos, orders)
		return
	}
	k.nft.Apply(ctx, nowNanos, orders)
	if c := k.fall(); c != nil {
		c.Apply(ctx, nowNanos, orders)
	}
}

// SetJail is NFTables.SetJail. An Action that nf_tables could not express is
// refused also where it is not used.
func (k *Kernel) SetJail(name string, a Action) error {
	var err error
	if k.nft != nil {
		err = k.nft.SetJail(name, a)
	} else if _, err = a.parseMatch(); err == nil {
		_, err = parseBlock(a.Block)
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.jails[name] = a
	if c := k.other.Load(); c != nil {
		c.mu.Lock()
		c.jails[name] = a
		c.mu.Unlock()
	}
	return nil
}

// RemoveJail is NFTables.RemoveJail.
func (k *Kernel) RemoveJail(name string) error {
	k.mu.Lock()
	delete(k.jails, name)
	k.mu.Unlock()
	if c := k.other.Load(); c != nil {
		return c.removeJail(name)
	}
	return k.nft.RemoveJail(name)
}

// Look is NFTables.Look.
func (k *Kernel) Look() {
	if k.nft != nil {
		k.nft.Look()
	}
	if c := k.fall(); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := c.choose(); err != nil {
			c.damaged(err)
		}
	}
}

// Reconcile is NFTables.Reconcile.
func (k *Kernel) Reconcile() error {
	c := k.other.Load()
	if c == nil {
		err := k.nft.Reconcile()
		if c = k.fall(); c == nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused {
		return nil
	}
	_, err := c.resync(c.cfg.Now().UnixNano())
	return err
}

// Run is NFTables.Run.
func (k *Kernel) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	if k.nft != nil {
		running.Go(func() { k.nft.Run(ctx) })
	}
	retry, compare := time.NewTicker(retryEvery), time.NewTicker(compareEvery)
	defer retry.Stop()
	defer compare.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-retry.C:
			if c := k.fall(); c != nil {
				c.tick(false)
			}
		case <-compare.C:
			if c := k.other.Load(); c != nil {
				c.tick(true)
			}
		}
	}
}

// State is NFTables.State.
func (k *Kernel) State() (enforced bool, reason string) {
	c := k.other.Load()
	if c == nil {
		return k.nft.State()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused {
		return false, ErrPaused.Error()
	}
	return c.reason == "", c.reason
}

// By says what bans (nftables, ipset, routes; empty: not known yet) and in what
// that does more, or less, than the jails ask for; empty: in nothing.
func (k *Kernel) By() (by, limits string) {
	c := k.other.Load()
	if c == nil {
		return "nftables", k.nft.limits()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.backend == nil {
		return "", ""
	}
	return c.backend.name(), c.backend.limits()
}

// Healed is NFTables.Healed.
func (k *Kernel) Healed() int64 {
	c := k.other.Load()
	if c == nil {
		return k.nft.Healed()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.healed
}

// Counters is NFTables.Counters; only nf_tables counts.
func (k *Kernel) Counters(jail string) (packets, bytes uint64) {
	if k.other.Load() != nil {
		return 0, 0
	}
	return k.nft.Counters(jail)
}

// Pause is NFTables.Pause.
func (k *Kernel) Pause() error {
	if c := k.other.Load(); c != nil {
		return c.pause()
	}
	return k.nft.Pause()
}

// Resume is NFTables.Resume.
func (k *Kernel) Resume() error {
	if c := k.other.Load(); c != nil {
		return c.resume()
	}
	return k.nft.Resume()
}

// Close is NFTables.Close.
func (k *Kernel) Close(remove bool) error {
	var errs []error
	if c := k.other.Load(); c != nil {
		errs = append(errs, c.close(remove))
		remove = false
	}
	if k.nft != nil {
		errs = append(errs, k.nft.Close(remove))
	}
	return errors.Join(errs...)
}

// RemoveLeft takes out of the kernel what a process of ours left there, for
// whom none does any more, and says whether there was something. netns is as in
// Config. fail2ban's layout is not touched: it may be fail2ban's.
func RemoveLeft(netns int) (found bool, err error) {
	found, err = removeOwn(netns)
	if err != nil {
		err = fmt.Errorf("remove %v: %w", ownTable, err)
	}
	for _, open := range backends {
		b, openErr := open(netns)
		if openErr != nil {
			continue
		}
		left, clearErr := b.left()
		found = found || left
		if clearErr == nil && left {
			clearErr = b.clear()
		}
		if left {
			err = errors.Join(err, clearErr)
		}
		err = errors.Join(err, b.close())
	}
	return found, err
}
