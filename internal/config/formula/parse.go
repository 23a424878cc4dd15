package formula

import (
	"errors"
	"fmt"
)

const (
	// MaxSource is the most bytes that an expression may have.
	MaxSource = 4096
	// maxDepth is how deep parentheses and operators may nest.
	maxDepth = 100
)

var errTooLarge = errors.New("number too large")

// Expr is a parsed expression. It is never changed and may be evaluated by
// several goroutines.
type Expr struct {
	root  node
	names []string
}

// node is one operation of an expression.
type node interface {
	eval(env map[string]Number) (Number, error)
}

// Parse reads an expression; names are the variables that it may use. The
// error says what is not understood.
func Parse(source string, names ...string) (*Expr, error) {
	if len(source) > MaxSource {
		return nil, fmt.Errorf("expression longer than %d bytes", MaxSource)
	}
	tokens, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, names: map[string]bool{}}
	for _, n := range names {
		p.names[n] = true
	}
	root, err := p.ternary()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.text != "" {
		return nil, fmt.Errorf("unexpected %q", t.text)
	}
	return &Expr{root: root, names: names}, nil
}

// Eval computes the expression. env holds every name given to Parse.
func (e *Expr) Eval(env map[string]Number) (Number, error) { return e.root.eval(env) }

// Eval parses and computes an expression without variables.
func Eval(source string) (Number, error) {
	e, err := Parse(source)
	if err != nil {
		return Number{}, err
	}
	return e.Eval(nil)
}

// parser is a recursive descent over Python's grammar of expressions.
type parser struct {
	tokens []token
	names  map[string]bool
	depth  int
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.text != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept takes the next token where it is one of these.
func (p *parser) accept(texts ...string) (string, bool) {
	t := p.peek()
	for _, s := range texts {
		if t.number == nil && t.text == s {
			p.next()
			return s, true
		}
	}
	return "", false
}

func (p *parser) expect(text string) error {
	if _, ok := p.accept(text); ok {
		return nil
	}
	if t := p.peek(); t.text != "" {
		return fmt.Errorf("%q expected before %q", text, t.text)
	}
	return fmt.Errorf("%q expected at the end", text)
}

// enter counts one level of nesting.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	return nil
}

// ternary: x if condition else y.
func (p *parser) ternary() (node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	x, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	if _, ok := p.accept("if"); !ok {
		return x, nil
	}
	cond, err := p.binary(0)
	if err != nil {
		return nil, err
	}
	if err := p.expect("else"); err != nil {
		return nil, err
	}
	y, err := p.ternary()
	if err != nil {
		return nil, err
	}
	return choice{cond, x, y}, nil
}

// levels are the operators from the one that binds least; "not" stands between
// "and" and the comparisons, the signs above "*".
var levels = [][]string{
	{"or"}, {"and"}, {"not"},
	{"<", ">", "<=", ">=", "==", "!="},
	{"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%"},
}

const (
	levelNot     = 2
	levelCompare = 3
)

func (p *parser) binary(level int) (node, error) {
	switch level {
	case len(levels):
		return p.sign()
	case levelNot:
		return p.not()
	case levelCompare:
		return p.comparison()
	}
	x, err := p.binary(level + 1)
	for n := 0; err == nil; n++ {
		op, ok := p.accept(levels[level]...)
		if !ok {
			return x, nil
		}
		var y node
		if y, err = p.binary(level + 1); err == nil {
			x = operation{op, x, y}
		}
	}
	return nil, err
}

func (p *parser) not() (node, error) {
	if _, ok := p.accept("not"); !ok {
		return p.binary(levelNot + 1)
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	x, err := p.not()
	return negation{x}, err
}

// comparison: a < b < c is a < b and b < c.
func (p *parser) comparison() (node, error) {
	x, err := p.binary(levelCompare + 1)
	if err != nil {
		return nil, err
	}
	c := comparison{operands: []node{x}}
	for {
		op, ok := p.accept(levels[levelCompare]...)
		if !ok {
			break
		}
		y, err := p.binary(levelCompare + 1)
		if err != nil {
			return nil, err
		}
		c.ops, c.operands = append(c.ops, op), append(c.operands, y)
	}
	if len(c.ops) == 0 {
		return x, nil
	}
	return c, nil
}

// sign: + - ~ bind less than ** to their right.
func (p *parser) sign() (node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if op, ok := p.accept("+", "-", "~"); ok {
		x, err := p.sign()
		return unary{op, x}, err
	}
	x, err := p.atom()
	if err != nil {
		return nil, err
	}
	if _, ok := p.accept("**"); !ok {
		return x, nil
	}
	y, err := p.sign()
	if err != nil {
		return nil, err
	}
	return operation{"**", x, y}, nil
}

// atom: a number, a name, a call, an expression in parentheses.
func (p *parser) atom() (node, error) {
	t := p.next()
	switch {
	case t.number != nil:
		return constant{*t.number}, nil
	case t.text == "(":
		x, err := p.ternary()
		if err != nil {
			return nil, err
		}
		return x, p.expect(")")
	case t.text == "":
		return nil, errors.New("unexpected end")
	case !t.name:
		return nil, fmt.Errorf("unexpected %q", t.text)
	}
	if _, ok := p.accept("("); ok {
		return p.call(t.text)
	}
	if v, ok := constants[t.text]; ok {
		return constant{v}, nil
	}
	if p.names[t.text] {
		return variable{t.text}, nil
	}
	return nil, &NameError{t.text}
}

func (p *parser) call(name string) (node, error) {
	f, ok := functions[name]
	if !ok {
		return nil, fmt.Errorf("unknown function %q", name)
	}
	c := call{name: name, f: f}
	for {
		if _, ok := p.accept(")"); ok {
			break
		}
		x, err := p.ternary()
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, x)
		if _, ok := p.accept(","); !ok {
			if err := p.expect(")"); err != nil {
				return nil, err
			}
			break
		}
	}
	if len(c.args) < f.min || len(c.args) > f.max && f.max >= 0 {
		return nil, fmt.Errorf("%s() does not take %d arguments", name, len(c.args))
	}
	return c, nil
}

// NameError says that a formula has a name that nothing is known by.
type NameError struct{ Name string }

// Error names it.
func (e *NameError) Error() string { return fmt.Sprintf("unknown name %q", e.Name) }
