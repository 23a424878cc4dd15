package pipeline

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// DefaultEntries is the number of failing addresses that a window has room for
// when its configuration does not say.
const DefaultEntries = 200_000

// DefaultFirstHits is the number of addresses that it remembers beyond those.
const DefaultFirstHits = 1 << 21

// WindowConfig bounds a window. With the defaults it never takes more than
// about 30 MB with the estimate; `counter = exact` adds 8 bytes a failure and
// 100 an address, and an ID that is no address 80 and its text.
type WindowConfig struct {
	Entries   int // failing addresses of all jails with an entry; 0: DefaultEntries
	FirstHits int // addresses remembered beyond those, once there is no room; 0: DefaultFirstHits
}

// Window counts failures per jail and address by the time in the log, and says
// when one of them is to be banned. All methods are safe for concurrent use;
// none blocks for longer than a shard is held.
//
// An address has an entry in one shard, an LRU of some 56 entries, while there
// is room. When the shard is full the newcomer's first failure goes to the
// shard's first-hit table alone; its second one finds it there and takes the
// place of the entry with the lowest count, of these the one that failed
// longest ago, whose count goes to the first-hit table in turn. If nobody has
// a lower count than the newcomer, the table goes on counting for it.
type Window struct {
	shards []shard
	size   int // entries a shard
	words  int // of the first-hit table of a shard
	seed   maphash.Seed
	idSeed [2]maphash.Seed
	beat   atomic.Pointer[beat]
	sweep  struct {
		sync.Mutex
		next int // shard where the next sweep goes on
	}

	jails sync.Map // *Jail → *tally
	notes notes
	dirt  dirt

	entries atomic.Int64
	evicted atomic.Int64
	lost    atomic.Int64
	late    atomic.Int64
}

// tally is what is counted for a jail.
type tally struct {
	current atomic.Int64 // entries
	total   atomic.Int64 // failures
}

// beat is a moment at which what had not failed for findtime was dropped.
type beat struct {
	number  uint32
	atNanos int64
}

// shard is the part of the window whose addresses share a lock: three cache
// lines, of which a failure of somebody who has an entry needs the first.
type shard struct {
	mu    sync.Mutex
	set   entrySet
	first firstHits
	notes *simplelru.LRU[entryKey, *note] // nil until the first one
	dirt  *shardDirt                      // nil: nobody asks

	_ [16]byte // so that each begins with a line
}

// setSize is the number of entries that a shard holds. Small shards keep the
// search for the entry to evict short.
const setSize = 56

// NewWindow returns an empty window. It takes little memory until addresses fail.
func NewWindow(cfg WindowConfig) *Window {
	if cfg.Entries <= 0 {
		cfg.Entries = DefaultEntries
	}
	if cfg.FirstHits <= 0 {
		cfg.FirstHits = DefaultFirstHits
	}
	n := (cfg.Entries + setSize - 1) / setSize
	w := &Window{
		shards: make([]shard, n),
		size:   (cfg.Entries + n - 1) / n,
		words:  max(1, cfg.FirstHits/n/bucketWords) * bucketWords,
		seed:   maphash.MakeSeed(),
		idSeed: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}
	w.beat.Store(&beat{})
	return w
}

// Add counts a failure. When its address reaches the policy's maxretry, Add
// returns the ban and true, and forgets the address. Failures may come in any
// order of time. Nothing is allocated for an address that has an entry (exact:
// from its third failure on).
func (w *Window) Add(f *Failure) (b Ban, banned bool) {
	banned = w.add(f, &b)
	return b, banned
}

// add is Add; it sets b where that is the ban.
func (w *Window) add(f *Failure, b *Ban) (banned bool) {
	k, single := w.key(f.Jail, f.ID)
	h := maphash.Comparable(w.seed, k)
	t := w.tally(f.Jail)
	t.total.Add(1)
	s := w.shard(h)
	s.mu.Lock()
	banned = w.addTo(s, &k, h, single, t, f, b)
	s.mu.Unlock()
	return banned
}

// addTo is add to the failure's shard, which is locked: k, h and single are what
// key makes of its ID.
func (w *Window) addTo(s *shard, k *entryKey, h uint64, single bool, t *tally, f *Failure, b *Ban) (banned bool) {
	p := f.Jail.Policy()
	var fresh counter
	c, e := &fresh, (*entry)(nil)
	at := s.set.find(k)
	has := at >= 0
	if has {
		e = s.set.at(at)
		c = &e.counter
	}
	crowded := !has && w.crowded(s)
	beat := w.beat.Load()
	switch {
	case has && c.dropped(p, beat):
		c.reset()
	case crowded:
		fresh = s.recall(h, f.AtNanos, p)
	}
	if !single && c.more == nil {
		c.more = &more{id: f.ID}
	}
	noted := w.notes.room > 0 && p.MaxMatches > 0 && (has || !crowded || c.count > 0)
	atOnce := c.count == 0 && max(f.Count, 1) >= p.MaxRetry // what it says goes into the ticket alone
	if noted && !atOnce {
		w.note(s, *k, f, p, c.count == 0)
	}
	if !c.add(p, f.AtNanos, max(f.Count, 1)) {
		w.late.Add(1)
	}
	c.beat = beat.number
	switch {
	case int(c.count) >= p.MaxRetry:
		*b = c.ban(f.Jail, f.ID, p)
		if has {
			w.mark(s, k, c.more)
			s.set.removeAt(at)
			w.count(t, -1)
		}
		b.Ticket = w.ticket(s, *k)
		if noted && atOnce {
			b.Ticket = newNote(f, p).ticket()
		}
		return true
	case has:
		s.set.use(e)
		w.mark(s, k, c.more)
	case crowded && !w.admits(s, c):
		w.remember(s, h, c, p, f.AtNanos)
	default:
		w.enter(s, k, c, f.AtNanos)
	}
	return false
}

// ahead is the number of failures whose entries are brought into the cache at
// once: their misses, which are most of what counting costs where many addresses
// fail, overlap then.
const ahead = 16

// expect brings what Add will need of the next failures into the cache, ahead of
// them at most. What it returns means nothing.
func (w *Window) expect(failures []Failure) (none uint64) {
	if len(failures) == 1 {
		return 0
	}
	var keys [ahead]entryKey
	var shards [ahead]*shard
	for i := range failures {
		f := &failures[i]
		keys[i], _ = w.key(f.Jail, f.ID)
		shards[i] = w.shard(maphash.Comparable(w.seed, keys[i]))
	}
	for i := range failures {
		none += shards[i].set.blocks[0].tags.Load()
	}
	for i := range failures {
		none += uint64(shards[i].set.touch(&keys[i]))
	}
	return none
}

// ban returns the ban that the counter has come to.
func (c *counter) ban(j *Jail, id ID, p *Policy) Ban {
	return Ban{Jail: j, ID: id, AtNanos: c.last, UntilNanos: p.Until(c.last), Failures: int(c.count)}
}

// dropped says whether the beat has dropped the counter: as in fail2ban, one
// whose last failure was findtime or more before it. What was touched after
// the beat waits for the next one, however old its failures are.
func (c *counter) dropped(p *Policy, b *beat) bool {
	if c.beat == b.number {
		return false
	}
	end := b.atNanos - int64(p.FindTime)
	return c.last < end || c.last == end && !p.Exact
}

// crowded says whether a newcomer's first failure must go to the first-hit
// table: when the shard is full, and from then on as long as it has no more
// room than an eviction made. That room is for those who come back.
func (w *Window) crowded(s *shard) bool {
	room := w.size - s.set.len()
	return room < w.evictions() && (room == 0 || s.first.words != nil)
}

// admits says whether a newcomer to a crowded shard gets an entry: if it has
// failed before, and there is room or somebody with a lower count to evict. For
// the others the first-hit table goes on counting, as far as it can. Where
// every address of a flood fails several times this ends the coming and going:
// the bar rises to what the flood's addresses come to, and those who take the
// last room do not lower it.
func (w *Window) admits(s *shard, c *counter) bool {
	return c.count > 1 && (s.set.len() < w.size || int(c.count) > min(int(s.set.bar), hitCountMax-1))
}

// enter gives a newcomer an entry.
func (w *Window) enter(s *shard, k *entryKey, c *counter, nowNanos int64) {
	switch {
	case s.set.len() >= w.size:
		w.evict(s, nowNanos)
	case !w.crowded(s):
		s.set.bar = 1
	}
	s.set.add(k, c)
	w.mark(s, k, c.more)
	w.count(w.tally(k.jail), 1)
}

// recall returns what the first-hit table remembers, as a counter.
func (s *shard) recall(h uint64, atNanos int64, p *Policy) counter {
	first, count, ok := s.first.take(h, atNanos, p.FindTime)
	if !ok {
		return counter{}
	}
	return counter{first: first, last: first, count: int32(count)}
}

// remember puts a counter without an entry into the first-hit table.
func (w *Window) remember(s *shard, h uint64, c *counter, p *Policy, nowNanos int64) {
	if s.first.words == nil {
		s.first.words = make([]uint64, w.words)
	}
	if s.first.put(h, c.first, int(c.count), nowNanos, p.FindTime) {
		w.lost.Add(1)
	}
}

// evictAtOnce is the most entries that one look over a full shard evicts. The
// look is 56 entries of cache misses, some 30 µs, which the evicted share: it matters
// where every address of a flood fails several times.
const evictAtOnce = setSize / 8

// evictions is that for this window's shards.
func (w *Window) evictions() int { return max(1, w.size*evictAtOnce/setSize) }

// evict makes room in a full shard: for one entry, or where a shard has its
// full size for evictAtOnce. What was dropped goes first, then the lowest count,
// of these the one that failed longest ago.
func (w *Window) evict(s *shard, nowNanos int64) {
	var buf [evictAtOnce]entry
	victims := buf[:0]
	most := w.evictions()
	b := w.beat.Load()
	for at := range s.set.len() {
		e := *s.set.at(at)
		if e.dropped(e.key.jail.Policy(), b) {
			e.count = 0
		}
		i := len(victims)
		for i > 0 && e.before(&victims[i-1]) {
			i--
		}
		if i == most {
			continue
		}
		if len(victims) < most {
			victims = victims[:len(victims)+1]
		}
		copy(victims[i+1:], victims[i:])
		victims[i] = e
	}
	for i := range victims {
		v := &victims[i]
		s.set.remove(&v.key)
		w.mark(s, &v.key, v.more)
		w.count(w.tally(v.key.jail), -1)
		s.set.bar = uint8(min(max(v.count, 1), hitCountMax)) // ascending: what stays has no less than the last one
		if v.count > 0 {
			w.evicted.Add(1)
			w.remember(s, maphash.Comparable(w.seed, v.key), &v.counter, v.key.jail.Policy(), nowNanos)
		}
	}
}

// before says whether e is to be evicted before o: it has the lower count, or
// failed longer ago, or was used longer ago.
func (e *entry) before(o *entry) bool {
	switch {
	case e.count != o.count:
		return e.count < o.count
	case e.last != o.last:
		return e.last < o.last
	}
	return e.used < o.used
}

// each calls keep for every entry and removes those for which it returns false.
func (s *shard) each(keep func(entryKey, counter) bool) {
	// From the end, as a removal puts the last one, which was seen, in its place.
	for i := s.set.len() - 1; i >= 0; i-- {
		if e := s.set.at(i); !keep(e.key, e.counter) {
			s.set.removeAt(i)
		}
	}
}

// key returns the key of a jail's ID, and whether the ID can be read back from it.
func (w *Window) key(j *Jail, id ID) (k entryKey, single bool) {
	if a, ok := id.Addr(); ok {
		return keyOf(j, a), true
	}
	return entryKey{maphash.Comparable(w.idSeed[0], id), maphash.Comparable(w.idSeed[1], id), j}, false
}

// find returns the key of a jail's ID, its shard and its hash.
func (w *Window) find(j *Jail, id ID) (entryKey, *shard, uint64) {
	k, _ := w.key(j, id)
	h := maphash.Comparable(w.seed, k)
	return k, w.shard(h), h
}

// shard returns the shard of a hash, by its high bits.
func (w *Window) shard(h uint64) *shard {
	i, _ := bits.Mul64(h, uint64(len(w.shards)))
	return &w.shards[i]
}

// tally returns the counts of a jail.
func (w *Window) tally(j *Jail) *tally {
	if t, ok := w.jails.Load(j); ok {
		return t.(*tally)
	}
	t, _ := w.jails.LoadOrStore(j, new(tally))
	return t.(*tally)
}

// count adds n to the number of entries.
func (w *Window) count(t *tally, n int64) {
	t.current.Add(n)
	w.entries.Add(n)
}
