package sinks

import (
	"cmp"
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Expressions as nft writes them, so that `nft list ruleset` prints them as
// people know them.

const register = 1

// matchFamily matches packets of IPv4 or IPv6; only a table of both needs it.
func matchFamily(tb table, v4 bool) []expr.Any {
	if tb.family != nftables.TableFamilyINet {
		return nil
	}
	family := byte(unix.NFPROTO_IPV6)
	if v4 {
		family = unix.NFPROTO_IPV4
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register},
		equal(family),
	}
}

// matchSource matches packets whose source is in the set.
func matchSource(s *set) []expr.Any {
	offset, length := uint32(8), uint32(16) // in an IPv6 header
	if s.kind.v4() {
		offset, length = 12, 4
	}
	exprs := append(matchFamily(s.tb, s.kind.v4()), &expr.Payload{
		DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length,
	})
	if s.kind == prefixes6 {
		mask := network{bits: 64}.last(16)
		for i := range mask {
			mask[i] = ^mask[i]
		}
		exprs = append(exprs, &expr.Bitwise{
			SourceRegister: register, DestRegister: register, Len: 16, Mask: mask[:], Xor: make([]byte, 16),
		})
	}
	return append(exprs, &expr.Lookup{SourceRegister: register, SetName: cmp.Or(s.lookup, s.name)})
}

// equal compares the register.
func equal(data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data}
}

// matchProtocol matches a transport protocol.
func matchProtocol(protocol byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}, equal(protocol)}
}

// destination loads the destination port that the packet has now.
func destination() expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

// originalDestination loads the destination port before this host translated it.
func originalDestination() expr.Any {
	return &expr.Ct{Register: register, Key: expr.CtKeyPROTODST, Direction: expr.CtDirOriginal}
}

// matchDirection matches packets of a direction of their connection.
func matchDirection(direction byte) []expr.Any {
	return []expr.Any{&expr.Ct{Register: register, Key: expr.CtKeyDIRECTION}, equal(direction)}
}

// matchBit matches packets whose connection has a bit of its state or status.
func matchBit(key expr.CtKey, bit uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Register: register, Key: key},
		&expr.Bitwise{
			SourceRegister: register, DestRegister: register, Len: 4,
			Mask: binary.NativeEndian.AppendUint32(nil, bit), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: make([]byte, 4)},
	}
}

// matchLocal matches packets to an address of this host.
func matchLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: register, ResultADDRTYPE: true, FlagDADDR: true},
		equal(binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)...),
	}
}

// portGroups are the ports that go into one rule each: all, or without
// intervals the single ones together and each range alone.
func portGroups(ports []PortRange, intervals bool) [][]PortRange {
	if intervals || len(ports) <= 1 {
		return [][]PortRange{ports}
	}
	var groups [][]PortRange
	var single []PortRange
	for _, p := range ports {
		if p.First == p.Last {
			single = append(single, p)
		} else {
			groups = append(groups, []PortRange{p})
		}
	}
	if len(single) > 0 {
		groups = append(groups, single)
	}
	return groups
}

// matchPorts matches the loaded port: one by comparison, more by a set without
// a name that t creates for this rule.
func matchPorts(t *tx, tb table, ports []PortRange) []expr.Any {
	if len(ports) == 1 {
		if p := ports[0]; p.First != p.Last {
			return []expr.Any{
				&expr.Cmp{Op: expr.CmpOpGte, Register: register, Data: port(p.First)},
				&expr.Cmp{Op: expr.CmpOpLte, Register: register, Data: port(p.Last)},
			}
		}
		return []expr.Any{equal(port(ports[0].First)...)}
	}
	const name = "__set%d" // the kernel fills in the number
	flags := uint32(unix.NFT_SET_ANONYMOUS | unix.NFT_SET_CONSTANT)
	for _, p := range ports {
		if p.First != p.Last {
			flags |= unix.NFT_SET_INTERVAL
		}
	}
	id := t.addSet(tb, name, flags, nftables.TypeInetService)
	list := &elementList{t: t, tb: tb, set: name, setID: id, kind: unix.NFT_MSG_NEWSETELEM, keyLen: 2}
	for _, p := range ports {
		var first, after key
		binary.BigEndian.PutUint16(first[:], p.First)
		list.add(element{key: first})
		if flags&unix.NFT_SET_INTERVAL != 0 && p.Last < 65535 {
			binary.BigEndian.PutUint16(after[:], p.Last+1)
			list.add(element{key: after, end: true})
		}
	}
	list.close()
	return []expr.Any{&expr.Lookup{SourceRegister: register, SetName: name, SetID: id}}
}

func port(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

// verdict ends a rule.
func verdict(kind expr.VerdictKind, chain string) expr.Any {
	return &expr.Verdict{Kind: kind, Chain: chain}
}

// refuse is the statement of a block for packets of one family.
func (b block) refuse(v4 bool) expr.Any {
	switch b.kind {
	case blockTCPReset:
		return &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}
	case blockReject:
		if b.abstract != 0 {
			return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: b.abstract - 1}
		}
		code := b.code.v6
		if v4 {
			code = b.code.v4
		}
		return &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: code}
	}
	return verdict(expr.VerdictDrop, "")
}
