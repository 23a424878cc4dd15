package regex

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

func itoa(n int) string { return strconv.Itoa(n) }

// atoi reads decimal digits; what is too large for a count is maxRepeat.
func atoi(digits string) int {
	n := 0
	for _, c := range digits {
		n = min(n*10+int(c-'0'), maxRepeat)
	}
	return n
}

func isDigit(t token) bool      { return t.n == 1 && '0' <= t.c && t.c <= '9' }
func isOctal(t token) bool      { return t.n == 1 && '0' <= t.c && t.c <= '7' }
func isASCIILetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

func isHex(t token) bool {
	return isDigit(t) || t.n == 1 && ('a' <= t.c && t.c <= 'f' || 'A' <= t.c && t.c <= 'F')
}

// digits takes decimal digits.
func (p *parser) digits() string { return p.while(-1, isDigit) }

// while takes up to limit tokens (-1: any number) that ok accepts.
func (p *parser) while(limit int, ok func(token) bool) string {
	var s strings.Builder
	for ; limit != 0 && ok(p.next); limit-- {
		s.WriteRune(p.get().c)
	}
	return s.String()
}

// simpleEscapes are the escapes of one code point that mean the same
// everywhere (\b within sets only).
var simpleEscapes = map[rune]rune{'a': '\a', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\'}

// escape reads an escape outside of sets; its first token t is taken.
func (p *parser) escape(t token, flags Flags) (*Node, error) {
	ascii := flags&ASCII != 0
	assert := func(a Assert) (*Node, error) { return &Node{Kind: KindAssert, Assert: a}, nil }
	switch t.c {
	case 'A':
		return assert(BeginText)
	case 'Z':
		return assert(EndText)
	case 'b':
		return assert(pick(ascii, WordBoundaryA, WordBoundary))
	case 'B':
		return assert(pick(ascii, NoWordBoundaryA, NoWordBoundary))
	case 'd', 'D', 's', 'S', 'w', 'W':
		return &Node{Kind: KindClass, Class: &Class{category(t.c, ascii)}}, nil
	}
	if '1' <= t.c && t.c <= '9' {
		return p.reference(t, flags)
	}
	r, err := p.charEscape(t)
	if err != nil {
		return nil, err
	}
	return literal(r, flags), nil
}

// reference reads \1–\99, or three octal digits.
func (p *parser) reference(t token, flags Flags) (*Node, error) {
	text := `\` + string(t.c)
	if isDigit(p.next) {
		second := p.get()
		text += string(second.c)
		if isOctal(token{c: t.c, n: 1}) && isOctal(second) && isOctal(p.next) {
			text += string(p.get().c)
			r, err := p.octal(text)
			if err != nil {
				return nil, err
			}
			return literal(r, flags), nil
		}
	}
	group := atoi(text[1:])
	if group >= len(p.widths) {
		return nil, p.fail("invalid group reference "+itoa(group), len(text)-1)
	}
	if p.open[group] {
		return nil, p.fail("cannot refer to an open group", len(text))
	}
	if err := p.checkLookbehind(group); err != nil {
		return nil, err
	}
	return &Node{Kind: KindBackref, Index: group, Fold: foldOf(flags)}, nil
}

// octal reads the digits after the backslash of text.
func (p *parser) octal(text string) (rune, error) {
	c, err := strconv.ParseInt(text[1:], 8, 32)
	if err != nil || c > 0o377 {
		return 0, p.fail("octal escape value "+text+" outside of range 0-0o377", len(text))
	}
	return rune(c), nil
}

// charEscape reads an escape that stands for one code point.
func (p *parser) charEscape(t token) (rune, error) {
	if r, ok := simpleEscapes[t.c]; ok {
		return r, nil
	}
	bad := func(text string) (rune, error) { return 0, p.fail("bad escape "+text, len([]rune(text))) }
	switch t.c {
	case 'x':
		return p.hexEscape(t, 2)
	case 'u':
		return p.hexEscape(t, 4)
	case 'U':
		return p.hexEscape(t, 8)
	case '0':
		return p.octal(t.String() + p.while(2, isOctal))
	case 'N':
		if !p.match('{') {
			return 0, p.fail("missing {", 0)
		}
		name, err := p.until('}', "character name")
		if err != nil {
			return 0, err
		}
		r, ok := runeNamed(name)
		if !ok {
			return 0, p.fail("undefined character name "+quote(name), len([]rune(name))+4)
		}
		return r, nil
	}
	if isASCIILetter(t.c) || '0' <= t.c && t.c <= '9' {
		return bad(t.String())
	}
	return t.c, nil
}

// hexEscape reads the n hexadecimal digits of an escape.
func (p *parser) hexEscape(t token, n int) (rune, error) {
	text := t.String() + p.while(n, isHex)
	if len(text) != n+2 {
		return 0, p.fail("incomplete escape "+text, len(text))
	}
	c, err := strconv.ParseUint(text[2:], 16, 32)
	if err != nil || c > utf8.MaxRune {
		return 0, p.fail("bad escape "+text, len(text))
	}
	if 0xd800 <= c && c <= 0xdfff {
		return 0, p.fail("lone surrogate "+text, len(text))
	}
	return rune(c), nil
}

// set reads a set whose opening bracket is taken.
func (p *parser) set(flags Flags) (*Node, error) {
	here := p.tell() - 1
	negate := p.match('^')
	var items []setItem
	for {
		this := p.get()
		if this.n == 0 {
			return nil, p.fail("unterminated character set", p.tell()-here)
		}
		if this.is(']') && len(items) > 0 {
			break
		}
		item, err := p.setMember(this, flags)
		if err != nil {
			return nil, err
		}
		if !p.match('-') {
			items = append(items, item)
			continue
		}
		that := p.get()
		if that.n == 0 {
			return nil, p.fail("unterminated character set", p.tell()-here)
		}
		if that.is(']') {
			items = append(items, item, setItem{Range: Range{'-', '-'}})
			break
		}
		end, err := p.setMember(that, flags)
		if err != nil {
			return nil, err
		}
		if item.category != nil || end.category != nil || end.Lo < item.Lo {
			return nil, p.fail("bad character range "+this.String()+"-"+that.String(), this.n+1+that.n)
		}
		items = append(items, setItem{Range: Range{item.Lo, end.Lo}})
	}
	if len(items) == 1 && !negate && items[0].category == nil && items[0].Lo == items[0].Hi {
		return literal(items[0].Lo, flags), nil
	}
	key := string(rune(flags&(IgnoreCase|ASCII))) + string(p.src[here:p.tell()])
	return &Node{Kind: KindClass, Class: largeClasses.get(key, func() *Class {
		return newClass(items, negate, foldOf(flags))
	})}, nil
}

// setMember reads one member of a set; its first token t is taken.
func (p *parser) setMember(t token, flags Flags) (setItem, error) {
	if !t.esc {
		return setItem{Range: Range{t.c, t.c}}, nil
	}
	switch t.c {
	case 'd', 'D', 's', 'S', 'w', 'W':
		return setItem{category: category(t.c, flags&ASCII != 0)}, nil
	case 'b':
		return setItem{Range: Range{'\b', '\b'}}, nil
	}
	var r rune
	var err error
	if isOctal(token{c: t.c, n: 1}) {
		r, err = p.octal(t.String() + p.while(2, isOctal))
	} else {
		r, err = p.charEscape(t)
	}
	return setItem{Range: Range{r, r}}, err
}
