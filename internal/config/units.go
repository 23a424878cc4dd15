package config

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config/formula"
)

// units are what a number may be followed by, and the factor that fail2ban
// puts there: a year has 365.25 days, a month is its twelfth part.
var units = func() map[string]string {
	m := map[string]string{}
	for factor, names := range map[string]string{
		"1":          "s ss se sec second seconds",
		"60":         "m mm mi min minute minutes",
		"3600":       "h hh ho hou hour hours",
		"86400":      "d dd da day days",
		"604800":     "w ww we wee week weeks",
		"2629800.0":  "mo mon month months",
		"31557600.0": "y yy ye yea year years",
	} {
		for _, name := range strings.Fields(names) {
			m[name] = factor
		}
	}
	return m
}()

// ParseSeconds reads a time as fail2ban writes it: 600, 10m, 1d12h, "1y 6mo",
// 1year-6mo, 2*7d. The number is an integer unless months, years or a fraction
// are in it, and prints as fail2ban's --str2sec does.
func ParseSeconds(s string) (formula.Number, error) {
	if len(s) > formula.MaxSource {
		return formula.Number{}, fmt.Errorf("longer than %d bytes", formula.MaxSource)
	}
	n, err := formula.Eval(strings.TrimLeft(joinGroups(replaceUnits(splitGroups(s))), " \t"))
	if err != nil {
		return formula.Number{}, err
	}
	if f := n.Float64(); math.IsNaN(f) {
		return formula.Number{}, errors.New("not a number")
	}
	return n, nil
}

// ParseDuration is ParseSeconds as a Duration; what a Duration cannot hold
// (292 years) is cut to it.
func ParseDuration(s string) (time.Duration, error) {
	n, err := ParseSeconds(s)
	if err != nil {
		return 0, err
	}
	switch f := n.Float64() * float64(time.Second); {
	case f >= math.MaxInt64:
		return math.MaxInt64, nil
	case f <= math.MinInt64:
		return math.MinInt64, nil
	case n.IsInt():
		return time.Duration(n.Int64()) * time.Second, nil
	default:
		return time.Duration(math.Round(f)), nil
	}
}

// splitGroups puts a blank between a letter and a digit: 1d12h is 1d 12h.
func splitGroups(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if i > 0 && isASCIIDigit(s[i]) && isASCIILetter(s[i-1]) {
			b.WriteByte(' ')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// replaceUnits puts a product in the place of every unit after a digit or blank.
func replaceUnits(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && isASCIILetter(s[j]) {
			j++
		}
		if j == i {
			b.WriteByte(s[i])
			i++
			continue
		}
		factor, ok := units[strings.ToLower(s[i:j])]
		after := j == len(s) || !isASCIIDigit(s[j]) && s[j] != '_' && s[j] < 0x80
		if before := i > 0 && (isASCIIDigit(s[i-1]) || isSpace(rune(s[i-1]))); ok && before && after {
			b.WriteString("*" + factor)
		} else {
			b.WriteString(s[i:j])
		}
		i = j
	}
	return b.String()
}

// joinGroups puts a plus between two groups that only white space separates.
// As in fail2ban a digit that ends one separation does not begin the next.
func joinGroups(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		j := i + 1
		for j < len(s) && isSpace(rune(s[j])) {
			j++
		}
		if isASCIIDigit(s[i]) && j > i+1 && j < len(s) && isASCIIDigit(s[j]) {
			b.WriteByte(s[i])
			b.WriteByte('+')
			b.WriteByte(s[j])
			i = j + 1
			continue
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

func isASCIIDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isASCIILetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
