package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Reader reads one stream to its end: stdin, or a file that is not followed.
// What is there is handed on at once: a batch holds what one read returned. A
// last line without '\n' is delivered with one. Batches are never Live.
//
// A context that is done also ends a read that waits: through poll(2) where R is
// an *os.File (its flags are left alone, they are shared with whoever else has
// the descriptor), else through R's SetReadDeadline or, failing that, its Close.
// A reader that has none of them is given up only when its read returns.
type Reader struct {
	Input *pipeline.Input
	R     io.Reader
}

var _ pipeline.Source = (*Reader)(nil)

// Run reads R to its end. A context that is done is no error.
func (r *Reader) Run(ctx context.Context, feed *pipeline.Feed) error {
	read, done, err := interruptible(ctx, r.R)
	if err != nil {
		return fmt.Errorf("read %s: %w", r.Input.Name, err)
	}
	defer done()
	var (
		split  splitter
		offset int64
		size   = regularSize(r.R)
	)
	for {
		b, err := feed.Get(ctx)
		if err != nil {
			return nil
		}
		n, err := read(split.space(b))
		offset += int64(n)
		r.Input.Lag.Store(max(size-offset, 0))
		cut := split.split(b, n)
		b.End.Offset = offset - split.size
		deliver(feed, b, r.Input, int64(n), cut)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		// What was read before an error is as good as what was read before the end.
		if split.size > 0 {
			if b, err := feed.Get(ctx); err == nil {
				cut := split.finish(b)
				b.End.Offset = offset
				deliver(feed, b, r.Input, 0, cut)
			}
		}
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", r.Input.Name, err)
		}
		return nil
	}
}

// regularSize returns the size of r where it is a regular file, else 0.
func regularSize(r io.Reader) int64 {
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return info.Size()
		}
	}
	return 0
}

// interruptible returns a read that ends when ctx is done, and what to call
// after the last one.
func interruptible(ctx context.Context, r io.Reader) (read func([]byte) (int, error), done func(), err error) {
	var interrupt func()
	switch r := r.(type) {
	case *os.File:
		if r.SetReadDeadline(time.Time{}) == nil {
			interrupt = func() { _ = r.SetReadDeadline(time.Unix(1, 0)) }
			break
		}
		return pollRead(ctx, r)
	case interface{ SetReadDeadline(time.Time) error }:
		interrupt = func() { _ = r.SetReadDeadline(time.Unix(1, 0)) }
	case io.Closer:
		interrupt = func() { _ = r.Close() }
	default:
		interrupt = func() {}
	}
	stop := context.AfterFunc(ctx, interrupt)
	return r.Read, func() { stop() }, nil
}

// pollRead reads a file whose descriptor is blocking: before each read it waits
// for the file or for ctx.
func pollRead(ctx context.Context, f *os.File) (read func([]byte) (int, error), done func(), err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, nil, fmt.Errorf("eventfd: %w", err)
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	done = func() {
		if !stop() {
			<-woken // the descriptor must not be closed under its write
		}
		_ = unix.Close(wake)
	}
	read = func(p []byte) (n int, err error) {
		var pollErr error
		if err := conn.Control(func(fd uintptr) { pollErr = waitReadable(int(fd), wake) }); err != nil {
			return 0, err
		}
		if pollErr != nil {
			return 0, pollErr
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return f.Read(p)
	}
	return read, done, nil
}

// waitReadable blocks until one of the descriptors can be read from, is at its
// end or is broken.
func waitReadable(fd, wake int) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
