package pipeline

import (
	"net/netip"
	"slices"
	"sync"
)

// maxDirty is the number of changed counters that a shard remembers by key.
// With more of them it is cheaper to write all counters anew.
const maxDirty = 32

// dirt is what of a window has changed since the last checkpoint.
type dirt struct {
	on bool // somebody asks

	mu     sync.Mutex
	shards []int32 // that have changed
	all    bool    // too much has: everything is written
	given  int     // changes that were given out since everything was
}

// dirtyKey names a counter that has changed. id is where the key does not say
// it: of a network or a text.
type dirtyKey struct {
	key entryKey
	id  *ID
}

// Track makes the window remember what changes, for Changes. To be called
// before the first Add.
func (w *Window) Track() { w.dirt.on, w.dirt.all = true, true }

// mark notes that a counter has changed or gone. The shard is locked.
func (w *Window) mark(s *shard, k entryKey, m *more) {
	if !w.dirt.on || s.overflow {
		return
	}
	n := len(s.dirty)
	if n > 0 && s.dirty[n-1].key == k {
		return
	}
	if n >= maxDirty {
		s.dirty = unique(s.dirty)
		if len(s.dirty) > maxDirty*3/4 {
			s.dirty, s.overflow = s.dirty[:0], true
			return
		}
	}
	d := dirtyKey{key: k}
	if m != nil && !m.id.IsZero() {
		d.id = &m.id
	}
	s.dirty = append(s.dirty, d)
	if n == 0 {
		w.dirt.mu.Lock()
		w.dirt.shards = append(w.dirt.shards, s.number)
		w.dirt.mu.Unlock()
	}
}

// unique removes what stands twice.
func unique(keys []dirtyKey) []dirtyKey {
	out := keys[:0]
	for _, d := range keys {
		if !slices.ContainsFunc(out, func(o dirtyKey) bool { return o.key == d.key }) {
			out = append(out, d)
		}
	}
	clear(keys[len(out):])
	return out
}

// Changes appends the counters that have changed since the last call, those that
// are gone with Failures 0; or, where all is true, every counter there is, in
// place of what was given out before. It says so itself when that is less to
// write. Adds must not run meanwhile for the result to be of one moment.
func (w *Window) Changes(dst []Count, all bool) ([]Count, bool) {
	w.dirt.mu.Lock()
	shards := w.dirt.shards
	w.dirt.shards = nil
	all = all || w.dirt.all || w.dirt.given > 2*int(w.entries.Load())+20_000
	w.dirt.mu.Unlock()
	first := len(dst)
	for _, i := range shards {
		s := &w.shards[i]
		s.mu.Lock()
		all = all || s.overflow
		if !all {
			dst = w.changesOf(dst, s)
		}
		clear(s.dirty)
		s.dirty, s.overflow = s.dirty[:0], false
		s.mu.Unlock()
	}
	if all {
		dst = w.Snapshot(dst[:first])
	}
	w.dirt.mu.Lock()
	defer w.dirt.mu.Unlock()
	w.dirt.all = false
	w.dirt.given += len(dst) - first
	if all {
		w.dirt.given = 0
	}
	return dst, all
}

// changesOf appends a shard's changes.
func (w *Window) changesOf(dst []Count, s *shard) []Count {
	b := w.beat.Load()
	for _, d := range unique(s.dirty) {
		n := Count{Jail: d.key.jail}
		if s.set != nil {
			if c, has := s.set.Peek(d.key); has && !c.dropped(d.key.jail.Policy(), b) {
				n = c.export(d.key.jail)
			}
		}
		switch {
		case d.id != nil:
			n.ID = *d.id
		default:
			n.ID = AddrID(netip.AddrFrom16(d.key.addr))
		}
		dst = append(dst, n)
	}
	return dst
}

// export returns the counter as it is stored, without an ID that it does not have itself.
func (c *counter) export(j *Jail) Count {
	n := Count{Jail: j, FirstNanos: c.first, LastNanos: c.last, Failures: int(c.count)}
	if c.more != nil {
		n.ID, n.Times = c.more.id, slices.Clone(c.more.times)
	}
	return n
}
