package regex

import (
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/runenames"
)

// runeNamed returns the character that \N{name} stands for: the Unicode
// Standard's name in letters of any case. Aliases, the names of control
// characters and of Hangul syllables are not known.
func runeNamed(name string) (rune, bool) {
	name = strings.ToUpper(name)
	if code, ok := strings.CutPrefix(name, "CJK UNIFIED IDEOGRAPH-"); ok {
		n, err := strconv.ParseUint(code, 16, 32)
		return rune(n), err == nil && len(code) >= 4 && unicode.Is(unicode.Unified_Ideograph, rune(n))
	}
	if strings.HasPrefix(name, "<") {
		return 0, false // what the table has for characters without a name
	}
	for r := rune(0); r <= lastNamed; r++ {
		if r == endOfPlanes {
			r = beginOfTags
		}
		if runenames.Name(r) == name {
			return r, true
		}
	}
	return 0, false
}

// Characters with names stand up to endOfPlanes, and from beginOfTags to lastNamed.
const (
	endOfPlanes = 0x32000
	beginOfTags = 0xe0000
	lastNamed   = 0xe01ef
)
