package dates

import (
	"regexp"
	"strings"
)

// flags say where a template's date may stand.
type flags uint8

const (
	wordEnd flags = 1 << iota
	wordBegin
	lineEnd
	lineBegin
)

// begin is what is added in front of a template's regular expression, unless
// it has a bound of its own there.
type begin int

const (
	unbound     begin = iota // nothing
	atWord                   // a word boundary
	atLineBegin              // the line's begin, and up to two characters that are no word
)

// WordEnd is the bound that most templates end with.
const WordEnd = `(?=\b|\W|$)`

// Texts that the other bounds consist of.
const (
	lineBeginMark = "{^LN-BEG}"
	unboundMark   = "{UNB}"
	wordRegex     = `(?=^|\b|\W)`
	lineRegex     = `^(?:\W{0,2})?`
)

// The spellings that fail2ban recognises in a pattern. Where Python's
// expression has a lookaround, a function below stands for it.
var (
	globalFlags   = regexp.MustCompile(`\(\?[a-z]+\)`)
	ownBegin      = regexp.MustCompile(`^\(*(?:\(\?\w+\))?(?:\^|\(*\*\*|\((?:\?:)?\^)`)
	starsInFront  = regexp.MustCompile(`^\(*(?:\(\?\w+\))?\(*\*\*`)
	anchored      = regexp.MustCompile(`^(?:\(\?\w+\))?(?:\^|\((?:\?:)?\^(?:[^|]|$))`)
	groupable     = regexp.MustCompile(`^((?:\(\?\w+\))?\^?(?:\(\?\w+\))?)(.*?)(\$?)$`)
	wordInFront   = regexp.MustCompile(`^\((?:\?:)?\^\|\\b\|\\W\)`)
	alphaToken    = regexp.MustCompile(`(?:^|[^%])%[aAbBpc]`)
	epochMark     = regexp.MustCompile(`(?i)\{L?EPOCH\}`)
	dateMark      = regexp.MustCompile(`(?i)\{DATE\}`)
	exactDateMark = "{DATE}"
)

// bound completes the regular expression of a template: a group 1 if it has
// none, bounds at both ends unless it brings its own or refuses them (**),
// flags in front. inFront says that lineRegex was added.
func bound(regex string, from begin, toWord bool) (result string, f flags, inFront bool) {
	regex = strings.TrimSpace(regex)
	var global string
	if at := globalFlags.FindStringIndex(regex); at != nil {
		global = regex[at[0]:at[1]]
		regex = regex[:at[0]] + regex[at[1]:]
	}
	addBegin := from != unbound && !ownBegin.MatchString(regex)
	addEnd := toWord && !hasOwnEnd(regex)
	if !hasGroup(regex) {
		regex = groupable.ReplaceAllString(regex, "$1($2)$3")
	}
	switch {
	case addBegin && from == atLineBegin:
		f |= lineBegin
		inFront = true
		regex = lineRegex + regex
	case addBegin:
		f |= wordBegin
		regex = wordRegex + regex
	}
	if addEnd {
		f |= wordEnd
		regex += WordEnd
	}
	if anchored.MatchString(regex) {
		f |= lineBegin
	}
	if endsLine(regex) {
		f |= lineEnd
	}
	return global + deleteStars(regex), f, inFront
}

// hasGroup reports whether the expression has a capturing group without a
// name: a parenthesis that is not escaped, opens nothing special, and is not
// the condition of (?(name)…).
func hasGroup(regex string) bool {
	for i := range len(regex) {
		if regex[i] == '(' && !strings.HasSuffix(regex[:i], "(?") && !strings.HasSuffix(regex[:i], `\`) &&
			!strings.HasPrefix(regex[i+1:], "?") {
			return true
		}
	}
	return false
}

// hasOwnEnd reports whether the expression ends in a bound: $, \b, \s or **.
func hasOwnEnd(regex string) bool {
	for _, suffix := range []string{"$", "$)", `\b`, `\s`} {
		if head, ok := strings.CutSuffix(regex, suffix); ok && !strings.HasSuffix(head, `\`) {
			return true
		}
	}
	_, ok := starsAtEnd(regex)
	return ok
}

// starsAtEnd returns the offset of ** that only closing parentheses follow.
func starsAtEnd(regex string) (int, bool) {
	head, ok := strings.CutSuffix(strings.TrimRight(regex, ")"), "**")
	return len(head), ok && !strings.HasSuffix(head, `\`)
}

// endsLine reports whether the expression ends with $ or $), the $ neither
// escaped nor an alternative of its own.
func endsLine(regex string) bool {
	head, ok := strings.CutSuffix(strings.TrimSuffix(regex, ")"), "$")
	return ok && !strings.HasSuffix(head, `\`) && !strings.HasSuffix(head, "|")
}

// deleteStars removes ** at both ends, leaving the parentheses around it.
func deleteStars(regex string) string {
	front := ""
	if at := starsInFront.FindStringIndex(regex); at != nil {
		front = strings.ReplaceAll(regex[:at[1]], "**", "")
		regex = regex[at[1]:]
	}
	if at, ok := starsAtEnd(regex); ok {
		regex = regex[:at] + regex[at+2:]
	}
	return front + regex
}

// unboundPattern removes the bounds that a default pattern brings, so that it
// can stand inside another.
func unboundPattern(s string) string {
	s = strings.TrimPrefix(s, unboundMark)
	s = strings.TrimPrefix(s, lineBeginMark)
	s = wordInFront.ReplaceAllString(s, "")
	return strings.TrimSuffix(s, WordEnd)
}

// replaceMarks replaces what mark matches in s, except behind a backslash.
func replaceMarks(mark *regexp.Regexp, s, by string) string {
	var b strings.Builder
	end := 0
	for _, at := range mark.FindAllStringIndex(s, -1) {
		if strings.HasSuffix(s[:at[0]], `\`) {
			continue
		}
		b.WriteString(s[end:at[0]])
		b.WriteString(by)
		end = at[1]
	}
	return b.String() + s[end:]
}
