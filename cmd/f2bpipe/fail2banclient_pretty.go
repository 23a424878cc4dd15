package main

import (
	"regexp"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
)

// prettyWidth is how long a line of --dp may be.
const prettyWidth = 1000

// pretty lays a command out as Python's pprint does with lines of prettyWidth
// and two blanks for a level: a list that is too long has an element a line, a
// text that is too long is broken after white space.
func pretty(v any) string {
	var b strings.Builder
	prettyTo(&b, v, 0, 0)
	return b.String()
}

// prettyTo writes a value at a column. after is what follows on its last line.
func prettyTo(b *strings.Builder, v any, column, after int) {
	text := config.Repr(v)
	if len([]rune(text)) <= prettyWidth-column-after {
		b.WriteString(text)
		return
	}
	switch v := v.(type) {
	case string:
		b.WriteString(strings.Join(prettyChunks(v, column, after), "\n"+strings.Repeat(" ", column)))
	case []any:
		b.WriteString("[ ")
		for i, e := range v {
			if i > 0 {
				b.WriteString(",\n" + strings.Repeat(" ", column+2))
			}
			last := 1 // a comma
			if i == len(v)-1 {
				last = after + 1
			}
			prettyTo(b, e, column+2, last)
		}
		b.WriteByte(']')
	default:
		b.WriteString(text)
	}
}

// wordAndSpace is a piece that a text may be broken after.
var wordAndSpace = regexp.MustCompile(`\S+\s*|\s+`)

// prettyChunks breaks a text into literals that fit, one a line.
func prettyChunks(s string, column, after int) []string {
	var chunks []string
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	fits := func(s string, last bool) bool {
		width := prettyWidth - column
		if last {
			width -= after
		}
		return len([]rune(config.Repr(s))) <= width
	}
	for i, line := range lines {
		lastLine := i == len(lines)-1
		if fits(line, lastLine) {
			chunks = append(chunks, config.Repr(line))
			continue
		}
		current := ""
		parts := wordAndSpace.FindAllString(line, -1)
		for j, part := range parts {
			if !fits(current+part, lastLine && j == len(parts)-1) && current != "" {
				chunks = append(chunks, config.Repr(current))
				current = ""
			}
			current += part
		}
		chunks = append(chunks, config.Repr(current))
	}
	return chunks
}
