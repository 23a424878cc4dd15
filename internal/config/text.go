package config

import (
	"strings"
	"unicode"
)

// maxText bounds one value after interpolation and substitution, in bytes: a
// dozen options that repeat each other ten times would fill any memory.
const maxText = 1 << 20

// pos is a place in a configuration file. The zero pos is no file: a default.
type pos struct {
	file string
	line int
}

// mark says that a text stands at pos from byte off on.
type mark struct {
	off int
	at  pos
}

// text is a value that knows where each of its parts was written. The marks
// are sorted by offset; the first one's is 0.
type text struct {
	s     string
	marks []mark
}

// written returns s, written at one place.
func written(s string, at pos) text { return text{s: s, marks: []mark{{0, at}}} }

// at returns the place of the byte at off.
func (t text) at(off int) pos {
	i := t.markAfter(off)
	if i == 0 {
		return pos{}
	}
	return t.marks[i-1].at
}

// markAfter returns the index of the first mark behind the byte at off.
func (t text) markAfter(off int) int {
	lo, hi := 0, len(t.marks)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); t.marks[mid].off > off {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// value returns the text as the package's users see it.
func (t text) value() Value {
	at := t.at(0)
	return Value{Text: t.s, File: at.file, Line: at.line}
}

// slice returns t[i:j] with its places.
func (t text) slice(i, j int) text {
	var b textBuilder
	b.add(t, i, j)
	return b.text()
}

// trim returns t without the white space around it.
func (t text) trim() text {
	right := strings.TrimRightFunc(t.s, isSpace)
	left := strings.TrimLeftFunc(right, isSpace)
	return t.slice(len(right)-len(left), len(right))
}

// lines splits t at newlines, as Python's split("\n"): at least one line.
func (t text) lines() []text {
	var out []text
	start := 0
	for i := 0; i <= len(t.s); i++ {
		if i == len(t.s) || t.s[i] == '\n' {
			out = append(out, t.slice(start, i))
			start = i + 1
		}
	}
	return out
}

// values returns the lines of t that are not empty.
func (t text) values() []Value {
	var out []Value
	for _, line := range t.lines() {
		if line.s != "" {
			out = append(out, line.value())
		}
	}
	return out
}

// replaceAll puts repl in the place of every old. ok is false where the result
// would be longer than maxText.
func (t text) replaceAll(old string, repl text) (_ text, ok bool) {
	size := len(t.s) + strings.Count(t.s, old)*(len(repl.s)-len(old))
	if size > maxText {
		return t, false
	}
	b := textBuilder{marks: make([]mark, 0, len(t.marks)+len(repl.marks))}
	b.buf.Grow(size)
	start := 0
	for {
		i := strings.Index(t.s[start:], old)
		if i < 0 {
			b.add(t, start, len(t.s))
			return b.text(), true
		}
		i += start
		b.add(t, start, i)
		b.splice(t, i, i+len(old), repl)
		start = i + len(old)
	}
}

// textBuilder puts a text together.
type textBuilder struct {
	buf   strings.Builder
	marks []mark
}

// mark notes that what follows stands at at.
func (b *textBuilder) mark(at pos) {
	off := b.buf.Len()
	n := len(b.marks)
	switch {
	case n > 0 && b.marks[n-1].at == at:
	case n > 0 && b.marks[n-1].off == off:
		b.marks[n-1].at = at
	default:
		b.marks = append(b.marks, mark{off, at})
	}
}

// add appends t[i:j].
func (b *textBuilder) add(t text, i, j int) {
	if i >= j {
		if b.buf.Len() == 0 {
			b.mark(t.at(i)) // even an empty value stands somewhere
		}
		return
	}
	b.mark(t.at(i))
	for k := t.markAfter(i); k < len(t.marks) && t.marks[k].off < j; k++ {
		b.buf.WriteString(t.s[i:t.marks[k].off])
		i = t.marks[k].off
		b.mark(t.marks[k].at)
	}
	b.buf.WriteString(t.s[i:j])
}

// splice appends repl, which the reference outer[i:j] stands for. A reference
// that is a line of its own, or stands for several lines, leads to where they
// were written; a word within a line stands where the line does.
func (b *textBuilder) splice(outer text, i, j int, repl text) {
	alone := (i == 0 || outer.s[i-1] == '\n') && (j == len(outer.s) || outer.s[j] == '\n')
	if known := repl.at(0).file != ""; known && (alone || strings.Contains(repl.s, "\n")) {
		b.add(repl, 0, len(repl.s))
		return
	}
	b.mark(outer.at(i))
	b.buf.WriteString(repl.s)
}

func (b *textBuilder) text() text { return text{s: b.buf.String(), marks: b.marks} }

// isSpace is Python's str.isspace for one character: Unicode's white space and
// the four information separators.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
