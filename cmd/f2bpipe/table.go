package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// screen is what a person reads on: how wide it is and whether it has colours.
type screen struct {
	io.Writer
	width  int // columns; 0: not known, nothing is cut
	colour bool
}

// screenOf looks at where a command's output goes: w, which ends up in out.
// Colours are for a terminal alone, and not where NO_COLOR asks for none
// (no-color.org).
func screenOf(w, out io.Writer) screen {
	s := screen{Writer: w}
	f, ok := out.(*os.File)
	if !ok {
		return s
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return s // no terminal
	}
	s.width = int(size.Col)
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 && s.width == 0 {
		s.width = n
	}
	s.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// The colours, as ECMA-48 numbers them.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours a text where there are colours.
func (s screen) paint(colour, text string) string {
	if !s.colour || colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// line prints a line of text from anywhere, escaped; what does not fit is the
// terminal's to wrap.
func (s screen) line(colour, format string, args ...any) {
	fmt.Fprintln(s, s.paint(colour, printable(fmt.Appendf(nil, format, args...))))
}

// column is one of a table.
type column struct {
	name  string
	left  bool // aligned to the left; else to the right, as numbers are
	minor int  // left out where cutting is not enough: the highest first; 0: never
	least int  // may be cut to this width; 0: never
}

// table prints rows under their columns so that they fit: those that may be cut
// are, the last one first; where that is not enough minor columns are left out.
// A cell may have a colour.
type table struct {
	columns []column
	rows    [][]cell
}

type cell struct{ text, colour string }

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// plain makes a cell of a value, escaped.
func plain(v any) cell { return cell{text: printable([]byte(fmt.Sprint(v)))} }

// alarming is plain, coloured where the value is not zero.
func alarming(colour string, n int) cell {
	c := plain(n)
	if n != 0 {
		c.colour = colour
	}
	return c
}

// gap is what stands before each column, the first one too.
const gap = 2

func (t *table) print(s screen) {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = utf8.RuneCountInString(c.name)
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	t.fit(widths, s.width)
	row := func(cells func(i int) cell) {
		var b strings.Builder
		for i, c := range t.columns {
			if widths[i] == 0 {
				continue
			}
			text := []rune(cells(i).text)
			if len(text) > widths[i] {
				text = append(text[:widths[i]-1], '…')
			}
			fill := strings.Repeat(" ", widths[i]-len(text))
			shown := s.paint(cells(i).colour, string(text))
			if c.left {
				shown += fill
			} else {
				shown = fill + shown
			}
			b.WriteString(strings.Repeat(" ", gap) + shown)
		}
		fmt.Fprintln(s, strings.TrimRight(b.String(), " "))
	}
	row(func(i int) cell { return cell{t.columns[i].name, bold} })
	for _, cells := range t.rows {
		row(func(i int) cell { return cells[i] })
	}
}

// fit makes the widths' sum at most room; a column without a width is left out.
func (t *table) fit(widths []int, room int) {
	if room <= 0 {
		return
	}
	least := func(i int) int {
		if c := t.columns[i]; c.least > 0 {
			return min(c.least, widths[i])
		}
		return widths[i]
	}
	over := func(width func(i int) int) int {
		sum := -room
		for i, w := range widths {
			if w > 0 {
				sum += width(i) + gap
			}
		}
		return sum
	}
	for over(least) > 0 {
		worst := -1
		for i, c := range t.columns {
			if widths[i] > 0 && c.minor > 0 && (worst < 0 || c.minor > t.columns[worst].minor) {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		widths[worst] = 0
	}
	for i := len(widths) - 1; i >= 0; i-- {
		if too := over(func(i int) int { return widths[i] }); too > 0 {
			widths[i] = max(least(i), widths[i]-too)
		}
	}
}
