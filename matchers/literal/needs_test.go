package literal_test

import (
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/matchers/literal"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// show writes needs as a|b c: a need's texts, the ones that take both cases
// of a letter with that letter in brackets.
func show(needs []literal.Need) string {
	var out []string
	for _, n := range needs {
		var texts []string
		for _, t := range n {
			var b strings.Builder
			for i := range len(t.Bytes) {
				if t.Fold[i] != 0 {
					b.WriteString("[" + t.Bytes[i:i+1] + "]")
				} else {
					b.WriteByte(t.Bytes[i])
				}
			}
			texts = append(texts, b.String())
		}
		out = append(out, strings.Join(texts, "|"))
	}
	return strings.Join(out, " & ")
}

func TestNeeds(t *testing.T) {
	f := func(pattern, want string) {
		t.Helper()
		s, err := regex.Parse(pattern, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(literal.Needs(s)); got != want {
			t.Errorf("%s: %s, want %s", pattern, got, want)
		}
	}
	f(`Failed`, "Failed")
	f(`^Failed password$`, "Failed password")
	f(`Failed (?:password|publickey) for`, "Failed password for|Failed publickey for")
	f(`a(?:b|)c?d`, "") // ad is too short
	f(`abc(?:d|)e?f`, "abcdef|abcdf|abcef|abcf")
	f(`Failed \S+ for user`, " for user & Failed ")
	f(`\w+`, "")
	f(`.*`, "")
	f(``, "")
	// Repeats.
	f(`(?:abc)?`, "")
	f(`(?:abc)*`, "")
	f(`(?:abc)*abd`, "abd")
	f(`(?:abc)+`, "abc")
	f(`(?:abc)+?`, "abc")
	f(`(?:abc){2}`, "abcabc")
	f(`(?:abc){2}def`, "abcabcdef")
	f(`(?:abc){2,}def`, "abcabc & def")
	f(`(?:abc){0}def`, "def")
	f(`(?:abc\d){3}def`, "abc & def")
	f(`x{20}`, "xxxxxxxx")
	// Alternatives.
	f(`(?:Connection|Disconnect\d)`, "Connection|Disconnect")
	f(`(?:Connection|\d)`, "")
	f(`Connection|`, "")
	f(`(?:one\d\dthree|four)`, "three|four")
	// Conditions: either part.
	f(`(a)?(?(1)bcd|efg)`, "abcd|aefg|bcd|efg") // more than can be
	f(`(a)?(?(1)bcd)`, "")
	f(`(a)?(?(1)bcd)efg`, "abcdefg|aefg|bcdefg|efg")
	// What looks and what asserts takes no room.
	f(`abc(?=def)ghi`, "abcghi")
	f(`abc(?!def)ghi`, "abcghi")
	f(`abc(?<=c)ghi`, "abcghi")
	f(`abc\b ghi`, "abc ghi")
	// Groups and backreferences.
	f(`(?P<a>abc)d(?P=a)`, "abcd")
	f(`(abc)(\1)def`, "abc & def")
	f(`(?:abc(?:def(ghi)))`, "abcdefghi")
	// Classes.
	f(`ab[cd]`, "abc|abd")
	f(`ab[cC]`, "ab[c]")
	f(`ab[^c]def`, "def")
	f(`ab[a-z]def`, "def")
	f(`abc\ddef`, "abc & def")
	f(`ab\.c`, "ab.c")
	f(`abc.def`, "abc & def")
	// Cases: i, k and s have spellings beyond ASCII.
	f(`(?i)abc`, "[a][b][c]")
	f(`(?i:Abc)D`, "[a][b][c]D")
	f(`(?i)123-abc`, "123-[a][b][c]")
	f(`(?i)failed`, "[l][e][d]")
	f(`(?i)abcsdef`, "[a][b][c] & [d][e][f]")
	f(`(?ia)abcsdef`, "[a][b][c][s][d][e][f]")
	// What is not ASCII, and line ends, divide.
	f(`abcädef`, "abc & def")
	f("abc\\ndef", "abc & def")
	f("abc\\rdef", "abc & def")
	// Sizes: products and texts are bounded.
	f(`(?:a|b)(?:a|b)(?:a|b)(?:a|b)(?:a|b)x`, strings.Join(strings.Fields(
		"aaaa aaab aaba aabb abaa abab abba abbb baaa baab baba babb bbaa bbab bbba bbbb"), "|"))
	f(strings.Repeat("abcdefgh", 6), strings.Repeat("abcdefgh", 4))
}

// TestNeedsOfAll counts the rules of which something is known: a rule without
// makes every line a candidate.
func TestNeedsOfAll(t *testing.T) {
	var without []string
	all := corpus(t)
	for _, r := range all {
		re, err := regex.Compile(r.Regex, 0)
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == "failregex" && len(literal.Needs(re.Syntax())) == 0 {
			without = append(without, r.Filter)
		}
	}
	t.Logf("%d regexes, without a need: %v", len(all), without)
	if want := "3proxy"; strings.Join(without, " ") != want {
		t.Errorf("without a need: %v, want %s", without, want)
	}
}
