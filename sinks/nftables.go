package sinks

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Layout says how bans stand in nf_tables.
type Layout uint8

// The layouts.
const (
	// LayoutOwn: one table "inet f2bpipe", hash sets with kernel timeouts.
	LayoutOwn Layout = iota
	// LayoutClassic: fail2ban's table, sets and rules; bans end by an unban only.
	LayoutClassic
)

// Config is what NFTables is opened with; its zero value is our layout in the
// calling thread's network namespace.
type Config struct {
	Layout Layout
	NetNS  int              // file descriptor of a network namespace; 0: the calling thread's
	Log    *slog.Logger     // nil: silent
	Now    func() time.Time // for what is put back without an order; nil: time.Now
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// NFTables bans in nf_tables. Apply is a pipeline.Sink's; every method may be
// called from any goroutine.
type NFTables struct {
	cfg    Config
	layout layout
	log    *slog.Logger
	// listener hears of other processes' changes; Run's goroutine alone uses it.
	listener *link

	mu       sync.Mutex // over everything below
	link     *link
	closed   bool
	paused   bool
	features features
	jails    map[string]*jail
	health   health
	cutter   cutter
	scratch  scratch
}

var _ pipeline.Sink = (*NFTables)(nil)

// jail is how a jail's addresses are refused and what stands for it.
type jail struct {
	name   string
	action Action
	match  match
	block  block
	sets   [kinds]*set // nil until the first ban of a kind
}

// layout is where sets, chains and rules stand. Its methods are called under
// the sink's lock.
type layout interface {
	// kind is the set that a network of so many bits belongs to.
	kind(n network, v4 bool) kind
	// newSet names the set of a jail.
	newSet(j *jail, k kind) *set
	// check refuses a jail that the layout cannot express.
	check(j *jail) error
	// adopt looks once for what a process before us left.
	adopt() error
	// reconcile takes away of it what is not wanted.
	reconcile(nowNanos int64) error
	// install writes the sets, which are not present, and their rules; the
	// first of a layout bring the table and its chains.
	install(t *tx, sets []*set) error
	// restore writes everything that ought to stand without elements: after it
	// every set that holds something is there with its rules, once.
	restore(t *tx) error
	// remove writes what takes a jail's sets and rules away.
	remove(t *tx, j *jail) error
	// removeAll writes what takes everything away.
	removeAll(t *tx) error
	// owns says whether a table is the layout's. It may be called without the lock.
	owns(family byte, name string) bool
	// same says whether sets and rules stand as restore would write them.
	same() (bool, error)
	// forget says that nothing is known of the kernel any more.
	forget()
}

// Errors of single orders.
var (
	// ErrUnknownJail: the order's jail was never set, or not with an action.
	ErrUnknownJail = errors.New("no action of the jail drops packets")
	// ErrNotAddress: only addresses and networks can be banned in nf_tables.
	ErrNotAddress = errors.New("not an address or network")
)

// OpenNFTables connects to nf_tables. Nothing is written before the first ban
// of a jail; missing rights show at that time, as errors of the orders and in
// State. The error is a socket that the system refuses.
func OpenNFTables(cfg Config) (*NFTables, error) {
	cfg = cfg.withDefaults()
	l, err := dialLink(cfg.NetNS)
	if err != nil {
		return nil, err
	}
	listener, err := dialLink(cfg.NetNS)
	if err == nil {
		err = ignoreOwn(listener, l.portID)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	// From here on nothing is missed. Without rights Run asks again.
	_ = listener.conn.JoinGroup(unix.NFNLGRP_NFTABLES)
	n := &NFTables{
		cfg: cfg, log: cfg.Log, link: l, listener: listener, jails: make(map[string]*jail),
	}
	n.health.enforced = true
	if cfg.Layout == LayoutClassic {
		n.layout = &classic{n: n}
	} else {
		n.layout = &own{n: n}
	}
	return n, nil
}

// SetJail declares a jail or changes how its addresses are refused. A change
// reaches the kernel at once where the jail has bans there; the error is an
// Action that cannot be expressed, and then nothing has changed, or the
// kernel's refusal, and then the change is made when it can be.
func (n *NFTables) SetJail(name string, a Action) error {
	j := &jail{name: name, action: a}
	var err error
	if j.match, err = a.parseMatch(); err != nil {
		return fmt.Errorf("jail %s: %w", name, err)
	}
	if j.block, err = parseBlock(a.Block); err != nil {
		return fmt.Errorf("jail %s: %w", name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.layout.check(j); err != nil {
		return fmt.Errorf("jail %s: %w", name, err)
	}
	old := n.jails[name]
	if old == nil {
		n.jails[name] = j
		return nil
	}
	if reflect.DeepEqual(old.action, a) {
		return nil
	}
	n.jails[name] = j
	return n.replaceJail(old, j)
}

// replaceJail gives the bans of a jail new rules: in our layout in one
// transaction, in fail2ban's by taking the old ones away first.
func (n *NFTables) replaceJail(old, j *jail) error {
	for k, s := range old.sets {
		if s == nil {
			continue
		}
		fresh := n.layout.newSet(j, kind(k))
		fresh.ends, fresh.ranges = s.ends, s.ranges
		fresh.present, fresh.clean = s.present, s.clean
		j.sets[k] = fresh
	}
	if !old.present() {
		return nil
	}
	if o, ok := n.layout.(*own); ok {
		err := o.transactRestored(func(*tx) {})
		if err != nil {
			n.damaged(err)
		}
		return err
	}
	t := new(tx)
	err := n.layout.remove(t, old)
	if err == nil {
		err = n.link.transact(t)
	}
	if err != nil {
		n.damaged(err)
		return err
	}
	for _, s := range j.sets {
		if s != nil {
			s.present = false
		}
	}
	return n.resync(n.cfg.Now().UnixNano())
}

// idle says whether the kernel is not to be touched without an order.
func (n *NFTables) idle() bool { return n.closed || n.paused || n.health.absent != "" }

// RemoveJail takes a jail's sets and rules out of the kernel and forgets its bans.
func (n *NFTables) RemoveJail(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	j := n.jails[name]
	if j == nil {
		return nil
	}
	if !j.present() {
		delete(n.jails, name)
		return nil
	}
	t := new(tx)
	if err := n.layout.remove(t, j); err != nil {
		return fmt.Errorf("remove jail %s from nf_tables: %w", name, err)
	}
	delete(n.jails, name)
	if err := n.link.transact(t); err != nil {
		n.damaged(err)
		return fmt.Errorf("remove jail %s from nf_tables: %w", name, err)
	}
	return nil
}

func (j *jail) present() bool {
	return slices.ContainsFunc(j.sets[:], func(s *set) bool { return s != nil && s.present })
}

// jailSets returns every set there is or ought to be, by jail and kind.
func (n *NFTables) jailSets() []*set {
	var sets []*set
	for _, j := range n.sortedJails() {
		for _, s := range j.sets {
			if s != nil {
				sets = append(sets, s)
			}
		}
	}
	return sets
}

// sortedJails returns the jails by name, so that rules stand in an order that does not change.
func (n *NFTables) sortedJails() []*jail {
	jails := make([]*jail, 0, len(n.jails))
	for _, j := range n.jails {
		jails = append(jails, j)
	}
	slices.SortFunc(jails, func(a, b *jail) int { return cmp.Compare(a.name, b.name) })
	return jails
}

// Elements lists what stands in the kernel for a jail, by address. It reads
// every element: for tests and reconciliation, not for status.
func (n *NFTables) Elements(name string) ([]Element, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	j := n.jails[name]
	if j == nil {
		return nil, ErrUnknownJail
	}
	var elements []Element
	for _, s := range j.sets {
		if s == nil || !s.present {
			continue
		}
		read, err := s.read(n.link)
		if err != nil {
			return nil, fmt.Errorf("list set %v %s: %w", s.tb, s.name, err)
		}
		elements = append(elements, read...)
	}
	slices.SortFunc(elements, func(a, b Element) int {
		return cmp.Or(a.First.Compare(b.First), a.Last.Compare(b.Last))
	})
	return elements, nil
}

// Close ends the connection. With remove it first takes everything of ours out
// of the kernel; without, our layout goes on protecting until its timeouts end.
func (n *NFTables) Close(remove bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	var errs []error
	if _, own := n.layout.(*own); remove || own && !n.features.hasTimeouts() {
		err := n.removeAll()
		if errors.Is(err, unix.EPERM) && !slices.ContainsFunc(n.sortedJails(), (*jail).present) {
			err = nil // without rights nothing was put there
		}
		errs = append(errs, err)
	}
	n.closed = true
	errs = append(errs, n.listener.close(), n.link.close())
	return errors.Join(errs...)
}
