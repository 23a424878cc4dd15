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
	// First are the bytes that a date of ASCII can begin with; empty: any.
	First string
	// WordEnd says that a date ends with a word's character, where a word ends: no
	// other one stood right behind it.
	WordEnd bool
	// Wide returns further needs, of lines of ASCII (WideNeeds): every other line
	// is a candidate then. It is asked where Needs leave nothing to look for; nil:
	// there are none.
	Wide func() []Need
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

// shortest is the length of the shortest text, or of what it has of bytes that
// are exact.
func (o option) shortest() int {
	n := maxLength
	for i := range o {
		n = min(n, o[i].text.exact())
	}
	return n
}

// exact is the length of the longest part of the text without sets.
func (t *Text) exact() (most int) {
	n := 0
	for i := range len(t.Fold) {
		if n++; t.isSet(i) {
			n = 0
		}
		most = max(most, n)
	}
	return most
}

// isSet says that several bytes fit at a place which are no cases of one letter.
func (t *Text) isSet(i int) bool { return t.Fold[i]&^0x20 != 0 }

// offer is an option of a rule; ascii says that it tells about lines of ASCII
// alone.
type offer struct {
	option
	ascii bool
}

// options returns the ways of a rule whose texts have at least so many bytes.
func (r *Rule) options(length int) []offer {
	var out []offer
	add := func(o option, ascii bool) {
		if len(o) > 0 && o.shortest() >= length {
			out = append(out, offer{o, ascii})
		}
	}
	cut := func(n Need, first string, ascii bool) {
		add(r.cut(n, first), ascii)
		if r.Cut == CutAnywhere && r.WordEnd {
			add(n.words(), ascii)
		}
	}
	for _, needs := range r.Needs {
		for _, n := range needs {
			cut(n, "", false)
		}
	}
	if len(out) == 0 && r.Wide != nil {
		for _, n := range r.Wide() {
			cut(n, r.First, true)
		}
	}
	if r.Cut != CutAnywhere {
		return out
	}
	for _, needs := range r.Needs {
		for i, n := range needs {
			// A cut divides one of two needs that stand in different places.
			for _, other := range needs[i+1:] {
				if len(n)+len(other) <= narrow.texts {
					add(append(n.whole(0), other.whole(0)...), false)
				}
			}
		}
	}
	return out
}

// cut is what to look for of a need in a line out of which the date was cut,
// which begins with one of first.
func (r *Rule) cut(n Need, first string) option {
	switch r.Cut {
	case CutNone:
		return n.whole(0)
	case CutStart:
		return n.whole(2)
	}
	return n.halves(first)
}

// halves looks for either half of each text: one cut leaves one of them whole. A
// first half that is a byte too short for a window has the next one with it:
// the text's, or one of those that a date at the cut begins with.
func (n Need) halves(first string) option {
	o := make(option, 0, 2*len(n))
	seen := map[probe]bool{} // texts with the same first half go on differently
	for _, t := range n {
		half := len(t.Bytes) / 2
		o = append(o, probe{text: t.part(half, len(t.Bytes)), full: t, at: half})
		if half != window-1 || first == "" {
			o = append(o, probe{text: t.part(0, half), full: t})
			continue
		}
		short := t.part(0, half)
		for _, next := range []byte(first) {
			p := probe{text: Text{Bytes: short.Bytes + string(next), Fold: short.Fold + "\x00"}}
			if !seen[p] {
				seen[p] = true
				o = append(o, p)
			}
		}
		if p := (probe{text: t.part(0, window)}); !seen[p] {
			seen[p] = true
			o = append(o, p)
		}
	}
	return o
}

// words looks for the longest part of each text that no date with WordEnd divides:
// behind its first byte it has those of a word alone.
func (n Need) words() option {
	o := make(option, len(n))
	for i, t := range n {
		start := 0
		for end := 1; end <= len(t.Bytes); end++ {
			if end < len(t.Bytes) && !t.isSet(end) && wordByte(t.Bytes[end]) {
				continue
			}
			if end-start > len(o[i].text.Bytes) {
				o[i].text = t.part(start, end)
			}
			start = end
		}
	}
	return o
}

// whole looks for the texts whole, but for so many characters at their start
// that are no word's.
func (n Need) whole(drop int) option {
	o := make(option, 0, len(n))
	for _, t := range n {
		from := 0
		for !t.Deep && from < drop && from < len(t.Bytes) && (t.isSet(from) || !wordByte(t.Bytes[from])) {
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
