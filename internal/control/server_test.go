package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// handlerFunc is a Handler of one function.
type handlerFunc func(ctx context.Context, cmd []any) (any, error)

func (f handlerFunc) Handle(ctx context.Context, cmd []any) (any, error) { return f(ctx, cmd) }

// serve runs a server until the test ends, or until stop is called, and
// returns its socket.
func serve(t testing.TB, s *Server) (path string, stop func()) {
	t.Helper()
	s.Log = slog.New(slog.DiscardHandler)
	dir, err := os.MkdirTemp("", "f2bcontrol") // short: the path of a socket is
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "run", "s")
	ctx, cancel := context.WithCancel(context.Background())
	l, err := Socket{Path: path}.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
			t.Errorf("left in the folder: %v", left)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return path, stop
}

func call(t testing.TB, path string, words ...any) (any, error) {
	t.Helper()
	c, err := Dial(t.Context(), path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	return c.Call(t.Context(), words)
}

func TestSocketMode(t *testing.T) {
	dir := t.TempDir()
	old := syscall.Umask(0) // the mode must not depend on it
	defer syscall.Umask(old)
	s := Socket{Path: filepath.Join(dir, "made", "s")}
	mode := func(want fs.FileMode) {
		t.Helper()
		info, err := os.Lstat(s.Path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fs.ModeSocket|want {
			t.Errorf("mode %v, want %v", info.Mode(), want)
		}
	}
	l, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mode(0o600)
	if info, _ := os.Stat(filepath.Dir(s.Path)); info.Mode().Perm() != 0o700 {
		t.Errorf("folder has mode %v", info.Mode())
	}
	if _, err := s.Listen(t.Context()); !errors.Is(err, ErrServerRunning) {
		t.Errorf("second server: %v", err)
	}
	if c, err := net.Dial("unix", s.Path); err != nil {
		t.Errorf("the first one is gone: %v", err)
	} else {
		_ = c.Close()
	}
	// A stale one: the listener ends without removing its file.
	if err := l.(*ownSocket).UnixListener.Close(); err != nil {
		t.Fatal(err)
	}
	mode(0o600)
	s.GID = os.Getgid()
	if s.GID == 0 {
		s.GID = 1
	}
	second, err := s.Listen(t.Context())
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	mode(0o660)
	if info, _ := os.Lstat(s.Path); info.Sys().(*syscall.Stat_t).Gid != uint32(s.GID) {
		t.Errorf("socket has another group than %d", s.GID)
	}
	// The first listener's Close must not take the second one's socket away.
	_ = l.Close()
	mode(0o660)
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(s.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after close: %v", err)
	}
	if err := os.WriteFile(s.Path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(t.Context()); err == nil || errors.Is(err, ErrServerRunning) {
		t.Errorf("over a file: %v", err)
	}
	s.Path = filepath.Join(dir, strings.Repeat("x", 108))
	if _, err := s.Listen(t.Context()); err == nil {
		t.Error("a path that is too long: no error")
	}
}

func TestClientErrors(t *testing.T) {
	dir := t.TempDir()
	check := func(path string, want error, text, pingText string) {
		t.Helper()
		_, err := call(t, path, "ping")
		var e *SocketError
		if !errors.Is(err, want) || !errors.As(err, &e) {
			t.Fatalf("%v, want %v", err, want)
		}
		if got := e.ClientText(false); got != text {
			t.Errorf("got %s, want %s", got, text)
		}
		if got := e.ClientText(true); got != pingText {
			t.Errorf("for ping: got %s, want %s", got, pingText)
		}
	}
	none := filepath.Join(dir, "none")
	text := "Failed to access socket path: " + none + ". Is fail2ban running?"
	check(none, ErrNoSocket, text, text)

	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	check(stale, ErrNotRunning, "[[Errno 111] Connection refused] Unable to contact server. Is it running?", "[Errno 111] Connection refused")

	e := socketError("/s", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)})
	if !errors.Is(e, ErrPermission) {
		t.Errorf("%v is no ErrPermission", e)
	}
	if got := e.(*SocketError).ClientText(false); got != "Permission denied to socket: /s, (you must be root)" {
		t.Errorf("got %s", got)
	}
}

func TestReplies(t *testing.T) {
	path, _ := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, cmd []any) (any, error) {
		switch cmd[0] {
		case "unknown":
			return nil, fmt.Errorf("verb: %w", ErrorUnknownJail("x"))
		case "error":
			return nil, errors.New("plain")
		case "odd":
			return struct{}{}, nil
		}
		return cmd, nil
	})})
	f := func(want string, words ...any) {
		t.Helper()
		v, err := call(t, path, words...)
		got := Repr(v)
		if err != nil {
			got = err.Error()
			var e *Exception
			if errors.As(err, &e) {
				got = Repr(e)
			}
		}
		if got != want {
			t.Errorf("%v: got %s, want %s", words, got, want)
		}
	}
	f("['a', 1, [None, True], {'k': 0.5}]", "a", 1, []any{nil, true}, Dict{{"k", 0.5}})
	f("['text <F2B_END_COMMAND> goes on']", "text <F2B_END_COMMAND> goes on")
	f("UnknownJailException('x')", "unknown")
	f("Exception('plain')", "error")
	f("Exception('pickle: no value of Python: struct {}')", "odd")
	f("['"+strings.Repeat("x", 200_000)+"']", strings.Repeat("x", 200_000))

	// Many commands on one connection, the frames in any pieces; then a
	// command that cannot be read, a value that is no command, and the end.
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	one, _ := Encode(nil, []any{"1"})
	two, _ := Encode(nil, Tuple{"2"})
	text, _ := Encode(nil, "text")
	stream := string(one) + frameEnd + string(two) + frameEnd + "cos\nsystem\n(S'x'\ntR." + frameEnd + string(text) + frameEnd + frameClose + frameEnd
	for _, b := range []byte(stream) {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for frame := range strings.SplitSeq(strings.TrimSuffix(string(answer), frameEnd), frameEnd) {
		v, err := DecodeReply([]byte(frame), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, Repr(v))
	}
	want := []string{"(0, ['1'])", "(0, ['2'])", "'ERROR: pickle: opcode is not accepted (opcode 0x63 before offset 1)'", "(1, Exception('Invalid command'))"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestHalfFrames holds 10,000 connections that have sent half a frame, and
// others that never read: the next client is answered all the same.
func TestHalfFrames(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	path, _ := serve(t, &Server{MaxConns: 64, Handler: handlerFunc(func(_ context.Context, cmd []any) (any, error) {
		if cmd[0] == "big" {
			return big, nil
		}
		return "pong", nil
	})})
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := min(10_000, int(limit.Cur)-300)
	if testing.Short() {
		n = min(n, 1000)
	}
	request, _ := Encode(nil, []any{"big"})
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	hold := func(bytes string) {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		// The server may have closed it already, to make room.
		if _, err := c.Write([]byte(bytes)); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
	}
	for i := range n {
		if i%100 == 99 {
			hold(string(request) + frameEnd) // and never reads the reply
		} else {
			hold("\x80\x05]\x94\x8c\x04pi")
		}
		if i%1000 == 999 || i == n-1 {
			started := time.Now()
			if v, err := call(t, path, "ping"); err != nil || v != "pong" {
				t.Fatalf("after %d: %v, %v", i+1, v, err)
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Fatalf("after %d: an answer took %v", i+1, took)
			}
		}
	}
}

// TestDeadlines connects clients that do not go on: the server ends them.
func TestDeadlines(t *testing.T) {
	handled := make(chan struct{}, 1)
	ends := func(s *Server, bytes, want string) {
		t.Helper()
		unread := s.WriteTimeout > 0
		s.Handler = handlerFunc(func(context.Context, []any) (any, error) {
			handled <- struct{}{}
			return strings.Repeat("x", 4<<20), nil
		})
		path, _ := serve(t, s)
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := c.Write([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		if unread {
			// Nothing is read before the server has given up.
			<-handled
			s.conns.waitEmpty()
		}
		answer, _ := io.ReadAll(c)
		if !strings.Contains(string(answer), want) || strings.HasSuffix(string(answer), frameEnd) != strings.HasPrefix(want, "ERROR") {
			t.Errorf("%.40q: answer of %d bytes %.80q, want %q", bytes, len(answer), answer, want)
		}
	}
	const soon = 50 * time.Millisecond
	request, _ := Encode(nil, []any{"x"})
	ends(&Server{IdleTimeout: soon}, "", "")
	ends(&Server{FrameTimeout: soon}, "half", "")
	ends(&Server{WriteTimeout: soon}, string(request)+frameEnd, "xxxx")
	ends(&Server{MaxFrame: 1000}, strings.Repeat("x", 2000), "ERROR: frame is too long")
}

// waitEmpty returns when no connection is left.
func (t *connTable) waitEmpty() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.conns) > 0 {
		changed := t.changedLocked()
		t.mu.Unlock()
		<-changed
		t.mu.Lock()
	}
}

// TestBuffered sends long commands, more than the server holds at once.
func TestBuffered(t *testing.T) {
	s := &Server{MaxBuffered: 1 << 20, Handler: handlerFunc(func(context.Context, []any) (any, error) { return "ok", nil })}
	path, _ := serve(t, s)
	_, err := call(t, path, strings.Repeat("x", 2<<20))
	if err == nil || !errors.Is(err, ErrNotRunning) && !errors.Is(err, ErrProtocol) {
		t.Errorf("over the budget: %v", err)
	}
	for range 20 {
		if v, err := call(t, path, strings.Repeat("x", 400<<10)); v != "ok" {
			t.Fatalf("%v, %v", v, err)
		}
	}
	s.conns.waitEmpty()
	if n := s.buffered.Load(); n != 0 {
		t.Errorf("%d bytes are charged at the end", n)
	}
}

// TestStop stops a server while one command is carried out, one connection is
// idle, and one has sent a half frame.
func TestStop(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	path, stop := serve(t, &Server{Handler: handlerFunc(func(context.Context, []any) (any, error) {
		close(began)
		<-release
		return "done", nil
	})})
	answer := make(chan any)
	go func() {
		v, err := call(t, path, "stop")
		answer <- []any{v, err}
	}()
	<-began
	idle, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection got something")
	}
	_ = idle.Close()
	select {
	case <-stopped:
		t.Fatal("stopped before the command was answered")
	default:
	}
	close(release)
	if got := <-answer; !reflect.DeepEqual(got, []any{"done", nil}) {
		t.Errorf("got %v", got)
	}
	<-stopped
}

// TestStopForced stops a server whose handler waits for its context.
func TestStopForced(t *testing.T) {
	began := make(chan struct{})
	path, stop := serve(t, &Server{Drain: 20 * time.Millisecond, Handler: handlerFunc(func(ctx context.Context, _ []any) (any, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	})})
	failed := make(chan error)
	go func() {
		_, err := call(t, path, "hang")
		failed <- err
	}()
	<-began
	stop()
	if err := <-failed; !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

// shortListener has no descriptors left now and then.
type shortListener struct {
	net.Listener
	left int
}

func (l *shortListener) Accept() (net.Conn, error) {
	if l.left > 0 {
		l.left--
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestAcceptFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Socket{Path: path}.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &Server{Log: slog.New(slog.DiscardHandler), Handler: handlerFunc(func(context.Context, []any) (any, error) { return "ok", nil })}
	done := make(chan error)
	go func() { done <- s.Serve(ctx, &shortListener{l, 3}) }()
	if v, err := call(t, path, "x"); v != "ok" {
		t.Errorf("%v, %v", v, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// What does not pass ends the server.
	broken := errors.New("broken")
	if err := s.Serve(t.Context(), brokenListener{l, broken}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type brokenListener struct {
	net.Listener
	err error
}

func (l brokenListener) Accept() (net.Conn, error) { return nil, l.err }

// TestAllBusy fills every place with commands that are carried out: a new
// connection waits, and has its turn when one ends.
func TestAllBusy(t *testing.T) {
	release := make(chan struct{})
	var began sync.WaitGroup
	began.Add(2)
	path, _ := serve(t, &Server{MaxConns: 2, Handler: handlerFunc(func(_ context.Context, cmd []any) (any, error) {
		if cmd[0] == "hang" {
			began.Done()
			<-release
		}
		return "ok", nil
	})})
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			if v, err := call(t, path, "hang"); v != "ok" {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
	began.Wait()
	clients.Go(func() {
		if v, err := call(t, path, "ping"); v != "ok" {
			t.Errorf("%v, %v", v, err)
		}
	})
	close(release)
	clients.Wait()
}

func TestCallContext(t *testing.T) {
	path, stop := serve(t, &Server{Drain: time.Millisecond, Handler: handlerFunc(func(ctx context.Context, _ []any) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})})
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = c.Call(ctx, []any{"hang"})
	var e *SocketError
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.ClientText(true) != "timed out" {
		t.Errorf("got %v", err)
	}
	_ = c.Close()
	stop()
}

func TestNative(t *testing.T) {
	fake := newFake()
	path, _ := serve(t, &Server{Handler: &Dispatcher{Verbs: fake}})
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var answer struct {
		Args json.RawMessage `json:"args"`
	}
	if err := c.CallJSON(t.Context(), "mirror", map[string]any{"jail": "ä<F2B_END_COMMAND>"}, &answer); err != nil {
		t.Fatal(err)
	}
	var back map[string]string
	if err := json.Unmarshal(answer.Args, &back); err != nil || back["jail"] != "ä<F2B_END_COMMAND>" {
		t.Errorf("got %s, %v", answer.Args, err)
	}
	err = c.CallJSON(t.Context(), "nothing", nil, nil)
	var e *Exception
	if !errors.As(err, &e) || Repr(e) != `NameError("unknown command 'nothing'")` {
		t.Errorf("got %v", err)
	}
}
