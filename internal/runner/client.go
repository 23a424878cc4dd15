package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Errors of a runner in a process of its own. An order that met one of them may
// have been carried out or not.
var (
	ErrRestarted = errors.New("the action runner ended and was started again")
	ErrGone      = errors.New("the action runner is gone")
)

// Client is a Runner in a process of its own, which ends with ours.
type Client struct {
	conn net.Conn
	cmd  *exec.Cmd
	out  frames

	restarts atomic.Int64

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan response
	held    []Definition
	gone    error // not nil: the process has ended
	done    chan struct{}
}

var _ Runner = (*Client)(nil)

// Spawn starts the process by command (its arguments), which has to call
// Supervise with Socket. What it writes to stderr goes to stderr.
func Spawn(command []string, stderr io.Writer) (*Client, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start the action runner: socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "action runner"), os.NewFile(uintptr(pair[1]), "action runner's end")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, fmt.Errorf("start the action runner: %w", err)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.ExtraFiles = []*os.File{theirs} // socketFD
	cmd.Stderr = stderr
	// It ends when its socket does. Signals to our group (a Ctrl-C) are not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = openGrace
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("start the action runner: %w", err)
	}
	c := &Client{conn: conn, cmd: cmd, out: frames{w: conn}, waiting: map[uint64]chan response{}, done: make(chan struct{})}
	go c.receive()
	return c, nil
}

// Pid returns the process's ID.
func (c *Client) Pid() int { return c.cmd.Process.Pid }

// Restarts returns how often what runs the commands ended unasked.
func (c *Client) Restarts() int64 { return c.restarts.Load() }

// Gone returns why there is no runner any more, nil while there is.
func (c *Client) Gone() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// receive takes the answers until the socket ends.
func (c *Client) receive() {
	defer close(c.done)
	for {
		var r response
		if err := read(c.conn, &r); err != nil {
			c.fail(fmt.Errorf("%w: %w", ErrGone, err))
			return
		}
		if r.Restarted {
			c.restarted()
			continue
		}
		c.mu.Lock()
		w := c.waiting[r.ID]
		delete(c.waiting, r.ID)
		c.mu.Unlock()
		if w != nil {
			w <- r // has room for one
		}
	}
}

// restarted tells everybody who waits that there will be no answer, and gives
// the new process what the old one held.
func (c *Client) restarted() {
	c.restarts.Add(1)
	c.mu.Lock()
	waiting, held := c.waiting, c.held
	c.waiting = map[uint64]chan response{}
	c.next++
	id := c.next
	c.mu.Unlock()
	// Before anybody asks again: frames are read in their order.
	_ = c.out.write(request{ID: id, Holds: true, Hold: held}) // where this fails, receive sees it too
	for _, w := range waiting {
		w <- response{Error: ErrRestarted.Error(), Restarted: true}
	}
}

func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = err
	for id, w := range c.waiting {
		delete(c.waiting, id)
		w <- response{Error: err.Error(), Restarted: true}
	}
}

// ask sends a request and waits for its answer.
func (c *Client) ask(ctx context.Context, r request) (response, error) {
	w := make(chan response, 1)
	c.mu.Lock()
	if c.gone != nil {
		c.mu.Unlock()
		return response{}, c.gone
	}
	c.next++
	r.ID = c.next
	c.waiting[r.ID] = w
	c.mu.Unlock()
	if err := c.out.write(r); err != nil {
		c.mu.Lock()
		delete(c.waiting, r.ID)
		c.mu.Unlock()
		return response{}, fmt.Errorf("%w: %w", ErrGone, err)
	}
	select {
	case a := <-w:
		switch {
		case a.Restarted:
			return a, ErrRestarted
		case a.Error == ErrUnknown.Error():
			return a, ErrUnknown
		case a.Error != "":
			return a, errors.New(a.Error)
		}
		return a, nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, r.ID)
		c.mu.Unlock()
		return response{}, context.Cause(ctx)
	}
}

// Hold implements Runner.
func (c *Client) Hold(ctx context.Context, definitions []Definition) (missing []Definition, err error) {
	c.mu.Lock()
	c.held = definitions
	c.mu.Unlock()
	a, err := c.ask(ctx, request{Holds: true, Hold: definitions})
	return a.Missing, err
}

// Run implements Runner. Where ctx is done first, the command goes on, and so
// does its timeout: a mail is not cut off because nobody waits for it.
func (c *Client) Run(ctx context.Context, call Call) (Result, error) {
	values := make(map[string]string, len(call.Values))
	for k, v := range call.Values {
		values[k] = strings.ToValidUTF8(cleanValue(v), "\uFFFD")
	}
	call.Values = values
	a, err := c.ask(ctx, request{Call: &call})
	return a.Result, err
}

// closeGrace is how long the process has to end what runs.
const closeGrace = 4 * openGrace

// Close implements Runner: the process ends what runs, then itself.
func (c *Client) Close() error {
	// Its end of the socket is closed with the process; ours tells it to end.
	if half, ok := c.conn.(*net.UnixConn); ok {
		_ = half.CloseWrite() // fails where the process is gone
	}
	ended := make(chan error, 1) // room for the one result
	go func() { ended <- c.cmd.Wait() }()
	var err error
	t := time.NewTimer(closeGrace)
	defer t.Stop()
	select {
	case err = <-ended:
	case <-t.C:
		err = errors.Join(errors.New("the action runner did not end and was killed"), c.cmd.Process.Kill())
		<-ended
	}
	c.conn.Close()
	<-c.done
	return err
}
