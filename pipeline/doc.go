// Package pipeline is f2bpipe's architecture: the values that travel, the
// stages' interfaces, and the stages between matching and the kernel.
//
//	sources ──Batch──▶ matchers ──Failure──▶ Window, Networks ──Ban──▶ Ledger ──Order──▶ Flushers ──▶ sinks
//	   ▲                  │                                             ▲  │
//	   └──recycled batch──┘                                   commands ─┘  └──Event──▶ Observer, Store
//
// # The way of a line
//
// A Source fills batches with whole lines. The Matcher of the batch's Input
// turns them into failures; those of whom Config.Ignore says that the jail
// never counts them go no further. The Window counts failures per jail and
// address, by the time in the log, and says when one of them is to be banned.
// Networks bans the /64 whose members take turns and the subnet of many who were
// banned, never over anybody whom its configuration spares. The Ledger knows who is banned until when; it is the only one who does. A
// Flusher gathers the ledger's orders for one Sink, which carries them out.
// Commands enter at the ledger, and return when the sinks have done what they
// asked.
//
// A batch without lines says that an input has caught up with another: the
// matchers of the jails that a reload brought join those that were there, between
// two batches. Batch.Masks names the groups of a journal's jails that take each
// line.
//
// Where it takes time to say whether somebody is to be banned (a command has to
// be asked, a name be looked up) the ban waits beside the stream, which goes
// on: one ban for each jail and ID, MaxHeld at most. Where the log is the clock
// the stream waits with it.
//
// # Goroutines
//
// Pipeline.Run starts all of them and waits for them: two for each source (the
// source itself; matcher, window and ledger for its batches), one for each
// flusher with its sink, one that ends bans and strikes the window's beat, one
// that saves checkpoints where there is a store. Nothing else in this package
// starts one. Window and Ledger are guarded by locks of their own, held for
// microseconds: a shard of the window for one failure, the ledger for one
// batch's bans. The order of locks is Ledger, then Flusher; an Observer and a
// Route are called with the ledger locked and must not come back to it.
//
// # Ownership
//
// A batch belongs to the source between Feed.Get and Feed.Put, then to the
// goroutine that took it from Feed.Full until it recycles it. What a Matcher
// appends points into the batch and dies with it, for a Watcher too. From the
// window on, values are copies: Ban, Order and Event hold nothing of a batch,
// and an ID owns its text. A Policy is never changed, only replaced.
//
// # Back-pressure
//
// A feed has a fixed number of batches; a source that gets none waits. Orders
// that stand are a set in each flusher, so that they are never more than there
// are bans to carry out; when they are more than MaxPending the goroutine that
// decided them waits, and with it its feed and its source. A sink that refuses
// orders does not hold up anything: the ban stays in the ledger as not
// enforced, with the reason, and is tried again. One that needs long (a command)
// defers what it has not looked at (ErrDeferred), which stays a set. What is kept per address is
// bounded: by the window's entries and first-hit words, and by the ledger's
// MaxBans. What is dropped at a bound is counted by its cause.
//
// # Time
//
// A failure's time is the log's, or what the matcher made of it. "Now" is an
// argument everywhere but in Clock, which is the wall's for a service and the
// newest failure's for a dry run over old lines. Bans end by a heap: the timer
// sleeps until the next end, 5 s at most, so that a wall clock that is set is
// followed. fail2ban drops an address that has not failed for findtime at a
// beat of 5 s; Window.Expire is that beat. Over a log that is read at once
// (Config.NoBeat, and wherever the log is the clock) it does not strike.
//
// # Shutdown
//
// The context given to Run is the soft stop: sources return, their feeds are
// closed and drain, flushers carry out what stands, the store gets the last
// checkpoint. StopTimeout later the stop is hard: a second context ends
// whatever still runs. Lines that stood in feeds, orders that a sink does not
// have and events that the store does not have are logged once, with their
// number, and so are bans that still wait for Config.Ignore. The first error of
// a stage is a soft stop too, and Run returns it. The end of all sources is the
// same without a deadline, unless the configuration says to stay.
//
// # Checkpoints
//
// A checkpoint is taken between batches: no batch is half counted in it.
// Positions in it have had all their effects on window and ledger, and the
// events in it are all that these positions caused. It carries the counters that
// have changed and what matchers remember (Rememberer); after a save that failed
// both are taken whole. Bans are saved 50 ms after the first of them (in a
// burst of thousands when it lets up, 3 s later at most), positions alone every 5 s: what is read again after a crash is read into the state of
// the same moment. A History is asked before the window counts, and with the
// ledger locked for each new ban.
package pipeline
