package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFile is the largest configuration file that is read, in bytes.
const maxFile = 16 << 20

// section is the options of one section in the order they first came.
type section struct {
	keys []string
	opts map[string]text
}

func newSection() *section { return &section{opts: map[string]text{}} }

func (s *section) set(key string, v text) {
	if _, ok := s.opts[key]; !ok {
		s.keys = append(s.keys, key)
	}
	s.opts[key] = v
}

func (s *section) get(key string) (text, bool) {
	v, ok := s.opts[key]
	return v, ok
}

// update sets all options of from.
func (s *section) update(from *section) {
	for _, k := range from.keys {
		s.set(k, from.opts[k])
	}
}

func (s *section) clone() *section {
	return &section{keys: slices.Clone(s.keys), opts: maps.Clone(s.opts)}
}

// lowered returns the section with its names in lower case; s itself where they
// are.
func (s *section) lowered() *section {
	if !slices.ContainsFunc(s.keys, func(name string) bool { return strings.ToLower(name) != name }) {
		return s
	}
	out := newSection()
	for _, name := range s.keys {
		out.set(strings.ToLower(name), s.opts[name])
	}
	return out
}

// fault is a mistake of syntax in a file.
type fault struct {
	wrong
	section string // where it stands; "" before the first header
	option  string // the option concerned, where it is known
	warning bool   // the file is read all the same
}

// file is one parsed file.
type file struct {
	defaults *section
	names    []string // sections in the order they came
	sections map[string]*section
	faults   []fault
}

// defaultSection holds the values for all sections of its file.
const defaultSection = "DEFAULT"

// parseFile reads the syntax of Python's ConfigParser as fail2ban sets it up:
// strict, "=" or ":" between option and value, full-line comments by "#" and
// ";", inline comments by ";" after white space, values continued by
// indentation, empty lines within values. What is wrong is noted and skipped.
// name is what the places say. Two things that fail2ban gives a whole file up
// for are only warned of: a byte order mark, and a comment that is not UTF-8.
func parseFile(name string, data []byte) *file {
	p := &fileParser{
		file: &file{defaults: newSection(), sections: map[string]*section{}},
		name: name,
		seen: map[[2]string]bool{},
	}
	p.line = 1
	if rest, ok := bytes.CutPrefix(data, []byte("\ufeff")); ok {
		data = rest
		p.warn("", "the file begins with a byte order mark: fail2ban does not start with it")
	}
	p.line = 0
	s := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r", "\n")
	for s != "" {
		line := s
		if i := strings.IndexByte(s, '\n'); i >= 0 {
			line, s = s[:i], s[i+1:]
		} else {
			s = ""
		}
		p.line++
		if i := invalidUTF8(line); i >= 0 {
			line = p.repair(line, i)
		}
		p.parseLine(line)
	}
	p.flush()
	return p.file
}

// invalidUTF8 returns the offset of the first byte that is not valid UTF-8, or −1.
func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd") {
			return i
		}
	}
	return -1
}

// repair reports the byte at i, which is not UTF-8, and returns the line with
// replacement characters.
func (p *fileParser) repair(line string, i int) string {
	what := fmt.Sprintf("byte %#x", line[i])
	line = strings.ToValidUTF8(line, "\ufffd")
	if value, _ := stripComment(line); strings.Contains(value, "\ufffd") {
		p.fault(what, "not UTF-8")
	} else {
		p.warn(what, "not UTF-8: fail2ban ignores the whole file for it")
	}
	return line
}

type fileParser struct {
	*file
	name    string
	line    int
	seen    map[[2]string]bool // (section, option) and (section, "") of this file
	section string
	cur     *section // nil before the first header
	option  string   // the option that a continuation belongs to
	value   textBuilder
	pending bool // value is open
	indent  int  // of the last header or option

	again    bool // the section stands twice, which was reported: so may its options
	homeless bool // an option before the first header was reported
}

func (p *fileParser) at() pos { return pos{p.name, p.line} }

func (p *fileParser) fault(wrongText, msg string) {
	p.faults = append(p.faults, fault{wrong: wrong{at: p.at(), text: wrongText, msg: msg}, section: p.section})
}

func (p *fileParser) warn(wrongText, msg string) {
	p.fault(wrongText, msg)
	p.faults[len(p.faults)-1].warning = true
}

// parseLine takes one line without its end.
func (p *fileParser) parseLine(line string) {
	value, commented := stripComment(line)
	if value == "" {
		if !commented && p.pending {
			p.append("")
		}
		return
	}
	indent := 0
	for _, r := range line {
		if !isSpace(r) {
			break
		}
		indent++
	}
	if p.pending && indent > p.indent {
		p.append(value)
		return
	}
	p.indent = indent
	if header, ok := sectionHeader(value); ok {
		p.header(header)
		return
	}
	if name, ok := strings.CutPrefix(value, "["); ok && !strings.ContainsAny(value, "=:") {
		// What follows belongs to it, and must not fall to the section before.
		p.flush()
		p.section, p.cur = name, newSection()
		p.fault(value, "a section is written [name]")
		return
	}
	if p.cur == nil {
		if !p.homeless {
			p.fault(value, "stands before the first [section]")
		}
		p.homeless = true
		return
	}
	p.optionLine(value)
}

// append continues the open value.
func (p *fileParser) append(s string) {
	p.value.buf.WriteByte('\n')
	p.value.mark(p.at())
	p.value.buf.WriteString(s)
}

// flush closes the open value.
func (p *fileParser) flush() {
	if !p.pending {
		return
	}
	t := p.value.text()
	p.cur.set(p.option, t.slice(0, len(strings.TrimRightFunc(t.s, isSpace))))
	p.value, p.pending = textBuilder{}, false
}

func (p *fileParser) header(name string) {
	p.flush()
	p.section, p.again = name, false
	if name == defaultSection {
		p.cur = p.defaults
		return
	}
	p.cur = p.sections[name]
	if p.cur == nil {
		p.cur = newSection()
		p.names = append(p.names, name)
		p.sections[name] = p.cur
	} else {
		p.again = true
		p.fault("", "the section ["+name+"] stands twice in this file")
	}
}

func (p *fileParser) optionLine(line string) {
	p.flush()
	i := strings.IndexAny(line, "=:")
	if i < 0 {
		p.fault(line, "neither [section] nor option = value (a continued value must be indented)")
		return
	}
	name := strings.ToLower(strings.TrimRightFunc(line[:i], isSpace))
	if name == "" {
		p.fault(line, "no option before "+string(line[i]))
		return
	}
	if key := [2]string{p.section, name}; p.seen[key] && !p.again {
		p.fault(strings.TrimFunc(line[i+1:], isSpace), "stands twice in ["+p.section+"] of this file")
		p.faults[len(p.faults)-1].option = name
	} else {
		p.seen[key] = true
	}
	p.option, p.pending = name, true
	p.value.mark(p.at())
	p.value.buf.WriteString(strings.TrimFunc(line[i+1:], isSpace))
}

// stripComment returns the line without comment and outer white space, and
// whether it had a comment.
func stripComment(line string) (value string, commented bool) {
	trimmed := strings.TrimFunc(line, isSpace)
	if strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";") {
		return "", true
	}
	for i := 0; ; i++ {
		n := strings.IndexByte(line[i:], ';')
		if n < 0 {
			return trimmed, false
		}
		i += n
		if before, size := utf8.DecodeLastRuneInString(line[:i]); size == 0 || isSpace(before) {
			return strings.TrimFunc(line[:i], isSpace), true
		}
	}
}

// sectionHeader returns the name of the section that the line opens: from its
// first "[" to its last "]", whatever follows.
func sectionHeader(line string) (string, bool) {
	end := strings.LastIndexByte(line, ']')
	if line[0] != '[' || end < 2 {
		return "", false
	}
	return line[1:end], true
}
