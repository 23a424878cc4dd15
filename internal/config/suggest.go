package config

import (
	"io/fs"
	"math/bits"
	"path/filepath"
	"strings"
)

// didYouMean returns "did you mean X?" for the known name nearest to a
// mistyped one, or nothing where none is near; of two equally near ones the
// first in the alphabet.
func didYouMean(name string, known []string) string {
	best, distance := "", 1+max(1, min(3, len(name)/3))
	lower := strings.ToLower(name)
	letters := lettersOf(lower)
	for _, k := range known {
		if k == name || len(k) > len(name)+3 || len(name) > len(k)+3 {
			continue
		}
		folded := strings.ToLower(k)
		// Each edit brings one letter or takes one away, or both: most names need no
		// table to be told apart.
		if bits.OnesCount64(letters^lettersOf(folded)) > 2*distance {
			continue
		}
		if d := editDistance(lower, folded); d < distance || d == distance && best != "" && k < best {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// lettersOf has a bit for each byte of s, modulo 64.
func lettersOf(s string) (set uint64) {
	for i := range len(s) {
		set |= 1 << (s[i] & 63)
	}
	return set
}

// editDistance counts the letters to insert, delete, replace or swap with
// their neighbour to make b of a.
func editDistance(a, b string) int {
	var memory [3][32]int
	before, last, row := memory[0][:], memory[1][:], memory[2][:]
	if len(b) >= len(row) {
		before, last, row = make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	}
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// nearestFile returns "did you mean X?" for the filter or action whose name is
// nearest.
func (l *loader) nearestFile(dir, name string) string {
	var known []string
	for _, path := range append(l.folder(l.join(l.opt.Dir, dir), ".conf"), l.folder(l.join(l.opt.Dir, dir), ".local")...) {
		known = append(known, strings.TrimSuffix(filepath.Base(path), extension(path)))
	}
	if l.opt.Stock != nil {
		names, _ := fs.Glob(l.opt.Stock, dir+"/*.conf") // the pattern is right
		for _, n := range names {
			known = append(known, strings.TrimSuffix(filepath.Base(n), ".conf"))
		}
	}
	return didYouMean(name, known)
}
