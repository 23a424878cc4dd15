//go:build !amd64

package literal

// hasVectors says whether findAVX2 can be called.
const hasVectors = false

func findAVX2(*uint32, *byte, int, int, *nibbles, *[1 << 16]uint8) (count int, seen uint32) {
	panic("literal: no vectors on this machine")
}
