package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Handler carries out one command. cmd is what the client sent: a list of plain
// values (see Decode). The value that it returns must be a plain value. An
// error that is an *Exception travels as it is, any other one as a plain
// exception with its text. Handle is called from many goroutines, and at most
// once at a time for one connection. ctx ends when the server is closed by
// force, not when the client goes away: a ban that was asked for is a ban.
type Handler interface {
	Handle(ctx context.Context, cmd []any) (any, error)
}

// Server serves a control socket. The exported fields are set before Serve and
// not changed after; zero means the default. A Server serves one listener once.
type Server struct {
	Handler Handler
	Log     *slog.Logger

	// MaxConns is how many connections are held at once; default 256. One
	// more closes the connection that has waited longest for its client, so
	// that who only holds connections keeps nobody out. While every
	// connection is in its handler, new ones wait in the kernel's queue.
	MaxConns int
	// MaxFrame is the longest command in bytes; default 8 MiB.
	MaxFrame int
	// MaxBuffered bounds the bytes of long commands that are held at once over
	// all connections; default 32 MiB.
	MaxBuffered int64
	// Limits bounds one decoded command.
	Limits Limits

	IdleTimeout  time.Duration // for the next command to begin; default 5 min
	FrameTimeout time.Duration // for a command to arrive whole; default 10 s
	WriteTimeout time.Duration // for a reply to be taken; default 10 s

	// Drain is how long commands that are being carried out may take after
	// Serve's context ended; default 60 s.
	Drain time.Duration

	conns    connTable
	running  sync.WaitGroup
	buffered atomic.Int64
	closing  atomic.Bool
}

// StatusServer returns a Server for the read-only socket. Who may connect there
// is not trusted with the service's memory: its limits fit a question, and no
// configuration.
func StatusServer(d *Dispatcher, log *slog.Logger) *Server {
	return &Server{
		Handler: d.ReadOnly(), Log: log,
		MaxConns: 64, MaxFrame: 16 << 10, MaxBuffered: 1 << 20, Limits: Limits{Values: 1024, Depth: 8},
		IdleTimeout: time.Minute,
	}
}

func (s *Server) setDefaults() {
	if s.MaxConns <= 0 {
		s.MaxConns = 256
	}
	if s.MaxFrame <= 0 {
		s.MaxFrame = 8 << 20
	}
	if s.MaxBuffered <= 0 {
		s.MaxBuffered = 32 << 20
	}
	setDefault(&s.IdleTimeout, 5*time.Minute)
	setDefault(&s.FrameTimeout, 10*time.Second)
	setDefault(&s.WriteTimeout, 10*time.Second)
	setDefault(&s.Drain, time.Minute)
	s.conns.max = s.MaxConns
}

func setDefault(d *time.Duration, usual time.Duration) {
	if *d <= 0 {
		*d = usual
	}
}

// Serve accepts connections until the listener is closed or ctx ends, which
// closes the listener, and then stops in two steps: connections that wait for
// their client are closed at once; those whose command is being carried out or
// answered end after their reply. What still runs when Drain has passed since
// ctx ended is closed by force, and the context of the handlers is cancelled.
// Serve returns when the last handler has; nil after an orderly end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.setDefaults()
	force, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	served := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-ctx.Done():
			_ = l.Close()
		case <-served:
			return
		}
		drain := time.NewTimer(s.Drain)
		defer drain.Stop()
		select {
		case <-drain.C:
			cancel()
			s.conns.closeAll()
		case <-served:
		}
	})

	err := s.accept(force, l)
	_ = l.Close() // it is, but after an error
	s.closing.Store(true)
	s.conns.closeWaiting()
	s.running.Wait()
	close(served)
	watcher.Wait()
	return err
}

// accept runs a goroutine for each connection until the listener is closed.
func (s *Server) accept(force context.Context, l net.Listener) error {
	failing := false
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil && !temporary(err):
			return fmt.Errorf("accept on control socket: %w", err)
		case err != nil:
			if !failing {
				s.Log.Warn("accept on control socket", "err", err)
			}
			failing = true
			s.makeRoom(force)
			continue
		}
		failing = false
		conn, ok := s.conns.add(c)
		if !ok {
			_ = c.Close() // closed by force while it waited for its place
			continue
		}
		s.running.Go(func() { s.serve(force, conn) })
	}
}

// temporary tells whether accepting can work again: descriptors or memory are
// short, or the client was gone before its turn.
func temporary(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// makeRoom frees a descriptor of ours, or lets time pass for others to.
func (s *Server) makeRoom(force context.Context) {
	if s.conns.evict() {
		return
	}
	pause := time.NewTimer(100 * time.Millisecond)
	defer pause.Stop()
	select {
	case <-force.Done():
	case <-pause.C:
	}
}

// serve answers the commands of one connection until it ends.
func (s *Server) serve(ctx context.Context, c *conn) {
	frames := &frameReader{
		r:   c,
		max: s.MaxFrame,
		began: func() {
			c.deadline(s.FrameTimeout)
		},
		reserve: func(n int) bool {
			if s.buffered.Add(int64(n)) <= s.MaxBuffered || n < 0 {
				return true
			}
			s.buffered.Add(-int64(n))
			return false
		},
	}
	// The memory is free before the place is.
	defer s.conns.remove(c)
	defer frames.release()
	for {
		c.deadline(s.IdleTimeout)
		payload, err := frames.next()
		if !s.conns.enter(c, handling) {
			return // closed to make room
		}
		switch {
		case err != nil && (errors.Is(err, ErrFrameTooLong) || errors.Is(err, errBusy)):
			s.refuse(c, err)
			return
		case err != nil:
			if !errors.Is(err, io.EOF) {
				s.Log.Debug("control connection ended within a command", "err", err)
			}
			return
		case string(payload) == frameClose:
			return
		}
		if !s.answer(ctx, c, payload) || !s.conns.enter(c, waiting) || s.closing.Load() {
			return
		}
	}
}

// answer carries out one command and writes the reply. It returns false where
// the connection must end.
func (s *Server) answer(ctx context.Context, c *conn, payload []byte) bool {
	reply, err := Encode(nil, s.reply(ctx, payload))
	if err != nil {
		// The handler returned what has no form in Python: its mistake, which
		// the client is told like any other.
		s.Log.Error("encode reply", "err", err)
		reply, _ = Encode(nil, Tuple{1, ErrorPlain("%s", err.Error())})
	}
	return s.conns.enter(c, writing) && s.write(c, reply)
}

// reply returns the value that answers a command.
func (s *Server) reply(ctx context.Context, payload []byte) any {
	cmd, err := Decode(payload, s.Limits)
	if err != nil {
		return "ERROR: " + err.Error()
	}
	if s.closing.Load() {
		return []any{"SHUTDOWN"}
	}
	var words []any
	switch cmd := cmd.(type) {
	case []any:
		words = cmd
	case Tuple:
		words = cmd
	default:
		return Tuple{1, ErrorPlain("Invalid command")}
	}
	v, err := s.Handler.Handle(ctx, words)
	if err == nil {
		return Tuple{0, v}
	}
	var exception *Exception
	if !errors.As(err, &exception) {
		exception = ErrorPlain("%s", err.Error())
	}
	return Tuple{1, exception}
}

// refuse tells a client why its connection ends.
func (s *Server) refuse(c *conn, reason error) {
	s.Log.Warn("control command refused", "err", reason)
	reply, err := Encode(nil, fmt.Sprintf("ERROR: %v", reason))
	if err == nil && s.conns.enter(c, writing) {
		s.write(c, reply)
	}
}

func (s *Server) write(c *conn, reply []byte) bool {
	c.deadline(s.WriteTimeout)
	if _, err := c.Write(append(reply, frameEnd...)); err != nil {
		s.Log.Debug("write reply on control socket", "err", err)
		return false
	}
	return true
}
