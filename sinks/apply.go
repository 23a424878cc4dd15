package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// maxOrders is how many orders one transaction carries out: beyond it nothing
// is gained, and without rights in the first user namespace the socket's
// buffer is small.
const maxOrders = 4096

// change is what an order wants of one set.
type change struct {
	set  *set
	edit edit // untilNanos 0: away
	err  error
}

// scratch is memory that Apply uses again.
type scratch struct {
	changes []change
	raw     []change // as the orders came
	slots   []int    // per order: its change, −1 without
	index   []int
	full    []*set // those with full set
}

// Apply implements pipeline.Sink. At most 4,096 orders go into a transaction;
// of several orders about one address the last counts. An order that the
// kernel refuses for its own sake gets its error alone. Where nothing can be
// done at present (no rights, no kernel), every order gets the error, but what
// it wanted is kept and carried out as soon as it is possible; State says so.
func (n *NFTables) Apply(ctx context.Context, nowNanos int64, orders []pipeline.Order) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for chunk := range slices.Chunk(orders, maxOrders) {
		if err := ctx.Err(); err != nil {
			for i := range chunk {
				chunk[i].Err = err
			}
			continue
		}
		n.apply(nowNanos, chunk)
	}
}

func (n *NFTables) apply(nowNanos int64, orders []pipeline.Order) {
	if n.paused {
		changes := n.changes(nowNanos, orders)
		n.record(changes)
		setErr(changes, ErrPaused)
		n.answer(orders, changes)
		return
	}
	prepareErr := n.prepare()
	for _, s := range n.scratch.full {
		s.full = false
	}
	n.scratch.full = n.scratch.full[:0]
	changes := n.changes(nowNanos, orders)
	if prepareErr != nil && !n.health.stale {
		n.damaged(prepareErr)
	}
	if n.health.stale {
		n.record(changes)
		if err := n.heal(nowNanos); err != nil {
			setErr(changes, err)
		}
	} else {
		n.commit(nowNanos, changes)
	}
	n.cut(changes)
	n.answer(orders, changes)
}

// answer gives each order the error of its change.
func (n *NFTables) answer(orders []pipeline.Order, changes []change) {
	for i := range orders {
		if slot := n.scratch.slots[i]; slot >= 0 {
			orders[i].Err = changes[slot].err
		}
	}
}

// changes translates orders into changes, sorted by set and network, one for
// each network. It sets the error of orders that no set can hold.
func (n *NFTables) changes(nowNanos int64, orders []pipeline.Order) []change {
	w := &n.scratch
	w.changes, w.slots, w.index = w.changes[:0], w.slots[:0], w.index[:0]
	if cap(w.raw) < len(orders) {
		w.raw = make([]change, len(orders))
	}
	unsorted := w.raw[:len(orders)]
	for i := range orders {
		w.slots = append(w.slots, -1)
		c, err := n.change(nowNanos, &orders[i])
		orders[i].Err = err
		if err == nil {
			unsorted[i] = c
			w.index = append(w.index, i)
		}
	}
	slices.SortStableFunc(w.index, func(a, b int) int { return compareChanges(unsorted[a], unsorted[b]) })
	for at, i := range w.index {
		if at > 0 && compareChanges(unsorted[w.index[at-1]], unsorted[i]) == 0 {
			w.changes[len(w.changes)-1] = unsorted[i] // the later order counts
		} else {
			w.changes = append(w.changes, unsorted[i])
		}
		w.slots[i] = len(w.changes) - 1
	}
	if n.health.stale || n.paused {
		return w.changes // what is wanted is not what the kernel has
	}
	return w.leaveOut(nowNanos)
}

// leaveOut removes the changes that change nothing.
func (w *scratch) leaveOut(nowNanos int64) []change {
	kept := w.changes[:0]
	w.index = w.index[:0]
	for _, c := range w.changes {
		if c.set.needs(c.edit, nowNanos) {
			w.index = append(w.index, len(kept))
			kept = append(kept, c)
		} else {
			w.index = append(w.index, -1)
		}
	}
	for i, slot := range w.slots {
		if slot >= 0 {
			w.slots[i] = w.index[slot]
		}
	}
	w.changes = kept
	return kept
}

func compareChanges(a, b change) int {
	if a.set != b.set {
		return cmp.Or(cmp.Compare(a.set.jail.name, b.set.jail.name), cmp.Compare(a.set.kind, b.set.kind))
	}
	return a.edit.compare(b.edit)
}

// change finds the set of an order and what it wants there.
func (n *NFTables) change(nowNanos int64, o *pipeline.Order) (change, error) {
	if o.Ban.Jail == nil || n.jails[o.Ban.Jail.Name] == nil {
		return change{}, ErrUnknownJail
	}
	j := n.jails[o.Ban.Jail.Name]
	prefix, ok := o.Ban.ID.Prefix()
	if !ok {
		return change{}, fmt.Errorf("%s %q: %w", o.Verb, o.Ban.ID, ErrNotAddress)
	}
	e := edit{first: keyOf(prefix.Addr()), bits: uint8(prefix.Bits())}
	k := n.layout.kind(e, prefix.Addr().Is4())
	if !n.features.hasIntervals() && (k.interval() || int(e.bits) != 8*k.width() && k != prefixes6) {
		return change{}, errNoIntervals
	}
	s := j.sets[k]
	if s == nil {
		s = n.layout.newSet(j, k)
		j.sets[k] = s
	}
	if o.Verb != pipeline.VerbUnban {
		e.untilNanos = pipeline.Permanent
		if s.timeouts && o.Ban.UntilNanos != pipeline.Permanent {
			e.untilNanos = max(o.Ban.UntilNanos, nowNanos+int64(minTimeout))
		}
	}
	return change{set: s, edit: e}, nil
}

// groups yields the runs of changes that concern one set.
func groups(changes []change) func(yield func(*set, []edit) bool) {
	return func(yield func(*set, []edit) bool) {
		for len(changes) > 0 {
			s, n := changes[0].set, 1
			for n < len(changes) && changes[n].set == s {
				n++
			}
			edits := make([]edit, n)
			for i := range edits {
				edits[i] = changes[i].edit
			}
			if !yield(s, edits) {
				return
			}
			changes = changes[n:]
		}
	}
}

// record makes the changes part of what is wanted without touching the kernel.
func (n *NFTables) record(changes []change) {
	for s, edits := range groups(changes) {
		s.record(edits)
	}
}

func setErr(changes []change, err error) {
	for i := range changes {
		changes[i].err = err
	}
}

// commit brings the changes into the kernel in one transaction. Where the
// kernel refuses it and says no more, each half is tried alone, so that one
// bad element costs only itself.
func (n *NFTables) commit(nowNanos int64, changes []change) {
	if len(changes) == 0 {
		return
	}
	if n.health.stale { // since the other half was tried
		n.record(changes)
		setErr(changes, errors.New(n.health.reason))
		return
	}
	if !slices.ContainsFunc(changes, func(c change) bool { return !c.set.full || c.edit.untilNanos == 0 }) {
		setErr(changes, errFull)
		return
	}
	err := n.try(nowNanos, changes)
	switch {
	case err == nil:
	case general(err):
		n.record(changes)
		n.damaged(err)
		setErr(changes, err)
	case errors.Is(err, unix.ENOENT) && !n.health.stale:
		// Somebody took our table, set or chain away and the notification has
		// not been seen yet: everything is put back, these changes with it.
		n.record(changes)
		n.health.stale = true
		if err := n.heal(nowNanos); err != nil {
			setErr(changes, err)
		} else {
			n.noteHealed("ruleset")
		}
	case refusedSet(err) != nil:
		n.leaveSet(nowNanos, changes, refusedSet(err), err)
	case len(changes) == 1:
		changes[0].err = err
		// Each try of the next one would cost the kernel milliseconds to roll back.
		if errors.Is(err, unix.ENFILE) {
			changes[0].set.full = true
			n.scratch.full = append(n.scratch.full, changes[0].set)
		}
	default:
		middle := len(changes) / 2
		n.commit(nowNanos, changes[:middle])
		n.commit(nowNanos, changes[middle:])
	}
}

// errNoIntervals is the error of a network where sets hold addresses alone.
var errNoIntervals = errors.New("this kernel's nf_tables has no intervals: networks cannot be banned")

// errFull is the error of what was not tried after another addition to the set was refused.
var errFull = fmt.Errorf("the set is full: %w", unix.ENFILE)

// refusedSet is the set that the kernel refused to install; nil where it
// refused elements.
func refusedSet(err error) *set {
	var step *stepError
	if errors.As(err, &step) && step.step.owner != nil && !step.step.owner.present && !step.elements() {
		return step.step.owner
	}
	return nil
}

// leaveSet gives the changes of one set the error and commits the others.
func (n *NFTables) leaveSet(nowNanos int64, changes []change, s *set, err error) {
	s.broken = err
	first := slices.IndexFunc(changes, func(c change) bool { return c.set == s })
	after := first
	for after < len(changes) && changes[after].set == s {
		changes[after].err = err
		after++
	}
	n.commit(nowNanos, changes[:first])
	n.commit(nowNanos, changes[after:])
}

// try is one transaction; nil means that the kernel has the changes.
func (n *NFTables) try(nowNanos int64, changes []change) error {
	t := new(tx)
	var absent []*set
	for i := range changes {
		if s := changes[i].set; !s.present && (i == 0 || s != changes[i-1].set) {
			absent = append(absent, s)
		}
	}
	if err := n.layout.install(t, absent); err != nil {
		return err
	}
	type result struct {
		set   *set
		edits []edit
	}
	var results []result
	for s, edits := range groups(changes) {
		t.owner = s
		results = append(results, result{s, s.write(t, edits, nowNanos, n.features)})
	}
	if err := n.link.transact(t); err != nil {
		n.layout.forget()
		return err
	}
	for _, s := range absent {
		if !s.present { // else one that a process before us had left
			s.present, s.clean = true, true
		}
		s.broken = nil
	}
	for _, r := range results {
		r.set.record(r.edits)
	}
	n.recovered()
	return nil
}

// general says whether the error is everybody's: nothing can be done at present.
func general(err error) bool {
	var step *stepError
	if !errors.As(err, &step) {
		return true
	}
	return step.errno == unix.EPERM || step.errno == unix.EACCES || step.errno == unix.ENOMEM || step.step.verb == ""
}
