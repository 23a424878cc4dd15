package regex

import (
	"fmt"
	"strings"
	"testing"
)

// linearCase is a pattern that takes a backtracker exponential or quadratic
// time, and a text to take it on: head, unit repeated, tail.
type linearCase struct {
	name, pattern    string
	head, unit, tail string
	match            bool
}

var linearCases = []linearCase{
	{"nested-plus", `^(a+)+$`, "", "a", "b\n", false},
	{"star-star-x", `(.*)*x`, "", "a", "\n", false},
	{"same-branches", `(a|a)*b`, "", "a", "\n", false},
	{"same-branches-end", `^(a|a)*$`, "", "a", "b\n", false},
	{"plus-plus-y", `(x+x+)+y`, "", "x", "\n", false},
	{"three-classes", `^(([a-z])+.)+[A-Z]([a-z])+$`, "", "a", "\n", false},
	{"lookahead-branch", `^(?:(?!b)a|aa)*c`, "", "a", "\n", false},
	{"lookahead-far", `(?:(?=.*y)a)*z`, "", "a", "y\n", false},
	{"lookahead-far-negative", `(?:(?!.*y)a)*z`, "", "a", "x\n", false},
	{"structured-data", `^(?:[^\]"]*|"[^"]*")*\]`, "[", "a", "\n", false},
	{"lazy-in-star", `^(?:.*?,)*?$`, "", "a,", "x\n", false},
	{"tempered", `(?:(?:(?! from ).)*)$x`, "", " fro", "\n", false},
	{"space-runs", `\s+x`, "", " ", "y\n", false},
	{"word-runs", `\w+\s*:\w+$`, "", "ab", "\n", false},
	{"counted", `(?:\d{1,3}\.?)+x`, "", "1", "\n", false},
	{"optional-words", `^(?:\S+\s+)?(?:\S+\s+)?(?:\S+ ?)*!$`, "", "ab ", "\n", false},
	{"conditional", `^(?:(a)|b)*(?(1)c|d)$`, "", "ab", "x\n", false},
	{"nullable-bounds", `^(?:a*b*){0,4}$`, "", "ab", "x\n", false},
	{"far-match", `(.*)*x`, "", "a", "x\n", true},
}

// text returns a text of about n bytes.
func (c linearCase) text(n int) []byte {
	return []byte(c.head + strings.Repeat(c.unit, n/len(c.unit)) + c.tail)
}

// steps runs the memoised machine and returns its steps a byte.
func (c linearCase) steps(t *testing.T, re *Regexp, m *Machine, n int) float64 {
	t.Helper()
	text := c.text(n)
	if _, res := re.SearchSlow(m, text, 0); (res == Match) != c.match || res == TooComplex {
		t.Fatalf("%s: %v of %d bytes", c.pattern, res, len(text))
	}
	return float64(m.steps) / float64(len(text))
}

func TestLinearSteps(t *testing.T) {
	for _, c := range linearCases {
		t.Run(c.name, func(t *testing.T) {
			re := mustCompile(t, c.pattern, 0)
			var m Machine
			small, large := c.steps(t, re, &m, 1_000), c.steps(t, re, &m, 64_000)
			if large > small*1.1+0.5 || large > 60 {
				t.Errorf("%.1f steps a byte at 1,000 bytes, %.1f at 64,000", small, large)
			}
			text := c.text(64_000)
			if _, res := re.Search(&m, text, 0); (res == Match) != c.match || res == TooComplex {
				t.Errorf("fast: %v", res)
			}
			// All that the fast machine can spend before it gives up.
			if used := fuelFor(len(text)) - m.fuel; used > backCost*(3*len(text)+4096) {
				t.Errorf("fast machine: %d units of fuel over %d bytes", used, len(text))
			}
		})
	}
}

// TestCorpusLinear pumps every rule of fail2ban's: no text of 16 KiB may cost
// more than a bounded number of steps a byte, nor end as too complex but with
// a backreference.
func TestCorpusLinear(t *testing.T) {
	var m Machine
	worst, worstPattern := 0.0, ""
	for n, r := range corpus(t) {
		if !soak() && n%16 != 0 {
			continue
		}
		re := mustCompile(t, r.Regex, 0)
		for _, unit := range []string{"a", "1", " ", "[", `"`, ": ", "a.", "a ", "1.", "::", "]:", "x=\"", "192.0.2.1 ", "<a> "} {
			text := []byte(strings.Repeat(unit, 16<<10/len(unit)) + "\n")
			_, res := re.Search(&m, text, 0)
			if res == TooComplex && !re.slow().noMemo {
				t.Errorf("%q: too complex for %q repeated", r.Regex, unit)
			}
			if re.slow().noMemo {
				continue
			}
			re.SearchSlow(&m, text, 0)
			if s := float64(m.steps) / float64(len(text)); s > worst {
				worst, worstPattern = s, fmt.Sprintf("%q on %q", r.Regex, unit)
			}
		}
	}
	t.Logf("at most %.1f steps a byte: %s", worst, worstPattern)
	if worst > 300 {
		t.Errorf("%.1f steps a byte: %s", worst, worstPattern)
	}
}

func TestTooComplex(t *testing.T) {
	var m Machine
	re := mustCompile(t, `^(?:(a+)|\1)*(\1)b$`, 0)
	text := []byte(strings.Repeat("a", 4000) + "\n")
	if _, res := re.Search(&m, text, 0); res != TooComplex || re.TooComplexCount() != 1 {
		t.Errorf("backreference: %v, count %d", res, re.TooComplexCount())
	}
	if m.steps > budgetNoMemo+1 {
		t.Errorf("%d steps", m.steps)
	}
	// More states than the memo may hold.
	re = mustCompile(t, `^(?:(?:a|aa|b){500}|(?:a|ab){500})*\b\B`, 0)
	text = []byte(strings.Repeat("a", 200_000) + "c\n")
	if _, res := re.Search(&m, text, 0); res != TooComplex || re.TooComplexCount() != 1 {
		t.Errorf("large: %v, count %d", res, re.TooComplexCount())
	}
	if n := cap(m.visited) + cap(m.success); n > maxMemo {
		t.Errorf("memo has %d words", n)
	}
	// The machine is as good as new.
	re = mustCompile(t, `a+c`, 0)
	if caps, res := re.Search(&m, text, 0); res != Match || caps[1] != 200_001 {
		t.Errorf("after it: %v %v", caps, res)
	}
}

func TestSearchAllocatesNothing(t *testing.T) {
	var m Machine
	type search struct {
		re   *Regexp
		text []byte
	}
	var all []search
	for _, c := range benchCases {
		all = append(all, search{c.find(t, &m), []byte(c.line)})
	}
	for _, c := range linearCases {
		all = append(all, search{mustCompile(t, c.pattern, 0), c.text(2_000)})
	}
	for _, s := range all {
		once := func() {
			s.re.Search(&m, s.text, 0)
			s.re.SearchSlow(&m, s.text, 0)
		}
		once()
		if n := testing.AllocsPerRun(5, once); n != 0 {
			t.Errorf("%q: %v allocations", s.re, n)
		}
	}
}

// mustCompile compiles a pattern that is right.
func mustCompile(t testing.TB, pattern string, flags Flags) *Regexp {
	t.Helper()
	re, err := Compile(pattern, flags)
	if err != nil {
		t.Fatalf("%q: %v", pattern, err)
	}
	return re
}

// go test -run '^$' -bench Linear ./matchers/regex
func BenchmarkLinear(b *testing.B) {
	for _, c := range linearCases {
		for _, n := range []int{1_000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("pattern=%s/n=%d", c.name, n), func(b *testing.B) {
				re := mustCompile(b, c.pattern, 0)
				text := c.text(n)
				var m Machine
				b.ReportAllocs()
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					re.Search(&m, text, 0)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(text)), "ns/byte")
			})
		}
	}
}
