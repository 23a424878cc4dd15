package pipeline

import (
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

// shardDirt is what of a shard has changed since the last checkpoint.
type shardDirt struct {
	keys     []dirtyKey
	overflow bool  // more than keys has room for has
	number   int32 // of the shard
}

// Track makes the window remember what changes, for Changes. To be called
// before the first Add.
func (w *Window) Track() {
	w.dirt.on, w.dirt.all = true, true
	all := make([]shardDirt, len(w.shards))
	for i := range all {
		all[i].number = int32(i)
		w.shards[i].dirt = &all[i]
	}
}

// mark notes that a counter has changed or gone. The shard is locked.
func (w *Window) mark(s *shard, k *entryKey, m *more) {
	if w.dirt.on && !s.dirt.overflow {
		w.dirt.mark(s.dirt, k, m)
	}
}

func (all *dirt) mark(d *shardDirt, k *entryKey, m *more) {
	n := len(d.keys)
	if n > 0 && d.keys[n-1].key == *k {
		return
	}
	if n >= maxDirty {
		d.keys = unique(d.keys)
		if len(d.keys) > maxDirty*3/4 {
			d.keys, d.overflow = d.keys[:0], true
			return
		}
	}
	x := dirtyKey{key: *k}
	if m != nil && !m.id.IsZero() {
		x.id = &m.id
	}
	d.keys = append(d.keys, x)
	if n == 0 {
		all.mu.Lock()
		all.shards = append(all.shards, d.number)
		all.mu.Unlock()
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
		all = all || s.dirt.overflow
		if !all {
			dst = w.changesOf(dst, s)
		}
		clear(s.dirt.keys)
		s.dirt.keys, s.dirt.overflow = s.dirt.keys[:0], false
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
	for _, d := range unique(s.dirt.keys) {
		n := Count{Jail: d.key.jail}
		if c, has := s.set.get(&d.key); has && !c.dropped(d.key.jail.Policy(), b) {
			n = c.export(d.key.jail)
		}
		switch {
		case d.id != nil:
			n.ID = *d.id
		default:
			n.ID = AddrID(d.key.addr())
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
