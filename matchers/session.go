package matchers

import (
	"bytes"
	"hash/maphash"
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
	text    []byte // the ID, values and the first user
	id      part
	values  []part // by field
	user    part   // the first that was tried
	several bool   // another one was tried too
	live    int    // bytes of text that are in use
	pending bool   // a failure without an ID was seen
	lines   int    // matched lines that the next failure is made of
	quiet   int    // matched lines that were no failure, and wait for one
	born    int64  // the clock, nanoseconds
	bytes   int

	users map[string]struct{} // all that were tried, for a trace alone
	trail *trail              // what a trace keeps; nil without

	stored bool // the store has it
	dirty  bool // it has changed since

	hash         uint64
	next         *session // of the same bucket; among those that are free, any
	older, newer *session
}

// part is a part of a session's text; the zero part is unset.
type part struct{ start, end int32 } // end is behind it by one, so that an empty text is set

func (p part) isSet() bool { return p.end > 0 }

func (p part) size() int { return int(p.end - p.start - 1) }

func (sess *session) get(p part) []byte {
	if !p.isSet() {
		return nil
	}
	return sess.text[p.start : p.end-1 : p.end-1]
}

// sessions holds a jail's open sessions by <F-MLFID>. They live five minutes
// of the clock and are bounded in number and bytes: the oldest goes first. Once
// it has had as many as it holds, nothing is allocated.
//
// A map of simplelru's needs a text, an element and an entry for each session:
// with the sessions' own texts they were a tenth of what a failure costs, and a
// map from hashes in place of the buckets a twentieth.
type sessions struct {
	buckets []*session // by the low bits of their hashes: a power of two, at least count
	seed    maphash.Seed
	oldest  *session
	newest  *session
	free    *session
	count   int
	bytes   int
	lost    int64  // sessions that went because there was no room
	scratch []byte // memory

	everyUser bool // all users of a session are kept: a trace shows them

	changes sessionChanges
}

func newSessions() *sessions {
	return &sessions{buckets: make([]*session, 16), seed: maphash.MakeSeed()}
}

func (s *sessions) hash(id []byte) uint64 { return maphash.Bytes(s.seed, id) }

// bucket returns the first session of the bucket of a hash.
func (s *sessions) bucket(hash uint64) **session { return &s.buckets[hash&uint64(len(s.buckets)-1)] }

// enter puts a session into its bucket.
func (s *sessions) enter(sess *session) {
	first := s.bucket(sess.hash)
	sess.next, *first = *first, sess
}

// grow doubles the number of buckets.
func (s *sessions) grow() {
	s.buckets = make([]*session, 2*len(s.buckets))
	for sess := s.oldest; sess != nil; sess = sess.newer {
		s.enter(sess)
	}
}

// get returns the open session of id, whose hash is given, or nil.
func (s *sessions) get(hash uint64, id []byte, now int64) *session {
	sess := *s.bucket(hash)
	for sess != nil && (sess.hash != hash || !bytes.Equal(sess.get(sess.id), id)) {
		sess = sess.next
	}
	if sess != nil && now-sess.born >= int64(sessionLife) {
		s.remove(sess)
		return nil
	}
	return sess
}

// open starts the session of id, whose hash is given, with the given values.
func (s *sessions) open(hash uint64, id []byte, values [][]byte, now int64) *session {
	if s.count >= maxSessions {
		s.remove(s.oldest)
		s.lost++
	}
	if s.count == len(s.buckets) {
		s.grow()
	}
	sess := s.free
	if sess == nil {
		sess = &session{}
	} else {
		s.free = sess.next
	}
	*sess = session{text: sess.text[:0], values: sess.values, born: now, hash: hash, older: s.newest}
	if len(sess.values) != len(values) {
		sess.values = make([]part, len(values))
	} else {
		clear(sess.values)
	}
	sess.write(&sess.id, id)
	s.add(sess, values)
	s.enter(sess)
	if s.newest != nil {
		s.newest.newer = sess
	} else {
		s.oldest = sess
	}
	s.newest = sess
	s.count++
	sess.bytes = sess.size()
	s.bytes += sess.bytes
	s.shrink()
	return sess
}

// write puts a text in the place of a part.
func (sess *session) write(p *part, text []byte) {
	if p.isSet() {
		sess.live -= p.size()
		if p.size() == len(text) {
			sess.live += len(text)
			copy(sess.text[p.start:], text)
			return
		}
	}
	start := len(sess.text)
	sess.text = append(sess.text, text...)
	*p = part{int32(start), int32(len(sess.text) + 1)}
	sess.live += len(text)
}

// add overwrites the session's values with those that are set.
func (s *sessions) add(sess *session, values [][]byte) {
	for i, v := range values {
		if v != nil {
			sess.write(&sess.values[i], v)
		}
	}
	if len(sess.text) > 2*sess.live+256 {
		s.compact(sess)
	}
}

// compact takes out of a session's text what is no part of it any more.
func (s *sessions) compact(sess *session) {
	s.scratch = append(s.scratch[:0], sess.text...)
	sess.text = sess.text[:0]
	move := func(p *part) {
		if p.isSet() {
			start := len(sess.text)
			sess.text = append(sess.text, s.scratch[p.start:p.end-1]...)
			*p = part{int32(start), int32(len(sess.text) + 1)}
		}
	}
	move(&sess.id)
	move(&sess.user)
	for i := range sess.values {
		move(&sess.values[i])
	}
}

// resize accounts for what a session holds now.
func (s *sessions) resize(sess *session) {
	n := sess.size()
	s.bytes += n - sess.bytes
	sess.bytes = n
	s.shrink()
}

func (s *sessions) shrink() {
	for s.bytes > maxSessionBytes && s.count > 1 {
		s.remove(s.oldest)
		s.lost++
	}
}

// keptText is the largest text whose memory is used again: those of ordinary
// sessions have some hundred bytes.
const keptText = 1 << 10

// remove ends a session. What it holds stays readable until the next one opens.
func (s *sessions) remove(sess *session) {
	at := s.bucket(sess.hash)
	for *at != sess {
		at = &(*at).next
	}
	*at = sess.next
	if sess.older != nil {
		sess.older.newer = sess.newer
	} else {
		s.oldest = sess.newer
	}
	if sess.newer != nil {
		sess.newer.older = sess.older
	} else {
		s.newest = sess.older
	}
	s.changes.gone(sess)
	s.count--
	s.bytes -= sess.bytes
	sess.bytes = 0
	sess.next, sess.older, sess.newer = nil, nil, nil
	if cap(sess.text) <= keptText {
		sess.next, s.free = s.free, sess
	}
}

// size estimates the bytes that a session holds.
func (sess *session) size() int {
	n := 256 + 8*len(sess.values) + cap(sess.text) + sess.trail.size()
	for u := range sess.users {
		n += 64 + len(u)
	}
	return n
}

// unset forgets a value.
func (sess *session) unset(field int) {
	if p := &sess.values[field]; p.isSet() {
		sess.live -= p.size()
		*p = part{}
	}
}

// has says whether the session has a value that is not empty.
func (sess *session) has(field int) bool { return len(sess.get(sess.values[field])) > 0 }

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
	if !sess.user.isSet() {
		sess.write(&sess.user, user)
	} else if !bytes.Equal(sess.get(sess.user), user) {
		sess.several = true
	}
	return sess.several
}

// merge puts a match of so many lines into its session and writes what the
// session knows back to values. It returns the session, nil where the line ended
// one that was not open; whether the match is no failure (<F-NOFAIL>, or
// <F-MLFGAINED> without a failure before it); and of how many lines the failure
// is made.
func (s *sessions) merge(values [][]byte, lines int, now int64) (sess *session, nofail bool, attempts int) {
	id := values[fieldMLFID]
	isSet := func(field int) bool { return len(values[field]) > 0 }
	gained := isSet(fieldGained)
	if gained && !isSet(fieldNofail) {
		values[fieldNofail] = values[fieldGained]
	}
	quiet, forget := isSet(fieldNofail), isSet(fieldForget)
	values[fieldForget] = nil

	several := false
	hash := s.hash(id)
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

// fill sets the values that only the session knows.
func (sess *session) fill(values [][]byte) {
	for i, p := range sess.values {
		if values[i] == nil {
			values[i] = sess.get(p)
		}
	}
}
