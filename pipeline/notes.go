package pipeline

import (
	"slices"
	"sync/atomic"
	"unicode/utf8"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// DefaultMatchBytes is the room for lines and fields of failing IDs that a
// window is given where somebody wants tickets: some 25,000 IDs' lines.
const DefaultMatchBytes = 8 << 20

const (
	maxMatch  = 2 << 10  // bytes of a line that are kept
	maxField  = 256      // bytes of a captured group that are kept
	maxFields = 32       // groups of an ID
	maxNote   = 64 << 10 // bytes of one ID's lines
	noteCost  = 256      // bytes of an ID's note without its texts
	textCost  = 16       // bytes of a text's header
	maxNotes  = 1 << 20  // notes of a shard
)

// notes bounds what a window keeps for tickets. What an ID has said is kept
// beside its counter, not in it: a counter must stay small, and most windows
// (a dry run's, a pipe's) keep nothing.
type notes struct {
	room    int64        // bytes; 0: nothing is kept
	bytes   atomic.Int64 // of all shards
	dropped atomic.Int64 // lines that went for want of room
}

// note is what is kept of one ID: its last lines and what was captured in any
// of its failures.
type note struct {
	lines  []string
	fields []noted
	bytes  int // of its texts
}

// noted is a captured group. The name lives as long as the filter.
type noted struct{ name, value string }

// KeepMatches makes the window keep lines and captured groups for the tickets
// of bans (see Policy.MaxMatches), in so many bytes at most; 0 or less: none.
// When there is no more room, those of the ID go whose last failure is the
// longest ago. To be called before the first Add.
func (w *Window) KeepMatches(bytes int) { w.notes.room = int64(max(bytes, 0)) }

// note keeps what a failure says. anew says that its ID counts from nothing.
// The shard is locked.
func (w *Window) note(s *shard, k entryKey, f *Failure, p *Policy, anew bool) {
	if s.notes == nil {
		// The only error is a size below 1.
		s.notes, _ = simplelru.NewLRU[entryKey, *note](maxNotes, nil)
	}
	n, has := s.notes.Get(k)
	before := 0
	switch {
	case !has:
		n = newNote(f, p)
		s.notes.Add(k, n)
	case anew:
		before = n.bytes + noteCost
		*n = note{lines: n.lines[:0]}
	default:
		before = n.bytes + noteCost
	}
	if has {
		w.notes.dropped.Add(int64(n.add(f, p)))
	}
	over := w.notes.bytes.Add(int64(n.bytes+noteCost-before)) - w.notes.room
	// The other shards are as full as this one: each frees what it takes.
	for over > 0 && s.notes.Len() > 1 {
		_, old, _ := s.notes.RemoveOldest()
		over -= int64(old.bytes + noteCost)
		w.notes.bytes.Add(int64(-old.bytes - noteCost))
		w.notes.dropped.Add(int64(len(old.lines)))
	}
}

// newNote returns what is kept of an ID's first failure.
func newNote(f *Failure, p *Policy) *note {
	n := &note{lines: make([]string, 0, min(p.MaxMatches, 4, p.MaxRetry))}
	n.add(f, p)
	return n
}

// add keeps what a failure says and returns how many lines went for want of room.
func (n *note) add(f *Failure, p *Policy) (dropped int) {
	dropped = n.addLine(f.Text, p.MaxMatches)
	if n.fields == nil && len(f.Fields) > 0 {
		n.fields = make([]noted, 0, min(len(f.Fields), maxFields))
	}
	for i := range f.Fields {
		n.addField(&f.Fields[i])
	}
	return dropped
}

// addLine adds the newest line and returns how many went for want of room.
func (n *note) addLine(text []byte, most int) (dropped int) {
	line := clip(text, maxMatch)
	for len(n.lines) > 0 && (len(n.lines) >= most || n.bytes+len(line) > maxNote) {
		if len(n.lines) < most {
			dropped++
		}
		n.bytes -= len(n.lines[0]) + textCost
		n.lines = append(n.lines[:0], n.lines[1:]...)
	}
	n.lines = append(n.lines, line)
	n.bytes += len(line) + textCost
	return dropped
}

// addField notes a group. As in fail2ban the value of the first failure holds.
func (n *note) addField(f *Field) {
	if len(n.fields) >= maxFields || slices.ContainsFunc(n.fields, func(old noted) bool { return old.name == f.Name }) {
		return
	}
	value := clip(f.Value, maxField)
	n.fields = append(n.fields, noted{f.Name, value})
	n.bytes += len(value) + 2*textCost
}

// clip copies a text's first bytes, whole characters where it has such.
func clip(text []byte, most int) string {
	if len(text) > most {
		cut := most
		for cut > most-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return string(text)
}

// ticket takes what was kept of an ID that is banned now; nil where nothing is kept.
func (w *Window) ticket(s *shard, k entryKey) *Ticket {
	if n := w.dropNote(s, k); n != nil {
		return n.ticket()
	}
	return nil
}

// ticket returns the ticket that the note has come to.
func (n *note) ticket() *Ticket {
	t := &Ticket{Matches: n.lines, Count: 1}
	if len(n.fields) > 0 {
		t.Fields = make(map[string]string, len(n.fields))
		for _, f := range n.fields {
			t.Fields[f.name] = f.value
		}
	}
	return t
}

// dropNote forgets what was kept of an ID, and returns it.
func (w *Window) dropNote(s *shard, k entryKey) *note {
	if s.notes == nil {
		return nil
	}
	n, has := s.notes.Peek(k)
	if !has {
		return nil
	}
	s.notes.Remove(k)
	w.notes.bytes.Add(int64(-n.bytes - noteCost))
	return n
}
