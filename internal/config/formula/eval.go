package formula

import (
	"errors"
	"fmt"
	"math"
	"math/big"
)

type (
	constant struct{ v Number }
	variable struct{ name string }
	choice   struct{ cond, x, y node }
	negation struct{ x node }
	unary    struct {
		op string
		x  node
	}
	operation struct {
		op   string
		x, y node
	}
	comparison struct {
		ops      []string
		operands []node
	}
	call struct {
		name string
		f    function
		args []node
	}
)

func (n constant) eval(map[string]Number) (Number, error) { return n.v, nil }

func (n variable) eval(env map[string]Number) (Number, error) {
	v, ok := env[n.name]
	if !ok {
		return Number{}, fmt.Errorf("%s has no value", n.name)
	}
	return v, nil
}

func (n choice) eval(env map[string]Number) (Number, error) {
	c, err := n.cond.eval(env)
	if err != nil {
		return Number{}, err
	}
	if c.truth() {
		return n.x.eval(env)
	}
	return n.y.eval(env)
}

func (n negation) eval(env map[string]Number) (Number, error) {
	v, err := n.x.eval(env)
	return Bool(!v.truth()), err
}

func (n unary) eval(env map[string]Number) (Number, error) {
	v, err := n.x.eval(env)
	if err != nil {
		return Number{}, err
	}
	switch {
	case n.op == "~" && !v.IsInt():
		return Number{}, errors.New("~ of a float")
	case n.op == "~":
		return integer(new(big.Int).Not(v.int()))
	case n.op == "-" && v.IsInt():
		return integer(new(big.Int).Neg(v.int()))
	case n.op == "-":
		return Float(-v.f), nil
	case v.kind == kindBool: // +True is 1
		return integer(v.int())
	}
	return v, nil
}

func (n comparison) eval(env map[string]Number) (Number, error) {
	left, err := n.operands[0].eval(env)
	if err != nil {
		return Number{}, err
	}
	for i, op := range n.ops {
		right, err := n.operands[i+1].eval(env)
		if err != nil {
			return Number{}, err
		}
		c, ordered := compare(left, right)
		if !holds(op, c, ordered) {
			return Bool(false), nil
		}
		left = right
	}
	return Bool(true), nil
}

func holds(op string, c int, ordered bool) bool {
	switch op {
	case "<":
		return ordered && c < 0
	case ">":
		return ordered && c > 0
	case "<=":
		return ordered && c <= 0
	case ">=":
		return ordered && c >= 0
	case "==":
		return ordered && c == 0
	}
	return !ordered || c != 0
}

func (n call) eval(env map[string]Number) (Number, error) {
	args := make([]Number, len(n.args))
	for i, a := range n.args {
		v, err := a.eval(env)
		if err != nil {
			return Number{}, err
		}
		args[i] = v
	}
	v, err := n.f.call(args)
	if err != nil {
		return Number{}, fmt.Errorf("%s(): %w", n.name, err)
	}
	return v, nil
}

func (n operation) eval(env map[string]Number) (Number, error) {
	x, err := n.x.eval(env)
	if err != nil {
		return Number{}, err
	}
	if n.op == "or" && x.truth() || n.op == "and" && !x.truth() {
		return x, nil
	}
	y, err := n.y.eval(env)
	if err != nil || n.op == "or" || n.op == "and" {
		return y, err
	}
	if n.op == "**" {
		return power(x, y)
	}
	if n.op != "/" && x.IsInt() && y.IsInt() {
		z, err := intOperation(n.op, x.int(), y.int())
		if bits := n.op == "&" || n.op == "|" || n.op == "^"; bits && x.kind == kindBool && y.kind == kindBool {
			z.kind = kindBool
		}
		return z, err
	}
	return floatOperation(n.op, x, y)
}

func intOperation(op string, x, y *big.Int) (Number, error) {
	z := new(big.Int)
	switch op {
	case "+":
		z.Add(x, y)
	case "-":
		z.Sub(x, y)
	case "*":
		z.Mul(x, y)
	case "&":
		z.And(x, y)
	case "|":
		z.Or(x, y)
	case "^":
		z.Xor(x, y)
	case "//", "%":
		if y.Sign() == 0 {
			return Number{}, errors.New("division by zero")
		}
		// Python rounds down, big.Int's QuoRem to zero and DivMod by the
		// divisor's sign.
		rest := new(big.Int)
		z.QuoRem(x, y, rest)
		if rest.Sign() != 0 && rest.Sign() != y.Sign() {
			z.Sub(z, big.NewInt(1))
			rest.Add(rest, y)
		}
		if op == "%" {
			z = rest
		}
	case "<<", ">>":
		return shift(op, x, y)
	}
	return integer(z)
}

func shift(op string, x, y *big.Int) (Number, error) {
	switch {
	case y.Sign() < 0:
		return Number{}, errors.New("negative shift count")
	case op == ">>" && !(y.IsInt64() && y.Int64() <= MaxBits):
		if x.Sign() < 0 {
			return Int(-1), nil
		}
		return Int(0), nil
	case op == ">>":
		return integer(new(big.Int).Rsh(x, uint(y.Int64())))
	case x.Sign() == 0:
		return Int(0), nil
	case !y.IsInt64() || y.Int64() > MaxBits:
		return Number{}, errTooLarge
	}
	return integer(new(big.Int).Lsh(x, uint(y.Int64())))
}

func floatOperation(op string, a, b Number) (Number, error) {
	x, y, err := floats(a, b)
	if err != nil && !(op == "/" && a.IsInt() && b.IsInt()) {
		return Number{}, err
	}
	switch op {
	case "+":
		return Float(x + y), nil
	case "-":
		return Float(x - y), nil
	case "*":
		return Float(x * y), nil
	case "/", "//", "%":
		if b.Sign() == 0 && y == 0 {
			return Number{}, errors.New("division by zero")
		}
	default:
		return Number{}, fmt.Errorf("%s of a float", op)
	}
	if op == "/" {
		if !a.IsInt() || !b.IsInt() {
			return Float(x / y), nil
		}
		// The quotient of two integers is rounded once.
		f, _ := new(big.Rat).SetFrac(a.int(), b.int()).Float64()
		if a.Sign() == 0 && b.Sign() < 0 {
			f = math.Copysign(0, -1)
		}
		if math.IsInf(f, 0) {
			return Number{}, errors.New("result too large for a float")
		}
		return Float(f), nil
	}
	quotient, rest := floorDivide(x, y)
	if op == "%" {
		return Float(rest), nil
	}
	return Float(quotient), nil
}

// floorDivide is Python's divmod of floats: the rest has the divisor's sign.
func floorDivide(x, y float64) (quotient, rest float64) {
	rest = math.Mod(x, y)
	quotient = (x - rest) / y
	if rest == 0 {
		rest = math.Copysign(0, y)
	} else if (y < 0) != (rest < 0) {
		rest += y
		quotient--
	}
	if quotient == 0 {
		return math.Copysign(0, x/y), rest
	}
	floor := math.Floor(quotient)
	if quotient-floor > 0.5 {
		floor++
	}
	return floor, rest
}

// power is x**y: of integers an integer where y is not negative.
func power(x, y Number) (Number, error) {
	if x.IsInt() && y.IsInt() && y.Sign() >= 0 {
		base, exp := x.int(), y.int()
		if base.BitLen() <= 1 { // 0, 1, −1
			if exp.Sign() == 0 {
				return Int(1), nil
			}
			if base.Sign() < 0 && exp.Bit(0) == 0 {
				return Int(1), nil
			}
			return integer(base)
		}
		// The result has at least (bits−1)·exp bits.
		if !exp.IsInt64() || exp.Int64() > MaxBits || int64(base.BitLen()-1)*exp.Int64() > MaxBits {
			return Number{}, errTooLarge
		}
		return integer(new(big.Int).Exp(base, exp, nil))
	}
	a, b, err := floats(x, y)
	if err != nil {
		return Number{}, err
	}
	if a == 0 && b < 0 {
		return Number{}, errors.New("zero to a negative power")
	}
	z := pow(a, b)
	switch {
	case math.IsInf(z, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0):
		return Number{}, errors.New("result too large for a float")
	case math.IsNaN(z) && !math.IsNaN(a) && !math.IsNaN(b):
		return Number{}, errors.New("root of a negative number")
	}
	return Float(z), nil
}
