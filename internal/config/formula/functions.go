package formula

import (
	"errors"
	"math"
	"math/big"
	"strconv"
)

// function is one that an expression may call, with min to max arguments;
// max < 0: any number.
type function struct {
	min, max int
	call     func(args []Number) (Number, error)
}

// constants are the names with a fixed value.
var constants = map[string]Number{
	"True": Bool(true), "False": Bool(false),
	"math.pi": Float(math.Pi), "math.e": Float(math.E), "math.tau": Float(2 * math.Pi),
	"math.inf": Float(math.Inf(1)), "math.nan": Float(math.NaN()),
}

// functions are Python's of the same names, for numbers.
var functions = map[string]function{
	"abs":   {1, 1, absolute},
	"bool":  {0, 1, func(a []Number) (Number, error) { return Bool(len(a) > 0 && a[0].truth()), nil }},
	"float": {0, 1, toFloat},
	"int":   {0, 1, toInt},
	"max":   {2, -1, func(a []Number) (Number, error) { return extreme(a, 1), nil }},
	"min":   {2, -1, func(a []Number) (Number, error) { return extreme(a, -1), nil }},
	"pow":   {2, 2, func(a []Number) (Number, error) { return power(a[0], a[1]) }},
	"round": {1, 2, round},

	"math.ceil":  {1, 1, rounding(math.Ceil)},
	"math.floor": {1, 1, rounding(math.Floor)},
	"math.trunc": {1, 1, toInt},
	"math.fabs":  {1, 1, real1(math.Abs)},

	"math.exp": {1, 1, real1(exp)}, "math.exp2": {1, 1, real1(math.Exp2)}, "math.expm1": {1, 1, real1(math.Expm1)},
	"math.log": {1, 2, logarithm}, "math.log2": {1, 1, real1(math.Log2)}, "math.log10": {1, 1, real1(math.Log10)},
	"math.log1p": {1, 1, real1(math.Log1p)}, "math.sqrt": {1, 1, real1(math.Sqrt)}, "math.cbrt": {1, 1, real1(math.Cbrt)},
	"math.pow": {2, 2, real2(pow)}, "math.fmod": {2, 2, real2(math.Mod)}, "math.hypot": {2, 2, real2(math.Hypot)},
	"math.sin": {1, 1, real1(math.Sin)}, "math.cos": {1, 1, real1(math.Cos)}, "math.tan": {1, 1, real1(math.Tan)},
	"math.asin": {1, 1, real1(math.Asin)}, "math.acos": {1, 1, real1(math.Acos)}, "math.atan": {1, 1, real1(math.Atan)},
	"math.atan2": {2, 2, real2(math.Atan2)}, "math.sinh": {1, 1, real1(math.Sinh)}, "math.cosh": {1, 1, real1(math.Cosh)},
	"math.tanh": {1, 1, real1(math.Tanh)},
}

func absolute(a []Number) (Number, error) {
	if a[0].IsInt() {
		return integer(new(big.Int).Abs(a[0].int()))
	}
	return Float(math.Abs(a[0].f)), nil
}

func toFloat(a []Number) (Number, error) {
	if len(a) == 0 {
		return Float(0), nil
	}
	x, _, err := floats(a[0], Number{})
	return Float(x), err
}

// toInt cuts the fraction off.
func toInt(a []Number) (Number, error) {
	if len(a) == 0 {
		return Int(0), nil
	}
	if a[0].IsInt() {
		return integer(a[0].int())
	}
	return fromFloat(math.Trunc(a[0].f))
}

// fromFloat returns a float without fraction as an integer.
func fromFloat(f float64) (Number, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Number{}, errors.New("not a finite number")
	}
	i, _ := big.NewFloat(f).Int(nil)
	return integer(i)
}

func rounding(f func(float64) float64) func([]Number) (Number, error) {
	return func(a []Number) (Number, error) {
		if a[0].IsInt() {
			return integer(a[0].int())
		}
		return fromFloat(f(a[0].f))
	}
}

// extreme returns the first of the largest (sign 1) or smallest (−1).
func extreme(a []Number, sign int) Number {
	best := a[0]
	for _, x := range a[1:] {
		if c, ordered := compare(x, best); ordered && c == sign {
			best = x
		}
	}
	return best
}

// round rounds halves to even: to an integer, or to so many digits.
func round(a []Number) (Number, error) {
	x := a[0]
	if len(a) == 1 {
		if x.IsInt() {
			return integer(x.int())
		}
		return fromFloat(math.RoundToEven(x.f))
	}
	if !a[1].IsInt() {
		return Number{}, errors.New("the number of digits is a float")
	}
	digits := a[1].Int64()
	switch {
	case x.IsInt() && digits >= 0:
		return integer(x.int())
	case x.IsInt():
		return roundInt(x.int(), digits)
	case math.IsNaN(x.f) || math.IsInf(x.f, 0) || digits > 323:
		return x, nil
	case digits < -308:
		return Float(math.Copysign(0, x.f)), nil
	case digits >= 0:
		f, err := strconv.ParseFloat(strconv.FormatFloat(x.f, 'f', int(digits), 64), 64)
		return Float(f), err
	}
	// Tens and above: exactly, in integers and a remainder.
	scale := new(big.Float).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(-digits), nil))
	quotient, _ := new(big.Rat).Quo(ratio(big.NewFloat(x.f)), ratio(scale)).Float64()
	f, _ := new(big.Float).Mul(big.NewFloat(math.RoundToEven(quotient)), scale).Float64()
	return Float(f), nil
}

func ratio(f *big.Float) *big.Rat {
	r, _ := f.Rat(nil)
	return r
}

// roundInt rounds an integer to a multiple of a power of ten, halves to even.
func roundInt(x *big.Int, digits int64) (Number, error) {
	if -digits > MaxBits {
		return Int(0), nil
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(-digits), nil)
	quotient, rest := new(big.Int).DivMod(x, unit, new(big.Int))
	twice := new(big.Int).Lsh(rest, 1)
	if c := twice.Cmp(unit); c > 0 || c == 0 && quotient.Bit(0) == 1 {
		quotient.Add(quotient, big.NewInt(1))
	}
	return integer(quotient.Mul(quotient, unit))
}

// checked refuses what Python's math refuses: infinities and NaN out of
// finite numbers.
func checked(z float64, args ...float64) (Number, error) {
	for _, x := range args {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return Float(z), nil
		}
	}
	switch {
	case math.IsNaN(z):
		return Number{}, errors.New("outside the function's domain")
	case math.IsInf(z, 0):
		return Number{}, errors.New("result too large for a float")
	}
	return Float(z), nil
}

func real1(f func(float64) float64) func([]Number) (Number, error) {
	return func(a []Number) (Number, error) {
		x, _, err := floats(a[0], Number{})
		if err != nil {
			return Number{}, err
		}
		return checked(f(x), x)
	}
}

func real2(f func(x, y float64) float64) func([]Number) (Number, error) {
	return func(a []Number) (Number, error) {
		x, y, err := floats(a[0], a[1])
		if err != nil {
			return Number{}, err
		}
		return checked(f(x, y), x, y)
	}
}

// logarithm is the natural one, or that to the base of the second argument.
func logarithm(a []Number) (Number, error) {
	x, err := real1(log)(a[:1])
	if err != nil || len(a) == 1 {
		return x, err
	}
	base, err := real1(log)(a[1:])
	if err != nil {
		return Number{}, err
	}
	return floatOperation("/", x, base)
}
