package regex

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// soak says that the long tests run whole: F2BPIPE_SOAK=1.
func soak() bool { return os.Getenv("F2BPIPE_SOAK") == "1" }

// newRand returns the generator of a test. F2BPIPE_SEED, a number, makes it another.
func newRand(stream uint64) *rand.Rand {
	seed, _ := strconv.ParseUint(os.Getenv("F2BPIPE_SEED"), 10, 64)
	return rand.New(rand.NewPCG(seed, stream))
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// constructs are those that the soak must have met, each in 1,000 cases.
var constructs = []string{"literal", "set", "dot", "non-ascii", "folded", "group", "named", "alternation", "empty alternative",
	"*", "+", "?", "{n}", "{n,m}", "lazy", "possessive", "loop in loop", "loop over nullable", "nullable {n,m}", "atomic",
	"lookahead", "negative lookahead", "lookbehind", "negative lookbehind", "group in lookahead", "conditional", "backreference",
	"tempered dot", "^", "$", `\Z`, `\b`, `\B`, "^ multiline", "$ multiline", "scoped flags", "leading flags", "comment"}

// constructsOf names the constructs of a pattern.
func constructsOf(syn *Syntax) map[string]bool {
	has := map[string]bool{}
	has["scoped flags"] = strings.Contains(syn.Pattern, "(?i:") || strings.Contains(syn.Pattern, "(?s:") || strings.Contains(syn.Pattern, "(?-i:")
	has["leading flags"] = strings.HasPrefix(syn.Pattern, "(?i") || strings.HasPrefix(syn.Pattern, "(?m")
	has["comment"] = strings.Contains(syn.Pattern, "(?#")
	syn.Root.Walk(func(n *Node) bool {
		switch n.Kind {
		case KindLiteral:
			has["literal"] = true
			has["folded"] = has["folded"] || n.Fold != FoldNone
			has["non-ascii"] = has["non-ascii"] || n.Runes[0] >= 0x80
		case KindClass:
			has["dot"] = has["dot"] || len(n.Class.Ranges) > 0 && &n.Class.Ranges[0] == &dotRanges[0]
			has["set"] = true
		case KindAlternate:
			has["alternation"] = true
			for _, s := range n.Subs {
				has["empty alternative"] = has["empty alternative"] || s.Kind == KindEmpty
			}
		case KindGroup:
			has[pick(n.Name != "", "named", "group")] = true
		case KindAtomic:
			has["atomic"] = true
		case KindCond:
			has["conditional"] = true
		case KindBackref:
			has["backreference"] = true
		case KindLook:
			has[pick(n.Negate, "negative ", "")+pick(n.Behind, "lookbehind", "lookahead")] = true
			has["group in lookahead"] = has["group in lookahead"] || !n.Negate && hasGroups(n.Subs[0])
		case KindAssert:
			names := map[Assert]string{BeginText: "^", BeginLine: "^ multiline", EndText: `\Z`, EndBeforeLine: "$", EndLine: "$ multiline",
				WordBoundary: `\b`, NoWordBoundary: `\B`}
			has[names[n.Assert]] = true
		case KindRepeat:
			repeatConstructs(n, has)
		}
		return true
	})
	return has
}

// repeatConstructs names what a repeat is.
func repeatConstructs(n *Node, has map[string]bool) {
	switch {
	case n.Min == 0 && n.Max == 1:
		has["?"] = true
	case n.Min == 0 && n.Max < 0:
		has["*"] = true
	case n.Min == 1 && n.Max < 0:
		has["+"] = true
	case n.Min == n.Max:
		has["{n}"] = true
	default:
		has["{n,m}"] = true
	}
	has["lazy"] = has["lazy"] || n.Mode == Lazy
	has["possessive"] = has["possessive"] || n.Mode == Possessive
	if canBeEmpty(n.Subs[0]) {
		has[pick(n.Max < 0, "loop over nullable", "nullable {n,m}")] = true
	}
	n.Subs[0].Walk(func(s *Node) bool {
		has["loop in loop"] = has["loop in loop"] || s.Kind == KindRepeat && s.Max < 0 && n.Max < 0
		return true
	})
	c := n.Subs[0]
	has["tempered dot"] = has["tempered dot"] || c.Kind == KindConcat && c.Subs[0].Kind == KindLook && c.Subs[0].Negate
}

// cpythonBug says that a pattern has what CPython 3.11.2 gets wrong: a
// possessive repeat of more than one code point, or a class within (?a:…) at
// the start, which its search (not its match) takes as Unicode's.
func cpythonBug(syn *Syntax) bool {
	first := syn.Root
	for first.Kind == KindConcat || first.Kind == KindGroup {
		first = first.Subs[0]
	}
	found := first.Kind == KindClass && strings.Contains(syn.Pattern, "(?a:")
	syn.Root.Walk(func(n *Node) bool {
		found = found || n.Kind == KindRepeat && n.Mode == Possessive && n.Subs[0].Kind != KindClass &&
			(n.Subs[0].Kind != KindLiteral || len(n.Subs[0].Runes) > 1)
		return true
	})
	return found
}

// mutatePattern changes a pattern in one place, most often so that it stays one.
func mutatePattern(rng *rand.Rand, g *generator, pattern string) string {
	g.groups, g.count, g.names = nil, 50, 50
	r := []rune(pattern)
	i := rng.IntN(len(r) + 1)
	insert := ""
	switch rng.IntN(5) {
	case 0:
		return mutate(rng, pattern)
	case 1:
		insert = g.item(2)
	case 2:
		insert = g.one("?", "+", "*", "|", "(?:", ")", "(", "]", "[", `\`)
	case 3:
		return pattern + g.item(2)
	case 4:
		swaps := [][2]string{{"*", "+"}, {"+", "*"}, {"+", "+?"}, {"*", "*?"}, {`\S`, `\w`}, {`\s`, `\W`}, {"(?:", "("}, {"(?!", "(?="},
			{"(?:", "(?>"}, {"$", ""}, {"^", ""}, {"?", ""}, {`\d`, "."}, {".", `[^\s]`}, {"(?:", "(?i:"}}
		s := swaps[rng.IntN(len(swaps))]
		parts := strings.SplitAfter(pattern, s[0])
		k := rng.IntN(len(parts))
		parts[k] = strings.TrimSuffix(parts[k], s[0]) + pick(strings.HasSuffix(parts[k], s[0]), s[1], "")
		return strings.Join(parts, "")
	}
	return string(r[:i]) + insert + string(r[i:])
}

// soakTexts returns texts for a pattern: samples of it, mutations of them, and others.
func soakTexts(rng *rand.Rand, syn *Syntax, lines []string) (texts []string) {
	for k := range 10 {
		var b strings.Builder
		sample(rng, syn.Root, map[int]string{}, &b)
		text := b.String()
		switch {
		case k >= 8:
			var any strings.Builder
			for range rng.IntN(12) {
				any.WriteString([]string{"a", "b", "c", "ab", ":", " x ", "1", "é", "\n", "K", "A", "ı"}[rng.IntN(12)])
			}
			text = any.String()
		case k == 7 && len(lines) > 0:
			text = lines[rng.IntN(len(lines))]
		case k >= 5:
			text = mutate(rng, text)
		case k >= 3:
			text = mutate(rng, "ab 1") + text + "\n"
		}
		texts = append(texts, text)
	}
	return texts
}

// TestSoak holds both machines against Python on generated patterns and on
// mutations of fail2ban's: 100,000 cases with F2BPIPE_SOAK=1.
func TestSoak(t *testing.T) {
	o := newOracle(t)
	rng := newRand(5)
	g := &generator{rng: rng}
	patterns := corpus(t)
	lines := corpusLines(t)
	var m Machine
	var count tally
	met := map[string]int{}
	skipped, patternsTried, refused := 0, 0, 0
	want := pick(soak(), 100_000, 8_000)
	for count.cases < want && !t.Failed() {
		pattern, flags := g.pattern(), ""
		var own []string
		if rng.IntN(2) == 0 {
			r := patterns[rng.IntN(len(patterns))]
			pattern, own = r.Regex, lines[r.Filter]
			if rng.IntN(4) > 0 {
				pattern = mutatePattern(rng, g, pattern)
			}
		}
		if rng.IntN(8) == 0 {
			flags = g.one("i", "m", "s", "a", "im", "x")
		}
		patternsTried++
		syn, err := Parse(pattern, flagsOf(flags))
		if err != nil {
			refused++
			for _, d := range o.compare(t, &m, pattern, flags, nil, &count) {
				t.Error(d)
			}
			continue
		}
		if cpythonBug(syn) {
			skipped++
			continue
		}
		before := count.cases
		for _, d := range o.compare(t, &m, pattern, flags, soakTexts(rng, syn, own), &count) {
			t.Error(d)
		}
		for c, has := range constructsOf(syn) {
			if has {
				met[c] += count.cases - before
			}
		}
	}
	t.Logf("%d patterns, %d refused by both, %d skipped; %+v", patternsTried, refused, skipped, count)
	least := want / 100
	for _, c := range constructs {
		if met[c] < least {
			t.Errorf("construct %q: %d cases, want %d", c, met[c], least)
		}
	}
	if count.matches*10 < count.cases*3 || skipped*50 > patternsTried || count.complex*100 > count.cases {
		t.Errorf("%d patterns, %d skipped; %+v", patternsTried, skipped, count)
	}
	if t.Failed() || testing.Verbose() {
		for _, c := range sortedKeys(met) {
			t.Logf("%-22s %d", c, met[c])
		}
	}
}
