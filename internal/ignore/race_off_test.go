//go:build !race

package ignore

const raceEnabled = false
