package regex

import "unicode/utf8"

// Begins returns the first bytes of the texts of UTF-8 that the pattern can match:
// a superset. ok is false where nothing is known, or a match need not stand at
// the text's start, or can be empty.
func (s *Syntax) Begins() (table [256]bool, ok bool) {
	root := s.Root
	if root.Kind != KindConcat || root.Subs[0].Kind != KindAssert || root.Subs[0].Assert != BeginText {
		return table, false
	}
	b := begins{known: true}
	empty := b.add(root)
	return b.table, b.known && !empty
}

// begins collects first bytes.
type begins struct {
	table [256]bool
	known bool
}

// add enters what n can begin with and says whether n can be empty.
func (b *begins) add(n *Node) (empty bool) {
	switch n.Kind {
	case KindEmpty, KindAssert, KindLook:
		return true
	case KindLiteral:
		for _, r := range FoldRunes(n.Runes[0], n.Fold) {
			b.table[utf8.AppendRune(nil, r)[0]] = true
			b.known = b.known && r != utf8.RuneError // invalid bytes count as it
		}
	case KindClass:
		for _, rg := range n.Class.Ranges {
			for r := rg.Lo; r <= min(rg.Hi, utf8.RuneSelf-1); r++ {
				b.table[r] = true
			}
			for c := utf8.RuneSelf; c < len(b.table) && rg.Hi >= utf8.RuneSelf; c++ {
				b.table[c] = true
			}
		}
	case KindConcat:
		for _, sub := range n.Subs {
			if !b.add(sub) {
				return false
			}
		}
		return true
	case KindGroup, KindAtomic:
		return b.add(n.Subs[0])
	case KindAlternate, KindCond:
		for _, sub := range n.Subs {
			empty = b.add(sub) || empty
		}
	case KindRepeat:
		return b.add(n.Subs[0]) || n.Min == 0
	default:
		b.known = false // a backreference
	}
	return empty
}
