package sinks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// routes bans by blackhole routes: what this host sends to a banned address is
// lost, so that no connection with it comes about. It is the last resort.
type routes struct {
	conn *netlink.Conn
}

const (
	// routeProtocol marks routes as ours (rtm_protocol; 242 is nobody's).
	routeProtocol = 242
	// routeMetric6 puts an IPv6 route before those that the kernel makes.
	routeMetric6 = 1
	rtMessage    = 12 // the size of struct rtmsg
)

func newRoutes(netns int) (backend, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("connect to rtnetlink: %w", err)
	}
	return &routes{conn}, nil
}

func (r *routes) name() string { return "routes" }

func (r *routes) limits() string {
	return "nf_tables and ipset are missing: blackhole routes refuse every port, and our own connections to a banned address; what it sends still arrives"
}

// prepare finds out whether routes may be changed, by deleting one that is not there.
func (r *routes) prepare() error {
	err := r.do(unix.RTM_DELROUTE, 0, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, 255}), 32))
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

func (r *routes) apply(edits []coarseEdit, errs []error) {
	for i, e := range edits {
		errs[i] = r.route(e)
	}
}

func (r *routes) route(e coarseEdit) error {
	if e.remove {
		err := r.do(unix.RTM_DELROUTE, 0, e.prefix)
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
			err = nil
		}
		return err
	}
	err := r.do(unix.RTM_NEWROUTE, netlink.Create|netlink.Excl, e.prefix)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	ours, listErr := r.list()
	if listErr == nil && ours[e.prefix] {
		return nil
	}
	return errors.Join(listErr, fmt.Errorf("there is a route to %v already, which f2bpipe did not make", e.prefix))
}

// replace makes our routes just the additions.
func (r *routes) replace(edits []coarseEdit, errs []error) error {
	ours, err := r.list()
	if err != nil {
		return err
	}
	for i, e := range edits {
		if !ours[e.prefix] {
			errs[i] = r.route(e)
		}
		delete(ours, e.prefix)
	}
	for p := range ours {
		err = errors.Join(err, r.route(coarseEdit{prefix: p, remove: true}))
	}
	return err
}

// holds cannot be answered for less than replace does.
func (r *routes) holds() bool { return false }

func (r *routes) clear() error { return r.replace(nil, nil) }

func (r *routes) left() (bool, error) {
	ours, err := r.list()
	return len(ours) > 0, err
}

// lasts: an IPv4 route has no end.
func (r *routes) lasts() bool { return false }

func (r *routes) close() error { return r.conn.Close() }

// do adds or deletes a blackhole route of ours.
func (r *routes) do(kind uint16, flags netlink.HeaderFlags, p netip.Prefix) error {
	b := make([]byte, rtMessage, 64)
	b[0], b[1] = unix.AF_INET, byte(p.Bits())
	if p.Addr().Is6() {
		b[0] = unix.AF_INET6
	}
	b[4], b[5], b[6], b[7] = unix.RT_TABLE_MAIN, routeProtocol, unix.RT_SCOPE_UNIVERSE, unix.RTN_BLACKHOLE
	b = appendAttr(b, unix.RTA_DST, p.Addr().AsSlice())
	if p.Addr().Is6() {
		b = appendAttr(b, unix.RTA_PRIORITY, binary.NativeEndian.AppendUint32(nil, routeMetric6))
	}
	_, err := r.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request | netlink.Acknowledge | flags}, Data: b,
	})
	switch {
	case err == nil:
		return nil
	case refusedRight(err):
		return fmt.Errorf("no right to change routes (CAP_NET_ADMIN is missing): %w", err)
	}
	return fmt.Errorf("blackhole route to %v: %w", p, err)
}

// list returns the routes of ours.
func (r *routes) list() (map[netip.Prefix]bool, error) {
	ours := make(map[netip.Prefix]bool)
	for _, f := range []byte{unix.AF_INET, unix.AF_INET6} {
		b := make([]byte, rtMessage)
		b[0] = f
		replies, err := r.conn.Execute(netlink.Message{
			Header: netlink.Header{Type: unix.RTM_GETROUTE, Flags: netlink.Request | netlink.Dump}, Data: b,
		})
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, reply := range replies {
			d := reply.Data
			if len(d) < rtMessage || d[5] != routeProtocol || d[7] != unix.RTN_BLACKHOLE {
				continue
			}
			if a, ok := netip.AddrFromSlice(attr(d[rtMessage:], unix.RTA_DST)); ok {
				ours[netip.PrefixFrom(a, int(d[1]))] = true
			}
		}
	}
	return ours, nil
}
