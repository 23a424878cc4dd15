package config

import (
	"fmt"
	"strconv"
	"strings"
)

// StockPrefix starts the File of a value from the embedded stock configuration.
const StockPrefix = "stock:"

// CommandLine is the File of a value from Options.Overrides.
const CommandLine = "command line"

// Value is one text of the configuration and where it was written. File is
// empty where nobody wrote it: a default of fail2ban's.
type Value struct {
	Text string `json:"value"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1; 0 where File has no lines
}

// IsSet says whether anybody wrote the value, be it empty.
func (v Value) IsSet() bool { return v.File != "" }

// Place returns "file:line", the file alone where it has no lines, and
// "default" for a value that nobody wrote.
func (v Value) Place() string { return pos{v.File, v.Line}.String() }

func (p pos) String() string {
	switch {
	case p.file == "":
		return "default"
	case p.line == 0:
		return p.file
	}
	return p.file + ":" + strconv.Itoa(p.line)
}

// Param is one parameter of a filter, action or backend: name[param=value].
type Param struct {
	Name  string
	Value Value
}

// Severity says what a problem does.
type Severity uint8

// The severities.
const (
	Warning Severity = iota + 1 // accepted, but surely meant otherwise
	Error                       // the jail it names is disabled; without a jail, the tree is not whole
)

// String returns "warning" or "error".
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return "invalid"
}

// MarshalText is String, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"`   // from 1; 0: the file as a whole
	Jail     string   `json:"jail,omitempty"`   // empty: the whole tree
	Option   string   `json:"option,omitempty"` // empty: no option's
	Text     string   `json:"text,omitempty"`   // the text that is wrong
	Message  string   `json:"message"`          // what is wrong with it, and what was expected
	Hint     string   `json:"hint,omitempty"`   // what was probably meant
}

// Error returns the problem in one line: "file:line: [jail] option = text: message; hint".
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(pos{p.File, p.Line}.String() + ": ")
	}
	if p.Jail != "" {
		b.WriteString("[" + p.Jail + "] ")
	}
	if p.Option != "" {
		b.WriteString(p.Option)
		if p.Text != "" {
			fmt.Fprintf(&b, " = %s", clip(p.Text))
		}
		b.WriteString(": ")
	} else if p.Text != "" {
		fmt.Fprintf(&b, "%s: ", clip(p.Text))
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Key tells whether two problems are the same one although lines above it came
// or went: a reload refuses errors whose Key it has not seen before.
func (p Problem) Key() string {
	return strings.Join([]string{p.Severity.String(), p.File, p.Jail, p.Option, p.Text, p.Message}, "\x00")
}

// clip returns a text that fits into a message: one line, at most 80 characters.
func clip(s string) string {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i] + " …"
	}
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return s
}

// Problems are the problems of a tree, in the order they were found.
type Problems []Problem

// Errors returns the errors among them.
func (ps Problems) Errors() Problems { return ps.of(Error) }

// Warnings returns the warnings among them.
func (ps Problems) Warnings() Problems { return ps.of(Warning) }

func (ps Problems) of(s Severity) Problems {
	var out Problems
	for _, p := range ps {
		if p.Severity == s {
			out = append(out, p)
		}
	}
	return out
}

// Jail returns those that name the jail; "" returns those of the whole tree.
func (ps Problems) Jail(name string) Problems {
	var out Problems
	for _, p := range ps {
		if p.Jail == name {
			out = append(out, p)
		}
	}
	return out
}

// Err returns nil where there is no error, else the errors, one a line.
func (ps Problems) Err() error {
	errs := ps.Errors()
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// Error returns all problems, one a line.
func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Error())
	}
	return b.String()
}

// wrong is an error of the language at a place; whoever knows the jail and the
// option makes a Problem of it.
type wrong struct {
	at   pos
	text string
	msg  string
	hint string
	// suggest, where it is not nil, finds the hint: most references that lead
	// nowhere are never reported.
	suggest func() string
}

func (w *wrong) Error() string { return w.at.String() + ": " + clip(w.text) + ": " + w.msg }
