package ignore

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// single is the place of an address by itself: fail2ban looks at those before
// everything else in its list.
const single = -1

// maxListNames is the number of DNS names that one list has room for: what is
// looked up every five minutes is bounded whatever a file says.
const maxListNames = 1000

// list is ignoreip, or a file of it, compiled. It is not changed once it is made.
type list struct {
	v4, v6  trie
	singles map[pipeline.ID]struct{} // addresses by themselves, and raw IDs
	names   []nameAt                 // what may be a DNS name
	files   []fileAt
	dropped int // names beyond maxListNames
}

type nameAt struct {
	name  string // as it is looked up
	order int32
}

type fileAt struct {
	path  string
	order int32
}

// add adds one item of ignoreip: an address, a network or a name.
func (l *list) add(item string, order int32) {
	if path, ok := strings.CutPrefix(item, "file:"); ok {
		l.files = append(l.files, fileAt{path, order})
		return
	}
	p, ok := parseNetwork(item)
	switch {
	case !ok:
		l.addText(item, order)
	case p.IsSingleIP():
		l.addSingle(pipeline.AddrID(p.Addr()))
	case p.Addr().Is4():
		l.v4.put(p, order)
	default:
		l.v6.put(p, order)
	}
}

// addText adds what is no address: an ID, and a name if it could be one.
func (l *list) addText(item string, order int32) {
	l.addSingle(pipeline.TextID(strings.Clone(item)))
	name := strings.ToLower(strings.TrimSuffix(item, "."))
	if !isName(name) {
		return
	}
	if len(l.names) >= maxListNames {
		l.dropped++
		return
	}
	l.names = append(l.names, nameAt{strings.Clone(name), order})
}

func (l *list) addSingle(id pipeline.ID) {
	if l.singles == nil {
		l.singles = make(map[pipeline.ID]struct{})
	}
	l.singles[id] = struct{}{}
}

// find returns the first place of what covers the ID, names and files apart. A
// network is covered where its address is, as in fail2ban.
func (l *list) find(id pipeline.ID) int32 {
	if len(l.singles) > 0 {
		if _, ok := l.singles[id]; ok {
			return single
		}
	}
	p, ok := id.Prefix()
	switch {
	case !ok:
		return none
	case p.Addr().Is4():
		return l.v4.find(p.Addr())
	}
	return l.v6.find(p.Addr())
}

// parseNetwork reads ADDRESS, ADDRESS/LENGTH or ADDRESS/MASK; the address may
// stand in brackets.
func parseNetwork(item string) (netip.Prefix, bool) {
	host, mask, isNet := strings.Cut(item, "/")
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}, false
	}
	a = a.WithZone("")
	length := a.BitLen()
	if isNet {
		var ok bool
		if length, ok = maskLength(mask, a); !ok {
			return netip.Prefix{}, false
		}
	}
	p, ok := pipeline.NetID(netip.PrefixFrom(a, length)).Prefix()
	return p, ok
}

// maskLength returns the length that a mask stands for: "24", "255.255.255.0", "ffff:ffff::".
func maskLength(mask string, a netip.Addr) (int, bool) {
	if n, err := strconv.Atoi(mask); err == nil {
		return n, n >= 0 && n <= a.BitLen()
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || m.BitLen() != a.BitLen() || m.Zone() != "" {
		return 0, false
	}
	b := bitsOf(m)
	n := bits128{^uint64(0), ^uint64(0)}.common(b) // its ones
	ones := netip.PrefixFrom(m, int(n)).Masked().Addr()
	return int(n), ones == m
}

// isName says whether a text could be a host name: nothing else is looked up.
func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	letter := false
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 0x80: // the resolver refuses what it does not know
			letter = true
		case c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return letter
}
