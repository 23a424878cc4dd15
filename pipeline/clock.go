package pipeline

import (
	"sync/atomic"
	"time"
)

// Clock is what "now" is for the stages: the wall's time for a service, or the
// newest time in the log for a dry run over old lines. All methods are safe
// for concurrent use.
type Clock struct {
	log    bool
	newest atomic.Int64
	shift  atomic.Int64 // of the wall's time: a test sets the clock with it
}

// WallClock returns the clock of a service.
func WallClock() *Clock { return &Clock{} }

// LogClock returns a clock that stands at the newest time given to Advance, and
// at 0 before the first one.
func LogClock() *Clock { return &Clock{log: true} }

// Now returns nanoseconds since the epoch.
func (c *Clock) Now() int64 {
	if c.log {
		return c.newest.Load()
	}
	return time.Now().UnixNano() + c.shift.Load()
}

// FromLog says whether the log's times drive the clock.
func (c *Clock) FromLog() bool { return c.log }

// Advance moves a log clock forward to atNanos; older times and a wall clock
// leave it as it is.
func (c *Clock) Advance(atNanos int64) {
	if !c.log {
		return
	}
	for {
		old := c.newest.Load()
		if atNanos <= old || c.newest.CompareAndSwap(old, atNanos) {
			return
		}
	}
}
