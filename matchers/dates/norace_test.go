//go:build !race

package dates

// effort scales the number of lines of the long tests.
const (
	raceEnabled = false
	effort      = 10
)
