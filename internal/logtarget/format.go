package logtarget

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// record is one line.
type record struct {
	at    time.Time
	level Level
	name  string // of the logger
	text  string
	lossy bool
}

// size is what a record counts for in the queue.
func (r *record) size() int { return len(r.text) + 96 }

// layout is a line format in the syntax of Python's logging: what it is made
// of, in order.
type layout []piece

// piece is literal text, or a field with its width.
type piece struct {
	literal string
	field   func(r *record) any // nil: literal
	verb    byte                // s, d, f, x, X
	left    bool
	zero    bool
	width   int
	most    int // precision; −1: none
}

// fail2ban's formats, verbosity 0 and 1.
const (
	withTime   = "%(asctime)s %(name)-24s[%(process)d]: %(levelname)-7s %(message)s"
	withoutAny = "%(name)-24s[%(process)d]: %(levelname)-7s %(message)s"
	bare       = "%(message)s" // journald's: it knows the rest as fields
)

// fields are those of Python's LogRecord that mean something here.
var fields = map[string]func(r *record) any{
	"asctime": func(r *record) any { return asctime(r.at) }, "created": func(r *record) any { return float64(r.at.UnixMicro()) / 1e6 },
	"msecs": func(r *record) any { return float64(r.at.Nanosecond()/1000) / 1e3 }, "name": func(r *record) any { return r.name },
	"levelname": func(r *record) any { return r.level.String() }, "levelno": func(r *record) any { return int(r.level) },
	"message": func(r *record) any { return r.text }, "process": func(*record) any { return os.Getpid() },
	"processName": func(*record) any { return "MainProcess" }, "thread": func(*record) any { return os.Getpid() },
	"threadName": func(*record) any { return "MainThread" }, "module": func(r *record) any { return r.name[strings.LastIndexByte(r.name, '.')+1:] },
}

var (
	fieldSyntax = regexp.MustCompile(`%(?:%|\((\w+)\)([-0]*)(\d*)(?:\.(\d+))?([sdfxX])|.?)`)
	padded      = regexp.MustCompile(`\)-?\d+(?:\.\d+)?s`)
)

// parseLayout reads a format. padding = false takes the widths out, as fail2ban does.
func parseLayout(format string, padding bool) (layout, error) {
	if !padding {
		format = padded.ReplaceAllString(format, ")s")
	}
	var out layout
	at := 0
	for _, m := range fieldSyntax.FindAllStringSubmatchIndex(format, -1) {
		if m[0] > at {
			out = append(out, piece{literal: Text(format[at:m[0]])})
		}
		at = m[1]
		group := func(i int) string {
			if m[2*i] < 0 {
				return ""
			}
			return format[m[2*i]:m[2*i+1]]
		}
		switch {
		case format[m[0]:m[1]] == "%%":
			out = append(out, piece{literal: "%"})
			continue
		case group(1) == "":
			return nil, fmt.Errorf("log format %q: %q is no field: expected %%(asctime)s, %%(name)s, %%(process)d, %%(levelname)s or %%(message)s", format, format[m[0]:m[1]])
		case fields[group(1)] == nil:
			return nil, fmt.Errorf("log format %q: field %s is not known", format, group(1))
		}
		p := piece{field: fields[group(1)], verb: group(5)[0], left: strings.Contains(group(2), "-"), zero: strings.Contains(group(2), "0"), most: -1}
		// Widths that cannot be read or are absurd are left out: a line has to end.
		if n, err := strconv.Atoi(group(3)); err == nil && n <= 256 {
			p.width = n
		}
		if n, err := strconv.Atoi(group(4)); err == nil && n <= 1<<16 {
			p.most = n
		}
		out = append(out, p)
	}
	if at < len(format) {
		out = append(out, piece{literal: Text(format[at:])})
	}
	return out, nil
}

// appendTo appends the line of a record, without its end.
func (l layout) appendTo(b []byte, r *record) []byte {
	for i := range l {
		p := &l[i]
		if p.field == nil {
			b = append(b, p.literal...)
			continue
		}
		v := p.field(r)
		text := ""
		switch p.verb {
		case 's':
			if s, ok := v.(string); ok {
				text = s
			} else {
				text = fmt.Sprint(v)
			}
			if p.most >= 0 && p.most < len(text) {
				text = text[:p.most]
			}
		case 'f':
			digits := p.most
			if digits < 0 {
				digits = 6
			}
			text = strconv.FormatFloat(number(v), 'f', digits, 64)
		case 'd':
			text = strconv.FormatInt(int64(number(v)), 10)
		default:
			text = strconv.FormatInt(int64(number(v)), 16)
			if p.verb == 'X' {
				text = strings.ToUpper(text)
			}
		}
		fill := max(p.width-utf8.RuneCountInString(text), 0)
		pad := " "
		if p.zero && !p.left && p.verb != 's' {
			pad = "0"
		}
		if p.left {
			b = append(append(b, text...), strings.Repeat(" ", fill)...)
		} else {
			b = append(append(b, strings.Repeat(pad, fill)...), text...)
		}
	}
	return b
}

// number is a field's value where a format wants one.
func number(v any) float64 {
	switch n := v.(type) {
	case int:
		return float64(n)
	case float64:
		return n
	}
	return 0
}

// asctime is a time as Python's logging writes it: local, with milliseconds.
func asctime(t time.Time) string {
	return t.Local().Format(time.DateTime + ",000")
}
