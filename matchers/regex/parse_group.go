package regex

import "unicode"

// group reads what starts with an opening parenthesis, which is taken. It
// returns nil for a comment and for global flags, which are allowed if first.
func (p *parser) group(depth int, flags Flags, first bool) (*Node, error) {
	start := p.tell() - 1
	if !p.match('?') {
		return p.capture("", start, depth, flags)
	}
	t := p.get()
	switch {
	case t.n == 0:
		return nil, p.fail("unexpected end of pattern", 0)
	case t.is('P'):
		return p.named(start, depth, flags)
	case t.is(':'):
		n, err := p.body(start, depth, flags)
		return wrapped(n), err
	case t.is('#'):
		for !p.match(')') {
			if p.get().n == 0 {
				return nil, p.fail("missing ), unterminated comment", p.tell()-start)
			}
		}
		return nil, nil
	case t.is('=') || t.is('!') || t.is('<'):
		return p.look(t, start, depth, flags)
	case t.is('('):
		return p.conditional(start, depth, flags)
	case t.is('>'):
		n, err := p.body(start, depth, flags)
		return over(n, Node{Kind: KindAtomic}), err
	case t.is('-') || flagOf(t) != 0 || t.is('L'):
		return p.inlineFlags(t, start, depth, flags, first)
	}
	return nil, p.fail("unknown extension ?"+t.String(), t.n+1)
}

// body reads the inside of a group and its closing parenthesis. The node is
// never nil, so that callers may wrap it before they look at the error.
func (p *parser) body(start, depth int, flags Flags) (*Node, error) {
	n, err := p.alternation(depth+1, flags)
	if err == nil && !p.match(')') {
		err = p.fail("missing ), unterminated subpattern", p.tell()-start)
	}
	if n == nil {
		n = &Node{}
	}
	return n, err
}

// capture reads a capture group after its name.
func (p *parser) capture(name string, start, depth int, flags Flags) (*Node, error) {
	index := len(p.widths)
	if name != "" {
		if was, ok := p.names[name]; ok {
			return nil, p.fail("redefinition of group name "+quote(name)+" as group "+itoa(index)+
				"; was group "+itoa(was), len([]rune(name))+1)
		}
		p.names[name] = index
	}
	p.widths = append(p.widths, [2]int{})
	p.open = append(p.open, true)
	n, err := p.body(start, depth, flags)
	if err != nil {
		return nil, err
	}
	p.open[index] = false
	lo, hi := n.width(p.widths)
	p.widths[index] = [2]int{lo, hi}
	return over(n, Node{Kind: KindGroup, Index: index, Name: name}), nil
}

// named reads what follows (?P: a named group or a reference to one.
func (p *parser) named(start, depth int, flags Flags) (*Node, error) {
	if p.match('<') {
		name, err := p.until('>', "group name")
		if err != nil {
			return nil, err
		}
		if err := p.checkName(name); err != nil {
			return nil, err
		}
		return p.capture(name, start, depth, flags)
	}
	if !p.match('=') {
		t := p.get()
		if t.n == 0 {
			return nil, p.fail("unexpected end of pattern", 0)
		}
		return nil, p.fail("unknown extension ?P"+t.String(), t.n+2)
	}
	name, err := p.until(')', "group name")
	if err != nil {
		return nil, err
	}
	if err := p.checkName(name); err != nil {
		return nil, err
	}
	index, ok := p.names[name]
	if !ok {
		return nil, p.fail("unknown group name "+quote(name), len([]rune(name))+1)
	}
	if p.open[index] {
		return nil, p.fail("cannot refer to an open group", len([]rune(name))+1)
	}
	if err := p.checkLookbehind(index); err != nil {
		return nil, err
	}
	return &Node{Kind: KindBackref, Index: index, Fold: foldOf(flags), Name: name}, nil
}

// checkName refuses what is no identifier.
func (p *parser) checkName(name string) error {
	if isIdentifier(name) {
		return nil
	}
	return p.fail("bad character in group name "+quote(name), len([]rune(name))+1)
}

// isIdentifier is Python's str.isidentifier.
func isIdentifier(name string) bool {
	for i, r := range name {
		start := r == '_' || unicode.IsLetter(r) || unicode.Is(unicode.Nl, r)
		if !start && (i == 0 || !unicode.In(r, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc)) {
			return false
		}
	}
	return name != ""
}

// checkLookbehind refuses references that a lookbehind cannot know the width of.
func (p *parser) checkLookbehind(group int) error {
	if p.lookbehind < 0 {
		return nil
	}
	if group >= len(p.widths) || p.open[group] {
		return p.fail("cannot refer to an open group", 0)
	}
	if group >= p.lookbehind {
		return p.fail("cannot refer to group defined in the same lookbehind subpattern", 0)
	}
	return nil
}

// look reads a lookaround; t is the token after the question mark.
func (p *parser) look(t token, start, depth int, flags Flags) (*Node, error) {
	n := &Node{Kind: KindLook}
	outermost := false
	if t.is('<') {
		t = p.get()
		if t.n == 0 {
			return nil, p.fail("unexpected end of pattern", 0)
		}
		if !t.is('=') && !t.is('!') {
			return nil, p.fail("unknown extension ?<"+t.String(), t.n+2)
		}
		n.Behind = true
		if outermost = p.lookbehind < 0; outermost {
			p.lookbehind = len(p.widths)
		}
	}
	n.Negate = t.is('!')
	body, err := p.body(start, depth, flags)
	if outermost {
		p.lookbehind = -1
	}
	if err != nil {
		return nil, err
	}
	n.Subs = []*Node{body}
	if n.Behind {
		lo, hi := body.width(p.widths)
		if lo != hi {
			p.variableLook = true
		}
		n.Width = lo
	}
	return n, nil
}

// conditional reads (?(group)yes|no).
func (p *parser) conditional(start, depth int, flags Flags) (*Node, error) {
	name, err := p.until(')', "group name")
	if err != nil {
		return nil, err
	}
	back := len([]rune(name)) + 1
	n := &Node{Kind: KindCond}
	switch {
	case isIdentifier(name):
		index, ok := p.names[name]
		if !ok {
			return nil, p.fail("unknown group name "+quote(name), back)
		}
		n.Index, n.Name = index, name
	case allDigits(name):
		n.Index = atoi(name)
		if n.Index == 0 {
			return nil, p.fail("bad group number", back)
		}
		if n.Index >= maxGroups {
			return nil, p.fail("invalid group reference "+name, back)
		}
		p.condRefs = append(p.condRefs, condRef{n.Index, p.tell() - back})
	default:
		return nil, p.fail("bad character in group name "+quote(name), back)
	}
	if err := p.checkLookbehind(n.Index); err != nil {
		return nil, err
	}
	yes, err := p.concat(depth+1, flags, false)
	if err != nil {
		return nil, err
	}
	no := &Node{Kind: KindEmpty}
	if p.match('|') {
		if no, err = p.concat(depth+1, flags, false); err != nil {
			return nil, err
		}
		if p.next.is('|') {
			return nil, p.fail("conditional backref with more than two branches", 0)
		}
	}
	if !p.match(')') {
		return nil, p.fail("missing ), unterminated subpattern", p.tell()-start)
	}
	n.Subs = []*Node{yes, no}
	return n, nil
}

// maxGroups is CPython's MAXGROUPS.
const maxGroups = 1<<30 - 1

func allDigits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// flagOf returns the flag of an inline letter, or 0.
func flagOf(t token) Flags {
	if t.n != 1 {
		return 0
	}
	switch t.c {
	case 'i':
		return IgnoreCase
	case 'm':
		return Multiline
	case 's':
		return DotAll
	case 'x':
		return Verbose
	case 'a':
		return ASCII
	case 'u':
		return unicodeFlag
	case 't':
		return templateFlag
	}
	return 0
}

// inlineFlags reads flags, of the rest of the pattern or of a group.
func (p *parser) inlineFlags(t token, start, depth int, flags Flags, first bool) (*Node, error) {
	add, del, global, err := p.flagLetters(t)
	if err != nil {
		return nil, err
	}
	if global {
		if !first {
			return nil, p.fail("global flags not at the start of the expression", p.tell()-start)
		}
		p.flags |= add
		return nil, nil
	}
	if add&(ASCII|unicodeFlag) != 0 {
		flags &^= ASCII | unicodeFlag
	}
	n, err := p.body(start, depth, (flags|add)&^del)
	return wrapped(n), err
}

// flagLetters reads the letters up to the colon or the closing parenthesis
// (global), the first of them being taken.
func (p *parser) flagLetters(t token) (add, del Flags, global bool, err error) {
	const types = ASCII | unicodeFlag
	if !t.is('-') {
		for {
			f := flagOf(t)
			switch {
			case t.is('L'):
				return 0, 0, false, p.fail("bad inline flags: cannot use 'L' flag with a str pattern", 0)
			case f == templateFlag:
				return 0, 0, false, p.fail("inline flag 't' is not supported", 0)
			}
			add |= f
			if f&types != 0 && add&types != f {
				return 0, 0, false, p.fail("bad inline flags: flags 'a', 'u' and 'L' are incompatible", 0)
			}
			if t = p.get(); t.n == 0 {
				return 0, 0, false, p.fail("missing -, : or )", 0)
			}
			if t.is(')') {
				return add, 0, true, nil
			}
			if t.is('-') || t.is(':') {
				break
			}
			if err := p.unknownFlag(t, "missing -, : or )"); err != nil {
				return 0, 0, false, err
			}
		}
	}
	if t.is(':') {
		return add, 0, false, nil
	}
	if t = p.get(); t.n == 0 {
		return 0, 0, false, p.fail("missing flag", 0)
	}
	if err := p.unknownFlag(t, "missing flag"); err != nil {
		return 0, 0, false, err
	}
	for {
		f := flagOf(t)
		if f&types != 0 || t.is('L') {
			return 0, 0, false, p.fail("bad inline flags: cannot turn off flags 'a', 'u' and 'L'", 0)
		}
		del |= f
		if t = p.get(); t.n == 0 {
			return 0, 0, false, p.fail("missing :", 0)
		}
		if t.is(':') {
			break
		}
		if err := p.unknownFlag(t, "missing :"); err != nil {
			return 0, 0, false, err
		}
	}
	switch {
	case del&templateFlag != 0:
		return 0, 0, false, p.fail("bad inline flags: cannot turn off global flag", 1)
	case add&del != 0:
		return 0, 0, false, p.fail("bad inline flags: flag turned on and off", 1)
	}
	return add, del, false, nil
}

// unknownFlag refuses a token that is no flag letter: as an unknown flag
// where it is a letter, else with the message missing.
func (p *parser) unknownFlag(t token, missing string) error {
	if flagOf(t) != 0 || t.is('L') {
		return nil
	}
	if !t.esc && unicode.IsLetter(t.c) {
		missing = "unknown flag"
	}
	return p.fail(missing, t.n)
}
