package runner

import (
	"fmt"
	"strings"
)

// maxValue is the number of bytes of one value that a command gets: the kernel
// takes 128 KiB an argument. Of a longer one the end counts: the newest lines.
const maxValue = 64 << 10

// metacharacters are what fail2ban takes for meaningful to a shell: a value
// with one of them does not become part of the script.
const metacharacters = "\\#&;`|*?~<>^()[]{}$'\"\n\r"

// Script returns the script of a phase with the values of a ban in it, and its
// positional arguments, from $0; "" where the action has no such command.
func (p *Program) Script(phase Phase, f Family, values map[string]string) (text string, args []string) {
	return script(p.Text(phase, f), values)
}

// script puts the values of a ban into a command. Tags without a value stay,
// but for those of captures (<F-USER>), which are empty then. It returns the
// script and its positional arguments, from $0.
func script(text string, values map[string]string) (string, []string) {
	var names, args []string
	at := map[string]bool{}
	put := func(variable, value string) string {
		value = cleanValue(value)
		if !strings.ContainsAny(value, metacharacters) {
			return value
		}
		if !at[variable] {
			at[variable] = true
			names, args = append(names, variable), append(args, value)
		}
		return "$" + variable
	}
	out := eachTag(text, func(name string) (string, bool) {
		if group, ok := Capture(name); ok {
			return put("f2bV_F_"+identifier(group), values["F-"+group]), true
		}
		v, ok := values[name]
		if !ok {
			return "", false
		}
		return put("f2bV_"+identifier(name), v), true
	})
	if len(names) == 0 {
		return out, nil
	}
	var b strings.Builder
	for i, name := range names {
		if i < 10 {
			fmt.Fprintf(&b, "%s=$%d ", name, i)
		} else {
			fmt.Fprintf(&b, "%s=${%d} ", name, i)
		}
	}
	return b.String() + "\n" + out, args
}

// Capture returns the named group that a tag <F-…> asks for.
func Capture(tag string) (group string, ok bool) {
	rest, ok := strings.CutPrefix(tag, "F-")
	if !ok || rest == "" {
		return "", false
	}
	for i := range len(rest) {
		if c := rest[i]; !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return "", false
		}
	}
	switch group = strings.ToLower(rest); group {
	case "id":
		return "fid", true
	case "port":
		return "fport", true
	}
	return group, true
}

// identifier returns a text as part of a shell variable's name.
func identifier(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, s)
}

// cleanValue returns a value as an argument can hold it.
func cleanValue(s string) string {
	if len(s) > maxValue {
		s = s[len(s)-maxValue:]
	}
	return strings.ReplaceAll(s, "\x00", "")
}
