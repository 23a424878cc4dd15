package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrServerRunning says that a live server answers on the socket.
var ErrServerRunning = errors.New("a server is running on this socket")

// Socket says where a server listens and who may connect.
type Socket struct {
	// Path of the socket, at most 107 bytes. Its folder is made with mode
	// 0700 where it is absent.
	Path string
	// GID is the group that may connect too, or 0 for the owner alone. It is
	// for the read-only socket: who may write to the other one is root.
	GID int
}

// Listen binds the socket with mode 0600 (0660 with a group). The mode is in
// force before anybody can connect. A socket on which nobody listens is
// replaced; one with a live server is left alone and the error is an
// ErrServerRunning, and what is no socket is never touched. Closing the listener
// removes the socket, unless another one stands there by then.
func (s Socket) Listen(ctx context.Context) (net.Listener, error) {
	// The folder exists before it can be locked against a second starter.
	dir := filepath.Dir(s.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of control socket: %w", err)
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	l, err := s.bind(ctx)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err = removeStale(s.Path); err == nil {
			l, err = s.bind(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	own, err := s.grant(l)
	if err != nil {
		// Nobody else can have replaced it: the folder is locked.
		return nil, errors.Join(err, l.Close(), os.Remove(s.Path))
	}
	return own, nil
}

// lockFolder keeps two starting servers from each taking the other's new
// socket for a stale one.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder of control socket: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock folder of control socket %s: %w", dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing gives the lock back
}

// bind makes the socket. On Linux the mode of the file comes from that of the
// unbound socket, so that there is no moment in which it is wider.
func (s Socket) bind(ctx context.Context) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
		var chmodErr error
		err := conn.Control(func(fd uintptr) { chmodErr = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, chmodErr)
	}}
	l, err := config.Listen(ctx, "unix", s.Path)
	if err != nil {
		return nil, fmt.Errorf("listen on control socket: %w", err)
	}
	return l.(*net.UnixListener), nil
}

// grant opens the socket to the group and wraps the listener so that closing it
// removes only its own socket.
func (s Socket) grant(l *net.UnixListener) (net.Listener, error) {
	l.SetUnlinkOnClose(false)
	if s.GID > 0 {
		if err := os.Chown(s.Path, -1, s.GID); err != nil {
			return nil, fmt.Errorf("give control socket to its group: %w", err)
		}
		if err := os.Chmod(s.Path, 0o660); err != nil {
			return nil, fmt.Errorf("open control socket to its group: %w", err)
		}
	}
	return &ownSocket{UnixListener: l, path: s.Path}, nil
}

// removeStale removes the socket when nobody listens on it.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its server has just ended
	}
	if err != nil {
		return fmt.Errorf("look at control socket: %w", err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("control socket %s: a file that is no socket stands there", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("control socket %s: %w", path, ErrServerRunning)
	}
	// Only a refusal proves that nobody listens: a full queue, for one, is life.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("control socket %s: %w (%w)", path, ErrServerRunning, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale control socket: %w", err)
	}
	return nil
}

// ownSocket removes its file on Close, unless a server lives there by then. The
// file itself would not tell: the number of a removed one is used again.
type ownSocket struct {
	*net.UnixListener
	path string
	once sync.Once
	err  error
}

// Close stops listening and removes the socket. Further calls do nothing and
// return the same.
func (o *ownSocket) Close() error {
	o.once.Do(func() {
		if o.err = o.UnixListener.Close(); o.err != nil {
			return
		}
		unlock, err := lockFolder(filepath.Dir(o.path))
		if errors.Is(err, fs.ErrNotExist) {
			return // the folder has gone with it
		}
		if err != nil {
			o.err = err
			return
		}
		defer unlock()
		if err := removeStale(o.path); !errors.Is(err, ErrServerRunning) {
			o.err = err
		}
	})
	return o.err
}
