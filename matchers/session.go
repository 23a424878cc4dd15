package matchers

import (
	"bytes"
	"hash/maphash"
	"slices"
	"time"
)

// The bounds of a jail's open sessions: a busy sshd has some thousand, and a
// session holds captured text, which an attacker writes.
const (
	maxSessions     = 1 << 16
	maxSessionBytes = 32 << 20
	sessionLife     = 5 * time.Minute
)

// A session is what the lines with one <F-MLFID> have taught: the last value
// of every field, whether several users were tried, and whether a failure waits
// for an address. Its memory is used again by later ones.
type session struct {
	text  []byte // records; in own, where they fit
	hash  uint64 // of the ID
	born  int64  // the clock, nanoseconds
	lines int    // matched lines that the next failure is made of
	quiet int    // matched lines that were no failure, and wait for one

	users map[string]struct{} // all that were tried, for a trace alone
	trail *trail              // what a trace keeps; nil without

	self         link
	older, newer link // newer: among those that are free, the next one
	dead         int32
	bytes        int32

	several bool // another user was tried too
	pending bool // a failure without an ID was seen
	stored  bool // the store has it
	dirty   bool // it has changed since

	own [ownText]byte
}

// ownText is the room for text in a session itself, which makes it 256 bytes:
// sessions of sshd have some 100, and those that open and go one after the other
// are read and written as one block of memory.
const ownText = 160

// link names a session: its place, from 1; 0 is none.
type link int32

// sessions holds a jail's open sessions by <F-MLFID>. They live five minutes
// of the clock and are bounded in number and bytes: the oldest goes first. Once
// it has had as many as it holds, nothing is allocated.
//
// A session whose ID is new costs a line of the table and, in the place of the
// oldest, whose neighbours came and go before and after it, its own memory. A
// map of simplelru's needs a text, an element and an entry for each session:
// with the sessions' own texts they were a tenth of what a failure costs, and
// buckets of sessions that lie anywhere a twentieth.
type sessions struct {
	table  sessionTable
	slabs  []*[slabSize]session
	seed   maphash.Seed
	made   link // the last one
	oldest link
	newest link
	free   link
	count  int
	bytes  int
	lost   int64  // sessions that went because there was no room
	none   uint64 // what was read for nothing but to be in the cache

	fields    []string // names of the values
	everyUser bool     // all users of a session are kept: a trace shows them

	changes sessionChanges
}

// slabSize is the number of sessions that memory is taken for at once.
const slabSize = 128

func newSessions() *sessions { return &sessions{seed: maphash.MakeSeed()} }

// follow turns to a filter's fields. After a reload they may be others, or stand
// in other places: values keep their names, and go with them.
func (s *sessions) follow(fields []string) {
	before := s.fields
	s.fields = fields
	if len(before) == 0 || &before[0] == &fields[0] || slices.Equal(before, fields) {
		return
	}
	for l := s.oldest; l != 0; l = s.at(l).newer {
		s.at(l).rename(before, fields)
	}
}

// at returns the session that a link names.
func (s *sessions) at(l link) *session { return &s.slabs[(l-1)/slabSize][(l-1)%slabSize] }

// expect returns the hash of an ID, and brings its session into the cache, or
// the place where it will stand.
func (s *sessions) expect(id []byte) uint64 {
	hash := maphash.Bytes(s.seed, id)
	if l, _ := s.table.find(hash, 0); l > 0 {
		s.none += s.at(l).hash
	}
	return hash
}

// get returns the open session of id, whose hash is given, or nil.
func (s *sessions) get(hash uint64, id []byte, now int64) *session {
	for l, next := s.table.find(hash, 0); l > 0; l, next = s.table.find(hash, next) {
		sess := s.at(l)
		if sess.hash != hash || !bytes.Equal(sess.id(), id) {
			continue
		}
		if now-sess.born >= int64(sessionLife) {
			s.remove(sess)
			return nil
		}
		return sess
	}
	return nil
}

// open starts the session of id, whose hash is given, with the given values.
func (s *sessions) open(hash uint64, id []byte, values [][]byte, now int64) *session {
	if s.count >= maxSessions {
		s.remove(s.at(s.oldest))
		s.lost++
		// The next one to go is wanted in the cache by then.
		s.none += s.table.peek(s.at(s.oldest).hash)
	}
	sess := s.take()
	sess.hash, sess.born, sess.older = hash, now, s.newest
	sess.append(fieldMLFID, id)
	for i, v := range values {
		if v != nil && i != fieldMLFID {
			sess.append(uint32(i), v)
		}
	}
	s.table.add(hash, sess.self)
	if s.newest != 0 {
		s.at(s.newest).newer = sess.self
	} else {
		s.oldest = sess.self
	}
	s.newest = sess.self
	s.count++
	sess.bytes = int32(sess.size())
	s.bytes += int(sess.bytes)
	s.shrink()
	return sess
}

// take returns the memory of an empty session. What was never used is written
// before it is read: a page that is read first is mapped twice, and the second
// time every other processor is told.
func (s *sessions) take() *session {
	l := s.free
	fresh := l == 0
	if fresh {
		s.made++
		if l = s.made; int(l) > slabSize*len(s.slabs) {
			s.slabs = append(s.slabs, new([slabSize]session))
		}
	}
	sess := s.at(l)
	if !fresh {
		s.free = sess.newer
	}
	if fresh || cap(sess.text) == 0 || cap(sess.text) > keptText {
		sess.text = sess.own[:0]
	}
	sess.text, sess.self, sess.newer, sess.dead = sess.text[:0], l, 0, 0
	sess.lines, sess.quiet, sess.users, sess.trail = 0, 0, nil, nil
	sess.several, sess.pending, sess.stored, sess.dirty = false, false, false, false
	return sess
}

// add overwrites the session's values with those that are set. The ID is there.
func (s *sessions) add(sess *session, values [][]byte) {
	for i, v := range values {
		if v != nil && i != fieldMLFID {
			sess.set(uint32(i), v)
		}
	}
	if 2*int(sess.dead) > len(sess.text)+256 {
		sess.compact()
	}
}

// resize accounts for what a session holds now.
func (s *sessions) resize(sess *session) {
	n := int32(sess.size())
	s.bytes += int(n - sess.bytes)
	sess.bytes = n
	s.shrink()
}

func (s *sessions) shrink() {
	for s.bytes > maxSessionBytes && s.count > 1 {
		s.remove(s.at(s.oldest))
		s.lost++
	}
}

// keptText is the largest text whose memory is used again: those of ordinary
// sessions have some hundred bytes.
const keptText = 1 << 10

// remove ends a session. What it holds stays readable until the next one opens.
func (s *sessions) remove(sess *session) {
	s.table.remove(sess.hash, sess.self)
	if sess.older != 0 {
		s.at(sess.older).newer = sess.newer
	} else {
		s.oldest = sess.newer
	}
	if sess.newer != 0 {
		s.at(sess.newer).older = sess.older
	} else {
		s.newest = sess.older
	}
	s.changes.gone(sess)
	s.count--
	s.bytes -= int(sess.bytes)
	sess.bytes, sess.dirty = 0, false
	sess.newer, s.free = s.free, sess.self
}

// size estimates the bytes that a session holds.
func (sess *session) size() int {
	n := 256 + sess.trail.size()
	if cap(sess.text) > ownText {
		n += cap(sess.text)
	}
	for u := range sess.users {
		n += 64 + len(u)
	}
	return n
}

// tryUser notes a user and returns whether several different ones were tried.
func (s *sessions) tryUser(sess *session, user []byte) bool {
	if len(user) == 0 {
		return sess.several
	}
	if s.everyUser {
		if sess.users == nil {
			sess.users = map[string]struct{}{}
		}
		sess.users[string(user)] = struct{}{}
	}
	if at, first := sess.find(recordUser); at < 0 {
		sess.append(recordUser, user)
	} else if !bytes.Equal(first, user) {
		sess.several = true
	}
	return sess.several
}

// merge puts a match of so many lines into its session, whose ID has the given
// hash (expect), and writes what the
// session knows back to values. It returns the session, nil where the line ended
// one that was not open; whether the match is no failure (<F-NOFAIL>, or
// <F-MLFGAINED> without a failure before it); and of how many lines the failure
// is made.
func (s *sessions) merge(values [][]byte, hash uint64, lines int, now int64) (sess *session, nofail bool, attempts int) {
	id := values[fieldMLFID]
	isSet := func(field int) bool { return len(values[field]) > 0 }
	gained := isSet(fieldGained)
	if gained && !isSet(fieldNofail) {
		values[fieldNofail] = values[fieldGained]
	}
	quiet, forget := isSet(fieldNofail), isSet(fieldForget)
	values[fieldForget] = nil

	several := false
	sess = s.get(hash, id, now)
	switch {
	case sess != nil:
		several = s.tryUser(sess, values[fieldUser])
		wasQuiet := sess.has(fieldNofail) || sess.has(fieldGained)
		sess.unset(fieldNofail)
		sess.unset(fieldGained)
		if gained {
			sess.pending = false
		}
		if !wasQuiet && !sess.pending {
			sess.lines = 0 // they were handed out with a failure already
		}
		s.add(sess, values)
		if forget {
			s.remove(sess)
		}
	case !forget:
		sess = s.open(hash, id, values, now)
		several = s.tryUser(sess, values[fieldUser])
	}
	if sess == nil {
		return nil, quiet, lines
	}
	sess.fill(values)
	if sess.pending || several {
		sess.pending, quiet = false, false
		values[fieldNofail], values[fieldGained] = nil, nil
		sess.unset(fieldNofail)
		sess.unset(fieldGained)
	}
	switch {
	case !quiet:
		sess.lines, sess.quiet = sess.lines+sess.quiet+lines, 0
	case !forget:
		sess.quiet += lines
	}
	if !forget {
		s.changes.touch(sess)
		s.resize(sess)
	}
	return sess, quiet, sess.lines
}
