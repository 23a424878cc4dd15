package regex

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxPattern is how long a pattern may be, in code points; with maxInsts it
// bounds the memory of a Regexp.
const maxPattern = 1 << 16

// maxDepth is how deep groups may nest.
const maxDepth = 200

// Parse reads a pattern in the syntax of Python's re for str patterns. What it
// does not know is an error; its errors are *Error.
func Parse(pattern string, flags Flags) (*Syntax, error) {
	if !utf8.ValidString(pattern) {
		return nil, &Error{Pattern: pattern, Msg: "pattern is not valid UTF-8", Pos: -1}
	}
	if utf8.RuneCountInString(pattern) > maxPattern {
		return nil, &Error{Pattern: pattern, Msg: fmt.Sprintf("pattern is longer than %d characters", maxPattern), Pos: -1}
	}
	p := &parser{src: []rune(pattern), flags: flags, widths: make([][2]int, 1), open: []bool{false},
		names: map[string]int{}, lookbehind: -1}
	p.advance()
	root, err := p.alternation(0, flags)
	switch {
	case p.err != nil:
		return nil, p.err
	case err != nil:
		return nil, err
	case p.flags&ASCII != 0 && p.flags&unicodeFlag != 0:
		return nil, newError(p.src, "ASCII and UNICODE flags are incompatible", -1)
	case p.next.n > 0:
		return nil, p.fail("unbalanced parenthesis", 0)
	}
	for _, ref := range p.condRefs {
		if ref.group >= len(p.widths) {
			return nil, newError(p.src, "invalid group reference "+itoa(ref.group), ref.pos)
		}
	}
	if p.variableLook {
		return nil, newError(p.src, "look-behind requires fixed-width pattern", -1)
	}
	names := make([]string, len(p.widths))
	for name, i := range p.names {
		names[i] = name
	}
	return &Syntax{Pattern: pattern, Flags: p.flags &^ (unicodeFlag | templateFlag), Root: root,
		Groups: len(p.widths) - 1, Names: names}, nil
}

// token is what the parser reads at once: a code point, or a backslash and
// the code point after it. n is its length; 0 is the end of the pattern.
type token struct {
	c   rune
	esc bool
	n   int
}

// is says whether the token is the plain code point c.
func (t token) is(c rune) bool { return t.n == 1 && t.c == c }

// String is the token as written.
func (t token) String() string {
	switch t.n {
	case 0:
		return ""
	case 1:
		return string(t.c)
	}
	return `\` + string(t.c)
}

// parser follows the structure of Python's own, so that mistakes are found in
// the same order and at the same places.
type parser struct {
	src   []rune
	index int   // after next
	next  token // looked ahead
	err   error // found while looking ahead; it wins

	flags      Flags
	widths     [][2]int // by group; valid once closed
	open       []bool   // by group
	names      map[string]int
	lookbehind int // groups at the start of the outermost lookbehind; -1 outside
	condRefs   []condRef
	// variableLook says that a lookbehind has no fixed width. Python finds
	// that while compiling, after every other mistake.
	variableLook bool
}

// condRef is a conditional on a group number, to be checked at the end.
type condRef struct{ group, pos int }

// advance reads the next token.
func (p *parser) advance() {
	switch {
	case p.index >= len(p.src):
		p.next = token{}
	case p.src[p.index] != '\\':
		p.next = token{c: p.src[p.index], n: 1}
	case p.index+1 >= len(p.src):
		if p.err == nil {
			p.err = newError(p.src, "bad escape (end of pattern)", len(p.src)-1)
		}
		p.next = token{}
	default:
		p.next = token{c: p.src[p.index+1], esc: true, n: 2}
	}
	p.index += p.next.n
}

// get takes the next token.
func (p *parser) get() token {
	t := p.next
	p.advance()
	return t
}

// match takes the next token if it is c.
func (p *parser) match(c rune) bool {
	if p.next.is(c) {
		p.advance()
		return true
	}
	return false
}

// tell is the position of the next token.
func (p *parser) tell() int { return p.index - p.next.n }

// seek goes back to a position.
func (p *parser) seek(pos int) {
	p.index = pos
	p.advance()
}

// fail makes the error msg at back code points before the next token.
func (p *parser) fail(msg string, back int) error {
	if p.err != nil {
		return p.err
	}
	return newError(p.src, msg, p.tell()-back)
}

// until reads up to the terminator, which it takes, and returns what stands before it.
func (p *parser) until(terminator rune, what string) (string, error) {
	var name strings.Builder
	n := 0
	for {
		t := p.get()
		switch {
		case t.n == 0 && n == 0:
			return "", p.fail("missing "+what, 0)
		case t.n == 0:
			return "", p.fail("missing "+string(terminator)+", unterminated name", n)
		case t.is(terminator) && n == 0:
			return "", p.fail("missing "+what, 1)
		case t.is(terminator):
			return name.String(), nil
		}
		name.WriteString(t.String())
		n += t.n
	}
}

// alternation reads branches up to a closing parenthesis or the end.
func (p *parser) alternation(depth int, flags Flags) (*Node, error) {
	if depth > maxDepth {
		return nil, p.fail("groups are nested too deeply", 0)
	}
	var branches []*Node
	for {
		if depth == 0 {
			flags = p.flags
		}
		n, err := p.concat(depth, flags, depth == 0 && len(branches) == 0)
		if err != nil {
			return nil, err
		}
		if branches == nil && !p.next.is('|') {
			return n, nil
		}
		branches = append(branches, n)
		if !p.match('|') {
			return &Node{Kind: KindAlternate, Subs: branches}, nil
		}
	}
}

// concat reads items up to a bar, a closing parenthesis or the end. Global
// flags are allowed before the first item of the first branch alone.
func (p *parser) concat(depth int, flags Flags, first bool) (*Node, error) {
	var room [16]*Node // on the stack
	items := room[:0]
	for {
		t := p.next
		if t.n == 0 || t.is('|') || t.is(')') {
			return joinItems(items), nil
		}
		p.advance()
		if flags&Verbose != 0 && p.skipVerbose(t) {
			continue
		}
		var n *Node
		var err error
		switch {
		case t.esc:
			n, err = p.escape(t, flags)
		case t.c == '[':
			n, err = p.set(flags)
		case t.c == '*' || t.c == '+' || t.c == '?' || t.c == '{':
			items = lastAlone(items)
			n, err = p.repeat(t, items)
			if n != nil && n.Kind == KindRepeat {
				items = items[:len(items)-1]
			} else if n != nil {
				n = literal(t.c, flags)
			}
		case t.c == '.':
			n = &Node{Kind: KindClass, Class: dotClass(flags)}
		case t.c == '(':
			n, err = p.group(depth, flags, first && len(items) == 0)
			if n == nil && depth == 0 {
				flags = p.flags
			}
		case t.c == '^':
			n = &Node{Kind: KindAssert, Assert: pick(flags&Multiline != 0, BeginLine, BeginText)}
		case t.c == '$':
			n = &Node{Kind: KindAssert, Assert: pick(flags&Multiline != 0, EndLine, EndBeforeLine)}
		case foldOf(flags) == FoldNone && flags&Verbose == 0:
			n = &Node{Kind: KindLiteral, Runes: p.plain()}
		default:
			n = literal(t.c, flags)
		}
		if err != nil {
			return nil, err
		}
		if n != nil {
			items = append(items, n)
		}
	}
}

// pick is a where ok, else b.
func pick[T any](ok bool, a, b T) T {
	if ok {
		return a
	}
	return b
}

// skipVerbose says whether the token is white space or, taking the rest of
// it, a comment.
func (p *parser) skipVerbose(t token) bool {
	if t.esc {
		return false
	}
	switch t.c {
	case ' ', '\t', '\n', '\r', '\v', '\f':
		return true
	case '#':
		for {
			if t := p.get(); t.n == 0 || t.is('\n') {
				return true
			}
		}
	}
	return false
}

// literal returns the node of one code point.
func literal(r rune, flags Flags) *Node {
	n := &Node{Kind: KindLiteral, Runes: []rune{r}}
	if fold := foldOf(flags); folds(r, fold) {
		n.Fold = fold
	}
	return n
}

// foldOf returns the folding that flags ask for.
func foldOf(flags Flags) Fold {
	switch {
	case flags&IgnoreCase == 0:
		return FoldNone
	case flags&ASCII != 0:
		return FoldASCII
	}
	return FoldUnicode
}

// dotClass returns the class of the dot.
func dotClass(flags Flags) *Class {
	return &Class{pick(flags&DotAll != 0, allRanges, dotRanges)}
}

// repeat reads a quantifier whose first token t is taken, for the last of
// items. It returns a KindEmpty node where the brace is no quantifier.
func (p *parser) repeat(t token, items []*Node) (*Node, error) {
	here := p.tell()
	lo, hi, ok, err := p.bounds(t, here)
	if err != nil || !ok {
		return &Node{}, err
	}
	if len(items) == 0 || items[len(items)-1].Kind == KindAssert {
		return nil, p.fail("nothing to repeat", p.tell()-here+1)
	}
	item := items[len(items)-1]
	if item.Kind == KindRepeat {
		return nil, p.fail("multiple repeat", p.tell()-here+1)
	}
	n := over(unwrap(item), Node{Kind: KindRepeat, Min: lo, Max: hi})
	switch {
	case p.match('?'):
		n.Mode = Lazy
	case p.match('+'):
		n.Mode = Possessive
	}
	return n, nil
}

// bounds reads the counts of a quantifier; ok is false where a brace starts none.
func (p *parser) bounds(t token, here int) (lo, hi int, ok bool, err error) {
	switch t.c {
	case '?':
		return 0, 1, true, nil
	case '*':
		return 0, -1, true, nil
	case '+':
		return 1, -1, true, nil
	}
	if p.next.is('}') {
		return 0, 0, false, nil
	}
	los, his := p.digits(), ""
	if p.match(',') {
		his = p.digits()
	} else {
		his = los
	}
	if !p.match('}') {
		p.seek(here)
		return 0, 0, false, nil
	}
	lo, hi = 0, -1
	if los != "" {
		lo = atoi(los)
	}
	if his != "" {
		hi = atoi(his)
	}
	if lo >= maxRepeat || hi >= maxRepeat {
		return 0, 0, false, newError(p.src, "the repetition number is too large", -1)
	}
	if hi >= 0 && hi < lo {
		return 0, 0, false, p.fail("min repeat greater than max repeat", p.tell()-here)
	}
	return lo, hi, true, nil
}

// wrapped marks a (?:…) so that a quantifier does not see what it holds.
func wrapped(n *Node) *Node { return over(n, Node{Kind: KindConcat}) }

// over returns a node with one below it, in one piece of memory.
func over(sub *Node, n Node) *Node {
	out := &struct {
		Node
		sub [1]*Node
	}{n, [1]*Node{sub}}
	out.Subs = out.sub[:]
	return &out.Node
}

// unwrap undoes wrapped.
func unwrap(n *Node) *Node {
	for n.Kind == KindConcat && len(n.Subs) == 1 {
		n = n.Subs[0]
	}
	return n
}
