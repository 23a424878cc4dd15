package matchers

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// ErrNoFailureID is what is wrong with a failregex that names nobody.
var ErrNoFailureID = errors.New("no failure-id group: expected <HOST>, <ADDR>, <F-ID> or <F-MLFID> in it or in prefregex")

var errEmpty = errors.New("the regular expression is empty")

// RegexError is a regular expression that cannot be used.
type RegexError struct {
	Filter   string
	Option   string // failregex, ignoreregex or prefregex
	Index    int    // in the option's list
	Regex    Regex
	Expanded string // with its tags replaced
	Err      error  // a *regex.Error where it does not compile
}

// Error returns the place, the option, Python's message and, on lines of their
// own, the part of the pattern that is meant with a mark below.
func (e *RegexError) Error() string {
	var b strings.Builder
	if e.Regex.Where != "" {
		b.WriteString(e.Regex.Where + ": ")
	}
	fmt.Fprintf(&b, "filter %s: %s %d: %v", e.Filter, e.Option, e.Index, e.Err)
	if excerpt := e.Excerpt(); excerpt != "" {
		b.WriteString("\n" + excerpt)
	}
	return b.String()
}

// Unwrap returns what is wrong.
func (e *RegexError) Unwrap() error { return e.Err }

// The characters of a pattern that are shown around a mistake.
const (
	excerptBefore = 60
	excerptAfter  = 40
)

// Excerpt returns two lines: the pattern, or the part around the mistake where
// it is long, and a mark below the place. The pattern is shown as it was
// written where the place can be found in it, else with its tags replaced. It
// is empty where the mistake has no place.
func (e *RegexError) Excerpt() string {
	var wrong *regex.Error
	if !errors.As(e.Err, &wrong) || wrong.Pos < 0 {
		return ""
	}
	text, pos := []rune(wrong.Pattern), min(wrong.Pos, utf8.RuneCountInString(wrong.Pattern))
	if source, ok := sourcePos(e.Regex.Text, wrong.Pattern, pos); ok {
		text, pos = []rune(e.Regex.Text), source
	}
	from, to := max(0, pos-excerptBefore), min(len(text), pos+excerptAfter)
	head, tail := "", ""
	if from > 0 {
		head = "…"
	}
	if to < len(text) {
		tail = "…"
	}
	shown := func(part []rune) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return ' ' // one column, as the mark below counts
		}, string(part))
	}
	indent := strings.Repeat(" ", utf8.RuneCountInString(head)+pos-from)
	return "  " + head + shown(text[from:to]) + tail + "\n  " + indent + "^"
}

// maxMapped is the length of patterns for which a place is looked for in the
// text that they were expanded from: the time is its square.
const maxMapped = 8 << 10

// sourcePos returns the character of source that stands, expanded, at character
// pos: the begin of a tag where pos is inside of what it stands for. ok is false
// where no begin of source expands to a begin of expanded there.
func sourcePos(source, expanded string, pos int) (at int, ok bool) {
	if source == expanded {
		return pos, true
	}
	if len(source) > maxMapped {
		return 0, false
	}
	n := 0
	for i := range source + " " {
		for _, dns := range [...]UseDNS{DNSWarn, DNSNo} {
			begin := ExpandTags(source[:i], dns)
			if strings.HasPrefix(expanded, begin) && utf8.RuneCountInString(begin) <= pos {
				at, ok = n, true
			}
		}
		n++
	}
	return at, ok
}
