package literal

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

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

// option is one way to see that a line is no candidate for a rule: none of the
// probes is in it.
type option []probe

// shortest is the length of the shortest piece.
func (o option) shortest() int {
	n := maxLength
	for _, p := range o {
		n = min(n, len(p.text.Bytes))
	}
	return n
}

// options returns the ways of a rule.
func (r *Rule) options() []option {
	var out []option
	for _, needs := range r.Needs {
		for i, n := range needs {
			if o := n.option(r.Cut); o.shortest() >= window {
				out = append(out, o)
			}
			if r.Cut != CutAnywhere {
				continue
			}
			// A cut divides one of two needs that stand in different places.
			for _, other := range needs[i+1:] {
				pair := append(n.whole(0), other.whole(0)...)
				if len(pair) <= maxTexts && pair.shortest() >= window {
					out = append(out, pair)
				}
			}
		}
	}
	return out
}

// option is the way that one need gives.
func (n Need) option(c Cut) option {
	switch c {
	case CutAnywhere:
		var o option
		for _, t := range n {
			half := len(t.Bytes) / 2
			o = append(o, probe{text: t.part(0, half), full: t}, probe{text: t.part(half, len(t.Bytes)), full: t, at: half})
		}
		return o
	case CutStart:
		return n.whole(2)
	}
	return n.whole(0)
}

func (t Text) part(from, to int) Text { return Text{t.Bytes[from:to], t.Fold[from:to]} }

// whole looks for the texts whole, but for so many characters at their start
// that are no word's.
func (n Need) whole(drop int) option {
	var o option
	for _, t := range n {
		from := 0
		for from < drop && from < len(t.Bytes) && !wordByte(t.Bytes[from]) {
			from++
		}
		o = append(o, probe{text: t.part(from, len(t.Bytes)), whole: true})
	}
	return o
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// What a line costs in nanoseconds, measured: to scan it with a stride, and to
// try rules on a candidate.
var scanCost = [...]float64{1: 270, 2: 190, 3: 143}

const tryCost = 600

// New returns a scanner of the rules. Which of the texts that a rule needs are
// looked for, and by which of their bytes, is chosen so that the lines of the
// sample give the fewest candidates; the sample is whole lines such as are to
// be scanned, some ten kilobytes of them, or empty.
func New(rules []Rule, sample []byte) *Scanner {
	options := make([][]option, len(rules))
	var all []option
	for i := range rules {
		options[i] = rules[i].options()
		all = append(all, options[i]...)
	}
	costs := candidates(all, sample)
	best, bestCost := choice{stride: 1}, -1.0
	lines := float64(max(1, bytes.Count(sample, []byte("\n"))))
	for stride := len(scanCost) - 1; stride >= 1; stride-- {
		c := choose(options, costs, stride)
		cost := scanCost[stride]*lines + tryCost*(float64(c.candidates)+lines*float64(c.always))
		if bestCost < 0 || cost < bestCost {
			best, bestCost = c, cost
		}
	}
	return build(best.options, best.stride, frequencies(sample))
}

// choice is an option for every rule; nil: none, the rule is always tried.
type choice struct {
	options    []option
	stride     int
	candidates int // in the sample, summed over rules
	always     int
}

// choose takes each rule's cheapest option whose texts are long enough for the stride.
func choose(options [][]option, costs []int, stride int) choice {
	c := choice{options: make([]option, len(options)), stride: stride}
	next := 0
	for rule, ways := range options {
		best := -1
		for i, o := range ways {
			if o.shortest() < window+stride-1 {
				continue
			}
			if best < 0 || less(costs[next+i], o, costs[next+best], ways[best]) {
				best = i
			}
		}
		if best < 0 {
			c.always++
		} else {
			c.options[rule] = ways[best]
			c.candidates += costs[next+best]
		}
		next += len(ways)
	}
	return c
}

func less(cost int, o option, otherCost int, other option) bool {
	if cost != otherCost {
		return cost < otherCost
	}
	if len(o) != len(other) {
		return len(o) < len(other)
	}
	return o.shortest() > other.shortest()
}

// candidates returns how many lines of the sample each option makes candidates.
func candidates(options []option, sample []byte) []int {
	costs := make([]int, len(options))
	s := build(options, 1, nil)
	var l Lines
	s.Scan(&l, sample)
	for i := range l.Len() {
		for w, word := range l.Mask(i) {
			for ; word != 0; word &= word - 1 {
				costs[w*64+bits.TrailingZeros64(word)]++
			}
		}
	}
	return costs
}

// frequencies counts the windows of the sample.
func frequencies(sample []byte) map[uint32]int {
	freq := make(map[uint32]int, len(sample)/4)
	for p := 0; p+window <= len(sample); p++ {
		freq[binary.LittleEndian.Uint32(sample[p:])|foldBits]++
	}
	return freq
}

// build makes the tables for one option a rule.
func build(options []option, stride int, freq map[uint32]int) *Scanner {
	s := &Scanner{words: (len(options) + 63) / 64, stride: stride}
	s.always = make([]uint64, s.words)
	type key struct {
		bytes, fold, full string
		at                int
	}
	known := map[key]int{}
	for rule, o := range options {
		// More texts than the tables hold make the rules behind them always candidates.
		if len(s.probes)+len(o) > maxEntries/stride {
			o = nil
		}
		if o == nil {
			s.always[rule/64] |= 1 << (rule % 64)
			s.every = true
		}
		for _, p := range o {
			k := key{p.text.Bytes, p.text.Fold, p.full.Bytes + p.full.Fold, p.at}
			i, ok := known[k]
			if !ok {
				i = len(s.probes)
				known[k] = i
				p.mask = len(s.masks)
				s.probes = append(s.probes, p)
				s.masks = append(s.masks, make([]uint64, s.words)...)
			}
			s.masks[s.probes[i].mask+rule/64] |= 1 << (rule % 64)
		}
	}
	for i := range s.probes {
		s.place(uint32(i), freq)
	}
	s.index()
	return s
}

// place enters the windows by which a probe is found: as many neighbouring ones
// as the stride is wide, where they are rarest. A window with letters of both
// cases is folded like the line's.
func (s *Scanner) place(probe uint32, freq map[uint32]int) {
	text := s.probes[probe].text.Bytes
	best, bestCost := 0, -1
	for at := 0; at+window+s.stride-1 <= len(text); at++ {
		cost := 0
		for i := range s.stride {
			cost += freq[valueAt(text, at+i)]
		}
		if bestCost < 0 || cost < bestCost {
			best, bestCost = at, cost
		}
	}
	for i := range s.stride {
		s.entries = append(s.entries, entry{value: valueAt(text, best+i), probe: probe, at: uint32(best + i)})
	}
}

func valueAt(text string, at int) uint32 {
	return (uint32(text[at]) | uint32(text[at+1])<<8 | uint32(text[at+2])<<16 | uint32(text[at+3])<<24) | foldBits
}

// index sorts the entries by hash and fills the tables.
func (s *Scanner) index() {
	slices.SortStableFunc(s.entries, func(a, b entry) int { return int(hash(a.value)) - int(hash(b.value)) })
	for _, e := range s.entries {
		h := hash(e.value)
		s.bitmap[h>>6] |= 1 << (h & 63)
		s.first[h>>(16-bucketBits)+1]++
	}
	for i := range 1 << bucketBits {
		s.first[i+1] += s.first[i]
	}
}
