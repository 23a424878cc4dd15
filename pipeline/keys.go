package pipeline

import (
	"encoding/binary"
	"net/netip"
)

// entryKey names a jail and an ID in 24 bytes: an IPv6 address is itself, an
// IPv4 address is mapped into IPv6, a network or a text is its keyed hash. Two
// words, which travel in registers, not 16 bytes, which do not.
type entryKey struct {
	hi, lo uint64
	jail   *Jail
}

// keyOf returns the key of a jail's address.
func keyOf(j *Jail, a netip.Addr) entryKey {
	b := a.As16()
	return entryKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), j}
}

// addr returns the address that the key was made of.
func (k *entryKey) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	return netip.AddrFrom16(b)
}

// netKey names a jail and an address or a network. It is hashed and compared as
// plain memory.
type netKey struct {
	entryKey        // the network's first address
	bits     uint64 // of it as IPv6
}

func netKeyOf(j *Jail, net netip.Prefix) netKey {
	a := net.Addr()
	return netKey{keyOf(j, a), uint64(net.Bits() + 128 - a.BitLen())}
}

// banKey names a ban: one jail's, of one ID.
type banKey struct {
	jail *Jail
	id   ID
}
