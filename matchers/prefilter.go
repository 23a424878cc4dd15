package matchers

import (
	"bytes"
	"slices"

	"github.com/f2bpipe/f2bpipe/matchers/literal"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// The sizes of the sample of its own lines at which a prefilter chooses anew
// what to look for. It does not wait for the first one to know what to look for
// in ordinary lines: to try every rule on a line would first compile them all.
var trainAt = [...]int{1, 4 << 10, 16 << 10, 64 << 10}

// A prefilter finds the lines of a batch that some rule could match. What it
// leaves out no rule matches.
type prefilter struct {
	rules   []literal.Rule // of all members, in order
	scanner *literal.Scanner
	lines   literal.Lines
	sample  []byte
	trained int // sizes of trainAt that the sample has had
}

// add enters a member's rules and returns the number of the first.
func (p *prefilter) add(m *member, places cutPlaces) (first int) {
	first = len(p.rules)
	f := m.Filter
	cut, place := literal.CutStart, places.of(m.view.detector)
	if place.anywhere {
		cut = literal.CutAnywhere
	}
	var pref []literal.Need
	if f.pref != nil {
		pref = place.split(f.pref.needs)
	}
	for _, r := range f.fail {
		rule := literal.Rule{Cut: cut, First: place.first, WordEnd: place.wordEnd}
		if m.view.decoder.keepsASCII() {
			rule.Needs = [][]literal.Need{place.split(r.needs), pref}
			if f.maxLines > 1 {
				rule.Needs = spread(rule.Needs)
			} else {
				rule.Wide = func() []literal.Need { return place.split(literal.WideNeeds(r.re.Syntax())) }
			}
		}
		p.rules = append(p.rules, rule)
	}
	return first
}

// spread are the needs of a rule over joined lines. Each stands by itself, as
// every line has a cut of its own, and its texts at the start of any of them.
func spread(needs [][]literal.Need) [][]literal.Need {
	var out [][]literal.Need
	for _, n := range slices.Concat(needs...) {
		shallow := slices.Clone(n)
		for i := range shallow {
			shallow[i].Deep = false
		}
		out = append(out, []literal.Need{shallow})
	}
	return out
}

// scan finds the candidates of a batch. It returns false where every line has
// to be looked at; mask then tells what each is a candidate for.
func (p *prefilter) scan(data []byte) bool {
	if len(p.rules) == 0 {
		return false
	}
	p.train(data)
	if p.scanner == nil {
		return false
	}
	p.scanner.Scan(&p.lines, data)
	return !p.scanner.Every()
}

// ascii says that the block that was scanned last is ASCII.
func (p *prefilter) ascii() bool { return p.scanner != nil && p.lines.ASCII() }

// ready says whether there is nothing more to learn.
func (p *prefilter) ready() bool { return len(p.rules) == 0 || p.trained == len(trainAt) }

// train takes the lines as a sample of those to come.
func (p *prefilter) train(data []byte) {
	if p.ready() {
		return
	}
	room := trainAt[len(trainAt)-1] - len(p.sample)
	full := len(data) >= room
	if full {
		data = data[:bytes.LastIndexByte(data[:room], '\n')+1]
	}
	p.sample = append(p.sample, data...)
	before := p.trained
	for p.trained < len(trainAt) && (full || len(p.sample) >= trainAt[p.trained]) {
		p.trained++
	}
	if p.trained > before {
		p.scanner = literal.New(p.rules, p.sample)
	}
	if p.trained == len(trainAt) {
		p.sample = nil
	}
}

// mask returns what the line that starts there is a candidate for: nil for
// everything. next is the candidate that comes next; calls go forward.
func (p *prefilter) mask(start int, next *int) []uint64 {
	if p.scanner == nil {
		return nil
	}
	if *next < p.lines.Len() {
		if at, _ := p.lines.Line(*next); at == start {
			*next++
			mask := p.lines.Mask(*next - 1)
			for i, w := range p.scanner.Always() {
				mask[i] |= w
			}
			return mask
		}
	}
	return p.scanner.Always()
}

// candidates are the rules of one filter that a line is a candidate for.
type candidates struct {
	mask  []uint64 // nil: all
	first int      // bit of the filter's first rule
}

func (c candidates) has(rule int) bool {
	bit := c.first + rule
	return c.mask == nil || c.mask[bit/64]>>(bit%64)&1 != 0
}

// any says whether one of the rules is that masks, from the word of the first
// rule on, are for.
func (c candidates) any(masks []uint64) bool {
	if c.mask == nil {
		return true
	}
	for i, m := range masks {
		if c.mask[c.first/64+i]&m != 0 {
			return true
		}
	}
	return false
}

// masksOf returns the words that hold n bits from bit first on, with those bits.
func masksOf(first, n int) []uint64 {
	var out []uint64
	for bit := first; bit < first+n; bit++ {
		if i := bit/64 - first/64; i == len(out) {
			out = append(out, 0)
		}
		out[len(out)-1] |= 1 << (bit % 64)
	}
	return out
}

// TriesEveryLine says whether nothing is known that a line must hold for a
// failregex of the filter to match it.
func (f *Filter) TriesEveryLine(re *regex.Regexp) bool {
	return len(literal.Needs(re.Syntax())) == 0 && (f.maxLines > 1 || len(literal.WideNeeds(re.Syntax())) == 0)
}

// Literals returns, for people, the texts one of which must stand in a line
// that re can match; nil: none is known, and every line has to be tried.
func Literals(re *regex.Regexp) []string {
	needs := literal.Needs(re.Syntax())
	if len(needs) == 0 {
		return nil
	}
	out := make([]string, len(needs[0]))
	for i, t := range needs[0] {
		out[i] = t.Bytes
	}
	return out
}
