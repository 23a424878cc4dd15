package config

import (
	"fmt"
	"regexp"
	"strings"
)

// The grammar of name[param=value,…][…]: a parameter's name may carry a
// condition (blocktype?family=inet6); its value stands in double or single
// quotes, or bare up to the next comma or bracket.
const (
	paramName  = `[\p{L}\p{N}_\-\.]+(?:\?[\p{L}\p{N}_]+=[\p{L}\p{N}_]+)?`
	paramValue = `(?:"[^"]*"|'[^']*'|[^,\]]*)`
)

var (
	// specSyntax: group 1 is the name, group 2 what stands between the outer brackets.
	specSyntax = regexp.MustCompile(`(?s)^([^\[]+)(?:\[(.*)\])?\s*$`)
	// paramSyntax finds one parameter after the other: group 1 is its name,
	// groups 2 to 4 its value in each quoting, group 5 what follows where a
	// separator should, group 6 what is no parameter at all.
	paramSyntax = regexp.MustCompile(`(?s)\s*(` + paramName + `)=(?:"([^"]*)"|'([^']*)'|([^,\]]*))(?:,|\]\s*\[|\n?$|(.+))|,?\s*$|(.+)`)
	// specList finds one name[…] after the other in a list of them separated by
	// white space, which may also stand within the brackets.
	specList = regexp.MustCompile(`(?s)([^\[\s]+(?:\s*\[\s*(?:` + paramName + `=` + paramValue + `\s*(?:,|\]\s*\[)?\s*)*\])?\s*|\S+)(?:\s|$)`)
)

// spec is name[param=value,…], taken apart.
type spec struct {
	name   string
	params *section
}

// SplitOptions takes name[a=1, b="x,y"][c='z'] apart. Of a parameter given
// twice the last value counts. The places of the values are empty. The error
// says what is wrong with spec and where.
func SplitOptions(spec string) (name string, params []Param, err error) {
	s, err := splitSpec(text{s: spec})
	if err != nil {
		return "", nil, err
	}
	return s.name, s.list(), nil
}

// list returns the parameters in the order they first came.
func (s spec) list() []Param {
	var out []Param
	for _, k := range s.params.keys {
		out = append(out, Param{Name: k, Value: s.params.opts[k].value()})
	}
	return out
}

func splitSpec(t text) (spec, error) {
	m := specSyntax.FindStringSubmatchIndex(t.s)
	if m == nil {
		return spec{}, fmt.Errorf("unexpected option syntax")
	}
	s := spec{name: t.s[m[2]:m[3]], params: newSection()}
	if m[4] < 0 {
		return s, nil
	}
	opts := t.slice(m[4], m[5])
	for _, o := range paramSyntax.FindAllStringSubmatchIndex(opts.s, -1) {
		if o[10] >= 0 {
			return spec{}, fmt.Errorf("unexpected syntax at %d after option '%s': %s", runes(opts.s[:o[10]]), opts.s[o[2]:o[3]], first(opts.s[o[10]:], 25))
		}
		if o[12] >= 0 {
			return spec{}, fmt.Errorf("expected option, wrong syntax at %d: %s", runes(opts.s[:o[12]]), first(opts.s[o[12]:], 25))
		}
		if o[2] < 0 {
			continue
		}
		for _, g := range [3]int{4, 6, 8} {
			if o[g] >= 0 {
				s.params.set(opts.s[o[2]:o[3]], opts.slice(o[g], o[g+1]).trim())
				break
			}
		}
	}
	return s, nil
}

func runes(s string) int { return len([]rune(s)) }

// first returns the first n characters of s.
func first(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// splitSpecs splits a list of name[…], separated by white space.
func splitSpecs(t text) []text {
	var out []text
	for _, m := range specList.FindAllStringSubmatchIndex(t.s, -1) {
		out = append(out, t.slice(m[2], m[3]).trim())
	}
	return out
}

// splitWords splits at blanks, commas and newlines.
func splitWords(t text) []text {
	var out []text
	start := -1
	for i := 0; i <= len(t.s); i++ {
		if i < len(t.s) && !strings.ContainsRune(" ,\n", rune(t.s[i])) {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			if word := t.slice(start, i).trim(); word.s != "" {
				out = append(out, word)
			}
			start = -1
		}
	}
	return out
}

// splitShell splits as a POSIX shell would into words, without expanding
// anything: quotes and backslashes are taken off.
func splitShell(t text) ([]text, error) {
	var out []text
	var word strings.Builder
	start, quote := -1, byte(0)
	for i := 0; i < len(t.s); i++ {
		c := t.s[i]
		space := strings.IndexByte(" \t\r\n", c) >= 0
		if quote == 0 && space {
			if start >= 0 {
				out = append(out, text{s: word.String(), marks: []mark{{0, t.at(start)}}})
				word.Reset()
				start = -1
			}
			continue
		}
		if start < 0 {
			start = i
		}
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'':
			if i++; i == len(t.s) {
				return nil, fmt.Errorf("ends in a backslash")
			}
			if quote == '"' && t.s[i] != '"' && t.s[i] != '\\' {
				word.WriteByte('\\')
			}
			word.WriteByte(t.s[i])
		default:
			word.WriteByte(c)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if start >= 0 {
		out = append(out, text{s: word.String(), marks: []mark{{0, t.at(start)}}})
	}
	return out, nil
}
