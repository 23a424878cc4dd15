package logtarget

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// sink is where lines go. It is used by one goroutine at a time.
type sink interface {
	// write writes records in order and returns how many the target has for
	// good; an error says why not all of them.
	write(list []record) (int, error)
	close()
}

// stream is an open stream of the process, or a writer of a test.
type stream struct {
	layout layout
	w      io.Writer
	buf    []byte
}

func (s *stream) write(list []record) (int, error) {
	for done := 0; done < len(list); {
		var n int
		s.buf, n = s.layout.block(s.buf[:0], list[done:])
		if _, err := s.w.Write(s.buf); err != nil {
			return done, err
		}
		done += n
	}
	return len(list), nil
}

func (s *stream) close() {}

// block appends as many records as make a block of some 64 KiB.
func (l layout) block(b []byte, list []record) ([]byte, int) {
	for i := range list {
		b = append(l.appendTo(b, &list[i]), '\n')
		if len(b) >= 64<<10 {
			return b, i + 1
		}
	}
	return b, len(list)
}

// file is a file that is appended to.
type file struct {
	layout layout
	path   string
	by     func(string) (*os.File, error) // nil: openFile
	f      *os.File                       // nil: not open
	buf    []byte
}

// open opens the file, which is made where it is not there. A FIFO that nobody
// reads is an error, not a wait.
func (s *file) open() error {
	if s.f != nil {
		return nil
	}
	open := s.by
	if open == nil {
		open = openFile
	}
	f, err := open(s.path)
	if err != nil {
		return err
	}
	s.f = f
	return nil
}

func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
}

func (s *file) write(list []record) (int, error) {
	if err := s.open(); err != nil {
		return 0, err
	}
	for done := 0; done < len(list); {
		var n int
		s.buf, n = s.layout.block(s.buf[:0], list[done:])
		if written, err := s.f.Write(s.buf); err != nil {
			s.takeBack(written)
			s.close() // the next try may find another file of that name
			return done, err
		}
		done += n
	}
	return len(list), nil
}

// takeBack removes the part of a block that a full disk had room for: half an
// address is another address. What cannot be cut is ended instead.
func (s *file) takeBack(written int) {
	if written == 0 {
		return
	}
	info, err := s.f.Stat()
	if err == nil && info.Mode().IsRegular() && s.f.Truncate(info.Size()-int64(written)) == nil {
		return
	}
	_, _ = s.f.WriteString(" (cut off)\n") // the write before has said what is wrong
}

func (s *file) close() {
	if s.f != nil {
		s.f.Close()
		s.f = nil
	}
}

// datagrams sends one datagram a record to a socket: syslog's or journald's.
type datagrams struct {
	path   string
	encode func(b []byte, r *record) []byte
	conn   net.Conn
	stream bool
	buf    []byte
}

func (s *datagrams) open() (err error) {
	if s.conn != nil {
		return nil
	}
	s.stream = false
	if s.conn, err = net.Dial("unixgram", s.path); errors.Is(err, unix.EPROTOTYPE) {
		s.stream = true
		s.conn, err = net.Dial("unix", s.path)
	}
	if err != nil {
		s.conn = nil // not a nil pointer in it
	}
	return err
}

func (s *datagrams) write(list []record) (int, error) {
	for i := range list {
		// A daemon that has been restarted has another socket: once more.
		err := s.send(&list[i])
		if err != nil {
			s.close()
			err = s.send(&list[i])
		}
		if errors.Is(err, unix.EMSGSIZE) {
			list[i].text = list[i].text[:min(len(list[i].text), 1024)] + " (cut off)"
			err = s.send(&list[i])
		}
		if err != nil {
			s.close()
			return i, err
		}
	}
	return len(list), nil
}

func (s *datagrams) send(r *record) error {
	if err := s.open(); err != nil {
		return err
	}
	s.buf = s.encode(s.buf[:0], r)
	_, err := s.conn.Write(s.buf)
	return err
}

func (s *datagrams) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// syslogLine encodes a record as Python's SysLogHandler does: no time, no host,
// and a NUL at the end.
func (s spec) syslogLine(b []byte, r *record) []byte {
	b = append(strconv.AppendInt(append(b, '<'), int64(s.facility<<3|r.level.priority()), 10), '>')
	return append(s.layout.appendTo(b, r), 0)
}

// journalEntry encodes a record in journald's native protocol. No value holds a
// line end.
func (s spec) journalEntry(b []byte, r *record) []byte {
	b = s.layout.appendTo(append(b, "MESSAGE="...), r)
	return fmt.Appendf(b, "\nPRIORITY=%d\nSYSLOG_IDENTIFIER=fail2ban\nSYSLOG_PID=%d\nLOGGER=%s\n", r.level.priority(), os.Getpid(), r.name)
}
