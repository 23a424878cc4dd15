package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ears hear of every address that comes into a set of nf_tables.
type ears struct {
	fd    int
	heard chan hearing
	lost  atomic.Bool // the kernel had more to say than could be kept
}

type hearing struct {
	addr netip.Addr
	at   time.Time
}

// listen joins the notifications of this thread's network namespace.
func listen() (*ears, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	const room = 512 << 20 // a notification takes up to a kilobyte
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTABLES); err != nil {
		return nil, fmt.Errorf("listen to nf_tables: %w", err)
	}
	e := &ears{fd: fd, heard: make(chan hearing, 1<<17)}
	go e.run()
	return e, nil
}

func (e *ears) run() {
	buf := make([]byte, 1<<17)
	for {
		n, err := unix.Read(e.fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOBUFS):
			e.lost.Store(true)
		case err != nil:
			return
		default:
			e.parse(buf[:n], time.Now())
		}
	}
}

// parse reads netlink messages (linux/netlink.h): only new elements count, and
// of those only addresses, not the ends of ranges.
func (e *ears) parse(b []byte, at time.Time) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return
		}
		if binary.NativeEndian.Uint16(b[4:]) == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSETELEM {
			elements := attribute(b[unix.NLMSG_HDRLEN+4:size], unix.NFTA_SET_ELEM_LIST_ELEMENTS)
			for elem := range attributes(elements) {
				if flags := attribute(elem, unix.NFTA_SET_ELEM_FLAGS); len(flags) == 4 && flags[3]&unix.NFT_SET_ELEM_INTERVAL_END != 0 {
					continue
				}
				key := attribute(attribute(elem, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)
				if a, ok := netip.AddrFromSlice(key); ok {
					e.heard <- hearing{a, at}
				}
			}
		}
		b = b[min(len(b), (size+3)&^3):]
	}
}

// attributes yields the values of b's attributes.
func attributes(b []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) >= 4 {
			size := int(binary.NativeEndian.Uint16(b))
			if size < 4 || size > len(b) || !yield(b[4:size]) {
				return
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
}

// attribute is the value of the first attribute of a type.
func attribute(b []byte, kind uint16) []byte {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&0x3fff == kind {
			return b[4:size]
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return nil
}

// wait returns when all addresses have been heard of, and when the last was.
func (e *ears) wait(want map[netip.Addr]bool, patience time.Duration) (last time.Time, err error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for len(want) > 0 {
		select {
		case h := <-e.heard:
			if want[h.addr] {
				delete(want, h.addr)
				last = h.at
			}
		case <-timeout.C:
			return last, fmt.Errorf("%d addresses did not come within %v (notifications lost: %v)", len(want), patience, e.lost.Load())
		}
	}
	return last, nil
}
