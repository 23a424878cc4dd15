package regex

import (
	"slices"
	"strings"
)

// special are the characters that may mean something other than themselves.
const special = `\^$.|?*+()[{`

// plain reads on in a run of characters that stand for themselves, the first of
// which is taken, and returns it.
func (p *parser) plain() []rune {
	start := p.index - p.next.n
	end := start
	for end < len(p.src) && !strings.ContainsRune(special, p.src[end]) {
		end++
	}
	if end > start {
		p.seek(end)
	}
	return slices.Clone(p.src[start-1 : end])
}

// lastAlone parts the last character of a run from those before it: it alone is repeated.
func lastAlone(items []*Node) []*Node {
	if len(items) == 0 {
		return items
	}
	n := items[len(items)-1]
	last := len(n.Runes) - 1
	if n.Kind != KindLiteral || last < 1 {
		return items
	}
	return append(items[:len(items)-1],
		&Node{Kind: KindLiteral, Fold: n.Fold, Runes: n.Runes[:last:last]}, &Node{Kind: KindLiteral, Fold: n.Fold, Runes: n.Runes[last:]})
}

// joinItems makes one node of the items of a branch: groups without a meaning
// of their own are opened, neighbouring literals joined.
func joinItems(items []*Node) *Node {
	if len(items) == 1 && items[0].Kind != KindConcat {
		return items[0]
	}
	j := joiner{out: make([]*Node, 0, len(items))}
	for _, n := range items {
		j.add(n)
	}
	switch len(j.out) {
	case 0:
		return &Node{Kind: KindEmpty}
	case 1:
		return j.out[0]
	}
	return &Node{Kind: KindConcat, Subs: j.out}
}

// joiner puts items in a row.
type joiner struct {
	out []*Node
	own bool // the last one is a literal that nobody else has
}

func (j *joiner) add(n *Node) {
	switch n.Kind {
	case KindEmpty:
		return
	case KindConcat:
		for _, s := range n.Subs {
			j.add(s)
		}
		return
	case KindLiteral:
		i := len(j.out) - 1
		if i < 0 || j.out[i].Kind != KindLiteral || j.out[i].Fold != n.Fold {
			break
		}
		if !j.own {
			// A copy, as it grows: the node may be an item of its own elsewhere.
			j.out[i] = &Node{Kind: KindLiteral, Fold: n.Fold, Runes: slices.Clone(j.out[i].Runes)}
			j.own = true
		}
		j.out[i].Runes = append(j.out[i].Runes, n.Runes...)
		return
	}
	j.out, j.own = append(j.out, n), false
}

// maxRepeat is Python's MAXREPEAT: counts must stay below.
const maxRepeat = 1<<32 - 1
