package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// Why a client has no answer. They are matched with errors.Is; the errors that
// carry them name the socket.
var (
	// ErrNoSocket: there is no socket at that path.
	ErrNoSocket = errors.New("no control socket")
	// ErrPermission: the socket may not be used by this user.
	ErrPermission = errors.New("no permission for the control socket")
	// ErrNotRunning: the socket is there, but nobody answers on it, or the
	// answer broke off.
	ErrNotRunning = errors.New("no server answers on the control socket")
	// ErrShuttingDown: the server takes no commands any more.
	ErrShuttingDown = errors.New("the server is shutting down")
	// ErrProtocol: the answer is none of fail2ban's, or the server did not
	// understand the command.
	ErrProtocol = errors.New("control protocol")
)

// maxReply is the longest reply that a client takes, in bytes: a list of a
// million bans.
const maxReply = 64 << 20

// maxMarks is how many end marks a reply may have: each one costs a decoding of
// all before it.
const maxMarks = 8

// replyLimits goes with maxReply.
var replyLimits = Limits{Values: 4 << 20}

// Client is one connection to a server. It is for one goroutine at a time.
type Client struct {
	path   string
	conn   net.Conn
	frames frameReader
}

// busyFor is how long Dial waits for a server that runs and has its queue full.
const busyFor = 5 * time.Second

// Dial connects to the server on the socket. Where more clients wait than the
// kernel queues (EAGAIN, connect(2)) it tries again for some seconds. The error
// wraps ErrNoSocket, ErrPermission or ErrNotRunning.
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	for deadline := time.Now().Add(busyFor); errors.Is(err, syscall.EAGAIN) && time.Now().Before(deadline); {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, socketError(path, ctx.Err())
		}
		conn, err = d.DialContext(ctx, "unix", path)
	}
	if err != nil {
		return nil, socketError(path, err)
	}
	return &Client{path: path, conn: conn, frames: frameReader{r: conn, max: maxReply}}, nil
}

// socketError says which of the reasons a failed call has.
func socketError(path string, err error) error {
	reason := ErrNotRunning
	switch {
	case errors.Is(err, fs.ErrNotExist):
		reason = ErrNoSocket
	case errors.Is(err, fs.ErrPermission):
		reason = ErrPermission
	}
	return &SocketError{Path: path, Reason: reason, Err: err}
}

// SocketError is a conversation that failed below the protocol.
type SocketError struct {
	Path   string
	Reason error // ErrNoSocket, ErrPermission or ErrNotRunning
	Err    error // of the system
}

func (e *SocketError) Error() string {
	return fmt.Sprintf("%v: %s: %v", e.Reason, e.Path, e.Err)
}

// Unwrap returns the reason and the system's error.
func (e *SocketError) Unwrap() []error { return []error{e.Reason, e.Err} }

// ClientText is what fail2ban-client logs for the error, at level ERROR. ping
// says that the command was a ping, for which it tells the system's error
// alone.
func (e *SocketError) ClientText(ping bool) string {
	switch e.Reason {
	case ErrNoSocket:
		return fmt.Sprintf("Failed to access socket path: %s. Is fail2ban running?", e.Path)
	case ErrPermission:
		return fmt.Sprintf("Permission denied to socket: %s, (you must be root)", e.Path)
	}
	cause := pythonSocketError(e.Err)
	if ping {
		return cause
	}
	return fmt.Sprintf("[%s] Unable to contact server. Is it running?", cause)
}

// pythonSocketError is Python's text of a socket's error.
func pythonSocketError(err error) string {
	var number syscall.Errno
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "[Errno 104] Connection reset by peer"
	case errors.As(err, &number):
		text := []byte(number.Error())
		if len(text) > 0 && text[0] >= 'a' && text[0] <= 'z' {
			text[0] -= 'a' - 'A'
		}
		return fmt.Sprintf("[Errno %d] %s", int(number), text)
	}
	return err.Error()
}

// Call sends a command and returns the value of the reply. An *Exception is
// what the server answered; a *SocketError, ErrShuttingDown and ErrProtocol
// mean that there is no answer. ctx bounds the call; after an error other than
// an *Exception the client can only be closed.
func (c *Client) Call(ctx context.Context, cmd []any) (any, error) {
	request, err := Encode(nil, cmd)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		// The past ends a read or write that is under way.
		_ = c.conn.SetDeadline(time.Unix(1, 0))
	})
	defer stop()
	if _, err := c.conn.Write(append(request, frameEnd...)); err != nil {
		return nil, c.failed(ctx, err)
	}
	reply, err := c.receive()
	if err != nil {
		if errors.Is(err, ErrPickle) || errors.Is(err, ErrFrameTooLong) {
			return nil, fmt.Errorf("%w: read reply: %w", ErrProtocol, err)
		}
		return nil, c.failed(ctx, err)
	}
	return replyValue(reply)
}

func (c *Client) failed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return socketError(c.path, err)
}

// receive reads one reply. Encode keeps the end mark out of texts; fail2ban's
// server does not, so that a reply which is cut by one is read on.
func (c *Client) receive() (any, error) {
	var whole []byte
	for range maxMarks {
		frame, err := c.frames.next()
		if err != nil {
			return nil, err
		}
		whole = append(whole, frame...)
		v, err := DecodeReply(whole, replyLimits)
		if err == nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			return v, err
		}
		whole = append(whole, frameEnd...)
	}
	return nil, ErrFrameTooLong
}

// replyValue takes (0, value) and (1, exception) apart.
func replyValue(reply any) (any, error) {
	if list, ok := reply.([]any); ok && len(list) == 1 && list[0] == "SHUTDOWN" {
		return nil, ErrShuttingDown
	}
	if text, ok := reply.(string); ok {
		return nil, fmt.Errorf("%w: %s", ErrProtocol, text)
	}
	pair, ok := reply.(Tuple)
	if !ok || len(pair) != 2 {
		return nil, fmt.Errorf("%w: no reply of fail2ban's: %.200s", ErrProtocol, Repr(reply))
	}
	switch pair[0] {
	case int64(0):
		return pair[1], nil
	case int64(1):
		if exception, ok := pair[1].(*Exception); ok {
			return nil, exception
		}
	}
	return nil, fmt.Errorf("%w: no reply of fail2ban's: %.200s", ErrProtocol, Repr(reply))
}

// CallJSON sends one of our own commands and reads its answer into result.
// args is anything that encoding/json writes; nil means none. result may be
// nil. Errors are those of Call, or the answer's that does not fit result.
func (c *Client) CallJSON(ctx context.Context, verb string, args, result any) error {
	text := []byte("{}")
	if args != nil {
		var err error
		if text, err = json.Marshal(args); err != nil {
			return fmt.Errorf("encode arguments of %s: %w", verb, err)
		}
	}
	v, err := c.Call(ctx, []any{ownVerb, verb, string(text)})
	if err != nil {
		return err
	}
	answer, ok := v.(string)
	if !ok {
		return fmt.Errorf("%w: answer to %s is no text", ErrProtocol, verb)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(answer), result); err != nil {
		return fmt.Errorf("%w: read answer to %s: %w", ErrProtocol, verb, err)
	}
	return nil
}

// Close says goodbye, as fail2ban's client does, and closes the connection. It
// does not wait for the server.
func (c *Client) Close() error {
	// A server that has gone, or takes nothing, need not hear it.
	_ = c.conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.conn.Write([]byte(frameClose + frameEnd))
	return c.conn.Close()
}
