package formula

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// token is one word of an expression.
type token struct {
	text   string // operators, names and keywords as written; "" at the end
	number *Number
	name   bool
	off    int
}

// operators, longest first.
var operators = []string{
	"**", "//", "<<", ">>", "<=", ">=", "==", "!=",
	"+", "-", "*", "/", "%", "<", ">", "(", ")", ",", "&", "|", "^", "~",
}

// lex splits an expression into tokens; the last one is empty.
func lex(s string) ([]token, error) {
	var out []token
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case strings.IndexByte(" \t\f\n\r", c) >= 0:
			i++
		case isDigit(c) || c == '.' && i+1 < len(s) && isDigit(s[i+1]):
			n := numberEnd(s[i:])
			v, err := parseNumber(s[i : i+n])
			if err != nil {
				return nil, err
			}
			out = append(out, token{text: s[i : i+n], number: &v, off: i})
			i += n
		case isLetter(c):
			j := i
			for j < len(s) && (isLetter(s[j]) || isDigit(s[j]) || s[j] == '.') {
				j++
			}
			out = append(out, token{text: s[i:j], name: true, off: i})
			i = j
		default:
			op := ""
			for _, o := range operators {
				if strings.HasPrefix(s[i:], o) {
					op = o
					break
				}
			}
			if op == "" {
				return nil, fmt.Errorf("unexpected %q", first(s[i:]))
			}
			out = append(out, token{text: op, off: i})
			i += len(op)
		}
	}
	return append(out, token{off: len(s)}), nil
}

func first(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// numberEnd returns how far a number reaches: letters belong to it, so that
// 12abc is one wrong number and not two words.
func numberEnd(s string) int {
	i := 0
	for i < len(s) {
		c := s[i]
		sign := (c == '+' || c == '-') && i > 0 && s[i-1]|0x20 == 'e' && !strings.HasPrefix(strings.ToLower(s), "0x")
		if !isDigit(c) && !isLetter(c) && c != '.' && !sign {
			break
		}
		i++
	}
	return i
}

// parseNumber reads a number in Python's notation.
func parseNumber(s string) (Number, error) {
	bad := fmt.Errorf("%q is no number", s)
	if strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") {
		return Number{}, bad
	}
	if lower := strings.ToLower(s); strings.ContainsAny(lower, ".e") && !strings.HasPrefix(lower, "0x") {
		if strings.ContainsAny(lower, "xp_inf") {
			return Number{}, bad
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && f == 0 {
			return Number{}, bad
		}
		return Float(f), nil
	}
	if len(s) > MaxBits/3 {
		return Number{}, errTooLarge
	}
	if s[0] == '0' && strings.Trim(s, "0_") != "" && isDigit(s[1]) {
		return Number{}, fmt.Errorf("%q: a number other than 0 does not start with 0", s)
	}
	base := 0
	if strings.Trim(s, "0_") == "" {
		base, s = 10, "0"
	}
	i, ok := new(big.Int).SetString(s, base)
	if !ok {
		return Number{}, bad
	}
	return integer(i)
}
