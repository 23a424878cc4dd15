package sinks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// sendBuffer holds the largest transaction of 4,096 orders. Without
	// CAP_NET_ADMIN in the first user namespace the kernel grants only
	// net.core.wmem_max; what does not fit then is bisected.
	sendBuffer = 1 << 20
	// readBuffer is what one read may take. The kernel makes its replies to a
	// dump as large as the largest read it saw, up to 32 KiB, and walks the set
	// from the start for each: small reads make listing quadratic.
	readBuffer = 64 << 10
)

// link is one lasting connection to nf_tables. It is used by one goroutine at a time.
type link struct {
	conn   *netlink.Conn
	raw    syscall.RawConn
	portID uint32 // the kernel's name for the connection; notifications carry it
	buf    []byte
	// refuse stands in for an older kernel in tests: the error that it has for a message.
	refuse func(netlink.Message) unix.Errno
}

// dialLink connects in the network namespace that the file descriptor stands
// for; 0 is the calling thread's.
func dialLink(netns int) (*link, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("connect to nf_tables: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to nf_tables: %w", err)
	}
	// Without this an error comes with a copy of the message that caused it, up to 64 KiB.
	if err := conn.SetOption(netlink.CapAcknowledge, true); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to nf_tables: %w", err)
	}
	// Refusals are no errors here: the kernel then keeps its default sizes.
	_ = conn.SetWriteBuffer(sendBuffer)
	_ = conn.SetReadBuffer(sendBuffer)
	return &link{conn: conn, raw: raw, portID: conn.PID(), buf: make([]byte, readBuffer)}, nil
}

func (l *link) close() error { return l.conn.Close() }

// errNoAnswer: the kernel answers every transaction before sendmsg returns.
var errNoAnswer = errors.New("no answer from the kernel")

// stepError is the first message of a transaction that the kernel refused. The
// whole transaction was rolled back.
type stepError struct {
	step  step
	errno unix.Errno
}

func (e *stepError) Error() string {
	return e.step.String() + ": " + e.explain()
}

const noRight = "no right to change nf_tables (CAP_NET_ADMIN is missing)"

// elements says whether it was about elements and not what holds them.
func (e *stepError) elements() bool { return strings.Contains(e.step.verb, "elements") }

// explain says what the refusal means in words.
func (e *stepError) explain() string {
	adds := func(object string) bool { return e.step.verb == "add "+object }
	switch e.errno {
	case unix.EPERM, unix.EACCES:
		return noRight
	case unix.EEXIST:
		if adds("set") {
			return "there is a set of that name with another type, which f2bpipe did not make"
		}
	case unix.EOPNOTSUPP:
		switch {
		case e.step.verb == "":
			return "this kernel has no nf_tables"
		case adds("chain"):
			return "the kernel cannot hook it there, or there is a chain of that name with another hook or priority"
		}
	case unix.ENFILE:
		return "the set is full"
	}
	return e.errno.Error()
}

func (e *stepError) Unwrap() error { return e.errno }

// transact sends the transaction and returns when the kernel has carried it
// out whole or, with an error, not at all.
func (l *link) transact(t *tx) error {
	if len(t.msgs) == 0 {
		return nil
	}
	if l.refuse != nil {
		for i, m := range t.msgs {
			if errno := l.refuse(m); errno != 0 {
				return &stepError{step: t.steps[i], errno: errno}
			}
		}
	}
	msgs := t.batch()
	if _, err := l.conn.SendMessages(msgs); err != nil {
		return fmt.Errorf("send %d messages to nf_tables: %w", len(t.msgs), err)
	}
	// The kernel has worked on it within sendmsg: what it has to say is queued.
	var first error
	answered := false
	for {
		n, err := l.receive(unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			return fmt.Errorf("read nf_tables' answer: %w", err)
		}
		answered = true
		for header, payload := range messages(l.buf[:n]) {
			if header.Type != netlink.Error || len(payload) < 4 {
				continue
			}
			errno := unix.Errno(-int32(binary.NativeEndian.Uint32(payload)))
			if errno != 0 && first == nil {
				first = &stepError{step: t.step(header.Sequence), errno: errno}
			}
		}
	}
	if first == nil && !answered {
		return fmt.Errorf("change nf_tables: %w", errNoAnswer)
	}
	return first
}

// receive reads once; without MSG_DONTWAIT it waits.
func (l *link) receive(flags int) (n int, err error) {
	waitErr := l.raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), l.buf, flags|unix.MSG_DONTWAIT)
		return flags&unix.MSG_DONTWAIT != 0 || !errors.Is(err, unix.EAGAIN)
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return n, err
}

// errInterrupted: the ruleset changed while it was listed.
var errInterrupted = errors.New("ruleset changed while it was listed")

// dump asks for a list and calls each with the attributes of every reply,
// valid during the call. It returns errInterrupted where the list may be wrong.
func (l *link) dump(request netlink.Message, each func(attributes []byte)) error {
	request.Header.Flags = netlink.Request | netlink.Dump
	sent, err := l.conn.Send(request)
	if err != nil {
		return err
	}
	interrupted := false
	for {
		n, err := l.receive(0)
		if err != nil {
			return err
		}
		for header, payload := range messages(l.buf[:n]) {
			if header.Sequence != sent.Header.Sequence {
				continue
			}
			interrupted = interrupted || header.Flags&netlink.DumpInterrupted != 0
			switch header.Type {
			case netlink.Error, netlink.Done:
				if len(payload) >= 4 {
					if errno := -int32(binary.NativeEndian.Uint32(payload)); errno > 0 {
						return unix.Errno(errno)
					}
				}
				if interrupted {
					return errInterrupted
				}
				return nil
			default:
				if len(payload) >= genHeader {
					each(payload[genHeader:])
				}
			}
		}
	}
}

// messages yields the netlink messages of one read: header and payload.
func messages(b []byte) func(yield func(netlink.Header, []byte) bool) {
	return func(yield func(netlink.Header, []byte) bool) {
		for len(b) >= unix.NLMSG_HDRLEN {
			header := netlink.Header{
				Length:   binary.NativeEndian.Uint32(b),
				Type:     netlink.HeaderType(binary.NativeEndian.Uint16(b[4:])),
				Flags:    netlink.HeaderFlags(binary.NativeEndian.Uint16(b[6:])),
				Sequence: binary.NativeEndian.Uint32(b[8:]),
				PID:      binary.NativeEndian.Uint32(b[12:]),
			}
			size := int(header.Length)
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return
			}
			if !yield(header, b[unix.NLMSG_HDRLEN:size]) {
				return
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
}
