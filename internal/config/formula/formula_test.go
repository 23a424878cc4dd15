package formula

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// env is what the oracle evaluates with too.
var env = map[string]Number{"ban.Time": Int(600), "ban.Count": Int(3), "banFactor": Float(1.5)}

func eval(source string) (Number, error) {
	e, err := Parse(source, "ban.Time", "ban.Count", "banFactor")
	if err != nil {
		return Number{}, err
	}
	return e.Eval(env)
}

func TestEval(t *testing.T) {
	f := func(source, want string) {
		t.Helper()
		got, err := eval(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			return
		}
		if got.String() != want {
			t.Errorf("%s = %v, want %s", source, got, want)
		}
	}
	// The formulas of jail.conf.
	f("ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor", "7200.0")
	f("ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)", "54010.27878031309")
	f("2.0 / 2.885385", "0.6931484013398559")

	f("7 // 2", "3")
	f("-7 // 2", "-4")
	f("-7 % 3", "2")
	f("7 % -3", "-2")
	f("-7.5 % 2", "0.5")
	f("7 / 2", "3.5")
	f("6 / 2", "3.0")
	f("2 ** 3 ** 2", "512")
	f("-2 ** 2", "-4")
	f("2 ** -1", "0.5")
	f("1 << 3 + 1", "16")
	f("1 < 2 < 3", "True")
	f("1 < 3 < 2", "False")
	f("not 0 or 1", "True")
	f("0 or 5 and 7", "7")
	f("1 if ban.Count > 2 else 2 if ban.Time else 3", "1")
	f("True + True", "2")
	f("~5 & 0xff | 0b1 ^ 0o17", "254")
	f("max(1, 2.0, 2)", "2.0")
	f("min(3, 2.5, 2.5)", "2.5")
	f("round(2.5)", "2")
	f("round(2.675, 2)", "2.67")
	f("round(1234, -2)", "1200")
	f("int(-3.7)", "-3")
	f("abs(-ban.Time)", "600")
	f("1e16", "1e+16")
	f("1_000 + .5", "1000.5")
	f("math.floor(2.7) + math.ceil(2.1)", "5")
	f("math.log(8, 2)", "3.0")
	f("10**20", "100000000000000000000")
	f("10**20 / 3", "3.333333333333333e+19")
	f("2**60 < 2.0**60 + 1", "False")
	f("0.0 ** 0", "1.0")
	f("0.0 ** .5", "0.0")
	f("1e400 ** 0", "1.0")
	f("1e400 ** -1", "0.0")
	f("1e400 ** .5", "inf")
	f("(1e400 - 1e400) ** 0", "1.0")
	f("5e-324 ** .5", "2.2227587494850775e-162")
}

func TestErrors(t *testing.T) {
	f := func(source, want string) {
		t.Helper()
		if v, err := eval(source); err == nil {
			t.Errorf("%s = %v, want an error", source, v)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", source, err, want)
		}
	}
	f("", "unexpected end")
	f("1 +", "unexpected end")
	f("(1", `")" expected at the end`)
	f("1 2", `unexpected "2"`)
	f("0600", "does not start with 0")
	f("12abc", "no number")
	f("1__0", "no number")
	f("__import__('os')", `unexpected "'"`)
	f("exec(1)", `unknown function "exec"`)
	f("ban.__class__", `unknown name "ban.__class__"`)
	f("math.exp", `unknown name "math.exp"`)
	f("math.exp()", "does not take 0 arguments")
	f("1 if 2", `"else" expected`)
	f("1/0", "division by zero")
	f("1//0.0", "division by zero")
	f("1 << -1", "negative shift count")
	f("1.5 << 2", "of a float")
	f("~1.5", "of a float")
	f("math.exp(1000)", "too large")
	f("math.sqrt(-1)", "domain")
	f("2.0 ** 5000", "too large")
	f("(-8) ** 0.5", "root")
	f("0 ** -1", "zero to a negative power")
	f("int(math.inf)", "finite")
	f(strings.Repeat("(", 200)+"1"+strings.Repeat(")", 200), "nested")
	f(strings.Repeat("-", 2000)+"1", "nested")
	f(strings.Repeat("not ", 1000)+"1", "nested")
	f("1"+strings.Repeat("+1", 3000), "longer than")
}

// What would take Python hours or all memory is refused at once.
func TestBombs(t *testing.T) {
	for _, source := range []string{
		"9**9**9", "9**9**9**9", "1<<(1<<40)", "2**(2**62)", "(1<<4000)*(1<<4000)", "10**4000", "pow(9, pow(9, 9))",
		"(-2)**(10**30)", strings.Repeat("9", 4000), "-(10**1200) * 10**1200", "int(1e300)**20",
	} {
		start := time.Now()
		if v, err := eval(source); err == nil {
			t.Errorf("%.40s gives a number of %d bits", source, v.int().BitLen())
		} else if !strings.Contains(err.Error(), "too large") {
			t.Errorf("%.40s: %v", source, err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("%.40s took %v", source, d)
		}
	}
	if v, err := eval("1 >> (1<<4000)"); err != nil || v.String() != "0" {
		t.Errorf("a long way to the right: %v, %v", v, err)
	}
}

func TestNumber(t *testing.T) {
	if n := Float(1e30).Int64(); n != math.MaxInt64 {
		t.Errorf("1e30 is cut to %d", n)
	}
	if n := Float(-1e30).Int64(); n != math.MinInt64 {
		t.Errorf("-1e30 is cut to %d", n)
	}
	if n := Float(math.NaN()).Int64(); n != 0 {
		t.Errorf("NaN is cut to %d", n)
	}
	if v, err := eval("-(2**70)"); err != nil || v.Int64() != math.MinInt64 || v.Sign() != -1 {
		t.Errorf("-(2**70): %v, %v", v, err)
	}
	if (Number{}).String() != "0" || (Number{}).Float64() != 0 {
		t.Error("the zero Number is not 0")
	}
}

// random returns an expression that Python can compute at once.
func random(r *rand.Rand, depth int) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	if depth == 0 || r.IntN(6) == 0 {
		return pick("0", "1", "2", "3", "7", "10", "600", "-5", "1.5", "0.1", "2.0", "1e3", "-0.5", "ban.Time", "ban.Count", "banFactor", "True", "0x1f", "1_0", "123456789012345678901234567890")
	}
	x := func() string { return random(r, depth-1) }
	switch r.IntN(9) {
	case 0:
		return "(" + x() + ")"
	case 1:
		return pick("-", "+", "not ", "~") + "(" + x() + ")"
	case 2:
		return x() + " if " + x() + " else " + x()
	case 3:
		return x() + " " + pick("<", ">", "<=", ">=", "==", "!=") + " " + x() + pick("", " < "+x())
	case 4:
		return pick("abs", "int", "float", "round", "bool", "math.floor", "math.ceil", "math.trunc", "math.fabs", "math.sqrt", "math.exp", "math.log") + "(" + x() + ")"
	case 5:
		return pick("min", "max") + "(" + x() + ", " + x() + ")"
	case 6:
		return "(" + x() + ") " + pick("and", "or") + " " + x()
	case 7:
		return "(" + x() + ") " + pick("**", "<<", ">>") + " (" + pick("0", "1", "2", "3", "5", "-1", "0.5", "1.7", "-2.5", "True") + ")"
	}
	return "(" + x() + ") " + pick("+", "-", "*", "/", "//", "%", "&", "|", "^") + " (" + x() + ")"
}

// TestAgainstPython compares random expressions with Python's own answers:
// the same number of the same type, or an error in both.
func TestAgainstPython(t *testing.T) {
	cmd := exec.Command(testenv.Python(t), "-W", "ignore", "-c", `
import math, sys
class ban:
    Time = 600
    Count = 3
for line in sys.stdin:
    try:
        v = eval(line, {'math': math, 'ban': ban, 'banFactor': 1.5})
        if isinstance(v, complex): raise ValueError('complex')
        print(repr(v))
    except Exception as e:
        print('error', e)
`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var sources []string
	for range 20_000 {
		if s := random(r, 1+r.IntN(4)); len(s) < MaxSource {
			sources = append(sources, s)
		}
	}
	go func() {
		for _, s := range sources {
			if _, err := io.WriteString(in, s+"\n"); err != nil {
				break // the reader below reports that the answers end
			}
		}
		_ = in.Close()
	}()
	answers := bufio.NewScanner(out)
	answers.Buffer(nil, 1<<20)
	numbers := 0
	for _, s := range sources {
		if !answers.Scan() {
			t.Fatalf("no answer for %s: %v", s, answers.Err())
		}
		want := answers.Text()
		got, err := eval(s)
		switch {
		case err != nil && (strings.Contains(err.Error(), "too large") || strings.Contains(err.Error(), "root of")):
			continue // our bound, or Python's; a complex number
		case strings.HasPrefix(want, "error"):
			if err == nil {
				t.Errorf("%s = %v, Python: %s", s, got, want)
			}
		case err != nil:
			t.Errorf("%s: %v, Python: %s", s, err, want)
		case got.String() != want:
			t.Errorf("%s = %v, Python: %s", s, got, want)
		default:
			numbers++
		}
		if t.Failed() {
			break
		}
	}
	_, _ = io.Copy(io.Discard, out) // let it end
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if numbers < 10_000 {
		t.Errorf("only %d numbers compared", numbers)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor", "9**9**9", "0x", "1e", "1.e5", "((((", "not not 1", "a.b(", "1<2<3", "0.**0", "1e400**0", "5e-324**.5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := eval(s)
		if err == nil && v.IsInt() && v.int().BitLen() > MaxBits {
			t.Errorf("%s has %d bits", s, v.int().BitLen())
		}
		_ = fmt.Sprint(v)
	})
}
