package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	frameEnd   = "<F2B_END_COMMAND>"
	frameClose = "<F2B_CLOSE_COMMAND>"
)

// ErrFrameTooLong says that a frame has more bytes than its reader accepts.
var ErrFrameTooLong = errors.New("frame is too long")

// errBusy says that all memory for long frames is taken.
var errBusy = errors.New("too many long commands at once")

// freeFrame is how many bytes of a frame are not charged to the reader's
// budget.
const freeFrame = 16 << 10

// frameReader cuts a stream into frames. A frame ends at the first
// "<F2B_END_COMMAND>", wherever that stands: the protocol has no escape.
type frameReader struct {
	r   io.Reader
	max int

	// began is called, where set, when the first byte of a frame is there.
	began func()
	// reserve is called, where set, with the bytes by which the buffer
	// outgrows freeFrame, and with a negative number when they are free again.
	// False refuses.
	reserve func(n int) bool

	buf      []byte // what was read
	off      int    // of buf: where the frame begins that is to be returned next
	charged  int    // bytes of buf's capacity that reserve knows of
	reported bool   // began was called for the frame that is being read
}

// next returns the payload of the next frame, without the end mark. It is valid
// until the following call. io.EOF means that the stream ended between frames,
// io.ErrUnexpectedEOF that it ended within one.
func (f *frameReader) next() ([]byte, error) {
	f.shrink()
	searched := f.off // before it no end mark begins
	for {
		if len(f.buf) > f.off && !f.reported {
			f.reported = true
			if f.began != nil {
				f.began()
			}
		}
		if i := bytes.Index(f.buf[searched:], []byte(frameEnd)); i >= 0 {
			payload := f.buf[f.off : searched+i]
			f.off = searched + i + len(frameEnd)
			f.reported = false
			if len(payload) > f.max {
				return nil, fmt.Errorf("%w: over %d bytes", ErrFrameTooLong, f.max)
			}
			return payload, nil
		}
		if len(f.buf)-f.off > f.max+len(frameEnd) {
			return nil, fmt.Errorf("%w: over %d bytes", ErrFrameTooLong, f.max)
		}
		read := len(f.buf) - f.off
		if err := f.fill(); err != nil {
			if errors.Is(err, io.EOF) && read > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		searched = f.off + max(0, read-len(frameEnd)+1)
	}
}

// shrink gives a buffer back that has grown for a long frame.
func (f *frameReader) shrink() {
	if rest := f.buf[f.off:]; f.charged > 0 && len(rest) <= freeFrame {
		f.buf = append([]byte(nil), rest...)
		f.off = 0
		f.release()
	}
}

// release gives back what the buffer was charged.
func (f *frameReader) release() {
	if f.charged > 0 {
		f.reserve(-f.charged)
		f.charged = 0
	}
}

// fill reads once. A read that returns nothing is repeated by the caller.
func (f *frameReader) fill() error {
	if len(f.buf) == cap(f.buf) {
		if err := f.makeRoom(); err != nil {
			return err
		}
	}
	n, err := f.r.Read(f.buf[len(f.buf):cap(f.buf)])
	f.buf = f.buf[:len(f.buf)+n]
	if n > 0 {
		return nil
	}
	return err
}

// makeRoom moves the frame that is being read to the front, or into a buffer
// of twice the size where that would free less than half.
func (f *frameReader) makeRoom() error {
	rest := f.buf[f.off:]
	if len(rest) <= cap(f.buf)/2 && cap(f.buf) > 0 {
		f.buf = f.buf[:copy(f.buf[:cap(f.buf)], rest)]
		f.off = 0
		return nil
	}
	size := max(512, 2*cap(f.buf))
	if over := size - freeFrame; over > f.charged && f.reserve != nil {
		if !f.reserve(over - f.charged) {
			return errBusy
		}
		f.charged = over
	}
	f.buf = append(make([]byte, 0, size), rest...)
	f.off = 0
	return nil
}
