package regex

import (
	"slices"
	"sync"
	"unicode/utf8"
)

// Range is the code points from Lo to Hi, both included.
type Range struct{ Lo, Hi rune }

// Class is a set of code points: sorted ranges that neither touch nor overlap.
// Case folding is resolved into them.
type Class struct{ Ranges []Range }

// Contains says whether r is in the class.
func (c *Class) Contains(r rune) bool {
	return rangesContain(c.Ranges, r)
}

// InWord says whether every member of the class is in \w.
func (c *Class) InWord() bool {
	word := wordRanges()
	for _, r := range c.Ranges {
		for len(word) > 0 && word[0].Hi < r.Lo {
			word = word[1:]
		}
		if len(word) == 0 || r.Lo < word[0].Lo || r.Hi > word[0].Hi {
			return false
		}
	}
	return true
}

func rangesContain(ranges []Range, r rune) bool {
	lo, hi := 0, len(ranges)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch {
		case r < ranges[mid].Lo:
			hi = mid
		case r > ranges[mid].Hi:
			lo = mid + 1
		default:
			return true
		}
	}
	return false
}

// normalize sorts and joins ranges in place.
func normalize(rs []Range) []Range {
	slices.SortFunc(rs, func(a, b Range) int { return int(a.Lo) - int(b.Lo) })
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && r.Lo <= out[n-1].Hi+1 {
			out[n-1].Hi = max(out[n-1].Hi, r.Hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// complement returns what normalized ranges leave out.
func complement(rs []Range) []Range {
	var out []Range
	next := rune(0)
	for _, r := range rs {
		if r.Lo > next {
			out = append(out, Range{next, r.Lo - 1})
		}
		next = r.Hi + 1
	}
	if next <= utf8.MaxRune {
		out = append(out, Range{next, utf8.MaxRune})
	}
	return out
}

// setItem is one member of a set as written: a range of literals or a category.
type setItem struct {
	Range
	category []Range // where not nil, the item is these ranges
}

// newClass builds the class of a set as written. Under folding the text's
// code point is lowered and looked up among the lowered literals and their
// equals (Python's IN_UNI_IGNORE), categories being asked for the lowered one;
// a set without a cased literal is taken as it is.
func newClass(items []setItem, negate bool, fold Fold) *Class {
	if len(items) == 1 && items[0].category != nil && !negate {
		return &Class{items[0].category}
	}
	var literals, categories []Range
	var seen []*Range // categories are few
	for _, it := range items {
		if it.category != nil && slices.Contains(seen, &it.category[0]) {
			continue
		}
		if it.category != nil {
			seen = append(seen, &it.category[0])
			categories = append(categories, it.category...)
		} else {
			literals = append(literals, it.Range)
		}
	}
	literals = normalize(literals)
	var set []Range
	if fold != FoldNone && anyCased(literals, fold) {
		set = append(lowerRanges(literals, fold), categories...)
		set = preimage(normalize(set), fold)
	} else {
		set = normalize(append(literals, categories...))
	}
	if negate {
		set = complement(set)
	}
	return &Class{set}
}

// largeRanges is from how many ranges on a class is worth sharing.
const largeRanges = 64

// maxLargeClasses bounds how many are shared.
const maxLargeClasses = 256

// classCache shares large classes (\w with more characters is in every <HOST>
// and has hundreds of ranges) and their sets among all patterns.
type classCache struct {
	mu      sync.Mutex
	classes map[string]*Class
	sets    map[*Range]*set
}

var largeClasses = classCache{classes: map[string]*Class{}, sets: map[*Range]*set{}}

// get returns the class of that key, which make makes. The class must not be changed.
func (c *classCache) get(key string, make func() *Class) *Class {
	c.mu.Lock()
	defer c.mu.Unlock()
	if class := c.classes[key]; class != nil {
		return class
	}
	class := make()
	if len(class.Ranges) >= largeRanges && len(c.classes) < maxLargeClasses && len(key) < 100 {
		c.classes[key] = class
		c.sets[&class.Ranges[0]] = newSet(class.Ranges)
	}
	return class
}

// set returns the set of the ranges of a shared class, or nil.
func (c *classCache) set(ranges []Range) *set {
	if len(ranges) < largeRanges {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sets[&ranges[0]]
}
