package literal

// Cut says where the date that rules do not see may have stood in a line.
type Cut uint8

// The cuts.
const (
	CutNone     Cut = iota // nowhere: the time does not come from the line
	CutStart               // at the start, behind two characters at most that are no word's
	CutAnywhere            // anywhere
)

// Rule is a rule as a scanner sees it. The needs of each of its regular
// expressions must hold in a line that it matches.
type Rule struct {
	Needs [][]Need // of each regular expression; empty: nothing is known
	Cut   Cut
}

// probe is a text that is looked for: a whole one, or the half of one that a
// cut may divide.
type probe struct {
	text Text
	full Text // of a half: all of it; else empty
	at   int  // where in full the half stands
}

// whole says whether nothing but the text has to be there.
func (p *probe) whole() bool { return p.full.Bytes == "" }

// option is one way to see that a line is no candidate for a rule: none of the
// probes is in it.
type option []probe

// shortest is the length of the shortest text.
func (o option) shortest() int {
	n := maxLength
	for i := range o {
		n = min(n, len(o[i].text.Bytes))
	}
	return n
}

// options returns the ways of a rule whose texts have at least so many bytes.
func (r *Rule) options(length int) []option {
	var out []option
	add := func(o option) {
		if len(o) > 0 && o.shortest() >= length {
			out = append(out, o)
		}
	}
	for _, needs := range r.Needs {
		for i, n := range needs {
			switch r.Cut {
			case CutNone:
				add(n.whole(0))
			case CutStart:
				add(n.whole(2))
			default:
				add(n.halves())
				// A cut divides one of two needs that stand in different places.
				for _, other := range needs[i+1:] {
					if len(n)+len(other) <= maxTexts {
						add(append(n.whole(0), other.whole(0)...))
					}
				}
			}
		}
	}
	return out
}

// halves looks for either half of each text: one cut leaves one of them whole.
func (n Need) halves() option {
	o := make(option, 0, 2*len(n))
	for _, t := range n {
		half := len(t.Bytes) / 2
		o = append(o, probe{text: t.part(0, half), full: t}, probe{text: t.part(half, len(t.Bytes)), full: t, at: half})
	}
	return o
}

// whole looks for the texts whole, but for so many characters at their start
// that are no word's.
func (n Need) whole(drop int) option {
	o := make(option, 0, len(n))
	for _, t := range n {
		from := 0
		for !t.Deep && from < drop && from < len(t.Bytes) && !wordByte(t.Bytes[from]) {
			from++
		}
		o = append(o, probe{text: t.part(from, len(t.Bytes))})
	}
	return o
}

func (t Text) part(from, to int) Text { return Text{Bytes: t.Bytes[from:to], Fold: t.Fold[from:to]} }

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
