//go:build race

package dates

// The race detector allocates, and makes everything ten times slower.
const (
	raceEnabled = true
	effort      = 1
)
