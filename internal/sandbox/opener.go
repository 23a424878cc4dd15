package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// logFlags are how a log is opened: made where it is not there, written at its
// end, without waiting for a FIFO's reader.
const logFlags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_CLOEXEC

// Opener opens one file anew, from outside of the sandbox. Its methods are safe
// for concurrent use.
type Opener struct {
	Path string

	mu   sync.Mutex
	sock *os.File
}

// openerEnv carries the descriptor of an Opener's socket to a process begun anew.
const openerEnv = "F2BPIPE_OPENER"

// StartOpener starts the process that opens path: cmd is this program with the
// arguments that call [ServeOpener]. It ends when this process does.
func StartOpener(path string, cmd *exec.Cmd) (*Opener, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "opener"), os.NewFile(uintptr(pair[1]), "opener's end")
	defer theirs.Close()
	cmd.Stdin = theirs
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("start the log's opener: %w", err)
	}
	go func() { _ = cmd.Wait() }() // it ends by the end of its stdin
	return &Opener{Path: path, sock: ours}, nil
}

// Open opens the file. The caller closes it.
func (o *Opener) Open() (*os.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fd := int(o.sock.Fd())
	if err := unix.Sendmsg(fd, []byte{1}, nil, nil, unix.MSG_NOSIGNAL); err != nil {
		return nil, fmt.Errorf("ask for %s: %w", o.Path, err)
	}
	answer, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(fd, answer, oob, unix.MSG_CMSG_CLOEXEC)
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask for %s: %w", o.Path, err)
	case n == 0:
		return nil, fmt.Errorf("ask for %s: %w", o.Path, io.ErrUnexpectedEOF)
	case oobn == 0:
		return nil, &os.PathError{Op: "open", Path: o.Path, Err: syscall.Errno(answer[0])}
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("ask for %s: no descriptor came: %w", o.Path, errors.Join(err, io.ErrUnexpectedEOF))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("ask for %s: no descriptor came: %w", o.Path, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return os.NewFile(uintptr(fds[0]), o.Path), nil
}

// Keep hands the opener on to a process that this one becomes: the environment
// says where it is.
func (o *Opener) Keep(environ []string) []string {
	if _, err := unix.FcntlInt(o.sock.Fd(), unix.F_SETFD, 0); err != nil {
		return environ
	}
	return append(environ, fmt.Sprintf("%s=%d %s", openerEnv, o.sock.Fd(), o.Path))
}

// Kept returns the opener of the process that this one was, or nil.
func Kept() *Opener {
	var fd uintptr
	var path string
	if n, _ := fmt.Sscanf(os.Getenv(openerEnv), "%d %s", &fd, &path); n != 2 || fd < 3 {
		return nil
	}
	unix.CloseOnExec(int(fd))
	return &Opener{Path: path, sock: os.NewFile(fd, "opener")}
}

// ServeOpener is the opener's process: it opens path each time that it is asked
// on its stdin, until that ends.
func ServeOpener(path string) error {
	buf := make([]byte, 1)
	for {
		n, _, _, _, err := unix.Recvmsg(0, buf, nil, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for a request: %w", err)
		}
		if n == 0 {
			return nil
		}
		answer, rights := []byte{0}, []byte(nil)
		fd, err := unix.Open(path, logFlags, 0o600)
		var errno syscall.Errno
		switch {
		case err == nil:
			rights = unix.UnixRights(fd)
		case errors.As(err, &errno) && errno < 256:
			answer[0] = byte(errno)
		}
		err = unix.Sendmsg(0, answer, rights, nil, unix.MSG_NOSIGNAL)
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		if err != nil {
			return fmt.Errorf("hand over %s: %w", path, err)
		}
	}
}
