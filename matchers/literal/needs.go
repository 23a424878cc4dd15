package literal

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// Text is a text that is looked for in lines, ASCII and without a line end.
type Text struct {
	Bytes string // letters that take both cases are lower case
	// Fold has 0x20 for each byte of Bytes that takes both cases, more bits for one
	// that stands for a set, else 0: a byte b of a line fits if b|Fold[i] == Bytes[i].
	Fold string
	// Deep says that two characters or more stand before the text, in what the
	// pattern sees: none of its own are those that a date at the start may take along.
	Deep bool
}

// Need is a set of texts one of which is in every line that a rule matches.
type Need []Text

const (
	maxLength = 32 // bytes of a text: a part of what is needed is needed too
	minLength = 3  // a shorter one is in every other line
	maxNeeds  = 8  // of a rule

	// maxChoice is how many texts a need may have that is a choice as it stands
	// in a pattern: lists of what robots call themselves are long.
	maxChoice = 256
)

// limits bound an analysis: what it writes out as texts.
type limits struct {
	texts int  // of one need, and of an exact part
	class int  // characters of a set
	ascii bool // a set is what it has of ASCII
}

// The limits of most patterns, and of those that offer nothing within them:
// digits are written out there.
var (
	narrow = limits{texts: 24, class: 4}
	wide   = limits{texts: 128, class: 10, ascii: true}
)

// Needs returns what lines that the pattern matches must hold: every Need by
// itself, the best ones first. The needs of one pattern stand for different
// places in it, so that one cut can break at most one of them. There are none
// where nothing is known.
func Needs(s *regex.Syntax) []Need { return narrow.needs(s) }

// WideNeeds is what lines of ASCII must hold, in more and shorter texts than
// Needs: for a pattern that no Need of a few texts is found for, or none that a
// cut leaves long enough.
func WideNeeds(s *regex.Syntax) []Need { return wide.needs(s) }

func (l limits) needs(s *regex.Syntax) []Need {
	p := l.analyse(s.Root)
	p.close()
	for i := range p.needs {
		n := slices.Clone(p.needs[i]) // a part that is repeated has the same one twice
		for k := range n {
			n[k].Deep = p.at[i] >= 2
		}
		p.needs[i] = n
	}
	needs := slices.DeleteFunc(p.needs, func(n Need) bool { return n.shortest() < minLength })
	slices.SortStableFunc(needs, func(a, b Need) int { return -cmp.Compare(a.worth(), b.worth()) })
	return needs[:min(len(needs), maxNeeds)]
}

func (n Need) shortest() int {
	length := maxLength
	for _, t := range n {
		length = min(length, len(t.Bytes))
	}
	return length
}

// worth is how well a need tells lines apart, as far as its form says.
func (n Need) worth() int { return 4*min(n.shortest(), 16) - len(n) }

// part is what is known of the text that a node matches.
type part struct {
	exact  []Text // with isExact: it is one of these
	tail   []Text // without: the last exact texts so far, not yet a need
	needs  []Need
	closed bool   // not exact
	head   []Text // it begins with one of these; empty: not known. Of wide limits alone

	width  int   // characters at least
	at     []int // of each need: so many characters stand before it at least
	tailAt int   // and before the tail
}

// literal is the part that matches one of the texts.
func literal(texts ...Text) part {
	p := part{exact: texts, width: len(texts[0].Bytes)}
	for _, t := range texts {
		p.width = min(p.width, len(t.Bytes))
	}
	return p
}

// anything is the part of which nothing is known.
func anything() part { return part{closed: true} }

// close makes the exact texts at hand a need of their own.
func (p *part) close() {
	texts, at := p.exact, 0
	if p.closed {
		texts, at = p.tail, p.tailAt
	}
	if len(texts) > 0 && !slices.ContainsFunc(texts, func(t Text) bool { return t.Bytes == "" }) {
		p.needs = append(p.needs, Need(texts).cut())
		p.at = append(p.at, at)
	}
	p.exact, p.tail, p.closed = nil, nil, true
}

// cut shortens texts to maxLength.
func (n Need) cut() Need {
	if !slices.ContainsFunc(n, func(t Text) bool { return len(t.Bytes) > maxLength }) {
		return n
	}
	out := slices.Clone(n)
	for i, t := range out {
		if len(t.Bytes) > maxLength {
			out[i] = Text{Bytes: t.Bytes[:maxLength], Fold: t.Fold[:maxLength]}
		}
	}
	return out
}

// then appends what follows p to it.
func (l limits) then(p *part, next part) {
	before := p.width
	p.width += next.width
	current := &p.exact
	if p.closed {
		current = &p.tail
	}
	if len(next.head) > 0 && len(*current) > 0 {
		if product, ok := l.cross(*current, next.head); ok {
			*current = product
		}
	}
	if !next.closed {
		if p.closed && len(p.tail) == 0 {
			p.tail, p.tailAt = []Text{{}}, before
		}
		if product, ok := l.cross(*current, next.exact); ok {
			*current = product
			return
		}
		if product, ok := l.cross(l.collapse(*current), next.exact); ok {
			*current = product
			return
		}
		p.close()
		p.tail, p.tailAt = next.exact, before
		return
	}
	p.close()
	for i, n := range next.needs {
		p.needs, p.at = append(p.needs, n), append(p.at, before+next.at[i])
	}
	p.tail, p.tailAt = next.tail, before+next.tailAt
}

// collapse makes one text of several of the same length, with sets where they
// differ; nil where it does not.
func (l limits) collapse(texts []Text) []Text {
	if !l.ascii {
		return nil
	}
	bytes, fold := []byte(texts[0].Bytes), []byte(texts[0].Fold)
	for _, t := range texts[1:] {
		if len(t.Bytes) != len(bytes) {
			return nil
		}
		for i := range bytes {
			fold[i] |= t.Fold[i] | bytes[i] ^ t.Bytes[i]
			bytes[i] |= t.Bytes[i] | fold[i]
		}
	}
	return []Text{{Bytes: string(bytes), Fold: string(fold)}}
}

// cross returns every text of a followed by every one of b, where they are few.
func (l limits) cross(a, b []Text) ([]Text, bool) {
	if len(a) == 0 || len(a)*len(b) > l.texts {
		return nil, false
	}
	// Nothing before or behind, as at every assertion.
	if len(a) == 1 && a[0].Bytes == "" {
		return b, true
	}
	if len(b) == 1 && b[0].Bytes == "" {
		return a, true
	}
	out := make([]Text, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			if len(x.Bytes)+len(y.Bytes) > 4*maxLength {
				return nil, false
			}
			out = append(out, Text{Bytes: x.Bytes + y.Bytes, Fold: x.Fold + y.Fold})
		}
	}
	return out, true
}

func (l limits) analyse(n *regex.Node) part {
	switch n.Kind {
	case regex.KindEmpty, regex.KindAssert, regex.KindLook:
		return literal(Text{})
	case regex.KindLiteral:
		if t, ok := plainText(n); ok {
			return literal(t)
		}
		p := literal(Text{})
		for _, r := range n.Runes {
			l.then(&p, letter(r, n.Fold))
		}
		return p
	case regex.KindClass:
		p := l.chars(n.Class)
		p.width = 1
		return p
	case regex.KindConcat:
		p := literal(Text{})
		for _, sub := range n.Subs {
			l.then(&p, l.analyse(sub))
		}
		return p
	case regex.KindGroup, regex.KindAtomic:
		return l.analyse(n.Subs[0])
	case regex.KindAlternate, regex.KindCond:
		return l.alternate(n.Subs)
	case regex.KindRepeat:
		return l.repeat(n)
	}
	return anything() // a backreference
}

// plainText is what a literal looks for that has no folding, nearly every one:
// the same as letter by letter.
func plainText(n *regex.Node) (Text, bool) {
	if n.Fold != regex.FoldNone || len(n.Runes) > maxLength {
		return Text{}, false
	}
	for _, r := range n.Runes {
		if r >= utf8.RuneSelf || r == '\n' || r == '\r' {
			return Text{}, false
		}
	}
	return Text{Bytes: string(n.Runes), Fold: noFold[:len(n.Runes)]}, true
}

// noFold is a Fold of bytes that stand for themselves.
var noFold = strings.Repeat("\x00", maxLength)

// letter is one code point of a literal.
func letter(r rune, fold regex.Fold) part {
	if r >= utf8.RuneSelf || r == '\n' || r == '\r' {
		p := anything()
		p.width = 1
		return p
	}
	lower := r | 0x20
	if fold == regex.FoldNone || lower < 'a' || lower > 'z' {
		return literal(Text{Bytes: string(r), Fold: "\x00"})
	}
	if fold == regex.FoldUnicode && (lower == 'i' || lower == 'k' || lower == 's') {
		return anything() // they have spellings beyond ASCII
	}
	return literal(Text{Bytes: string(lower), Fold: "\x20"})
}

// chars is a set of few ASCII characters.
func (l limits) chars(c *regex.Class) part {
	size := 0
	for _, r := range c.Ranges {
		if r.Hi >= utf8.RuneSelf && !l.ascii {
			return anything()
		}
		size += max(0, int(min(r.Hi, utf8.RuneSelf-1)-r.Lo)+1)
	}
	if size == 0 || size > l.class {
		return anything()
	}
	texts := make([]Text, 0, size)
	for _, r := range c.Ranges {
		for x := r.Lo; x <= min(r.Hi, utf8.RuneSelf-1); x++ {
			if x == '\n' || x == '\r' {
				return anything()
			}
			texts = append(texts, Text{Bytes: string(x), Fold: "\x00"})
		}
	}
	if len(texts) == 2 && texts[0].Bytes[0]|0x20 == texts[1].Bytes[0] && texts[1].Bytes[0] >= 'a' && texts[1].Bytes[0] <= 'z' {
		return literal(Text{Bytes: texts[1].Bytes, Fold: "\x20"})
	}
	return literal(texts...)
}

// alternate is one of several parts.
func (l limits) alternate(subs []*regex.Node) part {
	parts := make([]part, len(subs))
	var texts []Text
	exact := true
	for i, sub := range subs {
		parts[i] = l.analyse(sub)
		exact = exact && !parts[i].closed
		texts = append(texts, parts[i].exact...)
	}
	if exact && len(texts) <= l.texts {
		return literal(texts...)
	}
	out := part{closed: true, width: parts[0].width}
	for i := range parts {
		out.width = min(out.width, parts[i].width)
	}
	var need Need
	at := 0
	for i := range parts {
		parts[i].close()
		best, ok := parts[i].best()
		if !ok || len(need)+len(parts[i].needs[best]) > maxChoice {
			return out
		}
		if i == 0 || parts[i].at[best] < at {
			at = parts[i].at[best]
		}
		need = append(need, parts[i].needs[best]...)
	}
	out.needs, out.at = []Need{need}, []int{at}
	return out
}

// best returns the index of the part's need of greatest worth.
func (p *part) best() (index int, ok bool) {
	for i, n := range p.needs {
		if n.worth() > p.needs[index].worth() {
			index = i
		}
	}
	return index, len(p.needs) > 0
}

// repeat is a part several times.
func (l limits) repeat(n *regex.Node) part {
	sub := l.analyse(n.Subs[0])
	switch {
	case n.Min == 0 && n.Max == 1 && !sub.closed && len(sub.exact) < l.texts:
		return literal(append(slices.Clone(sub.exact), Text{})...)
	case n.Min == 0:
		return anything()
	}
	p := literal(Text{})
	if l.ascii {
		p.head = sub.exact
	}
	// The first rounds are there; what follows them is not known unless their
	// number is.
	for range min(n.Min, 8) {
		l.then(&p, sub)
		if sub.closed {
			break
		}
	}
	if n.Min != n.Max || n.Min > 8 || sub.closed {
		p.close()
	} else {
		p.head = nil
	}
	return p
}
