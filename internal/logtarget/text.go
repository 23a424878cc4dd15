package logtarget

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ID returns an ID as a line may hold it. An address or a network is not
// changed. Of anything else white space, brackets, backslashes and what cannot
// be printed are escaped, as \x20: the text of a line that recidive takes for a
// ban needs both, and an ID that is a text comes from whoever attacks.
func ID(s string) string { return escape(s, " []\\") }

// Jail returns the name of a jail as a line may hold it: as ID, but with spaces.
func Jail(s string) string { return escape(s, "[]\\") }

// Text returns any other text, such as a path, so that it stays on its line.
func Text(s string) string { return escape(s, "\\") }

// escape returns s with the characters of special and those that cannot be
// printed escaped.
func escape(s, special string) string {
	plain := true
	for _, r := range s {
		plain = plain && r != utf8.RuneError && unicode.IsPrint(r) && !strings.ContainsRune(special, r)
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1, r < utf8.RuneSelf && (!unicode.IsPrint(r) || strings.ContainsRune(special, r)):
			const hex = "0123456789abcdef"
			b.WriteString(`\x`)
			b.WriteByte(hex[s[i]>>4])
			b.WriteByte(hex[s[i]&15])
		case !unicode.IsPrint(r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}
