package service

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// maxFlows is how many connections the kernel may track for its list to be asked
// for: it cannot be asked for a part of it.
const maxFlows = 65_536

// flow is a connection that the kernel tracks: as its first packet was, and who
// answers.
type flow struct {
	from, to netip.AddrPort
	answers  netip.Addr // other than to: translated, such as a published port of a container
}

// flowsOf returns the TCP and UDP connections that came from a network; none
// where there is no connection tracking.
func flowsOf(netns int, from netip.Prefix) ([]flow, error) {
	text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	if err != nil {
		return nil, nil // it is not loaded
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || n > maxFlows {
		return nil, nil
	}
	// linux/netfilter/nfnetlink_conntrack.h
	const get = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	var out []flow
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if from.Addr().Is4() != (family == unix.AF_INET) {
			continue
		}
		list, err := dump(netns, unix.NETLINK_NETFILTER, netlink.HeaderType(get), []byte{family, 0, 0, 0})
		if err != nil {
			return nil, fmt.Errorf("list connections: %w", err)
		}
		for _, m := range list {
			var f flow
			attributes(m.Data, 4, func(typ uint16, v []byte) {
				switch typ {
				case 1: // CTA_TUPLE_ORIG
					f.from, f.to = tuple(v)
				case 2: // CTA_TUPLE_REPLY
					answers, _ := tuple(v)
					f.answers = answers.Addr()
				}
			})
			if f.from.IsValid() && from.Contains(f.from.Addr()) {
				out = append(out, f)
			}
		}
	}
	return out, nil
}

// tuple reads one direction of a connection.
func tuple(data []byte) (from, to netip.AddrPort) {
	var src, dst netip.Addr
	var sport, dport uint16
	attributes(data, 0, func(typ uint16, v []byte) {
		switch typ {
		case 1: // CTA_TUPLE_IP: source and destination, of IPv4 and of IPv6
			attributes(v, 0, func(typ uint16, v []byte) {
				if a, ok := netip.AddrFromSlice(v); ok && (typ == 1 || typ == 3) {
					src = a
				} else if ok && (typ == 2 || typ == 4) {
					dst = a
				}
			})
		case 2: // CTA_TUPLE_PROTO: number, source port, destination port
			attributes(v, 0, func(typ uint16, v []byte) {
				if len(v) == 2 && typ == 2 {
					sport = binary.BigEndian.Uint16(v)
				} else if len(v) == 2 && typ == 3 {
					dport = binary.BigEndian.Uint16(v)
				}
			})
		}
	})
	return netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
}
