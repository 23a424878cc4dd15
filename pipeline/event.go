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
// two batches of every input.
type Checkpoint struct {
	Events []Event // EventBan (not restored), EventProlong, EventUnban, in order
	Inputs []InputEnd
}

// InputEnd is where an input goes on.
type InputEnd struct {
	Input *Input
	End   Position
}
