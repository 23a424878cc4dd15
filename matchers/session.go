package matchers

import (
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// The bounds of a jail's open sessions: a busy sshd has some thousand, and a
// session holds captured text, which an attacker writes.
const (
	maxSessions     = 1 << 16
	maxSessionBytes = 32 << 20
	sessionLife     = 5 * time.Minute
)

// A session is what the lines with one <F-MLFID> have taught: the last value
// of every field, the users that were tried, and whether a failure waits for
// an address.
type session struct {
	values  []string // by field; set says which are there
	set     []bool
	users   map[string]struct{}
	pending bool   // a failure without an ID was seen
	lines   int    // matched lines that the next failure is made of
	quiet   int    // matched lines that were no failure, and wait for one
	born    int64  // the clock, nanoseconds
	trail   *trail // what a trace keeps; nil without
	bytes   int
}

// sessions holds a jail's open sessions by <F-MLFID>. They live five minutes
// of the clock and are bounded in number and bytes: the oldest goes first.
type sessions struct {
	byID  *simplelru.LRU[string, *session]
	bytes int
	lost  int64 // sessions that went because there was no room
}

func newSessions() *sessions {
	s := &sessions{}
	// The size is a positive constant, the only thing that NewLRU can refuse.
	s.byID, _ = simplelru.NewLRU(maxSessions, func(_ string, old *session) { s.bytes -= old.bytes })
	return s
}

// get returns the open session of id, or nil.
func (s *sessions) get(id []byte, now int64) *session {
	// Peek keeps the order of birth: the oldest is the first to go.
	sess, ok := s.byID.Peek(string(id))
	if !ok {
		return nil
	}
	if now-sess.born >= int64(sessionLife) {
		s.byID.Remove(string(id))
		return nil
	}
	return sess
}

// open starts a session with the given values.
func (s *sessions) open(id []byte, values [][]byte, now int64) *session {
	sess := &session{
		values: make([]string, len(values)), set: make([]bool, len(values)),
		born: now, bytes: 256 + len(id),
	}
	s.add(sess, values)
	sess.bytes = sess.size(len(id))
	s.bytes += sess.bytes
	if s.byID.Add(string(id), sess) {
		s.lost++
	}
	s.shrink()
	return sess
}

// add overwrites the session's values with those that are set.
func (s *sessions) add(sess *session, values [][]byte) {
	for i, v := range values {
		if v != nil {
			sess.values[i], sess.set[i] = string(v), true
		}
	}
}

// resize accounts for what a session holds now.
func (s *sessions) resize(id []byte, sess *session) {
	n := sess.size(len(id))
	s.bytes += n - sess.bytes
	sess.bytes = n
	s.shrink()
}

func (s *sessions) shrink() {
	for s.bytes > maxSessionBytes && s.byID.Len() > 1 {
		s.byID.RemoveOldest()
		s.lost++
	}
}

func (s *sessions) forget(id []byte) { s.byID.Remove(string(id)) }

// size estimates the bytes that a session holds.
func (sess *session) size(id int) int {
	n := 256 + id + sess.trail.size()
	for _, v := range sess.values {
		n += 17 + len(v)
	}
	for u := range sess.users {
		n += 64 + len(u)
	}
	return n
}

func (sess *session) unset(field int) { sess.values[field], sess.set[field] = "", false }

// tryUser notes a user and returns how many different ones were tried.
func (sess *session) tryUser(user []byte) int {
	if len(user) > 0 {
		if sess.users == nil {
			sess.users = make(map[string]struct{}, 1)
		}
		sess.users[string(user)] = struct{}{}
	}
	return len(sess.users)
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

	users := 0
	sess = s.get(id, now)
	switch {
	case sess != nil:
		users = sess.tryUser(values[fieldUser])
		wasQuiet := sess.values[fieldNofail] != "" || sess.values[fieldGained] != ""
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
			s.forget(id)
		}
	case !forget:
		sess = s.open(id, values, now)
		users = sess.tryUser(values[fieldUser])
	}
	if sess == nil {
		return nil, quiet, lines
	}
	sess.fill(values)
	if sess.pending || users > 1 {
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
		s.resize(id, sess)
	}
	return sess, quiet, sess.lines
}

// fill sets the values that only the session knows.
func (sess *session) fill(values [][]byte) {
	for i, ok := range sess.set {
		if ok && values[i] == nil {
			values[i] = []byte(sess.values[i])
		}
	}
}
