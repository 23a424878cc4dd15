//go:build !amd64

package literal

// What kernels of this machine can be called.
const (
	hasVectors = false
	hasVBMI    = false
)

func (g *groups) find(*uint32, *byte, int, int, *[1 << 16]uint8) (count int, seen uint64) {
	panic("literal: no vectors on this machine")
}
