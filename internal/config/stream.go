package config

import (
	"strconv"
	"strings"
)

// Command is one command of fail2ban's protocol as the client streams it:
// strings, ints, bools, nil, and lists and maps of them.
type Command []any

// command is a Command with the places of its values.
type command struct {
	args   Command
	option string   // what it sets: failregex, maxlines, …; "" for what rules do not need
	values []Value  // its values, for failregex one a regular expression
	log    *LogPath // in the place of args: one addlogpath for each file there is
}

// stream builds the commands of one jail in the client's order.
type stream struct {
	*loader
	jail     string
	commands []command
}

func (s *stream) add(option string, values []Value, args ...any) {
	s.commands = append(s.commands, command{args: args, option: option, values: values})
}

// insert puts a command before the i-th.
func (s *stream) insert(i int, c command) {
	s.commands = append(s.commands, command{})
	copy(s.commands[i+1:], s.commands[i:])
	s.commands[i] = c
}

// filterOptions streams those of opts that are a filter's. usedns, maxlines and
// prefregex go before everything streamed so far.
func (s *stream) filterOptions(opts *section) {
	front := 0
	for _, name := range opts.keys {
		v := opts.opts[name]
		switch name {
		case "failregex", "ignoreregex":
			s.regexes(name, v)
		case "usedns", "maxlines", "prefregex":
			at := front
			if name == "usedns" {
				at = 0
			}
			front++
			s.insert(at, command{args: Command{"set", s.jail, name, s.converted(name, v)}, option: name, values: []Value{v.value()}})
		case "datepattern":
			s.add(name, v.values(), "set", s.jail, name, v.s)
		case "journalmatch":
			s.journalmatch(v)
		}
	}
}

// converted returns the value as the client sends it: maxlines is a number.
func (s *stream) converted(name string, v text) any {
	if name != "maxlines" {
		return v.s
	}
	n, err := parseInt(v.s)
	if err != nil || n < 1 {
		s.reportWrong(Error, s.jail, name, &wrong{at: v.at(0), text: v.s, msg: "expected a whole number of lines, at least 1"})
		return nil
	}
	return n
}

func (s *stream) regexes(name string, v text) {
	values := v.values()
	switch len(values) {
	case 0:
	case 1:
		s.add(name, values, "set", s.jail, "add"+name, values[0].Text)
	default:
		list := make([]any, len(values))
		for i, r := range values {
			list[i] = r.Text
		}
		s.add(name, values, "multi-set", s.jail, "add"+name, list)
	}
}

func (s *stream) journalmatch(v text) {
	for _, line := range v.lines() {
		if line.s == "" {
			continue
		}
		words, err := splitShell(line)
		if err != nil {
			s.reportWrong(Error, s.jail, "journalmatch", &wrong{at: line.at(0), text: line.s, msg: err.Error()})
			continue
		}
		args := Command{"set", s.jail, "addjournalmatch"}
		var values []Value
		for _, w := range words {
			args = append(args, w.s)
			values = append(values, w.value())
		}
		s.commands = append(s.commands, command{args: args, option: "journalmatch", values: values})
	}
}

// rules returns what fail2ban's server would have after the commands.
func (s *stream) rules() Rules {
	var r Rules
	for _, c := range s.commands {
		switch c.option {
		case "usedns":
			r.Usedns = c.values[0]
		case "prefregex":
			r.Prefregex = c.values[0]
		case "failregex":
			r.Failregex = append(r.Failregex, c.values...)
		case "ignoreregex":
			r.Ignoreregex = append(r.Ignoreregex, c.values...)
		case "maxlines":
			if n, ok := c.args[3].(int64); ok {
				r.Maxlines = int(n)
			}
		case "datepattern":
			r.Datepattern = c.values
		case "journalmatch":
			r.Journalmatch = append(r.Journalmatch, c.values)
		}
	}
	return r
}

// parseInt is Python's int() of a text, within 32 bits.
func parseInt(s string) (int64, error) {
	s = strings.TrimFunc(s, isSpace)
	digits := strings.TrimLeft(s, "+-")
	if strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__") || len(s)-len(digits) > 1 {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 32)
}

// parseBool is fail2ban's reading of a yes or no; known is false for what it
// takes for no although it says neither.
func parseBool(s string) (yes, known bool) {
	switch strings.ToLower(s) {
	case "1", "on", "true", "yes":
		return true, true
	case "0", "off", "false", "no", "":
		return false, true
	}
	return false, false
}
