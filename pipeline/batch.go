package pipeline

import (
	"context"
	"sync/atomic"
)

// BatchSize is the number of bytes of whole lines that a batch has room for.
const BatchSize = 256 << 10

// Input is one thing that lines come from: a file, a journal, stdin. Its
// matcher may be replaced by a reload between two batches. Counters are added
// to once a batch.
type Input struct {
	Name    string // path, "systemd-journal" or "stdin"
	matcher atomic.Pointer[Matcher]

	Lines   atomic.Int64 // lines read, whole or cut
	Bytes   atomic.Int64 // bytes read
	Cut     atomic.Int64 // lines longer than MaxLine, matched by head and tail only
	Invalid atomic.Int64 // lines that were not valid in their encoding
	Lag     atomic.Int64 // bytes that stand in the input and are not read yet
}

// NewInput returns an input whose lines m matches.
func NewInput(name string, m Matcher) *Input {
	in := &Input{Name: name}
	in.SetMatcher(m)
	return in
}

// Matcher returns the matcher for the next batch.
func (in *Input) Matcher() Matcher { return *in.matcher.Load() }

// SetMatcher replaces the matcher; safe beside a running pipeline.
func (in *Input) SetMatcher(m Matcher) { in.matcher.Store(&m) }

// Batch is a block of whole lines of one input. A source fills it, the feed
// carries it, and whoever took it from the feed recycles it; everything found
// in it is dead from then on.
type Batch struct {
	Input *Input
	Data  []byte // lines back to back, each ended by one '\n'; reused
	// Stamps has the time of each line in nanoseconds since the epoch where the
	// source knows it (journald); empty where the date stands in the line.
	Stamps []int64
	// Masks says which of the journal's groups each line belongs to, a bit each;
	// empty where the input has one.
	Masks []uint64
	First int64 // number of the first line in its input, from 1
	Lines int   // number of lines in Data
	// Live says that the source had reached the end of its input before it read
	// these lines: they were just written (fail2ban's "in operation").
	Live bool
	End  Position // where the input goes on after the last line
}

// Position is a place in an input, as its source understands it.
type Position struct {
	Offset  int64  // bytes from the start of the file
	Mark    string // what tells this file from another of the same name; a journal's cursor
	AtNanos int64  // the time of the last entry, where the source knows it
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	*b = Batch{Data: b.Data[:0], Stamps: b.Stamps[:0], Masks: b.Masks[:0]}
}

// Feed is the way of the batches from a source to its matcher and back: a
// fixed number of them, so that a source that outruns the matcher waits.
// Source side and matcher side may be one goroutine each.
type Feed struct {
	free chan *Batch
	full chan *Batch
}

// NewFeed returns a feed of n batches of BatchSize bytes each, which are made
// when they are first gotten: an idle source never needs more than one.
func NewFeed(n int) *Feed {
	f := &Feed{free: make(chan *Batch, n), full: make(chan *Batch, n)}
	for range n {
		f.free <- nil
	}
	return f
}

// empty returns the batch ready to be filled.
func empty(b *Batch) *Batch {
	if b == nil {
		return &Batch{Data: make([]byte, 0, BatchSize)}
	}
	b.Reset()
	return b
}

// Get returns an empty batch to fill. It blocks until one is free or ctx is done.
func (f *Feed) Get(ctx context.Context) (*Batch, error) {
	select {
	case b := <-f.free:
		return empty(b), nil
	default:
	}
	select {
	case b := <-f.free:
		return empty(b), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Put hands a filled batch over. It never blocks: there is room for every
// batch that Get gave out.
func (f *Feed) Put(b *Batch) { f.full <- b }

// Recycle gives a batch back, filled and matched or never filled. It never blocks.
func (f *Feed) Recycle(b *Batch) { f.free <- b }

// Close ends the feed: the sender's side, once, after the last Put.
func (f *Feed) Close() { close(f.full) }

// Full returns the filled batches in order; it is closed after the last one.
func (f *Feed) Full() <-chan *Batch { return f.full }
