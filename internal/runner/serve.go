package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Serve answers a client's requests with an engine until in ends: the process
// behind Supervise. Commands that run then are ended.
func Serve(ctx context.Context, in io.Reader, out io.Writer, e *Engine) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &server{engine: e, out: frames{w: out}}
	defer func() {
		cancel()
		s.calls.Wait()
		_ = e.Close() // nothing of it can fail
	}()
	for {
		var r request
		if err := read(in, &r); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read a request: %w", err)
		}
		s.answer(ctx, &r)
	}
}

// maxCalls bounds the requests that wait.
const maxCalls = 10_000

type server struct {
	engine *Engine
	out    frames
	calls  sync.WaitGroup

	mu      sync.Mutex
	waiting int // calls without an answer
}

// answer begins to answer a request. To hold definitions is done at once, so
// that calls that follow meet them.
func (s *server) answer(ctx context.Context, r *request) {
	if r.Holds {
		missing, err := s.engine.Hold(ctx, r.Hold)
		s.reply(response{ID: r.ID, Missing: missing, Error: errorText(err)})
		return
	}
	if r.Call == nil {
		s.reply(response{ID: r.ID, Error: "no such request"})
		return
	}
	s.mu.Lock()
	full := s.waiting >= maxCalls
	if !full {
		s.waiting++
	}
	s.mu.Unlock()
	if full {
		s.reply(response{ID: r.ID, Error: "too many requests"})
		return
	}
	s.calls.Go(func() {
		result, err := s.engine.Run(ctx, *r.Call)
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
		s.reply(response{ID: r.ID, Result: result, Error: errorText(err)})
	})
}

// reply answers; a client that is gone is noticed where requests are read.
func (s *server) reply(r response) { _ = s.out.write(r) }

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// restartPause is the first pause before a server that ended is started again;
// it doubles up to 64 times that.
const restartPause = 100 * time.Millisecond

// Supervise starts servers, one after the other, by command (its arguments) and
// passes the frames of one client on, until the client is gone. It sees no value
// and executes nothing else. Where a server ends unasked, the client is told.
func Supervise(ctx context.Context, client io.ReadWriter, command []string, stderr io.Writer) error {
	s := &supervisor{out: frames{w: client}, began: make(chan struct{})}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var serving sync.WaitGroup
	for first := true; ; first = false {
		text, err := readRaw(client)
		if err != nil {
			cancel()
			serving.Wait()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read from the service: %w", err)
		}
		if first { // where no jail has a command, none need run
			serving.Go(func() { s.keep(ctx, command, stderr) })
			<-s.began
		}
		s.pass(text)
	}
}

type supervisor struct {
	out       frames
	beginning sync.Once
	began     chan struct{} // closed when the first server runs, or could not be started

	mu sync.Mutex
	in *frames // of the server that runs; nil: none does
}

// begin lets frames pass.
func (s *supervisor) begin() { s.beginning.Do(func() { close(s.began) }) }

// pass gives a frame to the server. Where there is none the client has been told so.
func (s *supervisor) pass(text []byte) {
	s.mu.Lock()
	in := s.in
	s.mu.Unlock()
	if in != nil {
		_ = in.writeRaw(text) // its end is noticed by its output's
	}
}

// keep has a server run until ctx is done.
func (s *supervisor) keep(ctx context.Context, command []string, stderr io.Writer) {
	pause := restartPause
	for first := true; ctx.Err() == nil; first = false {
		began := time.Now()
		err := s.once(ctx, command, stderr, first)
		s.begin()
		if ctx.Err() != nil {
			return
		}
		fmt.Fprintf(stderr, "action runner ended, it is started again: %v\n", err)
		if time.Since(began) > time.Minute {
			pause = restartPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, 64*restartPause)
	}
}

// once runs one server to its end.
func (s *supervisor) once(ctx context.Context, command []string, stderr io.Writer, first bool) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	// The end of its input is its order to stop; what it has started it ends then.
	cmd.Cancel = func() error { return stdin.Close() }
	cmd.WaitDelay = 2 * openGrace
	if err := cmd.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	s.in = &frames{w: stdin}
	s.mu.Unlock()
	s.begin()
	if !first {
		_ = s.out.write(response{Restarted: true}) // a client that is gone is noticed in Supervise
	}
	for {
		text, err := readRaw(stdout)
		if err != nil {
			break
		}
		_ = s.out.writeRaw(text)
	}
	s.mu.Lock()
	s.in = nil
	s.mu.Unlock()
	if err := cmd.Wait(); err != nil {
		return err
	}
	return errors.New("it returned")
}

// socketFD is the descriptor of the client's socket in a supervisor's process.
const socketFD = 3

// Socket returns the client's socket in the process that Spawn has started.
func Socket() *os.File { return os.NewFile(socketFD, "action runner's socket") }
