package literal

import "golang.org/x/sys/cpu"

// hasVectors says whether findAVX2 can be called.
var hasVectors = cpu.X86.HasAVX2

// findAVX2 writes the places from <= p < to of data whose windows pass the
// nibbles and whose hashes are known to dst, in order, and returns their number. It may
// write one place more, which is not counted. seen is not 0 where a byte of
// data[from:to] has its top bit set. to-from is a multiple of vector, and
// data[from:to+window-1] is read.
//
//go:noescape
func findAVX2(dst *uint32, data *byte, from, to int, n *nibbles, known *[1 << 16]uint8) (count int, seen uint32)
