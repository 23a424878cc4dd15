package matchers

import (
	"bytes"
	"net/netip"
	"strconv"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// A Resolver gives the addresses of a host name. It is asked from the line's
// way and must not block for long; a name that has none gives none.
type Resolver interface {
	Resolve(name string) []netip.Addr
}

// addressID is the ID of a captured address, masked where a CIDR was captured
// beside it. What only looks like an address (999.1.1.1, 192.0.2.010) is kept as text.
func addressID(text, cidr []byte) pipeline.ID {
	addr, ok := parseIP4(text)
	if !ok {
		var err error
		if addr, err = netip.ParseAddr(borrowed(text)); err != nil {
			return pipeline.TextID(string(text))
		}
	}
	if len(cidr) == 0 {
		return pipeline.AddrID(addr)
	}
	bits, err := strconv.Atoi(string(cidr))
	if err != nil || bits >= addr.BitLen() {
		return pipeline.AddrID(addr)
	}
	return pipeline.NetID(netip.PrefixFrom(addr, bits))
}

// parseIP4 reads an IPv4 address in its usual form: four numbers without
// zeros in front. It is what nearly every failure has.
func parseIP4(text []byte) (addr netip.Addr, ok bool) {
	var parts [4]byte
	at, value, digits := 0, 0, 0
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9' && digits < 3 && (digits == 0 || value > 0):
			value = 10*value + int(c-'0')
			digits++
		case c == '.' && digits > 0 && value < 256 && at < 3:
			parts[at] = byte(value)
			at, value, digits = at+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if at != 3 || digits == 0 || value > 255 {
		return netip.Addr{}, false
	}
	parts[3] = byte(value)
	return netip.AddrFrom4(parts), true
}

// failureID is the ID of what <F-ID> captured: an address or a network where
// it is one, with or without brackets and with a length or a mask, else the text.
func failureID(text []byte, raw bool) pipeline.ID {
	if raw {
		return pipeline.TextID(string(text))
	}
	t := text
	if n := len(t); n > 2 && t[0] == '[' && t[n-1] == ']' {
		t = t[1 : n-1]
	}
	host, mask, slash := bytes.Cut(t, []byte("/"))
	addr, err := netip.ParseAddr(string(host))
	if err != nil || addr.Zone() != "" {
		return pipeline.TextID(string(text))
	}
	if !slash {
		return pipeline.AddrID(addr)
	}
	if bits, ok := maskBits(string(mask), addr); ok {
		return pipeline.NetID(netip.PrefixFrom(addr, bits))
	}
	return pipeline.TextID(string(text))
}

// maskBits reads a prefix length or a mask such as 255.255.255.0 or ffff::.
func maskBits(mask string, addr netip.Addr) (int, bool) {
	if bits, err := strconv.Atoi(mask); err == nil {
		return bits, bits >= 0 && bits <= addr.BitLen()
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || m.BitLen() != addr.BitLen() {
		return 0, false
	}
	bits := 0
	for zero, rest := false, m.AsSlice(); len(rest) > 0; rest = rest[1:] {
		for bit := byte(0x80); bit != 0; bit >>= 1 {
			switch set := rest[0]&bit != 0; {
			case set && zero:
				return 0, false
			case set:
				bits++
			default:
				zero = true
			}
		}
	}
	return bits, true
}
