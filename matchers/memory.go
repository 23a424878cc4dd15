package matchers

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Keys of what a jail remembers beside its sessions, whose keys begin with 's'.
const (
	keyDate     = "d"
	keyLines    = "l"
	keySessions = "s"
)

// memory is what a set knows of what it has given to the store.
type memory struct {
	begun bool // somebody asks
	given int  // things since all was given
	dates map[*member]int64
	lines map[*member]int64 // the last line's number
}

// Memory implements pipeline.Rememberer: open sessions, the lines kept for
// failregexes that span several, and the last date.
func (s *Set) Memory(dst []pipeline.Memory, all bool) ([]pipeline.Memory, bool) {
	open := 0
	for _, m := range s.jails {
		open += m.state.sessions.count
		all = all || m.state.sessions.changes.overflow
	}
	if !s.memory.begun || s.memory.given > 2*open+10_000 {
		all = true
	}
	if all {
		s.memory = memory{begun: true, dates: map[*member]int64{}, lines: map[*member]int64{}}
	}
	for _, v := range s.views {
		s.lookBack(v, 0)
	}
	first := len(dst)
	for _, m := range s.jails {
		put := func(key string, value []byte) {
			dst = append(dst, pipeline.Memory{Jail: m.Jail.Name, Key: key, Value: value})
		}
		m.state.sessions.follow(m.Filter.fields)
		m.state.sessions.remember(m.Filter.fields, s.now, all, put)
		if v := m.view; v.hasLast && v.lastText == nil && s.memory.dates[m] != v.lastAt {
			s.memory.dates[m] = v.lastAt
			put(keyDate, binary.AppendVarint(nil, v.lastAt))
		}
		if lines := m.state.buffer.lines; len(lines) > 0 && s.memory.lines[m] != lines[len(lines)-1].no {
			s.memory.lines[m] = lines[len(lines)-1].no
			m.state.buffer.cut(&s.w.machine, m.view)
			put(keyLines, appendTuples(nil, lines))
		}
	}
	s.memory.given += len(dst) - first
	return dst, all
}

// Restore takes up what Memory gave, in a process before. It may hold anything:
// what is not understood, or of no jail of the set, is left out.
func (s *Set) Restore(memory []pipeline.Memory) {
	for _, m := range s.jails {
		var open []stored
		for _, x := range memory {
			if m.Jail.Name != x.Jail {
				continue
			}
			r := reader{b: x.Value}
			switch {
			case x.Key == keyDate:
				if at := r.varint(); !r.bad && (!m.view.hasLast || at > m.view.lastAt) && at <= s.now {
					m.view.lastAt, m.view.hasLast, m.view.lastText = at, true, nil
				}
			case x.Key == keyLines && m.Filter.maxLines > 1:
				m.state.buffer.set(r.tuples(m.Filter.maxLines))
			case strings.HasPrefix(x.Key, keySessions):
				if sess, ok := r.session(x.Key[len(keySessions):], m.Filter.fields, s.now); ok {
					open = append(open, sess)
				}
			}
		}
		m.state.sessions.adopt(open)
	}
}

// sessionChanges are the sessions that have changed since they were stored.
type sessionChanges struct {
	begun    bool     // somebody stores them
	overflow bool     // more have changed than are noted
	links    []link   // to those that are open, and to some that were
	ended    []string // IDs of those that are not, and that the store has
}

// maxChanges is the number of changed sessions that are noted.
const maxChanges = maxSessions / 4

// touch notes that a session has changed.
func (c *sessionChanges) touch(sess *session) {
	if !c.begun || sess.dirty || c.overflow {
		return
	}
	sess.dirty = true
	c.links = append(c.links, sess.self)
	c.overflow = len(c.links) >= maxChanges
}

// gone notes that a session has ended.
func (c *sessionChanges) gone(sess *session) {
	if !sess.stored || c.overflow {
		return
	}
	c.ended = append(c.ended, string(sess.id()))
	c.overflow = len(c.ended) >= maxChanges
}

// remember gives the sessions that have changed, or all, and from then on notes
// which change.
func (s *sessions) remember(fields []string, now int64, all bool, put func(key string, value []byte)) {
	give := func(sess *session) {
		if now-sess.born < int64(sessionLife) {
			put(keySessions+string(sess.id()), appendSession(nil, sess, fields))
			sess.stored = true
		}
		sess.dirty = false
	}
	if all {
		for l := s.oldest; l != 0; l = s.at(l).newer {
			s.at(l).stored = false
			give(s.at(l))
		}
	} else {
		for _, id := range s.changes.ended {
			put(keySessions+id, nil)
		}
		for _, l := range s.changes.links {
			if sess := s.at(l); sess.dirty {
				give(sess)
			}
		}
	}
	s.changes = sessionChanges{begun: true, links: s.changes.links[:0]}
}

// adopt takes up sessions, each with its ID.
func (s *sessions) adopt(list []stored) {
	slices.SortStableFunc(list, func(a, b stored) int { return cmp.Compare(a.born, b.born) })
	for i := range list {
		x := &list[i]
		id := []byte(x.id)
		hash := s.expect(id)
		if s.get(hash, id, x.born) != nil {
			continue
		}
		sess := s.open(hash, id, x.values, x.born)
		if x.user != nil {
			s.tryUser(sess, x.user)
		}
		sess.several, sess.pending, sess.lines, sess.quiet, sess.stored = x.several, x.pending, x.lines, x.quiet, true
		s.resize(sess)
	}
}

// stored is a session as it was read.
type stored struct {
	id               string
	born             int64
	several, pending bool
	lines, quiet     int
	values           [][]byte
	user             []byte // nil: none was tried
}

const sessionVersion = 1

// Bits of a stored session.
const (
	bitPending = 1 << iota
	bitSeveral
	bitUser
)

// appendSession writes a session; fields are the names of its values.
func appendSession(b []byte, sess *session, fields []string) []byte {
	b = binary.AppendVarint(append(b, sessionVersion), sess.born)
	bits := byte(0)
	_, user := sess.find(recordUser)
	for bit, is := range map[byte]bool{bitPending: sess.pending, bitSeveral: sess.several, bitUser: user != nil} {
		if is {
			bits |= bit
		}
	}
	b = binary.AppendUvarint(binary.AppendUvarint(append(b, bits), uint64(sess.lines)), uint64(sess.quiet))
	if user != nil {
		b = appendText(b, string(user))
	}
	for at := 0; at < len(sess.text); {
		field, value, next := sess.record(at)
		if uint64(field) < uint64(len(fields)) {
			b = appendText(appendText(b, fields[field]), string(value))
		}
		at = next
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendTuples writes the lines that a jail keeps. Their numbers count from 1
// again in the next process.
func appendTuples(b []byte, lines []tuple) []byte {
	b = append(b, sessionVersion)
	for _, t := range lines {
		b = appendText(appendText(b, t.text), t.full)
	}
	return b
}

// reader reads what the functions above have written. Once something cannot be,
// everything is zero and bad is true.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number that is no more than there are bytes left.
func (r *reader) count(most int) int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > uint64(most) {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *reader) text() string {
	n := r.count(len(r.b))
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// session reads a session that is still open; false where it is not, or is none.
func (r *reader) session(id string, fields []string, now int64) (stored, bool) {
	if r.byte() != sessionVersion {
		return stored{}, false
	}
	x := stored{id: id, born: r.varint(), values: make([][]byte, len(fields))}
	bits := r.byte()
	x.pending, x.several = bits&bitPending != 0, bits&bitSeveral != 0
	x.lines, x.quiet = r.count(1<<30), r.count(1<<30)
	if bits&bitUser != 0 {
		x.user = []byte(r.text())
	}
	for len(r.b) > 0 && !r.bad {
		name, value := r.text(), r.text()
		if i := slices.Index(fields, name); i >= 0 {
			x.values[i] = []byte(value)
		}
	}
	return x, !r.bad && x.born <= now && now-x.born < int64(sessionLife)
}

// tuples reads the lines that a jail keeps, the last most of them.
func (r *reader) tuples(most int) []tuple {
	var lines []tuple
	if r.byte() != sessionVersion {
		return nil
	}
	for len(r.b) > 0 {
		lines = append(lines, tuple{text: r.text(), full: r.text(), candidate: true})
	}
	if r.bad {
		return nil
	}
	return lines[max(0, len(lines)-most):]
}

var _ pipeline.Rememberer = (*Set)(nil)
