package service

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// What the guard and the diagnosis of leaks ask the kernel: addresses, gateways
// and TCP connections of a network namespace (netns 0: the process's).

// dump asks for a list of one netlink family.
func dump(netns, family int, typ netlink.HeaderType, request []byte) ([]netlink.Message, error) {
	conn, err := netlink.Dial(family, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("connect to netlink: %w", err)
	}
	defer conn.Close()
	return conn.Execute(netlink.Message{Header: netlink.Header{Type: typ, Flags: netlink.Request | netlink.Dump}, Data: request})
}

// attribute calls f for each attribute after a message's fixed part.
func attributes(data []byte, fixed int, f func(typ uint16, value []byte)) {
	if len(data) < fixed {
		return
	}
	ad, err := netlink.NewAttributeDecoder(data[fixed:])
	if err != nil {
		return
	}
	for ad.Next() {
		f(ad.Type(), ad.Bytes())
	}
}

// ownAddrs returns the addresses of the namespace's interfaces.
func ownAddrs(netns int) ([]netip.Addr, error) {
	list, err := dump(netns, unix.NETLINK_ROUTE, unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var out []netip.Addr
	for _, m := range list {
		// On a point-to-point link ADDRESS is the peer's and LOCAL our own.
		var addr, local netip.Addr
		attributes(m.Data, unix.SizeofIfAddrmsg, func(typ uint16, v []byte) {
			a, ok := netip.AddrFromSlice(v)
			switch {
			case ok && typ == unix.IFA_ADDRESS:
				addr = a
			case ok && typ == unix.IFA_LOCAL:
				local = a
			}
		})
		if local.IsValid() {
			addr = local
		}
		if addr.IsValid() {
			out = append(out, addr.Unmap())
		}
	}
	return out, nil
}

// gateways returns the gateways of the namespace's default routes.
func gateways(netns int) ([]netip.Addr, error) {
	list, err := dump(netns, unix.NETLINK_ROUTE, unix.RTM_GETROUTE, make([]byte, unix.SizeofRtMsg))
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var out []netip.Addr
	add := func(v []byte) {
		if a, ok := netip.AddrFromSlice(v); ok && !a.IsUnspecified() {
			out = append(out, a.Unmap())
		}
	}
	for _, m := range list {
		// A struct rtmsg: family, length of the destination…, type last but one field.
		if len(m.Data) < unix.SizeofRtMsg || m.Data[1] != 0 || m.Data[7] != unix.RTN_UNICAST {
			continue
		}
		attributes(m.Data, unix.SizeofRtMsg, func(typ uint16, v []byte) {
			switch typ {
			case unix.RTA_GATEWAY:
				add(v)
			case unix.RTA_MULTIPATH:
				for len(v) >= unix.SizeofRtNexthop {
					n := int(binary.NativeEndian.Uint16(v))
					if n < unix.SizeofRtNexthop || n > len(v) {
						return
					}
					attributes(v[:n], unix.SizeofRtNexthop, func(typ uint16, v []byte) {
						if typ == unix.RTA_GATEWAY {
							add(v)
						}
					})
					v = v[min((n+3)&^3, len(v)):]
				}
			}
		})
	}
	return out, nil
}

// States of a TCP socket (net/tcp_states.h).
const (
	tcpEstablished = 1
	tcpTimeWait    = 6
	tcpListen      = 10
)

// tcpSocket is one TCP socket of the namespace.
type tcpSocket struct {
	state         uint8
	local, remote netip.AddrPort
}

// tcpSockets returns the sockets in the given states (bits).
func tcpSockets(netns int, states uint32) ([]tcpSocket, error) {
	const (
		requestSize = 56 // struct inet_diag_req_v2 (linux/inet_diag.h)
		answerSize  = 72 // struct inet_diag_msg
	)
	var out []tcpSocket
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		request := make([]byte, requestSize)
		request[0], request[1] = family, unix.IPPROTO_TCP
		binary.NativeEndian.PutUint32(request[4:], states)
		list, err := dump(netns, unix.NETLINK_SOCK_DIAG, unix.SOCK_DIAG_BY_FAMILY, request)
		if err != nil {
			return out, fmt.Errorf("list sockets: %w", err)
		}
		for _, m := range list {
			if len(m.Data) < answerSize {
				continue
			}
			addr := func(at int) netip.Addr {
				if m.Data[0] == unix.AF_INET {
					return netip.AddrFrom4([4]byte(m.Data[at : at+4]))
				}
				return netip.AddrFrom16([16]byte(m.Data[at : at+16])).Unmap()
			}
			out = append(out, tcpSocket{state: m.Data[1],
				local:  netip.AddrPortFrom(addr(8), binary.BigEndian.Uint16(m.Data[4:])),
				remote: netip.AddrPortFrom(addr(24), binary.BigEndian.Uint16(m.Data[6:]))})
		}
	}
	return out, nil
}
