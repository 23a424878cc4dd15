package formula

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// MaxBits is the most bits that an integer may have.
const MaxBits = 4096

type kind uint8

const (
	kindInt kind = iota // the zero Number is the integer 0
	kindBool
	kindFloat
)

// Number is a Python number: an integer of up to MaxBits bits, a bool (an
// integer that prints otherwise) or a float. It is never changed.
type Number struct {
	kind kind
	i    *big.Int // nil: 0
	f    float64
}

// Int returns an integer.
func Int(n int64) Number { return Number{i: big.NewInt(n)} }

// Float returns a float.
func Float(f float64) Number { return Number{kind: kindFloat, f: f} }

// Bool returns True or False.
func Bool(b bool) Number {
	n := Number{kind: kindBool, i: new(big.Int)}
	if b {
		n.i.SetInt64(1)
	}
	return n
}

// IsInt says whether the number is an integer (or a bool).
func (n Number) IsInt() bool { return n.kind != kindFloat }

// int returns the integer; it must not be changed.
func (n Number) int() *big.Int {
	if n.i == nil {
		return new(big.Int)
	}
	return n.i
}

// Float64 returns the nearest float; an integer beyond all floats gives an infinity.
func (n Number) Float64() float64 {
	if n.kind == kindFloat {
		return n.f
	}
	f, _ := new(big.Float).SetInt(n.int()).Float64()
	return f
}

// Int64 returns the number without its fraction, cut to the range of int64; of
// NaN it returns 0.
func (n Number) Int64() int64 {
	if n.kind != kindFloat {
		switch i := n.int(); {
		case i.IsInt64():
			return i.Int64()
		case i.Sign() < 0:
			return math.MinInt64
		}
		return math.MaxInt64
	}
	switch {
	case n.f != n.f:
		return 0
	case n.f >= math.MaxInt64:
		return math.MaxInt64
	case n.f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(n.f)
}

// Sign returns −1, 0 or 1; 0 for NaN.
func (n Number) Sign() int {
	switch {
	case n.kind != kindFloat:
		return n.int().Sign()
	case n.f > 0:
		return 1
	case n.f < 0:
		return -1
	}
	return 0
}

// String returns the number as Python prints it.
func (n Number) String() string {
	switch n.kind {
	case kindBool:
		if n.Sign() != 0 {
			return "True"
		}
		return "False"
	case kindInt:
		return n.int().String()
	}
	switch {
	case math.IsInf(n.f, 0):
		return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(n.f, 'g', -1, 64), "+"))
	case math.IsNaN(n.f):
		return "nan"
	}
	if a := math.Abs(n.f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(n.f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(n.f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// truth is Python's bool().
func (n Number) truth() bool { return n.Sign() != 0 || n.kind == kindFloat && math.IsNaN(n.f) }

// compare returns −1, 0, 1; ordered is false where one is NaN. Integers and
// floats are compared exactly.
func compare(a, b Number) (c int, ordered bool) {
	switch {
	case a.IsInt() && b.IsInt():
		return a.int().Cmp(b.int()), true
	case a.kind == kindFloat && b.kind == kindFloat:
		switch {
		case a.f < b.f:
			return -1, true
		case a.f > b.f:
			return 1, true
		}
		return 0, a.f == b.f
	case a.kind == kindFloat:
		c, ordered = compare(b, a)
		return -c, ordered
	}
	if math.IsNaN(b.f) {
		return 0, false
	}
	if math.IsInf(b.f, 0) {
		return -b.Sign(), true
	}
	return new(big.Float).SetInt(a.int()).Cmp(big.NewFloat(b.f)), true
}

// floats returns both as floats, or an error where an integer is beyond them.
func floats(a, b Number) (x, y float64, err error) {
	x, y = a.Float64(), b.Float64()
	if a.IsInt() && math.IsInf(x, 0) || b.IsInt() && math.IsInf(y, 0) {
		return 0, 0, fmt.Errorf("integer too large for a float")
	}
	return x, y, nil
}

// integer bounds an integer.
func integer(i *big.Int) (Number, error) {
	if i.BitLen() > MaxBits {
		return Number{}, errTooLarge
	}
	return Number{i: i}, nil
}
