package sinks

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Action is what a jail's drop action says: which traffic of a banned address
// is refused, and how. The zero Action drops everything.
type Action struct {
	Ports     []PortRange // refused ports; empty: every port
	Protocols []string    // "tcp", "udp", …; empty or "all": every protocol, or tcp where there are ports
	Block     string      // [counter] drop | reject | reject with tcp reset | reject with icmp(x|v6) [type] CODE; empty: drop
	Scope     Scope       // which traffic our layout looks at
	// KillSockets ends the host's open TCP sockets of an address at its ban; the
	// rules cut the connection anyhow.
	KillSockets bool
	Classic     Classic // names and hook of fail2ban's layout
}

// Scope says which packets our layout looks at.
type Scope uint8

// The scopes.
const (
	// ScopeLocal: for this host, and what this host translates (published container ports).
	ScopeLocal Scope = iota
	// ScopeAll: transit too, traffic that this host only forwards.
	ScopeAll
)

// Classic are the parameters of fail2ban's nftables actions that name things
// and place the chain. Empty fields are fail2ban's defaults.
type Classic struct {
	Table     string // f2b-table
	Family    string // inet | ip | ip6; default inet
	Chain     string // f2b-chain
	ChainType string // filter | nat | route; default filter
	Hook      string // prerouting | input | forward | output | postrouting; default input
	Priority  string // a number; default -1
	Set4      string // addr-set-NAME
	Set6      string // addr6-set-NAME
	AllPorts  bool   // nftables-allports: protocols are matched, ports are not
}

// transports are the protocols that can be matched; those with ports have
// their destination port in the third and fourth byte.
var transports = map[string]struct {
	number   byte
	hasPorts bool
}{
	"tcp": {unix.IPPROTO_TCP, true}, "udp": {unix.IPPROTO_UDP, true}, "udplite": {unix.IPPROTO_UDPLITE, true},
	"sctp": {unix.IPPROTO_SCTP, true}, "dccp": {unix.IPPROTO_DCCP, true}, "icmp": {unix.IPPROTO_ICMP, false},
	"icmpv6": {unix.IPPROTO_ICMPV6, false}, "ipv6-icmp": {unix.IPPROTO_ICMPV6, false},
	"esp": {unix.IPPROTO_ESP, false}, "ah": {unix.IPPROTO_AH, false}, "gre": {unix.IPPROTO_GRE, false},
}

// blockKind is how a packet is refused.
type blockKind uint8

const (
	blockDrop     blockKind = iota
	blockReject             // the ICMP error of the packet's own family
	blockTCPReset           // a TCP reset; what is not TCP gets the ICMP error
)

// ICMP codes of the two families: those that "reject with icmpx" knows stand
// for both (linux/netfilter/nf_tables.h, nft_reject_icmpx).
type rejectCode struct {
	v4, v6 byte
}

var rejectCodes = map[string]rejectCode{
	"net-unreachable": {0, 0}, "no-route": {0, 0}, "host-unreachable": {1, 3}, "addr-unreachable": {1, 3},
	"prot-unreachable": {2, 4}, "port-unreachable": {3, 4}, "net-prohibited": {9, 1}, "host-prohibited": {10, 1},
	"admin-prohibited": {13, 1}, "policy-fail": {13, 5}, "reject-route": {13, 6},
}

// abstractCodes are the codes of "reject with icmpx", plus one
// (NFT_REJECT_ICMPX_*, linux/netfilter/nf_tables.h).
var abstractCodes = map[string]byte{
	"no-route": 1, "net-unreachable": 1, "port-unreachable": 2, "host-unreachable": 3, "admin-prohibited": 4,
}

// block is an Action's Block, understood.
type block struct {
	kind     blockKind
	code     rejectCode
	abstract byte // of abstractCodes: the rule names no family's error; 0: it does
	counter  bool // fail2ban's layout: the rule counts
}

// parseBlock reads a blocktype as nft's reference manual writes verdicts.
func parseBlock(s string) (block, error) {
	unreachable := block{kind: blockReject, code: rejectCodes["port-unreachable"]}
	words := strings.Fields(strings.ToLower(s))
	if len(words) > 1 && words[0] == "counter" {
		b, err := parseBlock(strings.Join(words[1:], " "))
		b.counter = true
		return b, err
	}
	switch strings.Join(words, " ") {
	case "", "drop", "deny", "blackhole":
		return block{kind: blockDrop}, nil
	case "reject":
		return unreachable, nil
	case "reject with tcp reset", "reject-tcp-reset", "reject --reject-with tcp-reset":
		return block{kind: blockTCPReset, code: unreachable.code}, nil
	}
	if len(words) < 2 || words[0] != "reject" {
		return block{}, fmt.Errorf("blocktype %q is none of drop, reject, reject with …", s)
	}
	last := strings.TrimPrefix(strings.TrimPrefix(words[len(words)-1], "icmp6-"), "icmp-")
	code, ok := rejectCodes[last]
	if !ok {
		return block{}, fmt.Errorf("blocktype %q: %q is no code of an ICMP error", s, last)
	}
	b := block{kind: blockReject, code: code}
	if strings.Contains(s, "icmpx") {
		b.abstract = abstractCodes[last]
	}
	return b, nil
}

// Check says whether the action can be expressed in nf_tables at all.
func (a *Action) Check() error {
	if _, err := a.parseMatch(); err != nil {
		return err
	}
	_, err := parseBlock(a.Block)
	return err
}

// match is the traffic that an Action refuses, understood.
type match struct {
	protocols []byte      // numbers; empty: every protocol
	ports     []PortRange // empty: every port
}

// parseMatch reads the protocols and checks that they have ports where ports are given.
func (a *Action) parseMatch() (match, error) {
	m := match{ports: a.Ports}
	for _, name := range a.Protocols {
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "all" || name == "ip" || name == "" {
			m.protocols = nil
			break
		}
		p, ok := transports[name]
		if !ok {
			return m, fmt.Errorf("protocol %q is not known", name)
		}
		if len(a.Ports) > 0 && !p.hasPorts {
			return m, fmt.Errorf("protocol %q has no ports", name)
		}
		m.protocols = append(m.protocols, p.number)
	}
	if len(m.ports) > 0 && len(m.protocols) == 0 {
		m.protocols = []byte{unix.IPPROTO_TCP}
	}
	return m, nil
}
