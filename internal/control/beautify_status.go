package control

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// status writes the tree of the server, of one jail or of all.
func (t *text) status() error {
	lines := &statusLines{text: t}
	if len(t.cmd) > 1 && t.cmd[1] != "--all" {
		lines.add("Status for the jail: " + t.cmd[1])
		if err := lines.jail(t.value, ""); err != nil {
			return err
		}
		lines.done()
		return nil
	}
	var jails Dict
	if len(t.cmd) > 1 {
		items, err := elements(t.value)
		if err != nil || len(items) == 0 {
			return errShape
		}
		last, ok := items[len(items)-1].(Dict)
		if !ok {
			return errShape
		}
		jails = last
		t.value = items[:len(items)-1]
	}
	lines.add("Status")
	items, err := elements(t.value)
	if err != nil {
		return err
	}
	for i, item := range items {
		branch := branchOf(i, len(items))
		if len(jails) > 0 {
			branch = "|-"
		}
		if err := lines.pair(branch, item); err != nil {
			return err
		}
	}
	if err := lines.jails(jails); err != nil {
		return err
	}
	lines.done()
	return nil
}

// statusLines collects lines; they are the text's message as they grow.
type statusLines struct {
	text  *text
	lines []any
}

func (l *statusLines) add(line string) {
	l.lines = append(l.lines, line)
	l.text.msg = l.lines
}

func (l *statusLines) done() { l.text.msg = joinedStr(l.lines, "\n") }

// pair adds a label and its value; a list is written with blanks between.
func (l *statusLines) pair(branch string, item any) error {
	value, err := element(item, 1)
	if err != nil {
		return err
	}
	label, err := element(item, 0)
	if err != nil {
		return err
	}
	shown := Str(value)
	if list, ok := value.([]any); ok {
		shown = joinedStr(list, " ")
	}
	l.add(branch + " " + Str(label) + ":\t" + shown)
	return nil
}

// jail adds the two branches of a jail, each line after indent.
func (l *statusLines) jail(status any, indent string) error {
	parts, err := elements(status)
	if err != nil {
		return err
	}
	for i, part := range parts {
		label, err := element(part, 0)
		if err != nil {
			return err
		}
		l.add(indent + branchOf(i, len(parts)) + " " + Str(label))
		inner := indent + "|  "
		if i == len(parts)-1 {
			inner = indent + "   "
		}
		value, err := element(part, 1)
		if err != nil {
			return err
		}
		items, err := elements(value)
		if err != nil {
			return err
		}
		for k, item := range items {
			if err := l.pair(inner+branchOf(k, len(items)), item); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *statusLines) jails(jails Dict) error {
	if len(jails) == 0 {
		return nil
	}
	l.add("`- Status for the jails:")
	for i, jail := range jails {
		indent := "   |  "
		if i == len(jails)-1 {
			indent = "      "
		}
		l.add("   " + branchOf(i, len(jails)) + " Jail: " + Str(jail.Key))
		if err := l.jail(jail.Value, indent); err != nil {
			return err
		}
	}
	return nil
}

// lineChars are the characters of the table of stats.
type lineChars struct {
	column, rule, right, cross, doubleCross, up, split, thin string
}

var (
	asciiLines = lineChars{"|", "-", "|", "x", "x", "-", "|", "-"}
	utf8Lines  = lineChars{"║", "═", "╟", "╫", "╬", "╩", "│", "─"}
)

// stats writes the table of all jails.
func (t *text) stats() error {
	table, ok := t.value.(Dict)
	if t.value == nil || ok && len(table) == 0 {
		t.msg = "No jails found."
		return nil
	}
	if !ok {
		return errShape
	}
	rows := make([][6]string, len(table))
	widths := [6]int{8, 8, 3, 3, 3, 3}
	for i, p := range table {
		if err := statsCells(&rows[i], p); err != nil {
			return err
		}
		for k, cell := range rows[i] {
			widths[k] = max(widths[k], utf8.RuneCountInString(cell))
		}
	}
	chars := utf8Lines
	if t.ascii {
		chars = asciiLines
	}
	t.msg = statsTable(rows, widths, chars)
	return nil
}

// statsCells reads jail → [backend, (failed, total), (banned, total)].
func statsCells(row *[6]string, p Pair) error {
	backend, err := element(p.Value, 0)
	if err != nil {
		return err
	}
	row[0], row[1] = Str(p.Key), Str(backend)
	for k := range 2 {
		counts, err := element(p.Value, 1+k)
		if err != nil {
			return err
		}
		pair, err := elements(counts)
		if err != nil || len(pair) != 2 {
			return errShape
		}
		row[2+2*k], row[3+2*k] = Str(pair[0]), Str(pair[1])
	}
	return nil
}

func statsTable(rows [][6]string, widths [6]int, c lineChars) string {
	// Two columns of two numbers each follow the names.
	wide := [4]int{widths[0], widths[1], widths[2] + widths[3] + 3, widths[4] + widths[5] + 3}
	var b strings.Builder
	line := func(cells [4]string) {
		for i, cell := range cells {
			if i > 0 {
				b.WriteString(" " + c.column)
			}
			b.WriteString(" " + cell + strings.Repeat(" ", wide[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteByte('\n')
	}
	rule := func(crossing string) {
		for i, n := range wide {
			if i > 0 {
				b.WriteString(crossing)
			}
			b.WriteString(strings.Repeat(c.rule, n+2))
		}
	}
	numbers := func(cells [6]string) [4]string {
		pair := func(k int) string {
			return fmt.Sprintf("%*s %s %*s", widths[k], cells[k], c.split, widths[k+1], cells[k+1])
		}
		return [4]string{cells[0], cells[1], pair(2), pair(4)}
	}
	line([4]string{"", "", "Filter", "Actions"})
	fmt.Fprintf(&b, " %-*s %s %-*s %s%s%s%s\n", wide[0], "Jail", c.column, wide[1], "Backend",
		c.right, strings.Repeat(c.thin, wide[2]+2), c.cross, strings.Repeat(c.thin, wide[3]+2))
	line(numbers([6]string{"", "", "cur", "tot", "cur", "tot"}))
	rule(c.doubleCross)
	b.WriteByte('\n')
	for _, row := range rows {
		line(numbers(row))
	}
	rule(c.up)
	return b.String()
}
