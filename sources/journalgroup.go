package sources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// JournalGroup is who reads the same entries of a journal: jails with the same
// matches. One reader serves up to [MaxJournalGroups] of them.
type JournalGroup struct {
	// Matches has the alternatives (journalmatch); each is a list of FIELD=value
	// that must all hold (of several values for one field, one). None: every entry.
	Matches [][]string
	Start   Start // Position, Tail (now) and FromNanos are heeded
}

const (
	// MaxJournalGroups is the number of groups of one Journal: bits of a mask.
	MaxJournalGroups = 64
	// MaxJournalFields is the number of different fields in their matches.
	MaxJournalFields = 16
)

// MatchFields returns the fields that matches look at, each once.
func MatchFields(matches [][]string) (fields []string) {
	for _, all := range matches {
		for _, match := range all {
			if field, _, _ := strings.Cut(match, "="); !slices.Contains(fields, field) {
				fields = append(fields, field)
			}
		}
	}
	return fields
}

// union returns the matches of all groups, each once: none where a group takes
// every entry.
func union(groups []JournalGroup) (out [][]string) {
	for _, g := range groups {
		if len(g.Matches) == 0 {
			return nil
		}
		for _, all := range g.Matches {
			if !slices.ContainsFunc(out, func(o []string) bool { return slices.Equal(o, all) }) {
				out = append(out, all)
			}
		}
	}
	return out
}

// wireGroup is a group as the reader process is told of it.
type wireGroup struct {
	Matches   [][]string
	Position  pipeline.Position
	FromNanos int64
}

// sorter says to which groups an entry belongs, and which of them have read it
// before: those whose start is not reached yet.
type sorter struct {
	fields  []string // whose values say it; none: there is one group
	groups  []sortGroup
	pending uint64 // groups whose start is not reached
	after   string // the cursor of an entry that may come first and was read before; of journalctl
}

type sortGroup struct {
	alternatives [][]sortTerm // one of them, and of it all terms
	all          bool         // it takes every entry
	cursor       string       // after which it starts; empty: at a time
	fromUsec     uint64       // received not before
}

// sortTerm is a field and the values of which it must have one.
type sortTerm struct {
	field  int
	values map[string]bool
}

func newSorter(groups []wireGroup) (*sorter, error) {
	s := &sorter{}
	if len(groups) > MaxJournalGroups {
		return nil, fmt.Errorf("%d groups of a journal, more than %d", len(groups), MaxJournalGroups)
	}
	for i, g := range groups {
		out := sortGroup{all: len(g.Matches) == 0, cursor: g.Position.Mark, fromUsec: uint64(max(g.Position.AtNanos, g.FromNanos, 0)) / 1000}
		for _, all := range g.Matches {
			out.alternatives = append(out.alternatives, s.terms(all))
		}
		s.groups = append(s.groups, out)
		s.pending |= 1 << i
	}
	if len(groups) == 1 {
		s.fields = nil
	}
	if len(s.fields) > MaxJournalFields {
		return nil, fmt.Errorf("matches of a journal have %d fields, more than %d", len(s.fields), MaxJournalFields)
	}
	return s, nil
}

// terms takes an alternative apart, as sd_journal_add_match(3) has it: several
// values of one field are alternatives.
func (s *sorter) terms(all []string) (out []sortTerm) {
	for _, match := range all {
		name, value, _ := strings.Cut(match, "=")
		field := slices.Index(s.fields, name)
		if field < 0 {
			field = len(s.fields)
			s.fields = append(s.fields, name)
		}
		at := slices.IndexFunc(out, func(t sortTerm) bool { return t.field == field })
		if at < 0 {
			at = len(out)
			out = append(out, sortTerm{field: field, values: map[string]bool{}})
		}
		out[at].values[value] = true
	}
	return out
}

// mask returns the groups that take an entry, a bit each.
func (s *sorter) mask(e *journalEntry) (mask uint64) {
	if len(s.groups) == 1 {
		return 1
	}
	for i := range s.groups {
		if s.groups[i].takes(e) {
			mask |= 1 << i
		}
	}
	return mask
}

func (g *sortGroup) takes(e *journalEntry) bool {
	for _, all := range g.alternatives {
		if !slices.ContainsFunc(all, func(t sortTerm) bool { return !t.holds(e) }) {
			return true
		}
	}
	return g.all
}

func (t *sortTerm) holds(e *journalEntry) bool {
	return slices.ContainsFunc(e.extra[t.field], func(value []byte) bool { return t.values[string(value)] })
}

// reached notes which groups start with an entry, given its time of receipt, and
// returns those that have started.
func (s *sorter) reached(usec uint64) (started uint64) {
	for i := range s.groups {
		if g := &s.groups[i]; s.pending&(1<<i) != 0 && g.cursor == "" && usec >= g.fromUsec {
			s.pending &^= 1 << i
		}
	}
	return s.all() &^ s.pending
}

// passed notes that the entry with a cursor was read.
func (s *sorter) passed(isAt func(cursor string) bool) {
	for i := range s.groups {
		if g := &s.groups[i]; s.pending&(1<<i) != 0 && g.cursor != "" && isAt(g.cursor) {
			s.pending &^= 1 << i
		}
	}
}

// startAll lets every group start.
func (s *sorter) startAll() { s.pending = 0 }

// all has the bit of every group.
func (s *sorter) all() uint64 { return ^uint64(0) >> (MaxJournalGroups - len(s.groups)) }

// together says whether all groups go on after the same entry, and after which.
func (s *sorter) together() (cursor string, ok bool) {
	cursor = s.groups[0].cursor
	return cursor, cursor != "" && !slices.ContainsFunc(s.groups, func(g sortGroup) bool { return g.cursor != cursor })
}

// marginUsec is how much earlier than the earliest of several cursors the
// reading begins: their times are the senders' and the clock may have been set.
const marginUsec = 5_000_000

// earliest returns the time before which no group starts. exists says whether
// an entry with the cursor is there; a group whose entry is gone starts by its time.
func (s *sorter) earliest(exists func(cursor string) bool) uint64 {
	least := ^uint64(0)
	for i := range s.groups {
		g := &s.groups[i]
		from := g.fromUsec
		if g.cursor != "" {
			if exists(g.cursor) {
				from -= min(from, marginUsec)
			} else {
				g.cursor = ""
			}
		}
		least = min(least, from)
	}
	return least
}
