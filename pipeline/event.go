package pipeline

import "context"

// EventKind says what happened to a ban.
type EventKind uint8

// The kinds of events.
const (
	EventBan      EventKind = iota + 1 // somebody is banned who was not (Ban.Restored: from the store)
	EventProlong                       // a ban in force ends later
	EventUnban                         // a ban is over: Expired, or by command
	EventAlready                       // a ban was decided for somebody who is banned: a leak
	EventTooLate                       // a ban was decided that is over already: not carried out
	EventFull                          // a ban was decided that the ledger has no room for
	EventRefused                       // a sink could not carry out an order: Err; it is tried again
	EventEnforced                      // a ban that was refused before is in force now
)

// Event is one thing that happened in the ledger.
type Event struct {
	Kind    EventKind
	Ban     Ban   // in force, or as decided where it is not
	Leaks   int   // EventAlready: the number of it, from 1, while the ban is in force
	AtNanos int64 // EventAlready: log time of the failure that leaked; else the clock's
	Expired bool  // EventUnban: its time was over
	Err     error // EventRefused: why
}

// Observer is told of every event, in order: for the lines Ban, Unban,
// already banned… of a log, or the decisions that a dry run prints. It is
// called with the ledger locked: it must not block and not call the ledger.
type Observer interface {
	Observe(e Event)
}

// Store keeps what must survive a restart.
type Store interface {
	// Save writes a checkpoint in one transaction. It is used by one goroutine
	// at a time. After an error the same checkpoint is saved again, with what
	// has come to it since.
	Save(ctx context.Context, c *Checkpoint) error
}

// Checkpoint is what has changed since the last one, at one moment: between
// two batches of every input. What it holds belongs together: positions, what
// the lines before them have left in window and matchers, and the bans that
// they caused.
type Checkpoint struct {
	Events []Event // EventBan (not restored), EventProlong, EventUnban, in order
	Inputs []InputEnd
	// Counts are the window's counters that have changed, those that are gone
	// with Failures 0. With AllCounts they are all that there are.
	Counts    []Count
	AllCounts bool
}

// IsEmpty says whether nothing has changed.
func (c *Checkpoint) IsEmpty() bool {
	return len(c.Events) == 0 && len(c.Inputs) == 0 && len(c.Counts) == 0 && !c.AllCounts
}

// InputEnd is where an input goes on.
type InputEnd struct {
	Input *Input
	End   Position
	// Memory is what the matcher remembers and has changed. With AllMemory it is
	// all that there is.
	Memory    []Memory
	AllMemory bool
}

// Memory is a thing that a matcher remembers of the lines before: an open
// session, for one. Nobody but the matcher looks into it.
type Memory struct {
	Jail  string // whose it is
	Key   string // which of the jail's
	Value []byte // nil: it is forgotten
}

// Rememberer is a Matcher whose memory can be stored.
type Rememberer interface {
	// Memory appends what has changed since the last call; or, where all is
	// true, all there is. It says itself that it gives all where that is less to
	// write. No batch is matched meanwhile.
	Memory(dst []Memory, all bool) (memory []Memory, isAll bool)
}

// History knows who was banned before, and what that means for failures and
// bans (bantime.increment). It must not block, and not call window or ledger.
type History interface {
	// Weigh sets a failure's Count, before the window counts it.
	Weigh(f *Failure)
	// Decide sets the end of a new ban that is to last as long as the jail's
	// policy says, and its Ticket's Count. It is called with the ledger locked,
	// for each new ban that is not restored, once.
	Decide(b *Ban)
	// Forget is told that a command has ended a ban: it counts no longer.
	Forget(j *Jail, id ID)
}
