package regex

import (
	"fmt"
	"strings"
	"unicode"
)

// Error is a mistake in a pattern, as Python's re.error tells it.
type Error struct {
	Pattern string
	Msg     string // Python's message without the position
	// Pos is where the mistake was seen, in code points from 0; -1 where
	// Python gives no position.
	Pos       int
	Line, Col int // of Pos, from 1; 0 where Pos is -1
}

// Error returns the text of Python's str(re.error): the message, the position
// and, for patterns of several lines, line and column.
func (e *Error) Error() string {
	if e.Pos < 0 {
		return e.Msg
	}
	if strings.Contains(e.Pattern, "\n") {
		return fmt.Sprintf("%s at position %d (line %d, column %d)", e.Msg, e.Pos, e.Line, e.Col)
	}
	return fmt.Sprintf("%s at position %d", e.Msg, e.Pos)
}

// newError makes the Error for a position in src, in code points.
func newError(src []rune, msg string, pos int) *Error {
	e := &Error{Pattern: string(src), Msg: msg, Pos: pos}
	if pos < 0 {
		return e
	}
	e.Line, e.Col = 1, pos+1
	for i := 0; i < pos && i < len(src); i++ {
		if src[i] == '\n' {
			e.Line++
			e.Col = pos - i
		}
	}
	return e
}

// quote writes s as Python's repr does.
func quote(s string) string {
	q := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = '"'
	}
	var b strings.Builder
	b.WriteByte(q)
	for _, r := range s {
		switch {
		case r == rune(q) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte(q)
	return b.String()
}
