package logtarget

import (
	"fmt"
	"regexp"
	"strings"
)

// spec is a logtarget as written, read: `TARGET[facility=…, datetime=…,
// padding=…, format="…"]`.
type spec struct {
	name     string // as written, without options
	kind     kind
	layout   layout
	facility int // of syslog
}

type kind uint8

const (
	toFile kind = iota
	toStdout
	toStderr
	toSyslog
	toJournal
)

// facilities are syslog's, by the names that Python has for them.
var facilities = map[string]int{
	"KERN": 0, "USER": 1, "MAIL": 2, "DAEMON": 3, "AUTH": 4, "SYSLOG": 5, "LPR": 6, "NEWS": 7, "UUCP": 8, "CRON": 9, "AUTHPRIV": 10,
	"FTP": 11, "NTP": 12, "SECURITY": 13, "CONSOLE": 14, "SOLCRON": 15, "LOCAL0": 16, "LOCAL1": 17, "LOCAL2": 18, "LOCAL3": 19,
	"LOCAL4": 20, "LOCAL5": 21, "LOCAL6": 22, "LOCAL7": 23,
}

var (
	targetSyntax = regexp.MustCompile(`(?s)^([^\[]+)(?:\[(.*)\])?\s*$`)
	optionSyntax = regexp.MustCompile(`(?s)^\s*([\w\-]+)=(?:"([^"]*)"|'([^']*)'|([^,\]]*))\s*(?:,|\]\s*\[|$)`)
)

// parseSpec reads a logtarget. The words for targets may be in any case.
func parseSpec(text string) (spec, error) {
	m := targetSyntax.FindStringSubmatch(text)
	if m == nil {
		return spec{}, fmt.Errorf("log target %q is not understood: expected a file, STDOUT, STDERR, SYSLOG, SYSOUT or SYSTEMD-JOURNAL, with options in brackets", text)
	}
	options, err := parseOptions(text, m[2])
	if err != nil {
		return spec{}, err
	}
	s := spec{name: strings.TrimSpace(m[1]), facility: facilities["DAEMON"]}
	datetime, padding := true, true
	switch strings.ToUpper(s.name) {
	case "STDOUT":
		s.kind = toStdout
	case "SYSOUT":
		s.kind, datetime = toStdout, false
	case "STDERR":
		s.kind = toStderr
	case "SYSLOG":
		s.kind, datetime, padding = toSyslog, false, false
	case "SYSTEMD-JOURNAL":
		s.kind = toJournal
	}
	format := bare
	if s.kind != toJournal {
		datetime, padding = isTrue(options, "datetime", datetime), isTrue(options, "padding", padding)
		if format = withTime; !datetime {
			format = withoutAny
		}
		if options["format"] != "" {
			format, padding = options["format"], true
		}
	}
	if name, ok := options["facility"]; ok && s.kind == toSyslog {
		f, known := facilities[strings.ToUpper(name)]
		if !known {
			return spec{}, fmt.Errorf("log target %s: facility %q is not known", s.name, name)
		}
		s.facility = f
	}
	s.layout, err = parseLayout(format, padding)
	return s, err
}

func parseOptions(target, text string) (map[string]string, error) {
	out := map[string]string{}
	for rest := text; strings.TrimSpace(rest) != ""; {
		m := optionSyntax.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("log target %q: %q is no option: expected facility=, datetime=, padding= or format=", target, rest)
		}
		switch m[1] {
		case "facility", "datetime", "padding", "format":
		default:
			return nil, fmt.Errorf("log target %q: option %s is not known: expected facility, datetime, padding or format", target, m[1])
		}
		out[m[1]] = m[2] + m[3] + strings.TrimSpace(m[4])
		rest = rest[len(m[0]):]
	}
	return out, nil
}

// isTrue reads an option as fail2ban reads its booleans.
func isTrue(options map[string]string, name string, otherwise bool) bool {
	v, ok := options[name]
	if !ok {
		return otherwise
	}
	switch strings.ToLower(v) {
	case "1", "on", "true", "yes":
		return true
	}
	return false
}

// File returns the path of a logtarget that is a file, or "".
func File(target string) string {
	if s, err := parseSpec(target); err == nil && s.kind == toFile {
		return s.name
	}
	return ""
}
