package control

import (
	"net"
	"sync"
	"time"
)

// connState is what a connection is doing. Only those that wait for their
// client may be closed to make room.
type connState int

const (
	waiting  connState = iota // for a command to arrive whole
	handling                  // a command is being carried out
	writing                   // for the client to take the reply
)

// conn is one connection and its place in the table.
type conn struct {
	net.Conn
	state  connState // guarded by the table, as is since
	since  time.Time // it has been in this state
	closed bool      // by the table
}

// deadline ends a read or write that takes longer than d from now. Setting it
// cannot fail but for a closed connection, which the read or write reports.
func (c *conn) deadline(d time.Duration) { _ = c.SetDeadline(time.Now().Add(d)) }

// connTable holds the connections of one server, a fixed number at most.
type connTable struct {
	max int

	mu    sync.Mutex
	conns map[*conn]struct{}
	// changed is closed and renewed when a connection goes or begins to wait.
	changed chan struct{}
	shut    bool // by closeAll: nobody comes in any more
}

// add makes room for a connection and takes it in. It waits while all others
// are in their handlers; false means that the table was shut.
func (t *connTable) add(c net.Conn) (*conn, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.shut && len(t.conns) >= t.max && !t.evictLocked() {
		changed := t.changedLocked()
		t.mu.Unlock()
		<-changed
		t.mu.Lock()
	}
	if t.shut {
		return nil, false
	}
	if t.conns == nil {
		t.conns = map[*conn]struct{}{}
	}
	entry := &conn{Conn: c, since: time.Now()}
	t.conns[entry] = struct{}{}
	return entry, true
}

// evict closes the connection that has waited longest for its client, if any.
func (t *connTable) evict() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.evictLocked()
}

func (t *connTable) evictLocked() bool {
	var oldest *conn
	for c := range t.conns {
		if c.state != handling && (oldest == nil || c.since.Before(oldest.since)) {
			oldest = c
		}
	}
	if oldest == nil {
		return false
	}
	t.closeLocked(oldest)
	return true
}

func (t *connTable) closeLocked(c *conn) {
	c.closed = true
	_ = c.Conn.Close() // its goroutine sees the end and returns
	delete(t.conns, c)
	t.notifyLocked()
}

// changedLocked returns a channel that the next change closes.
func (t *connTable) changedLocked() <-chan struct{} {
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.changed
}

func (t *connTable) notifyLocked() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// enter says what a connection does now. It returns false when the connection
// was closed, and must end.
func (t *connTable) enter(c *conn, state connState) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.closed {
		return false
	}
	c.state, c.since = state, time.Now()
	if state != handling {
		t.notifyLocked()
	}
	return true
}

// remove closes a connection whose goroutine returns.
func (t *connTable) remove(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !c.closed {
		t.closeLocked(c)
	}
}

// closeWaiting closes every connection that waits for a command.
func (t *connTable) closeWaiting() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		if c.state == waiting {
			t.closeLocked(c)
		}
	}
}

// closeAll closes every connection and lets none in any more.
func (t *connTable) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shut = true
	for c := range t.conns {
		t.closeLocked(c)
	}
	t.notifyLocked()
}
