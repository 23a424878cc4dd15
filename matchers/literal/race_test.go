//go:build race

package literal_test

const raceEnabled = true
