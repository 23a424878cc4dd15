package formula

import (
	"math"
	"math/big"
)

// precision is the mantissa, in bits, in which exp, log and ** are computed
// before they are rounded once. Go's own functions are off by a last bit here
// and there where the C library's, and so Python's, are not.
const precision = 192

// ln2 is the natural logarithm of 2: the sum of 1/(k·2^k).
var ln2 = func() *big.Float {
	sum, power := newFloat(0), newFloat(1)
	for k := int64(1); k <= precision+8; k++ {
		power.Quo(power, newFloat(2))
		sum.Add(sum, newFloat(0).Quo(power, newFloat(float64(k))))
	}
	return sum
}()

func newFloat(x float64) *big.Float {
	return new(big.Float).SetPrec(precision).SetFloat64(x)
}

// exp returns e to the power of x, rounded to the nearest float.
func exp(x float64) float64 {
	if math.IsNaN(x) || x > 710 || x < -746 || x == 0 {
		return math.Exp(x)
	}
	f, _ := bigExp(newFloat(x)).Float64()
	return f
}

// bigExp is e to the power of x for |x| < 1000: x = k·ln 2 + r, and of r/256
// the series, squared eight times.
func bigExp(x *big.Float) *big.Float {
	near, _ := x.Float64()
	k := math.Round(near / math.Ln2)
	r := newFloat(0).Sub(x, newFloat(0).Mul(newFloat(k), ln2))
	r.Quo(r, newFloat(256))
	sum, term := newFloat(1), newFloat(1)
	for n := 1; n <= 24; n++ {
		term.Mul(term, r)
		term.Quo(term, newFloat(float64(n)))
		sum.Add(sum, term)
	}
	for range 8 {
		sum.Mul(sum, sum)
	}
	return sum.SetMantExp(sum, int(k))
}

// log returns the natural logarithm of x, rounded to the nearest float.
func log(x float64) float64 {
	if !(x > 0) || math.IsInf(x, 1) || x == 1 {
		return math.Log(x)
	}
	f, _ := bigLog(x).Float64()
	return f
}

// bigLog improves Go's logarithm, which is right to some 50 bits, twice by
// Halley's rule, which triples them: y + 2·(x−e^y)/(x+e^y). Go's is given the
// mantissa alone: on amd64 it is wrong below the normal numbers.
func bigLog(x float64) *big.Float {
	mantissa, exponent := math.Frexp(x)
	y := newFloat(math.Log(mantissa) + float64(exponent)*math.Ln2)
	for range 2 {
		e := bigExp(y)
		step := newFloat(0).Sub(newFloat(x), e)
		step.Quo(step.Mul(step, newFloat(2)), e.Add(e, newFloat(x)))
		y.Add(y, step)
	}
	return y
}

// pow returns a to the power of b, rounded to the nearest float.
func pow(a, b float64) float64 {
	rough := math.Pow(a, b)
	switch {
	case b == 0, a == 0, math.IsInf(a, 0), math.IsInf(b, 0), math.IsNaN(a), a == 1, a == -1:
		return rough // exact; log has no value there, or none that is of use
	case rough == 0, math.IsInf(rough, 0), math.IsNaN(rough):
		return rough
	}
	exponent := newFloat(0).Mul(newFloat(b), bigLog(math.Abs(a)))
	f, _ := bigExp(exponent).Float64()
	return math.Copysign(f, rough)
}
