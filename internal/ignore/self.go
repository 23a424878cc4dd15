package ignore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// selfPoll is how often the machine's addresses are read where the kernel does
// not tell of changes.
const selfPoll = 5 * time.Second

// interfaceAddrs returns the addresses of all interfaces.
func interfaceAddrs() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("read own addresses: %w", err)
	}
	var out []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out, nil
}

// followAddresses calls changed after the machine's addresses have changed,
// until ctx is done: when the kernel says so (rtnetlink(7)), else every five seconds.
func followAddresses(ctx context.Context, changed func()) {
	listenAddresses(ctx, changed)
	pollAddresses(ctx, changed)
}

// listenAddresses does it while the kernel tells.
func listenAddresses(ctx context.Context, changed func()) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{
		Groups: 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1),
	})
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	// A full buffer has lost messages: that is a change too. And at the start
	// nobody has told of what came before.
	for err == nil || errors.Is(err, unix.ENOBUFS) {
		changed()
		_, err = conn.Receive()
	}
	if stop() {
		_ = conn.Close()
	}
}

// pollAddresses does it by time.
func pollAddresses(ctx context.Context, changed func()) {
	tick := time.NewTicker(selfPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			changed()
		case <-ctx.Done():
			return
		}
	}
}
