package config

import (
	"os"
	"slices"
	"strings"
)

// maxMatches bounds the files of one pattern.
const maxMatches = 100_000

// IsPattern says whether the path has wildcards.
func (p LogPath) IsPattern() bool { return hasWildcard(p.Pattern.Text) }

// Expand returns the files that there are now, sorted. A link that leads
// nowhere is not among them.
func (p LogPath) Expand() []string { return glob(p.Pattern.Text) }

// Match says whether a path belongs to the pattern, be there such a file or not.
func (p LogPath) Match(path string) bool {
	pattern, names := strings.Split(p.Pattern.Text, "/"), strings.Split(path, "/")
	if len(pattern) != len(names) {
		return false
	}
	for i := range pattern {
		if hidden := strings.HasPrefix(names[i], ".") && !strings.HasPrefix(pattern[i], "."); hidden || !matchName(pattern[i], names[i]) {
			return false
		}
	}
	return true
}

func hasWildcard(s string) bool { return strings.ContainsAny(s, "*?[") }

// glob is Python's glob.glob: * ? [a-z] [!a-z], never a slash, and no file
// that starts with a dot unless the pattern does; ** means no more than *.
func glob(pattern string) []string {
	if pattern == "" {
		return nil
	}
	paths := []string{""}
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		var next []string
		for _, dir := range paths {
			prefix := dir
			if i > 0 {
				prefix += "/"
			}
			if !hasWildcard(part) {
				next = append(next, prefix+part)
				continue
			}
			next = append(next, matching(prefix, part)...)
			if len(next) > maxMatches {
				next = next[:maxMatches]
				break
			}
		}
		paths = next
	}
	paths = slices.DeleteFunc(paths, func(path string) bool {
		_, err := os.Stat(path)
		return err != nil
	})
	slices.Sort(paths)
	return paths
}

// matching returns what in the folder prefix (which ends in a slash, or is
// empty for the current one) matches one part of a pattern.
func matching(prefix, part string) []string {
	folder := prefix
	if folder == "" {
		folder = "."
	}
	entries, _ := os.ReadDir(folder) // absent, unreadable or a file: nothing matches
	var out []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") && !strings.HasPrefix(part, ".") {
			continue
		}
		if matchName(part, name) {
			out = append(out, prefix+name)
		}
	}
	return out
}

// matchName matches one name without slashes. After a star it goes back only
// to the last star, so that its time is at most len(pattern)·len(name).
func matchName(pattern, name string) bool {
	p, n := []rune(pattern), []rune(name)
	star, restart := -1, 0
	i, j := 0, 0
	for j < len(n) {
		if i < len(p) && p[i] == '*' {
			star, restart = i, j
			i++
			continue
		}
		if i < len(p) {
			if next, ok := matchOne(p, i, n[j]); ok {
				i, j = next, j+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		restart++
		i, j = star+1, restart
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// matchOne matches one character against the pattern's element at i and
// returns where the next one starts.
func matchOne(p []rune, i int, c rune) (next int, ok bool) {
	switch p[i] {
	case '?':
		return i + 1, true
	case '[':
		if end, in := matchSet(p, i, c); end > 0 {
			return end, in
		}
	}
	return i + 1, p[i] == c
}

// matchSet matches [set] or [!set] at i; end is 0 where the bracket is not
// closed and stands for itself.
func matchSet(p []rune, i int, c rune) (end int, ok bool) {
	start := i + 1
	negated := start < len(p) && p[start] == '!'
	if negated {
		start++
	}
	j := start
	if j < len(p) && p[j] == ']' { // the first one is a member
		j++
	}
	for j < len(p) && p[j] != ']' {
		j++
	}
	if j >= len(p) {
		return 0, false
	}
	in := false
	for k := start; k < j; k++ {
		if k+2 < j && p[k+1] == '-' {
			in = in || p[k] <= c && c <= p[k+2]
			k += 2
			continue
		}
		in = in || p[k] == c
	}
	return j + 1, in != negated
}
