package pipeline

import "slices"

// sweepEntries is the number of entries after which a sweep leaves the rest to
// the next beat: about a millisecond's work.
const sweepEntries = 16_384

// Expire is fail2ban's cleanup: an address whose last failure was findtime or
// more (exact: more than findtime) before nowNanos starts from nothing when it
// fails again. fail2ban does it at most every 5 s of its clock, and so should
// the caller. The effect is immediate; memory and the numbers of Failing follow
// at once in a window of normal size, and within some beats under a flood.
func (w *Window) Expire(nowNanos int64) {
	w.sweep.Lock()
	defer w.sweep.Unlock()
	b := &beat{number: w.beat.Load().number + 1, atNanos: nowNanos}
	w.beat.Store(b)
	if w.entries.Load() == 0 {
		return
	}
	for seen, n := 0, 0; n < len(w.shards) && seen < sweepEntries; n++ {
		seen += w.sweepShard(&w.shards[w.sweep.next], b)
		w.sweep.next = (w.sweep.next + 1) % len(w.shards)
	}
}

// sweepShard removes what the beat has dropped and returns how many entries it looked at.
func (w *Window) sweepShard(s *shard, b *beat) (seen int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.each(func(k entryKey, c counter) bool {
		seen++
		if !c.dropped(k.jail.Policy(), b) {
			return true
		}
		w.count(w.tally(k.jail), -1)
		w.mark(s, &k, c.more)
		w.dropNote(s, k)
		return false
	})
	return seen
}

// Forget drops what is counted for the given IDs of a jail; without IDs, for
// the whole jail, whose totals begin at 0 again.
func (w *Window) Forget(j *Jail, ids ...ID) {
	for _, id := range ids {
		w.forget(j, id)
	}
	if len(ids) > 0 {
		return
	}
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		s.each(func(k entryKey, c counter) bool {
			if k.jail != j {
				return true
			}
			w.count(w.tally(j), -1)
			w.mark(s, &k, c.more)
			w.dropNote(s, k)
			return false
		})
		s.mu.Unlock()
	}
	w.jails.Delete(j)
}

func (w *Window) forget(j *Jail, id ID) {
	k, s, h := w.find(j, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, has := s.set.get(&k); has {
		s.set.remove(&k)
		w.count(w.tally(j), -1)
		w.mark(s, &k, c.more)
	}
	w.dropNote(s, k)
	s.first.remove(h)
}

// Count returns the failures that count for an ID now.
func (w *Window) Count(j *Jail, id ID) int {
	k, s, _ := w.find(j, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	c, has := s.set.get(&k)
	if !has || c.dropped(j.Policy(), w.beat.Load()) {
		return 0
	}
	return int(c.count)
}

// Failing returns how many IDs of a jail have failed and are not banned, and
// how many failures it has had.
func (w *Window) Failing(j *Jail) (current, total int) {
	if t, ok := w.jails.Load(j); ok {
		return int(t.(*tally).current.Load()), int(t.(*tally).total.Load())
	}
	return 0, 0
}

// WindowStats are the totals of a window over all jails.
type WindowStats struct {
	Entries  int   // failing IDs that have an entry
	Room     int   // for so many
	Evicted  int64 // entries that made room; the first-hit table took them
	LostHits int64 // IDs forgotten by the first-hit table within findtime: may be undercounted
	Late     int64 // failures too old to count (exact)

	MatchBytes  int   // lines and fields that are kept for tickets
	LostMatches int64 // lines that went for want of room
}

// Stats returns the totals.
func (w *Window) Stats() WindowStats {
	return WindowStats{
		Entries:  int(w.entries.Load()),
		Room:     w.size * len(w.shards),
		Evicted:  w.evicted.Load(),
		LostHits: w.lost.Load(),
		Late:     w.late.Load(),

		MatchBytes:  int(w.notes.bytes.Load()),
		LostMatches: w.notes.dropped.Load(),
	}
}

// Count is what a window has counted for an ID, as it is stored.
type Count struct {
	Jail       *Jail
	ID         ID
	FirstNanos int64
	LastNanos  int64
	Failures   int
	Times      []int64 // exact, ascending; empty: all at FirstNanos
}

// Snapshot appends the counts of all entries that are alive. Shards are locked
// one after the other: the result is one moment's only where nobody adds.
func (w *Window) Snapshot(dst []Count) []Count {
	b := w.beat.Load()
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		s.each(func(k entryKey, c counter) bool {
			if c.dropped(k.jail.Policy(), b) {
				return true
			}
			n := c.export(k.jail)
			if n.ID.IsZero() {
				n.ID = AddrID(k.addr())
			}
			dst = append(dst, n)
			return true
		})
		s.mu.Unlock()
	}
	return dst
}

// Restore sets counts that Snapshot returned. They are not counted as failures
// found. What there is no room for is remembered by the first-hit table.
func (w *Window) Restore(counts []Count) {
	for i := range counts {
		n := &counts[i]
		p := n.Jail.Policy()
		c := counter{first: n.FirstNanos, last: n.LastNanos, count: clampCount(n.Failures), beat: w.beat.Load().number}
		k, s, h := w.find(n.Jail, n.ID)
		_, single := n.ID.Addr()
		if !single || len(n.Times) > 0 {
			c.more = &more{times: slices.Clone(n.Times)}
		}
		if !single {
			c.more.id = n.ID
		}
		s.mu.Lock()
		switch at := s.set.find(&k); {
		case at >= 0:
			e := s.set.at(at)
			e.counter = c
			s.set.use(e)
		case w.crowded(s):
			w.remember(s, h, &c, p, c.last)
		default:
			w.enter(s, &k, &c, c.last)
		}
		s.mu.Unlock()
	}
}
