//go:build race

package ignore

const raceEnabled = true
