package sources

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	inodeMask = unix.IN_MODIFY
	dirMask   = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ATTRIB |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
)

// notifier is one inotify instance. Waiting for it is how the whole source
// waits: a done context, a poke or the next sweep end the wait through the
// descriptor's deadline, so that one goroutine and no timer stand between a
// write and its reading.
type notifier struct {
	file *os.File // in the runtime's poller; of polling it is a pipe that nobody writes to
	peer *os.File // the pipe's other end
	fd   int
	buf  [64 << 10]byte
}

// event is one struct inotify_event (inotify(7)). Name is valid until the next read.
type event struct {
	wd   int32
	mask uint32
	name []byte
}

// openNotifier opens an inotify instance, or, with polling, what can be waited for alike.
func openNotifier(polling bool) (*notifier, error) {
	if polling {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("pipe: %w", err)
		}
		return &notifier{file: r, peer: w, fd: -1}, nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify_init: %w", err)
	}
	return &notifier{file: os.NewFile(uintptr(fd), "inotify"), fd: fd}, nil
}

func (n *notifier) close() {
	_ = n.file.Close()
	if n.peer != nil {
		_ = n.peer.Close()
	}
}

// interrupt ends a wait, now or the next.
func (n *notifier) interrupt() { _ = n.file.SetReadDeadline(time.Unix(1, 0)) }

// wakeAt ends a wait at the given time.
func (n *notifier) wakeAt(at time.Time) { _ = n.file.SetReadDeadline(at) }

// watchInode watches what is written to the open file.
func (n *notifier) watchInode(file rawFile) (wd int32, err error) {
	return n.watch("/proc/self/fd/"+strconv.Itoa(int(file)), inodeMask)
}

// watchDir watches names come and go.
func (n *notifier) watchDir(path string) (wd int32, err error) { return n.watch(path, dirMask) }

func (n *notifier) watch(path string, mask uint32) (int32, error) {
	if n.fd < 0 {
		return -1, nil
	}
	wd, err := unix.InotifyAddWatch(n.fd, path, mask)
	if err != nil {
		return -1, &os.PathError{Op: "inotify_add_watch", Path: path, Err: err}
	}
	return int32(wd), nil
}

// unwatch ends a watch. That it ended by itself before is no error.
func (n *notifier) unwatch(wd int32) {
	if n.fd >= 0 && wd >= 0 {
		_, _ = unix.InotifyRmWatch(n.fd, uint32(wd))
	}
}

// wait blocks until there are events, and gives them to handle, or until the
// time of wakeAt or interrupt, which it reports.
func (n *notifier) wait(handle func(event)) (woken bool, err error) {
	got, err := n.file.Read(n.buf[:])
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return true, nil
		}
		return false, fmt.Errorf("read inotify: %w", err)
	}
	each(n.buf[:got], handle)
	return false, nil
}

// poll gives handle the events that are there and does not wait.
func (n *notifier) poll(handle func(event)) {
	if n.fd < 0 {
		return
	}
	if got, err := unix.Read(n.fd, n.buf[:]); err == nil {
		each(n.buf[:got], handle)
	}
}

// each takes a read of inotify apart: wd, mask, cookie, len, name padded with NUL.
func each(buf []byte, handle func(event)) {
	for len(buf) >= unix.SizeofInotifyEvent {
		e := event{
			wd:   int32(binary.NativeEndian.Uint32(buf)),
			mask: binary.NativeEndian.Uint32(buf[4:]),
		}
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[12:]))
		if end > len(buf) {
			return
		}
		e.name, _, _ = bytes.Cut(buf[unix.SizeofInotifyEvent:end], []byte{0})
		handle(e)
		buf = buf[end:]
	}
}

// endWith makes ctx end the waits.
func (n *notifier) endWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, n.interrupt)
}
