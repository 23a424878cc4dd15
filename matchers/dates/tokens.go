package dates

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A token is a %-directive of a date pattern: the regular expression that it
// stands for and how fail2ban spells it in a template's name.
type token struct {
	regex, name string
}

// monthNames and dayNames are those of the C locale, as the patterns list them.
const (
	monthNames = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
	dayNames   = "mon|tue|wed|thu|fri|sat|sun"
)

// zoneName is how the letters of a time zone may look in %ExZ and %Exz.
const zoneName = `[A-Z](?:[A-Z]{2,4})?`

// tokens are the directives by their key, without %ExY, whose text depends on
// the year. The keys and the groups are fixed by the filters that use them.
var tokens = map[string]token{
	"%": {"%", "%"},
	"a": {`(?P<a>` + dayNames + `)`, "DAY"},
	"A": {`(?P<A>wednesday|thursday|saturday|tuesday|monday|friday|sunday)`, "DAYNAME"},
	"b": {`(?P<b>` + monthNames + `)`, "MON"},
	"B": {`(?P<B>september|february|november|december|january|october|august|march|april|june|july|may)`, "MONTH"},
	"d": {`(?P<d>[1-2]\d|[0 ]?[1-9]|3[0-1])`, "Day"},
	"f": {`(?P<f>[0-9]{1,6})`, "Microseconds"},
	"G": {`(?P<G>\d\d\d\d)`, "%G"},
	"H": {`(?P<H>[0-1]?\d|2[0-3])`, "24hour"},
	"I": {`(?P<I>1[0-2]|0[1-9]|[1-9])`, "12hour"},
	"j": {`(?P<j>36[0-6]|3[0-5]\d|[1-2]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9])`, "Yearday"},
	"k": {` ?(?P<H>[0-2]?\d)`, "%k"},
	"l": {` ?(?P<I>1?\d)`, "%l"},
	"m": {`(?P<m>0?[1-9]|1[0-2])`, "Month"},
	"M": {`(?P<M>[0-5]?\d)`, "Minute"},
	"p": {`(?P<p>am|pm)`, "AMPM"},
	"S": {`(?P<S>[0-5]?\d|6[0-1])`, "Second"},
	"u": {`(?P<u>[1-7])`, "%u"},
	"U": {`(?P<U>5[0-3]|[0-4]\d|\d)`, "Yearweek"},
	"V": {`(?P<V>5[0-3]|0[1-9]|[1-4]\d|\d)`, "%V"},
	"w": {`(?P<w>[0-6])`, "Weekday"},
	"W": {`(?P<W>5[0-3]|[0-4]\d|\d)`, "Yearweek"},
	"y": {`(?P<y>\d\d)`, "Year2"},
	"Y": {`(?P<Y>\d{4})`, "Year"},
	"z": {`(?P<z>Z|UTC|GMT|[+-][01]\d(?::?\d{2})?)`, "Zone offset"},
	"Z": {`(?P<Z>Z|[A-Z]{3,5})`, "Zone name"},

	// The dates and times of the C locale.
	"c": {`(?P<a>` + dayNames + `)\s+(?P<b>` + monthNames + `)\s+` + strictDay + `\s+` + strictTime + `\s+(?P<Y>\d\d\d\d)`, "%c"},
	"x": {`(?P<m>1[0-2]|0[1-9]|[1-9])/` + strictDay + `/(?P<y>\d\d)`, "%x"},
	"X": {strictTime, "%X"},

	// Exactly two digits, or zone abbreviations too.
	"Exd": {`(?P<d>[1-2]\d|0[1-9]|3[0-1])`, "ExDay"},
	"ExH": {`(?P<H>[0-1]\d|2[0-3])`, "Ex24hour"},
	"Exk": {` ?(?P<H>[0-1]?\d|2[0-3])`, "%Exk"},
	"Exl": {` ?(?P<I>1[0-2]|\d)`, "%Exl"},
	"Exm": {`(?P<m>0[1-9]|1[0-2])`, "ExMonth"},
	"ExM": {`(?P<M>[0-5]\d)`, "ExMinute"},
	"ExS": {`(?P<S>[0-5]\d|6[0-1])`, "ExSecond"},
	"Exy": {`(?P<y>\d{2})`, "ExYear2"},
	"Exz": {`(?P<z>(?:` + zoneName + `)?[+-][01]\d(?::?\d{2})?|` + zoneName + `)`, "ExZone offset"},
	"ExZ": {`(?P<Z>` + zoneName + `)`, "ExZone name"},
}

const (
	strictDay  = `(?P<d>3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9])`
	strictTime = `(?P<H>2[0-3]|[0-1]\d|\d):(?P<M>[0-5]\d|\d):(?P<S>6[0-1]|[0-5]\d|\d)`
)

// exactYear returns the token %ExY in a given year: the years of this century
// up to the decade of three years on.
func exactYear(year int) token {
	decade := func(year int) string {
		s := strconv.Itoa(year)
		return s[:min(3, len(s))]
	}
	decades := []string{decade(year - 1), decade(year + 3)}
	for y := 2000; y <= year; y += 3 {
		decades = append(decades, decade(y))
	}
	slices.Sort(decades)
	return token{`(?P<Y>` + alternatives(slices.Compact(decades)) + `\d)`, "ExYear"}
}

// alternatives writes the sorted texts, all of one length, as a regular
// expression, with what they have in common in front factored out as fail2ban
// does: either all but the last character or the first one.
func alternatives(texts []string) string {
	first := texts[0]
	if len(texts) == 1 {
		return first
	}
	for _, prefix := range []string{first[:len(first)-1], first[:1]} {
		if prefix == "" || len(prefix) == len(first) ||
			slices.ContainsFunc(texts, func(s string) bool { return !strings.HasPrefix(s, prefix) }) {
			continue
		}
		rest := make([]string, len(texts))
		for i, s := range texts {
			rest[i] = s[len(prefix):]
		}
		return prefix + alternatives(rest)
	}
	if len(first) > 1 {
		return "(?:" + strings.Join(texts, "|") + ")"
	}
	return "[" + strings.Join(texts, "") + "]"
}

// expand replaces the tokens of a pattern by their regular expressions, and by
// their names.
func expand(pattern string, year int) (regex, name string, err error) {
	var r, n strings.Builder
	for rest := pattern; rest != ""; {
		at := strings.IndexByte(rest, '%')
		if at < 0 {
			at = len(rest)
		}
		r.WriteString(rest[:at])
		n.WriteString(rest[:at])
		if rest = rest[at:]; rest == "" {
			break
		}
		t, size := nextToken(rest[1:], year)
		if size == 0 {
			return "", "", fmt.Errorf("unknown token %q (a percent sign is written %%%%)", rest[:min(2, len(rest))])
		}
		r.WriteString(t.regex)
		n.WriteString(t.name)
		rest = rest[1+size:]
	}
	return r.String(), n.String(), nil
}

// nextToken returns the token whose key is in front of s and the key's length,
// 0 where there is none.
func nextToken(s string, year int) (token, int) {
	if strings.HasPrefix(s, "ExY") {
		return exactYear(year), 3
	}
	for _, size := range []int{3, 1} {
		if len(s) >= size {
			if t, ok := tokens[s[:size]]; ok {
				return t, size
			}
		}
	}
	return token{}, 0
}
