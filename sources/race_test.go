//go:build race

package sources

const raceEnabled = true
