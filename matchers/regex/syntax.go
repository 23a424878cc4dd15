package regex

// Flags are the flags of re.compile. Matching is by Unicode unless ASCII is set.
type Flags uint16

// The flags. Their inline letters are i, m, s, x and a; u is accepted and is the default.
const (
	IgnoreCase Flags = 1 << iota
	Multiline
	DotAll
	Verbose
	ASCII
	unicodeFlag  // an explicit u
	templateFlag // t, which is refused
)

// Syntax is a parsed pattern. All flags, leading and scoped, are resolved into
// the nodes: a node means the same wherever it stands. It must not be changed.
type Syntax struct {
	Pattern string
	Flags   Flags    // as given and as set by leading inline flags
	Root    *Node    // never nil
	Groups  int      // capture groups without group 0
	Names   []string // by group, len Groups+1; "" where unnamed
}

// Kind says what a Node is and which of its fields count.
type Kind uint8

// The kinds of nodes.
const (
	// KindEmpty matches the empty text.
	KindEmpty Kind = iota
	// KindLiteral matches Runes one after the other (at least one), each in
	// the spellings that FoldRunes(r, Fold) gives. Neighbouring literals of
	// one Fold are one node.
	KindLiteral
	// KindClass matches one code point of Class: sets, escapes such as \d, and the dot.
	KindClass
	// KindConcat matches Subs one after the other (at least two).
	KindConcat
	// KindAlternate matches the first of Subs (at least two) with which the rest matches.
	KindAlternate
	// KindRepeat matches Subs[0] Min to Max times (Max < 0: without bound), in the manner of Mode.
	KindRepeat
	// KindGroup matches Subs[0] and captures it as group Index, Name where it has one.
	KindGroup
	// KindAtomic matches the first match of Subs[0] and gives nothing back: (?>…).
	KindAtomic
	// KindAssert matches the empty text where Assert holds.
	KindAssert
	// KindLook is a lookaround: the empty text where Subs[0] matches (does not
	// match if Negate) from here or, if Behind, from Width code points before.
	// Groups inside of a positive one stay captured.
	KindLook
	// KindCond matches Subs[0] where group Index is set, else Subs[1].
	KindCond
	// KindBackref matches the text of group Index again, in the spellings of Fold;
	// it fails where the group is not set.
	KindBackref
)

// Mode is how a repeat chooses.
type Mode uint8

// The modes: x*, x*? and x*+.
const (
	Greedy Mode = iota
	Lazy
	Possessive
)

// Assert is a zero-width condition on the place in the text.
type Assert uint8

// The conditions.
const (
	BeginText       Assert = iota // ^ without Multiline, \A
	BeginLine                     // ^ with Multiline
	EndText                       // \Z
	EndBeforeLine                 // $ without Multiline: the end or before a final newline
	EndLine                       // $ with Multiline
	WordBoundary                  // \b
	NoWordBoundary                // \B; like \b it fails in the empty text
	WordBoundaryA                 // \b with ASCII
	NoWordBoundaryA               // \B with ASCII
)

// Fold is how a literal or a backreference takes upper and lower case.
type Fold uint8

// The manners of folding.
const (
	FoldNone    Fold = iota // as written
	FoldUnicode             // IgnoreCase
	FoldASCII               // IgnoreCase and ASCII: A-Z and a-z alone
)

// Node is one part of a pattern; Kind says which fields count.
type Node struct {
	Kind   Kind
	Fold   Fold
	Mode   Mode
	Assert Assert
	Behind bool
	Negate bool
	Subs   []*Node
	Runes  []rune
	Class  *Class
	Min    int
	Max    int    // -1: no bound
	Index  int    // number of the group
	Name   string // of the group, or ""
	Width  int    // code points that a lookbehind goes back
}

// Walk calls f for n and, where f returns true, for the nodes below it, in
// the order of the pattern.
func (n *Node) Walk(f func(*Node) bool) {
	if !f(n) {
		return
	}
	for _, s := range n.Subs {
		s.Walk(f)
	}
}

// widthLimit is where Python's widths saturate: MAXREPEAT.
const widthLimit = 1<<32 - 1

// width returns the least and the greatest number of code points that n can
// match, as Python's getwidth reckons it: lookarounds are 0 wide. groups has
// the width of each closed group, for backreferences.
func (n *Node) width(groups [][2]int) (lo, hi int) {
	switch n.Kind {
	case KindLiteral:
		lo, hi = len(n.Runes), len(n.Runes)
	case KindClass:
		lo, hi = 1, 1
	case KindConcat:
		for _, s := range n.Subs {
			l, h := s.width(groups)
			lo, hi = lo+l, hi+h
		}
	case KindAlternate, KindCond:
		lo = widthLimit - 1
		for _, s := range n.Subs {
			l, h := s.width(groups)
			lo, hi = min(lo, l), max(hi, h)
		}
	case KindGroup, KindAtomic:
		lo, hi = n.Subs[0].width(groups)
	case KindRepeat:
		l, h := n.Subs[0].width(groups)
		lo, hi = widthTimes(l, n.Min), widthTimes(h, n.Max)
	case KindBackref:
		if n.Index < len(groups) {
			lo, hi = groups[n.Index][0], groups[n.Index][1]
		}
	}
	return min(lo, widthLimit-1), min(hi, widthLimit)
}

// widthTimes multiplies a width by a repeat count, -1 being no bound.
func widthTimes(w, count int) int {
	if count < 0 || count > widthLimit {
		count = widthLimit
	}
	if w > 0 && count > widthLimit/w {
		return widthLimit
	}
	return w * count
}
