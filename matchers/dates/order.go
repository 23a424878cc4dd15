package dates

import (
	"encoding/binary"
	"slices"
	"unicode"
	"unicode/utf8"
)

// unusedNanos is how long a template must not have been hit to be overtaken by
// any other.
const unusedNanos = 300 * 1e9

// farAway is the distance of a date before the first.
const farAway = 0x7fffffff

// An Order is what a detector has learnt about one input: which templates hit,
// where in the line, and in which order they are tried. It belongs to one
// goroutine while Hit runs; between two hits any number may read it in Find.
type Order struct {
	ranks       []rank // in the order of trying
	last        int    // the index of the one that hit last; -1 before the first hit
	firstUnused int    // no rank before it is unused
	from, to    edge   // where the last date began and ended
}

// A rank is the place of one template in an order.
type rank struct {
	*template
	number    int   // the template's index in the detector
	hits      int   // how often it gave the date
	usedNanos int64 // when it gave the date last
	distance  int   // where, in characters from the line's begin
}

// An edge is a place between two characters of a line.
type edge struct {
	at            int // in characters from the line's begin
	before, after rune
}

// none is the character before a line's begin and after its end.
const none rune = -1

// NewOrder returns the order in which nothing has been learnt.
func NewOrder(d *Detector) *Order {
	o := &Order{last: -1, from: edge{at: 1, before: none, after: none}, to: edge{at: farAway, before: none, after: none}}
	for i, t := range d.templates {
		o.ranks = append(o.ranks, rank{template: t, number: i, distance: farAway})
	}
	return o
}

// Set makes o one that has learnt what another has, and learns by itself from here on.
func (o *Order) Set(other *Order) {
	ranks := append(o.ranks[:0], other.ranks...)
	*o = *other
	o.ranks = ranks
}

// Hit learns that Find, of the detector that the order is of, found a date in
// the line. It must be called in the order of the lines, but may follow Find
// later: what Find read of the order may be older. nowNanos is the time of the clock, not the line's.
func (o *Order) Hit(f Found, line []byte, nowNanos int64) {
	i := max(0, o.last)
	if o.ranks[i].number != f.Template {
		i = slices.IndexFunc(o.ranks, func(r rank) bool { return r.number == f.Template })
	}
	from, to := edgeAt(line, int(f.from)), edgeAt(line, int(f.to))
	if to.at == 0 && len(line) > 0 {
		to.before, _ = utf8.DecodeLastRune(line) // Python's line[-1]
	}
	r := &o.ranks[i]
	r.hits++
	r.usedNanos = nowNanos
	r.distance = from.at
	if o.firstUnused == i {
		o.firstUnused++
	}
	o.from, o.to = from, to
	if i != 0 && i != o.last {
		i = o.advance(i)
	}
	o.last = i
}

// advance moves the template of an index towards the front if it has more
// weight than those there: to the first that was never used, or halfway, or
// else by one. It returns the new index.
func (o *Order) advance(i int) int {
	moved := o.ranks[i]
	to := i / 2
	if o.firstUnused < i {
		to = o.firstUnused
	}
	movable := func() bool {
		r := &o.ranks[to]
		return moved.worth() > r.worth() || moved.usedNanos-unusedNanos > r.usedNanos
	}
	if !movable() {
		if to == i-1 {
			return i
		}
		if to = i - 1; !movable() {
			return i
		}
	}
	o.ranks = slices.Insert(slices.Delete(o.ranks, i, i+1), to, moved)
	for o.firstUnused < len(o.ranks) && o.ranks[o.firstUnused].hits > 0 {
		o.firstUnused++
	}
	return to
}

// worth is what templates are compared by.
func (r *rank) worth() float64 {
	return float64(r.hits) * r.weight / float64(max(1, r.distance))
}

// edgeAt returns the edge at a byte offset.
func edgeAt(line []byte, offset int) edge {
	return edge{at: characters(line, offset), before: characterBefore(line, offset), after: characterAt(line, offset)}
}

// fits reports whether the line has, at the byte offset, the same character
// outside of the date as the edge, or the same inside if that is no letter or
// digit. outside is before for the date's begin.
func (e *edge) fits(line []byte, offset int, begin bool) bool {
	before, after := characterBefore(line, offset), characterAt(line, offset)
	if begin {
		return before == e.before || after == e.after && !isAlnum(e.after)
	}
	return after == e.after || before == e.before && !isAlnum(e.before)
}

// isAlnum is Python's str.isalnum.
func isAlnum(r rune) bool { return r != none && (unicode.IsLetter(r) || unicode.IsNumber(r)) }

func characterAt(line []byte, offset int) rune {
	if offset >= len(line) {
		return none
	}
	r, _ := utf8.DecodeRune(line[offset:])
	return r
}

func characterBefore(line []byte, offset int) rune {
	if offset == 0 {
		return none
	}
	r, _ := utf8.DecodeLastRune(line[:offset])
	return r
}

// characters converts an offset in bytes to one in characters.
func characters(line []byte, offset int) int {
	if plain := asciiPrefix(line[:offset]); plain < offset {
		return plain + runeCount(line[plain:offset])
	}
	return offset
}

// byteOffset converts an offset in characters to one in bytes, at most the line's
// length.
func byteOffset(line []byte, characters int) int {
	n := min(characters, len(line))
	if plain := asciiPrefix(line[:n]); plain < n {
		return plain + runeOffset(line[plain:], characters-plain)
	}
	return n
}

// asciiPrefix returns how many bytes in front of text are certainly ASCII: all
// of them, or those before the block of eight that has another.
func asciiPrefix(text []byte) int {
	n := 0
	for ; len(text)-n >= 8; n += 8 {
		if binary.LittleEndian.Uint64(text[n:])&0x8080808080808080 != 0 {
			return n
		}
	}
	for ; n < len(text); n++ {
		if text[n] >= utf8.RuneSelf {
			return n
		}
	}
	return n
}
