package matchers

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/f2bpipe/f2bpipe/matchers/dates"
	"github.com/f2bpipe/f2bpipe/matchers/literal"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// A cutPlace is where the dates of a detector stand in a line: what the rules
// see is joined there.
type cutPlace struct {
	anywhere bool
	after    string // characters right before it, where it is not at the start
	first    string // bytes of ASCII that it can begin with, where it is anywhere; empty: any
	wordEnd  bool   // it ends with a word's character, and where a word ends; or begins the line
}

// startChars is how many characters may stand before a date at the start of a
// line; they are no word's, see {^LN-BEG}.
const startChars = 2

// cutPlaces finds where dates stand, for the detectors of one set: most of
// their regular expressions are the same.
type cutPlaces map[string]cutPlace

// of finds the places by the detector's regular expressions.
func (known cutPlaces) of(d *dates.Detector) cutPlace {
	all := cutPlace{wordEnd: true}
	first, anyFirst := "", false
	for i, n := range d.Names() {
		if n.Regex == "" {
			continue // no date is found in the line
		}
		place, ok := known[n.Regex]
		if !ok {
			place = cutPlaceOf(d.Syntax(i))
			known[n.Regex] = place
		}
		all.anywhere = all.anywhere || place.anywhere
		all.after += place.after
		all.wordEnd = all.wordEnd && place.wordEnd
		first, anyFirst = first+place.first, anyFirst || place.first == ""
	}
	if !all.anywhere {
		return all
	}
	// Halves of the texts are looked for: to take them apart would only shorten them.
	all.after = ""
	if !anyFirst {
		all.first = first
	}
	return all
}

// cutPlaceOf finds the place by the tree of a regular expression.
func cutPlaceOf(s *regex.Syntax, err error) cutPlace {
	if err != nil {
		return cutPlace{anywhere: true}
	}
	var w cutWalk
	w.walk(s.Root, ahead{last: anyChar, chars: unbounded})
	if !w.found {
		return cutPlace{anywhere: true}
	}
	place := cutPlace{first: w.first, wordEnd: w.at.anchored && w.at.chars == 0 || endsWord(s)}
	switch {
	case !w.at.anchored, w.at.chars > startChars && w.at.last == anyChar:
		place.anywhere = true
	case w.at.chars > startChars:
		place.after = w.at.last
	}
	return place
}

const (
	anyChar   = "\xff" // a set of last characters that is not known
	unbounded = 1 << 20
)

// ahead is what is known of the text before a place in a pattern.
type ahead struct {
	anchored bool   // the pattern's beginning is the line's
	chars    int    // at most
	last     string // its last character is one of these; empty: there is none
}

// cutWalk follows a pattern to its first group.
type cutWalk struct {
	found bool
	at    ahead
	first string // characters that the group can begin with; empty: any
}

// walk returns what stands before the place behind n.
func (w *cutWalk) walk(n *regex.Node, a ahead) ahead {
	switch n.Kind {
	case regex.KindAssert:
		if n.Assert == regex.BeginText {
			return ahead{anchored: true}
		}
	case regex.KindLiteral:
		return a.then(len(n.Runes), lastChars(n))
	case regex.KindClass:
		return a.then(1, classChars(n.Class))
	case regex.KindGroup:
		if n.Index == 1 && !w.found {
			w.found, w.at = true, a
			if first, empty := firstChars(n.Subs[0]); !empty && !strings.Contains(first, anyChar) {
				w.first = first
			}
		}
		return w.walk(n.Subs[0], a)
	case regex.KindConcat, regex.KindAtomic:
		for _, sub := range n.Subs {
			a = w.walk(sub, a)
		}
	case regex.KindAlternate, regex.KindCond:
		out := w.walk(n.Subs[0], a)
		for _, sub := range n.Subs[1:] {
			out = out.or(w.walk(sub, a))
		}
		return out
	case regex.KindRepeat:
		once := w.walk(n.Subs[0], a)
		rounds := n.Max
		if rounds < 0 {
			rounds = unbounded
		}
		once.chars = min(a.chars+rounds*(once.chars-a.chars), unbounded)
		if n.Min == 0 {
			return once.or(a)
		}
		return once
	case regex.KindBackref:
		return a.then(unbounded, anyChar)
	}
	return a
}

// then is a followed by so many characters.
func (a ahead) then(chars int, last string) ahead {
	return ahead{anchored: a.anchored, chars: min(a.chars+chars, unbounded), last: last}
}

// or is one of two.
func (a ahead) or(b ahead) ahead {
	out := ahead{anchored: a.anchored && b.anchored, chars: max(a.chars, b.chars), last: a.last + b.last}
	if a.last == anyChar || b.last == anyChar {
		out.last = anyChar
	}
	return out
}

// endsWord says whether group 1 of an expression stands at its end, before a
// bound of words, and ends with a word's character.
func endsWord(s *regex.Syntax) bool {
	if s.Root.Kind != regex.KindConcat || !strings.HasSuffix(s.Pattern, dates.WordEnd) {
		return false
	}
	for _, n := range slices.Backward(s.Root.Subs) {
		if n.Kind == regex.KindGroup && n.Index == 1 {
			all, _ := lastInWord(n)
			return all
		}
		if !isEmpty(n) {
			return false
		}
	}
	return false
}

// isEmpty says whether a node matches nothing but the empty text.
func isEmpty(n *regex.Node) bool {
	switch n.Kind {
	case regex.KindEmpty, regex.KindAssert, regex.KindLook:
		return true
	case regex.KindConcat, regex.KindAlternate, regex.KindCond, regex.KindGroup:
		return !slices.ContainsFunc(n.Subs, func(sub *regex.Node) bool { return !isEmpty(sub) })
	}
	return false
}

// lastInWord says whether what a node matches ends in \w, or is empty; and
// whether it can be empty.
func lastInWord(n *regex.Node) (all, empty bool) {
	switch n.Kind {
	case regex.KindEmpty, regex.KindAssert, regex.KindLook:
		return true, true
	case regex.KindLiteral:
		return inWord(n.Runes[len(n.Runes)-1]), false
	case regex.KindClass:
		return n.Class.InWord(), false
	case regex.KindGroup, regex.KindAtomic:
		return lastInWord(n.Subs[0])
	case regex.KindConcat:
		for _, sub := range slices.Backward(n.Subs) {
			if all, empty = lastInWord(sub); !all || !empty {
				return all, false
			}
		}
		return true, true
	case regex.KindAlternate, regex.KindCond:
		all = true
		for _, sub := range n.Subs {
			word, may := lastInWord(sub)
			all, empty = all && word, empty || may
		}
		return all, empty
	case regex.KindRepeat:
		all, empty = lastInWord(n.Subs[0])
		return all, empty || n.Min == 0
	}
	return false, true
}

// inWord is \w.
func inWord(r rune) bool {
	c := regex.Class{Ranges: []regex.Range{{Lo: r, Hi: r}}}
	return c.InWord()
}

// firstChars are the characters that what a pattern matches can begin with, and
// whether it can be empty.
func firstChars(n *regex.Node) (chars string, empty bool) {
	switch n.Kind {
	case regex.KindEmpty, regex.KindAssert, regex.KindLook:
		return "", true
	case regex.KindLiteral:
		return foldChars(n.Runes[0], n.Fold), false
	case regex.KindClass:
		return asciiChars(n.Class), false
	case regex.KindGroup, regex.KindAtomic:
		return firstChars(n.Subs[0])
	case regex.KindConcat:
		for _, sub := range n.Subs {
			more, empty := firstChars(sub)
			if chars += more; !empty {
				return chars, false
			}
		}
		return chars, true
	case regex.KindAlternate, regex.KindCond:
		for _, sub := range n.Subs {
			more, may := firstChars(sub)
			chars, empty = chars+more, empty || may
		}
		return chars, empty
	case regex.KindRepeat:
		chars, empty = firstChars(n.Subs[0])
		return chars, empty || n.Min == 0
	}
	return anyChar, true
}

// lastChars are the characters that a literal can end in.
func lastChars(n *regex.Node) string { return foldChars(n.Runes[len(n.Runes)-1], n.Fold) }

// foldChars are the characters that stand for one.
func foldChars(of rune, fold regex.Fold) string {
	var out strings.Builder
	for _, r := range regex.FoldRunes(of, fold) {
		if r >= utf8.RuneSelf {
			return anyChar
		}
		out.WriteRune(r)
	}
	return out.String()
}

// asciiChars are those of ASCII of a class that has few.
func asciiChars(c *regex.Class) string {
	ascii := *c
	ascii.Ranges = nil
	for _, r := range c.Ranges {
		if r.Lo < utf8.RuneSelf {
			ascii.Ranges = append(ascii.Ranges, regex.Range{Lo: r.Lo, Hi: min(r.Hi, utf8.RuneSelf-1)})
		}
	}
	return classChars(&ascii)
}

// classChars are the characters of a small class.
func classChars(c *regex.Class) string {
	var out strings.Builder
	for _, r := range c.Ranges {
		if r.Hi >= utf8.RuneSelf || out.Len()+int(r.Hi-r.Lo) > 16 {
			return anyChar
		}
		for x := r.Lo; x <= r.Hi; x++ {
			out.WriteRune(x)
		}
	}
	return out.String()
}

// split takes the texts of needs apart where a date may have stood in them: of
// each the longest piece remains that no such place divides.
func (c cutPlace) split(needs []literal.Need) []literal.Need {
	if c.after == "" {
		return needs
	}
	var out []literal.Need
	for _, need := range needs {
		pieces := make(literal.Need, len(need))
		for i, t := range need {
			pieces[i] = longestPiece(t, c.after)
		}
		out = append(out, pieces)
	}
	return out
}

func longestPiece(t literal.Text, after string) (best literal.Text) {
	start := 0
	for end := 1; end <= len(t.Bytes); end++ {
		if end < len(t.Bytes) && !fitsAny(t, end-1, after) {
			continue
		}
		if end-start > len(best.Bytes) {
			best = literal.Text{Bytes: t.Bytes[start:end], Fold: t.Fold[start:end], Deep: t.Deep}
		}
		start = end
	}
	return best
}

// fitsAny says whether one of the bytes may stand at a place of the text.
func fitsAny(t literal.Text, at int, bytes string) bool {
	for i := range len(bytes) {
		if bytes[i]|t.Fold[at] == t.Bytes[at] {
			return true
		}
	}
	return false
}
