package store

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Details is what fail2ban keeps of a ban beside its times: a pipeline.Ticket.
type Details struct {
	Count   int      // how often the ID has been banned, this ban included; 0: 1
	Matches []string // the lines that led to the ban, the last one last
	Fields  []Field  // what a failregex captured: user, mlfid, ip4…
}

// Field is a further member of a ban's data.
type Field struct{ Name, Value string }

// appendData appends a ban's data as fail2ban writes it: JSON with a space
// after each separator, text as it is in UTF-8 (json.dumps, ensure_ascii=False).
func appendData(b []byte, d *Details, failures, maxMatches int) []byte {
	b = append(b, '{')
	if maxMatches > 0 {
		b = append(b, `"matches": [`...)
		for i, m := range d.Matches[max(0, len(d.Matches)-maxMatches):] {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendString(b, m)
		}
		b = append(b, "], "...)
	}
	b = append(b, `"failures": `...)
	b = strconv.AppendInt(b, int64(failures), 10)
	for _, f := range d.Fields {
		if f.Name == "matches" || f.Name == "failures" {
			continue
		}
		b = append(b, ", "...)
		b = appendString(b, f.Name)
		b = append(b, ": "...)
		b = appendString(b, f.Value)
	}
	return append(b, '}')
}

// appendString appends a JSON string. What is no UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r < ' ':
			b = append(b, `\u00`...)
			b = append(b, hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// validText returns s as Python can read it from a TEXT column.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// maxFailures bounds a number of failures that a file claims.
const maxFailures = 1 << 30

// parseFailures returns the member "failures" of a ban's data, 0 where it has
// none or is no data. It does not parse the rest when fail2ban or we wrote it:
// nobody's text can hold an unescaped quote.
func parseFailures(data []byte) int {
	const key = `"failures": `
	i := bytes.LastIndex(data, []byte(key))
	if i < 0 {
		return 0
	}
	n := 0
	for _, c := range data[i+len(key):] {
		if c < '0' || c > '9' {
			break
		}
		n = min(n*10+int(c-'0'), maxFailures)
	}
	return n
}

// parseData reads a ban's data. What it does not understand it leaves out.
// A match is a text, or a list of texts that belong together.
func parseData(data []byte) (d Details, failures int) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return d, 0
	}
	for dec.More() {
		name, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			break
		}
		switch name {
		case "matches":
			d.Matches = parseMatches(value)
		case "failures":
			f, _ := strconv.ParseFloat(string(value), 64)
			failures = int(min(max(f, 0), maxFailures))
		default:
			var s string
			if json.Unmarshal(value, &s) == nil {
				d.Fields = append(d.Fields, Field{name.(string), s})
			}
		}
	}
	return d, failures
}

func parseMatches(value []byte) []string {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return nil
	}
	matches := make([]string, 0, len(list))
	for _, m := range list {
		var (
			line  string
			parts []string
		)
		if json.Unmarshal(m, &line) == nil {
			matches = append(matches, line)
		} else if json.Unmarshal(m, &parts) == nil {
			matches = append(matches, strings.Join(parts, ""))
		}
	}
	return matches
}
