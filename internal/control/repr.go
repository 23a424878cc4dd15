package control

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Repr returns a plain value as Python's repr writes it. Values deeper than
// Decode returns by default (Limits.Depth) end in "...".
func Repr(v any) string {
	var b strings.Builder
	writeRepr(&b, v, 0)
	return b.String()
}

// Str returns a plain value as Python's str, and so print, writes it: a string
// is itself, an exception its arguments, everything else is its Repr.
func Str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case *Exception:
		return v.Error()
	}
	return Repr(v)
}

func writeRepr(b *strings.Builder, v any, depth int) {
	if depth > defaultDepth {
		b.WriteString("...")
		return
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int:
		b.WriteString(strconv.Itoa(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(reprFloat(v))
	case string:
		writeReprString(b, v)
	case []any:
		writeReprList(b, "[", v, "]", depth)
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		writeReprList(b, "[", list, "]", depth)
	case Tuple:
		closing := ")"
		if len(v) == 1 {
			closing = ",)"
		}
		writeReprList(b, "(", v, closing, depth)
	case Set:
		if len(v) == 0 {
			b.WriteString("set()")
			return
		}
		writeReprList(b, "{", v, "}", depth)
	case Dict:
		b.WriteByte('{')
		for i, p := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, p.Key, depth+1)
			b.WriteString(": ")
			writeRepr(b, p.Value, depth+1)
		}
		b.WriteByte('}')
	case *Exception:
		b.WriteString(v.Name)
		writeReprList(b, "(", v.Args, ")", depth)
	default:
		fmt.Fprintf(b, "<%T>", v)
	}
}

func writeReprList(b *strings.Builder, opening string, list []any, closing string, depth int) {
	b.WriteString(opening)
	for i, v := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		writeRepr(b, v, depth+1)
	}
	b.WriteString(closing)
}

// reprFloat writes the shortest digits that read back as the same number; with
// an exponent below 1e-4 and from 1e16 on.
func reprFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// writeReprString quotes with ' unless the text has one and no ". What Python
// does not call printable is escaped; a byte that is no UTF-8 is the surrogate
// that stands for it.
func writeReprString(b *strings.Builder, s string) {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteByte(quote)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(b, `\udc%02x`, s[i])
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
		i += size
	}
	b.WriteByte(quote)
}

// pythonSorted returns the strings in the order of Python's sorted: by code
// point, which for UTF-8 is the order of the bytes.
func pythonSorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}
