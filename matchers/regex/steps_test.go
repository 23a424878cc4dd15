package regex

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestLastByte(t *testing.T) {
	rng := newRand(21)
	for range 20_000 {
		s := make([]byte, rng.IntN(40))
		for n := range s {
			s[n] = []byte{'a', 'b', 'a' ^ 0x80, 0, 0xff, 'a' - 1, 'a' + 1}[rng.IntN(7)]
		}
		c := []byte{'a', 0, 0xff}[rng.IntN(3)]
		if got, want := lastByte(s, c), bytes.LastIndexByte(s, c); got != want {
			t.Fatalf("last %q of %q: %d, want %d", c, s, got, want)
		}
	}
}

// ruleParts are what the rules of logs are made of, and ruleTexts texts for
// each of them: all that becomes steps, and what stands beside it.
var (
	ruleParts = []string{
		`(?:\d{1,3}\.){3}\d{1,3}`, `(?P<a%d>(?:\d{1,3}\.){3}\d{1,3})`, `(?:(?:[0-9a-f]{1,4}::?|:){1,7}[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3}|[\w.-]*\w)`,
		` `, `: `, ` from `, `authentication failure; logname=`, `a`, `(?: (?:port \d+|on \S+)){0,2}`, `(?: ssh\d*)?`, `\s*`, `\s+`, `(?:\S+\s+)?`,
		`\[?`, `\]?:?`, `(?:\[\d+\])?`, `(\w+)`, `(?P<b%d>\S+)`, `.*`, `.*?`, `[^"]*"`, `[^:]+`, `\S*`, `(?:(?! from ).)*`, `(?P<c%d>.+)`,
		`(?:error|fatal): `, `(?:a|b)?`, `[A-Z]{2}`, `[\d.]{2,5}`, `\b`, `(?<=:)`, `(?!x)`, `é+`, `\d`, `(?i:k)`, `(?:\s*,\s*\S+)*`,
	}
	ruleTexts = []string{
		`1.22.333.4`, `9.9.9.1`, `12.3.4`, `1.2.3.4567`, `٣.1.1.1`, `a:b::1`, ` `, `: `, ` from `, `authentication failure; logname=`, `a`,
		` port 12`, ` on é`, ` ssh2`, "  ", "\u2003", `[12]`, `[`, `]:`, `x1`, `"ab"`, `error: `, `fatal: `, `AB`, `é`, `K`, "\u212a", ` , y`, "\n", `:`, `.`,
	}
)

// TestRuleParts: both machines find the same for rules put together at random.
func TestRuleParts(t *testing.T) {
	rng := newRand(22)
	some := func(from []string, most int) string {
		var b strings.Builder
		for n := range 1 + rng.IntN(most) {
			b.WriteString(strings.ReplaceAll(from[rng.IntN(len(from))], "%d", string(rune('a'+n))))
		}
		return b.String()
	}
	for range ruleTries() {
		pattern := []string{"^", ""}[rng.IntN(2)] + some(ruleParts, 7) + []string{"", "$", `\s*$`, `.+$`, `(?:,|\s*$)`}[rng.IntN(5)]
		if strings.Contains(pattern, "(?P<b") && rng.IntN(3) == 0 {
			pattern = "(?:" + strings.Replace(pattern, "^", "", 1) + "|x)(?(" + firstName(pattern) + "): |$)"
		}
		re := mustCompile(t, pattern, 0)
		for range 8 {
			text := some(ruleTexts, 8) + []string{"", "\n", " \n"}[rng.IntN(3)]
			if rng.IntN(2) == 0 {
				text = sampledRule(rng, re) + text
			}
			machinesDiffer(t, re, text, 0)
		}
		if t.Failed() {
			return
		}
	}
}

// ruleTries is how many patterns TestRuleParts tries.
func ruleTries() int {
	if soak() {
		return 50_000
	}
	return 4_000
}

// firstName is the name of the first group of pattern that is called b….
func firstName(pattern string) string {
	i := strings.Index(pattern, "(?P<b")
	return pattern[i+4 : i+6]
}

// sampledRule is a text that re likely matches.
func sampledRule(rng *rand.Rand, re *Regexp) string { return sampled(rng, re.Syntax().Root) }

// TestNeed: a branch is not run where the text has no literal that it needs,
// and is where it has one.
func TestNeed(t *testing.T) {
	re := mustCompile(t, `^Failed \S+ for (?P<u>(?P<c>\S+)|[^:]+) from (?:\d{1,3}\.){3}\d{1,3}(?: port \d+)?(?: ssh\d*)?(?(c): |$)`, 0)
	if needs := re.program().needs; len(needs) != 1 || needs[0] != ": " {
		t.Errorf("needs %q", needs)
	}
	f := func(text string, group int, want string) {
		t.Helper()
		var m Machine
		caps, res := re.Search(&m, []byte(text), 0)
		if res != Match || caps[2*group] < 0 || text[caps[2*group]:caps[2*group+1]] != want {
			t.Errorf("%q: %v %v", text, caps, res)
		}
		machinesDiffer(t, re, text, 0)
	}
	f("Failed password for joe from 192.0.2.1 port 12 ssh2\n", 1, "joe")
	f("Failed password for joe from 192.0.2.1 port 12 ssh2: RSA\n", 2, "joe")
	f("Failed password for joe from x from 192.0.2.1\n", 1, "joe from x")
}
