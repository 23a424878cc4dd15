package matchers

import (
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
}

// startChars is how many characters may stand before a date at the start of a
// line; they are no word's, see {^LN-BEG}.
const startChars = 2

// cutPlaces finds where dates stand, for the detectors of one set: most of
// their regular expressions are the same.
type cutPlaces map[string]cutPlace

// of finds the places by the detector's regular expressions.
func (known cutPlaces) of(d *dates.Detector) cutPlace {
	var all cutPlace
	for _, n := range d.Names() {
		if n.Regex == "" {
			continue // no date is found in the line
		}
		place, ok := known[n.Regex]
		if !ok {
			place = cutPlaceOf(n.Regex)
			known[n.Regex] = place
		}
		if place.anywhere {
			return place
		}
		all.after += place.after
	}
	return all
}

// cutPlaceOf finds the place by a regular expression.
func cutPlaceOf(expression string) cutPlace {
	s, err := regex.Parse(expression, 0)
	if err != nil {
		return cutPlace{anywhere: true}
	}
	var w cutWalk
	w.walk(s.Root, ahead{last: anyChar, chars: unbounded})
	switch {
	case !w.found || !w.at.anchored:
		return cutPlace{anywhere: true}
	case w.at.chars <= startChars:
		return cutPlace{}
	case w.at.last == anyChar:
		return cutPlace{anywhere: true}
	}
	return cutPlace{after: w.at.last}
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

// lastChars are the characters that a literal can end in.
func lastChars(n *regex.Node) string {
	var out strings.Builder
	for _, r := range regex.FoldRunes(n.Runes[len(n.Runes)-1], n.Fold) {
		if r >= utf8.RuneSelf {
			return anyChar
		}
		out.WriteRune(r)
	}
	return out.String()
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
	for start := 0; start < len(t.Bytes); {
		end := strings.IndexAny(t.Bytes[start:], after)
		if end += start + 1; end == start {
			end = len(t.Bytes)
		}
		if end-start > len(best.Bytes) {
			best = literal.Text{Bytes: t.Bytes[start:end], Fold: t.Fold[start:end], Deep: t.Deep}
		}
		start = end
	}
	return best
}
