package sources

import (
	"os"
	"path/filepath"
	"strings"
)

// goPattern translates a pattern of Python's glob, which fail2ban has, into
// filepath.Match's: there is no escape, [!x] negates, a '[' without end is itself.
func goPattern(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '\\':
			b.WriteString(`\\`)
		case '[':
			// A ']' that stands first is a member.
			from := i + 1
			if from < len(pattern) && pattern[from] == '!' {
				from++
			}
			if from >= len(pattern) {
				b.WriteString(`\[`)
				continue
			}
			end := strings.IndexByte(pattern[from+1:], ']')
			if end < 0 {
				b.WriteString(`\[`)
				continue
			}
			end += from + 1
			members := pattern[i+1 : end]
			b.WriteByte('[')
			if rest, negated := strings.CutPrefix(members, "!"); negated {
				b.WriteByte('^')
				members = rest
			}
			b.WriteString(strings.NewReplacer(`\`, `\\`, `]`, `\]`, `^`, `\^`).Replace(members))
			b.WriteByte(']')
			i = end
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// hasMeta says whether the pattern of Python's glob is more than a name.
func hasMeta(pattern string) bool { return strings.ContainsAny(pattern, "*?[") }

// hidden says whether the pattern has to name the leading dot of a name and does not.
func hidden(pattern, path string) bool {
	p, n := strings.Split(pattern, "/"), strings.Split(path, "/")
	for i := range n {
		if i < len(p) && strings.HasPrefix(n[i], ".") && !strings.HasPrefix(p[i], ".") {
			return true
		}
	}
	return false
}

// expand returns the names that the pattern matches now, and the directories in
// which a name that matches could appear: each that exists on the way, down to
// the one that holds the last part. A pattern without wildcards matches itself,
// whether it exists or not.
func expand(pattern string) (names, dirs []string) {
	pattern = filepath.Clean(pattern)
	meta := hasMeta(pattern)
	if !meta {
		names = []string{pattern}
	} else {
		names = visible(pattern)
	}
	for dir := filepath.Dir(pattern); ; dir = filepath.Dir(dir) {
		found := []string{dir}
		if hasMeta(dir) {
			found = visible(dir)
		} else if _, err := os.Stat(dir); err != nil {
			found = nil
		}
		dirs = append(dirs, found...)
		// What exists and has no wildcard above it needs nothing above it watched:
		// should it be moved, its own watch says so.
		if len(found) > 0 && !hasMeta(dir) || dir == filepath.Dir(dir) {
			return names, dirs
		}
	}
}

// visible is filepath.Glob for a pattern of Python's glob.
func visible(pattern string) []string {
	all, err := filepath.Glob(goPattern(pattern))
	if err != nil {
		return nil
	}
	shown := all[:0]
	for _, name := range all {
		if !hidden(pattern, name) {
			shown = append(shown, name)
		}
	}
	return shown
}

// wants says whether one of the patterns matches the path, or matches something
// below it.
func wants(patterns []string, path string) bool {
	for _, pattern := range patterns {
		for p := filepath.Clean(pattern); ; p = filepath.Dir(p) {
			if ok, err := filepath.Match(goPattern(p), path); err == nil && ok {
				return true
			}
			if p == filepath.Dir(p) {
				break
			}
		}
	}
	return false
}
