package service

import (
	"context"
	"slices"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/store"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sources"
)

// takeUp opens store and sink and goes on where the run before has ended.
func (s *Service) takeUp(ctx context.Context) error {
	if err := s.openStore(ctx); err != nil {
		return err
	}
	if err := s.open(observer{s}); err != nil {
		return err
	}
	s.recall(ctx, s.jails())
	s.restore(ctx, s.jails())
	s.restoreState(ctx)
	return nil
}

// restore gives jails what they had in the run before: their bans in force, cut
// to what the jail allows now, and their history. What cannot be read is logged;
// the jail begins without it.
func (s *Service) restore(ctx context.Context, jails []*jail) {
	st := s.keep.store
	if st == nil {
		return
	}
	now := s.clock.Now()
	records, skipped, err := st.Bans(ctx, now, func(name string) (store.Target, bool) {
		j := named(jails, name)
		if j == nil {
			return store.Target{}, false
		}
		return store.Target{Jail: j.identity, Increment: j.config.Increment.Enabled, MaxTime: j.config.Increment.MaxTime}, true
	})
	if err != nil {
		s.log.Error("stored bans cannot be read", "problem", err)
	}
	bans := make([]pipeline.Ban, len(records))
	tickets := map[*pipeline.Jail]bool{}
	for _, j := range jails {
		tickets[j.identity] = j.tells()
	}
	for i := range records {
		bans[i] = records[i].Ban
		if tickets[bans[i].Jail] {
			bans[i].Ticket = records[i].Ticket()
		}
	}
	s.ledger.Restore(bans, now)
	s.keep.restored += len(bans)
	if len(bans)+skipped > 0 {
		s.log.Info("bans restored", "bans", len(bans), "unreadable", skipped)
	}
}

// manyRestored is the number of restored bans from which on what the start
// needed in memory beyond them is worth giving back: 100,000 leave 80 MB.
const manyRestored = 10_000

// tidy is called when what was restored is in the kernel.
func (s *Service) tidy() {
	if s.keep.restored > manyRestored {
		select {
		case s.grown <- struct{}{}:
		default:
		}
	}
}

// tells says whether somebody is told of the jail's bans who may want to know
// what led to them: actions that do more than drop.
func (j *jail) tells() bool { return len(j.config.Actions) > len(j.dropBy) }

// restoreState takes up counts and the matchers' memory at the start.
func (s *Service) restoreState(ctx context.Context) {
	st := s.keep.store
	if st == nil {
		return
	}
	now := s.clock.Now()
	counts, err := st.Counts(ctx, func(name string) *pipeline.Jail {
		if j := s.jail(name); j != nil {
			return j.identity
		}
		return nil
	})
	if err != nil {
		s.log.Error("stored counts cannot be read", "problem", err)
	}
	alive := counts[:0]
	for _, c := range counts {
		// fail2ban's beat has dropped the others by now.
		if c.LastNanos > now-int64(c.Jail.Policy().FindTime) {
			alive = append(alive, c)
		}
	}
	s.window.Restore(alive)
	memory, err := st.Memory(ctx)
	if err != nil {
		s.log.Error("stored sessions cannot be read", "problem", err)
	}
	s.mu.Lock()
	s.keep.memory = memory
	s.mu.Unlock()
	s.nameJails(ctx)
	if st.Foreign() {
		s.log.Info("the database was last written by fail2ban: its bans, history and positions are taken over")
	}
	if len(alive) > 0 {
		s.log.Info("counts restored", "addresses", len(alive))
	}
}

// nameJails tells the store which jails there are.
func (s *Service) nameJails(ctx context.Context) {
	if s.keep.store == nil {
		return
	}
	if err := s.keep.store.SetJails(ctx, names(s.jails())); err != nil {
		s.log.Error("jails are not entered in the database", "problem", err)
	}
}

// tells says whether others are told what led to a ban: actions and the store,
// or the service that a pipe gives its bans to.
func (s *Service) tells() bool {
	_, given := s.cfg.DryRun.(*remote)
	return s.cfg.DryRun == nil || given
}

// keepsFields says whether the captured groups of failures are needed: for
// tickets, or by an ignorecommand.
func (s *Service) keepsFields() bool {
	return s.tells() || slices.ContainsFunc(s.jails(), needsFields)
}

// stored gives the matcher of a new input what it remembered, and returns where
// its jails go on. ok says that this is one place for all of them. Where it is
// not, what a jail has read before is dropped from what is read again.
// s.mu is held.
func (s *Service) stored(w *watched, name string) (at pipeline.Position, ok bool) {
	if s.keep.store == nil {
		return at, false
	}
	w.Restore(s.keep.memory[name])
	floors := map[*pipeline.Jail]floor{}
	for _, j := range w.jails {
		p, found, err := s.keep.store.Position(context.Background(), j.config.Name, name)
		if err != nil {
			s.log.Error("stored position cannot be read", "jail", j.config.Name, "input", name, "problem", err)
		}
		if found {
			floors[j.identity], at = floor(p), p
		}
	}
	ok = len(floors) == len(w.jails) && len(floors) > 0
	for _, p := range floors {
		ok = ok && pipeline.Position(p) == at
	}
	if !ok {
		w.floors.set(floors)
		return pipeline.Position{}, false
	}
	return at, true
}

// from is where an input is read from: where its jails were, else as start says.
func (s *Service) from(w *watched, name string, start sources.Start) sources.Start {
	if at, ok := s.stored(w, name); ok {
		start.Position = at
	}
	return start
}

// floors are the places up to which jails have read an input that is read
// again from an earlier one, because another of its jails was not that far.
type floors struct {
	of map[*pipeline.Jail]floor
}

func (f *floors) set(of map[*pipeline.Jail]floor) {
	if len(of) > 0 {
		f.of = of
	}
}

// drop removes the failures that their jail has counted before, and returns how
// many are left. A line that was
// cut later in the same batch makes the place of one before it uncertain by as
// much: such a failure is kept.
func (f *floors) drop(b *pipeline.Batch, all []pipeline.Failure) int {
	if len(f.of) == 0 {
		return len(all)
	}
	n := 0
	for i := range all {
		if floor, has := f.of[all[i].Jail]; has && floor.covers(b, &all[i]) {
			continue
		}
		all[n] = all[i]
		n++
	}
	clear(all[n:]) // they point into the batch
	for j, floor := range f.of {
		if floor.passed(b) {
			delete(f.of, j)
		}
	}
	return n
}

// floor is a place up to which a jail has read. Of a journal it is a time.
type floor pipeline.Position

// covers says whether a failure of the batch stands before it.
func (at floor) covers(b *pipeline.Batch, f *pipeline.Failure) bool {
	if n := f.Line - b.First; n >= 0 && n < int64(len(b.Stamps)) {
		return b.Stamps[n] <= at.AtNanos
	}
	return sameFile(at.Mark, b.End.Mark) && b.End.Offset-after(b, f.Text) <= at.Offset
}

// passed says whether what follows the batch stands behind it.
func (at floor) passed(b *pipeline.Batch) bool {
	if n := len(b.Stamps); n > 0 {
		return b.Stamps[n-1] > at.AtNanos
	}
	if sameFile(at.Mark, b.End.Mark) {
		return b.End.Offset >= at.Offset
	}
	return b.End.AtNanos >= at.AtNanos // another file by now
}

// after returns the bytes of the batch that follow a line of it.
func after(b *pipeline.Batch, line []byte) int64 {
	// Both end in one array: the distance between their ends is that of their capacities.
	rest := int64(cap(line) - len(line) - (cap(b.Data) - len(b.Data)))
	if rest < 0 || rest > int64(len(b.Data)) {
		return 0 // a line that was copied: nothing is known
	}
	return max(rest-1, 0) // its own end
}

// sameFile says whether two marks are of one file: they agree in its first line
// and, where both have it, its inode. What follows grows with the file.
func sameFile(a, b string) bool {
	a, _, aLong := strings.Cut(a, ":")
	b, _, bLong := strings.Cut(b, ":")
	if !aLong || !bLong {
		a, _, _ = strings.Cut(a, " ")
		b, _, _ = strings.Cut(b, " ")
	}
	return a == b
}
