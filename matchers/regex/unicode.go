package regex

import (
	"slices"
	"sync"
	"unicode"
)

// The categories of Python's str patterns. \s has 0x1c–0x1f, which neither
// Go's unicode.IsSpace nor Python's ASCII \s has.
var (
	spaceRanges = []Range{{0x09, 0x0d}, {0x1c, 0x20}, {0x85, 0x85}, {0xa0, 0xa0}, {0x1680, 0x1680},
		{0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}}
	spaceRangesA = []Range{{0x09, 0x0d}, {0x20, 0x20}}
	digitRangesA = []Range{{'0', '9'}}
	wordRangesA  = []Range{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}
	dotRanges    = []Range{{0, '\n' - 1}, {'\n' + 1, unicode.MaxRune}}
	allRanges    = []Range{{0, unicode.MaxRune}}
)

// digitRanges is \d: category Nd. wordRanges is \w: what str.isalnum takes,
// the categories L and N, and the underscore.
var (
	digitRanges = sync.OnceValue(func() []Range { return tableRanges(unicode.Nd) })
	wordRanges  = sync.OnceValue(func() []Range {
		return normalize(append(tableRanges(unicode.L, unicode.N), Range{'_', '_'}))
	})
)

// tableRanges joins Unicode tables.
func tableRanges(tables ...*unicode.RangeTable) []Range {
	var out []Range
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			out = append(out, Range{lo, hi})
			return
		}
		for r := lo; r <= hi; r += stride {
			out = append(out, Range{r, r})
		}
	}
	for _, t := range tables {
		for _, r := range t.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range t.R32 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	return normalize(out)
}

// categories are the ranges of \d \s \w, of \D \S \W, and all that for ASCII,
// each with its set. They are shared, for \w has hundreds of ranges.
var categories = sync.OnceValue(func() (c struct {
	ranges map[string][]Range
	sets   map[*Range]*set
}) {
	c.ranges = map[string][]Range{
		"d": digitRanges(), "s": spaceRanges, "w": wordRanges(),
		"da": digitRangesA, "sa": spaceRangesA, "wa": wordRangesA,
	}
	for _, name := range []string{"d", "s", "w", "da", "sa", "wa"} {
		c.ranges[string(name[0]-'a'+'A')+name[1:]] = complement(c.ranges[name])
	}
	c.sets = map[*Range]*set{&dotRanges[0]: newSet(dotRanges), &allRanges[0]: newSet(allRanges)}
	for _, ranges := range c.ranges {
		c.sets[&ranges[0]] = newSet(ranges)
	}
	return c
})

// category returns the ranges of the escape \c. They must not be changed.
func category(c rune, ascii bool) []Range {
	return categories().ranges[pick(ascii, string(c)+"a", string(c))]
}

// categorySet returns the set of ranges that are those of a category or of
// the dot, or nil.
func categorySet(ranges []Range) *set {
	if len(ranges) == 0 {
		return nil
	}
	return categories().sets[&ranges[0]]
}

// isWord says whether r is in \w.
func isWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
}

// caseTables are the simple case mappings turned into what folding asks.
type caseTables struct {
	// lowered has each code point whose lower case is another, ascending.
	lowered []Range // Lo is the code point, Hi its lower case
	// equals has the lower-case code points that share their upper case with the key.
	equals map[rune][]rune
	// uppers has the code points, other than the key, whose lower case the key is.
	uppers map[rune][]rune
}

// cases is built from the Unicode tables once.
var cases = sync.OnceValue(func() *caseTables {
	t := &caseTables{equals: map[rune][]rune{}, uppers: map[rune][]rune{}}
	byUpper := map[rune][]rune{}
	for _, cr := range unicode.CaseRanges {
		for r := rune(cr.Lo); r <= rune(cr.Hi); r++ {
			if lower := unicode.ToLower(r); lower != r {
				t.lowered = append(t.lowered, Range{r, lower})
				t.uppers[lower] = append(t.uppers[lower], r)
			} else if upper := unicode.ToUpper(r); upper != r {
				byUpper[upper] = append(byUpper[upper], r)
			}
		}
	}
	// Pairs whose common upper case is more than one code point.
	byUpper[-1] = []rune{0x390, 0x1fd3}
	byUpper[-2] = []rune{0x3b0, 0x1fe3}
	byUpper[-3] = []rune{0xfb05, 0xfb06}
	for _, group := range byUpper {
		for _, a := range group {
			for _, b := range group {
				if a != b {
					t.equals[a] = append(t.equals[a], b)
				}
			}
		}
	}
	return t
})

// lower is the lower case that folding compares by.
func lower(r rune, fold Fold) rune {
	switch {
	case r < 0x80:
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	case fold == FoldUnicode:
		return unicode.ToLower(r)
	}
	return r
}

// FoldRunes returns the code points that match r under the given folding,
// ascending, r among them. Under FoldUnicode i, k and s have spellings beyond
// ASCII (İ ı, K, ſ).
func FoldRunes(r rune, fold Fold) []rune {
	l := lower(r, fold)
	switch {
	case fold == FoldNone:
		return []rune{r}
	case fold == FoldASCII && (l < 'a' || l > 'z'):
		return []rune{r}
	case fold == FoldASCII:
		return []rune{l - ('a' - 'A'), l}
	case l < 0x80:
		return asciiSpellings(l)
	}
	return spellings(l)
}

// folds says whether other code points than r match it under the given folding.
func folds(r rune, fold Fold) bool {
	l := lower(r, fold)
	return fold != FoldNone && 'a' <= l && l <= 'z' || fold == FoldUnicode && l >= 0x80 && len(spellings(l)) > 1
}

// asciiSpellings is spellings of an l of ASCII, nearly all that is ever folded,
// without the tables of all others, which take half a millisecond to make.
func asciiSpellings(l rune) []rune {
	if l < 'a' || l > 'z' {
		return []rune{l}
	}
	out := []rune{l - ('a' - 'A'), l}
	switch l {
	case 'i':
		out = append(out, 'İ', 'ı')
	case 'k':
		out = append(out, '\u212a') // the sign of the kelvin
	case 's':
		out = append(out, 'ſ')
	}
	return out
}

// spellings returns the code points that match the lower-case l under FoldUnicode, ascending.
func spellings(l rune) []rune {
	t := cases()
	out := append([]rune{l}, t.uppers[l]...)
	for _, e := range t.equals[l] {
		out = append(append(out, e), t.uppers[e]...)
	}
	slices.Sort(out)
	return out
}

// anyCased says whether the ranges hold a code point that folding can change.
func anyCased(rs []Range, fold Fold) bool {
	for _, rg := range rs {
		if rg.Lo <= 'z' && rg.Hi >= 'A' && (rg.Lo <= 'Z' || rg.Hi >= 'a') {
			return true
		}
		if fold == FoldASCII || rg.Hi < 0x80 {
			continue
		}
		t := cases()
		for _, p := range t.lowered {
			if rg.Lo <= p.Lo && p.Lo <= rg.Hi || rg.Lo <= p.Hi && p.Hi <= rg.Hi {
				return true
			}
		}
		for r := range t.equals {
			if rg.Lo <= r && r <= rg.Hi {
				return true
			}
		}
	}
	return false
}

// lowerRanges returns the lower case of all that normalized ranges hold and,
// under FoldUnicode, the lower-case code points that are equal to those.
func lowerRanges(rs []Range, fold Fold) []Range {
	if fold == FoldASCII {
		return mapRanges(rs, asciiLowered)
	}
	t := cases()
	out := mapRanges(rs, t.lowered)
	n := len(out)
	for r, equals := range t.equals {
		if rangesContain(out[:n], r) {
			for _, e := range equals {
				out = append(out, Range{e, e})
			}
		}
	}
	return normalize(out)
}

// asciiLowered is caseTables.lowered for ASCII alone.
var asciiLowered = func() (out []Range) {
	for r := 'A'; r <= 'Z'; r++ {
		out = append(out, Range{r, r + 'a' - 'A'})
	}
	return out
}()

// mapRanges replaces each code point of pairs (Lo) in rs by its image (Hi).
func mapRanges(rs, pairs []Range) []Range {
	out := without(rs, pairs)
	for _, p := range pairs {
		if rangesContain(rs, p.Lo) {
			out = append(out, Range{p.Hi, p.Hi})
		}
	}
	return normalize(out)
}

// preimage returns the code points whose lower case is in rs.
func preimage(rs []Range, fold Fold) []Range {
	pairs := asciiLowered
	if fold == FoldUnicode {
		pairs = cases().lowered
	}
	out := without(rs, pairs)
	for _, p := range pairs {
		if rangesContain(rs, p.Hi) {
			out = append(out, Range{p.Lo, p.Lo})
		}
	}
	return normalize(out)
}

// without takes the code points pairs[i].Lo (ascending) out of normalized ranges.
func without(rs, pairs []Range) []Range {
	var out []Range
	for _, rg := range rs {
		lo := rg.Lo
		i, _ := slices.BinarySearchFunc(pairs, lo, func(p Range, r rune) int { return int(p.Lo) - int(r) })
		for ; i < len(pairs) && pairs[i].Lo <= rg.Hi; i++ {
			if pairs[i].Lo > lo {
				out = append(out, Range{lo, pairs[i].Lo - 1})
			}
			lo = pairs[i].Lo + 1
		}
		if lo <= rg.Hi {
			out = append(out, Range{lo, rg.Hi})
		}
	}
	return out
}
