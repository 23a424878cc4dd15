package sinks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A ban cuts an open connection by refusing its packets; the server's process
// then waits for its own timeout. SOCK_DESTROY (linux/sock_diag.h, Linux 4.5)
// ends its sockets at once.

const (
	sockDestroy = 21
	// A struct inet_diag_req_v2, and what an inet_diag_msg begins with
	// (linux/inet_diag.h): both hold the same identity of a socket.
	diagRequest  = 56
	diagIdentity = 48
	// States of TCP as bits: established, SYN received and those of closing.
	tcpOpen = 1<<unix.BPF_TCP_ESTABLISHED | 1<<unix.BPF_TCP_SYN_RECV | 1<<unix.BPF_TCP_FIN_WAIT1 |
		1<<unix.BPF_TCP_FIN_WAIT2 | 1<<unix.BPF_TCP_CLOSE_WAIT | 1<<unix.BPF_TCP_LAST_ACK | 1<<unix.BPF_TCP_CLOSING
)

// target is whose sockets are ended, and at which local ports.
type target struct {
	from  netip.Prefix
	ports []PortRange // empty: all
}

func (t target) hits(remote netip.Addr, port uint16) bool {
	if !t.from.Contains(remote) {
		return false
	}
	for _, r := range t.ports {
		if r.First <= port && port <= r.Last {
			return true
		}
	}
	return len(t.ports) == 0
}

// killSockets ends the TCP sockets of this network namespace that targets hit,
// and returns how many.
func killSockets(netns int, targets []target) (killed int, err error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, &netlink.Config{NetNS: netns})
	if err != nil {
		return 0, fmt.Errorf("connect to sock_diag: %w", err)
	}
	defer conn.Close()
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		request := make([]byte, diagRequest)
		request[0], request[1] = family, unix.IPPROTO_TCP
		binary.NativeEndian.PutUint32(request[4:], tcpOpen)
		sockets, err := conn.Execute(netlink.Message{
			Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump}, Data: request,
		})
		if err != nil {
			return killed, fmt.Errorf("list sockets: %w", err)
		}
		for _, socket := range sockets {
			if !hit(targets, socket.Data) {
				continue
			}
			copy(request[8:], socket.Data[4:4+diagIdentity])
			_, err := conn.Execute(netlink.Message{
				Header: netlink.Header{Type: sockDestroy, Flags: netlink.Request | netlink.Acknowledge}, Data: request,
			})
			switch {
			case err == nil:
				killed++
			case !errors.Is(err, unix.ENOENT): // it ended by itself
				return killed, fmt.Errorf("destroy a socket: %w", err)
			}
		}
	}
	return killed, nil
}

// hit says whether one of the targets is the remote end of a struct inet_diag_msg.
func hit(targets []target, diag []byte) bool {
	if len(diag) < 4+diagIdentity {
		return false
	}
	// Identity: local port, remote port, local address, remote address, interface, cookie.
	port := binary.BigEndian.Uint16(diag[4:])
	remote := netip.AddrFrom16([16]byte(diag[24:40])).Unmap()
	if diag[0] == unix.AF_INET {
		remote = netip.AddrFrom4([4]byte(diag[24:28]))
	}
	for _, t := range targets {
		if t.hits(remote, port) {
			return true
		}
	}
	return false
}

// cut ends the sockets of whom the changes have newly banned, where the jail asks for it.
func (n *NFTables) cut(changes []change) {
	var targets []target
	for _, c := range changes {
		if c.err != nil || c.edit.untilNanos == 0 || !c.set.jail.action.KillSockets {
			continue
		}
		from := netip.PrefixFrom(c.edit.first.addr(c.set.kind.width()), int(c.edit.bits))
		targets = append(targets, target{from, c.set.jail.match.ports})
	}
	n.cutter.cut(n.cfg, targets)
}

// cutter ends sockets, and says once that it cannot.
type cutter struct{ told bool }

func (c *cutter) cut(cfg Config, targets []target) {
	if len(targets) == 0 {
		return
	}
	if _, err := killSockets(cfg.NetNS, targets); err != nil && !c.told {
		c.told = true
		cfg.Log.Warn("open connections of banned addresses are not ended, only cut", "reason", err.Error())
	}
}
