package regex

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator makes patterns from all constructs, over few letters, so that they match often.
type generator struct {
	rng    *rand.Rand
	groups []string // closed groups: their names, or numbers
	count  int      // groups opened
	names  int
}

func (g *generator) one(choices ...string) string { return choices[g.rng.IntN(len(choices))] }

// pattern returns a pattern, some with leading flags.
func (g *generator) pattern() string {
	g.groups, g.count, g.names = nil, 0, 0
	p := ""
	if g.rng.IntN(4) == 0 {
		p = g.one("(?i)", "(?iu)", "(?m)", "(?s)", "(?x)", "(?a)", "(?ims)", "(?#note)", "(?i)(?m)")
	}
	if g.rng.IntN(4) == 0 {
		p += g.one("^", `\A`, `\b`, `^\s*`)
	}
	p += g.alternation(3)
	if g.rng.IntN(4) == 0 {
		p += g.one("$", `\Z`, `\b`, `\s*$`)
	}
	return p
}

func (g *generator) alternation(depth int) string {
	n := 1
	if g.rng.IntN(3) == 0 {
		n += 1 + g.rng.IntN(2)
	}
	branches := make([]string, n)
	for i := range branches {
		branches[i] = g.sequence(depth)
	}
	return strings.Join(branches, "|")
}

func (g *generator) sequence(depth int) string {
	var b strings.Builder
	for range g.rng.IntN(4) {
		b.WriteString(g.item(depth))
	}
	if depth == 3 || g.rng.IntN(5) > 0 {
		b.WriteString(g.item(depth))
	}
	return b.String()
}

// item is a part with its quantifier.
func (g *generator) item(depth int) string {
	atom, simple := g.atom(depth)
	if g.rng.IntN(2) == 0 || atom == "" {
		return atom
	}
	if strings.HasPrefix(atom, `\b`) || strings.HasPrefix(atom, `\B`) || strings.HasPrefix(atom, "^") || strings.HasPrefix(atom, "$") {
		return atom
	}
	quant := g.one("*", "+", "?", "*", "+", "{2}", "{1,3}", "{0,2}", "{,2}", "{2,}", "{0,3}")
	suffix := g.one("", "", "", "?", "?")
	if simple && g.rng.IntN(4) == 0 {
		suffix = "+"
	}
	return atom + quant + suffix
}

// atom is a part without quantifier; simple where CPython 3.11.2 gets a
// possessive repeat of it right.
func (g *generator) atom(depth int) (atom string, simple bool) {
	if depth == 0 || g.rng.IntN(2) == 0 {
		return g.leaf()
	}
	switch g.rng.IntN(14) {
	case 0, 1, 2:
		g.count++
		name := fmt.Sprint(g.count)
		body := "(" + g.alternation(depth-1) + ")"
		g.groups = append(g.groups, name)
		return body, false
	case 3, 4:
		g.count++
		g.names++
		name := fmt.Sprintf("n%d", g.names)
		body := "(?P<" + name + ">" + g.alternation(depth-1) + ")"
		g.groups = append(g.groups, name)
		return body, false
	case 5, 6:
		return "(?:" + g.alternation(depth-1) + ")", false
	case 7:
		return "(?" + g.one("=", "!") + g.alternation(depth-1) + ")", false
	case 8:
		return "(?<" + g.one("=", "!") + g.one("a", "b", "[ab]", ":", " ", "ab", "a|b", `\s`, `\w\d`, "^", "a{2}", "(?:a|b)c", "é") + ")", false
	case 9:
		return "(?>" + g.alternation(depth-1) + ")", false
	case 10, 11:
		return "(?" + g.one("i", "s", "m", "-i", "x", "a", "s-i") + ":" + g.alternation(depth-1) + ")", false
	case 12:
		if len(g.groups) > 0 {
			ref := g.groups[g.rng.IntN(len(g.groups))]
			return "(?(" + ref + ")" + g.sequence(depth-1) + g.one("|"+g.sequence(depth-1), "") + ")", false
		}
	case 13:
		if len(g.groups) > 0 {
			ref := g.groups[g.rng.IntN(len(g.groups))]
			if ref[0] == 'n' {
				return "(?P=" + ref + ")", false
			}
			return `(?:\` + ref + ")", false
		}
	}
	return "(?:" + g.one("(?! x ).", "(?!b).", "(?!ab)[^\n]", "(?!:)[a-c]") + ")*", false
}

// leaf is a part without parts.
func (g *generator) leaf() (string, bool) {
	if g.rng.IntN(12) == 0 {
		return g.one("^", "$", `\b`, `\B`, `\Z`, "(?#c)"), false
	}
	return g.one("a", "b", "c", "ab", "a", "b", "A", "x", ":", " x ", "1", "é", "k", "i", "s", "K", "\u0130",
		".", ".", `\d`, `\s`, `\w`, `\S`, `\W`, `\D`, "[ab]", "[^a]", "[a-c1]", `[\w.]`, `[^\s:]`, `[^:b]`, `[\W]`, "[é-ü]", "[A-Z]",
		`\n`, `\x61`, `\u00e9`, `\.`, `\141`), true
}

// sample writes a text that n is likely to match.
func sample(rng *rand.Rand, n *Node, caps map[int]string, b *strings.Builder) {
	switch n.Kind {
	case KindLiteral:
		for _, r := range n.Runes {
			spellings := FoldRunes(r, n.Fold)
			b.WriteRune(spellings[rng.IntN(len(spellings))])
		}
	case KindClass:
		b.WriteRune(sampleClass(rng, n.Class))
	case KindConcat:
		for _, s := range n.Subs {
			sample(rng, s, caps, b)
		}
	case KindAlternate:
		sample(rng, n.Subs[rng.IntN(len(n.Subs))], caps, b)
	case KindRepeat:
		limit := n.Max
		if limit < 0 || limit > n.Min+3 {
			limit = n.Min + 3
		}
		for range n.Min + rng.IntN(limit-n.Min+1) {
			if b.Len() > 4000 {
				return
			}
			sample(rng, n.Subs[0], caps, b)
		}
	case KindGroup:
		from := b.Len()
		sample(rng, n.Subs[0], caps, b)
		caps[n.Index] = b.String()[from:]
	case KindAtomic:
		sample(rng, n.Subs[0], caps, b)
	case KindBackref:
		b.WriteString(caps[n.Index])
	case KindCond:
		if _, set := caps[n.Index]; set {
			sample(rng, n.Subs[0], caps, b)
		} else {
			sample(rng, n.Subs[1], caps, b)
		}
	}
}

// newInUnicode15 is where the code points begin that Go's tables know as
// letters or digits and Python 3.11's do not.
const newInUnicode15 = 0x10efd

// sampleClass picks a member, one that is likely in logs where there is one.
func sampleClass(rng *rand.Rand, c *Class) rune {
	const likely = "aabbc1250:. -xyzABK\n\té\u0663\u017f"
	for range 8 {
		r := []rune(likely)
		if m := r[rng.IntN(len(r))]; c.Contains(m) {
			return m
		}
	}
	for range 8 {
		if len(c.Ranges) == 0 {
			break
		}
		rg := c.Ranges[rng.IntN(len(c.Ranges))]
		if r := rg.Lo + rune(rng.IntN(int(min(rg.Hi-rg.Lo, 200))+1)); r < 0xd800 || r > 0xdfff && r < newInUnicode15 {
			return r
		}
	}
	return 'a'
}
