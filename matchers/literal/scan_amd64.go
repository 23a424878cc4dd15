package literal

import "golang.org/x/sys/cpu"

// What kernels of this machine can be called.
var (
	hasVectors = cpu.X86.HasAVX2
	hasVBMI    = cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VBMI
)

// find writes the places from <= p < to of data whose windows pass the groups and
// whose hashes are known to dst, in order, and returns their number. It may
// write one place more, which is not counted. seen is not 0 where a byte of
// data[from:to] has its top bit set. to-from is a multiple of vector, and
// data[from:to+window-1] is read.
func (g *groups) find(dst *uint32, data *byte, from, to int, known *[1 << 16]uint8) (count int, seen uint64) {
	switch g.kernel {
	case bytes8:
		return findBytes8(dst, data, from, to, &g.bytes, known)
	case nibbles16:
		return findNibbles16(dst, data, from, to, &g.lo, &g.hi, known)
	}
	return findNibbles8(dst, data, from, to, &g.lo, &g.hi, known)
}

//go:noescape
func findNibbles8(dst *uint32, data *byte, from, to int, lo, hi *[window][2][16]uint8, known *[1 << 16]uint8) (count int, seen uint64)

//go:noescape
func findNibbles16(dst *uint32, data *byte, from, to int, lo, hi *[window][2][16]uint8, known *[1 << 16]uint8) (count int, seen uint64)

//go:noescape
func findBytes8(dst *uint32, data *byte, from, to int, bytes *[window][128]uint8, known *[1 << 16]uint8) (count int, seen uint64)
