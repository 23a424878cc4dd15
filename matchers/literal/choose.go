package literal

import (
	"bytes"
	_ "embed"
	"slices"
)

// ordinary are lines such as servers have. They stand in front of every
// sample: the first lines of a log need not hold what most others do (nobody
// has logged off yet), and what a few lines do not tell apart would be chosen
// by its form.
//
//go:embed ordinary.txt
var ordinary []byte

// engine is a way to look at the windows of a block.
type engine struct {
	stride  int
	vectors bool
	perByte float64 // nanoseconds, measured
}

// The engines of machines with vectors and without.
var (
	vectorEngines = []engine{{1, true, 0.25}}
	goEngines     = []engine{{3, false, 0.6}, {1, false, 1.5}}
)

func engines() []engine {
	if hasVectors {
		return vectorEngines
	}
	return goEngines
}

// What a candidate costs in nanoseconds, measured: to be cut out, decoded and
// dated, and to be tried on a rule.
const (
	lineCost = 400
	ruleCost = 250
)

// New returns a scanner of the rules. Which of the texts that a rule needs are
// looked for, and by which of their bytes, is chosen so that the lines of the
// sample give the fewest candidates; the sample is whole lines such as are to
// be scanned, some ten kilobytes of them, or empty.
func New(rules []Rule, sample []byte) *Scanner { return newScanner(rules, sample, engines()) }

func newScanner(rules []Rule, sample []byte, engines []engine) *Scanner {
	sample = slices.Concat(ordinary, sample)
	counts := countWindows(sample)
	tried := firstLines(sample, maxSampleLines)
	var best choice
	bestCost := -1.0
	for _, e := range engines {
		// A longer stride is cheaper, but can look for longer texts only.
		c := choose(rules, e, tried, counts)
		if cost := c.cost + e.perByte*float64(len(tried)); bestCost < 0 || cost < bestCost {
			best, bestCost = c, cost
		}
	}
	return best.build(counts, sample)
}

// choice is an option for every rule; nil: none, the rule is always tried.
type choice struct {
	engine  engine
	options []offer
	cost    float64 // of the candidates in the sample, nanoseconds
}

// way is an option and the lines of the sample that it makes candidates.
type way struct {
	offer
	lines lineSet
}

// choose takes for each rule the option that makes the candidates cheapest: a
// line that is one for another rule already costs less.
func choose(rules []Rule, e engine, sample []byte, counts *windowCounts) choice {
	all := make([][]way, len(rules))
	var book probeBook
	for i := range rules {
		for _, o := range rules[i].options(window + e.stride - 1) {
			// More texts than the tables can number are not looked for.
			if len(book.probes)+len(o.option) <= maxEntries/e.stride {
				book.add(o.option)
				all[i] = append(all[i], way{offer: o})
			}
		}
	}
	t := newTables(book.probes, engine{stride: e.stride}, counts, nil)
	number := bytes.Count(sample, newline)
	lines := t.linesOf(sample, number)
	for _, ways := range all {
		sets := newLineSets(len(ways), number)
		for i := range ways {
			ways[i].lines = sets[i]
			for _, p := range ways[i].option {
				ways[i].lines.add(lines[book.number(p)])
			}
		}
	}
	c := choice{engine: e, options: make([]offer, len(rules))}
	c.cost = c.settle(all, number)
	return c
}

// settle picks the ways: in two rounds, the second one knowing what the other
// rules took in the first. It returns what the candidates cost among so many lines.
func (c *choice) settle(all [][]way, lines int) float64 {
	u := union{taken: make([]uint32, lines+1), lines: make(lineSet, lines/64+1)}
	picked := make([]*way, len(all))
	for range 2 {
		for rule, ways := range all {
			if p := picked[rule]; p != nil {
				u.drop(p.lines)
			}
			var best *way
			bestPrice := 0
			for i := range ways {
				w := &ways[i]
				price := lineCost*w.lines.more(u.lines) + ruleCost*w.lines.len()
				if best == nil || price < bestPrice || price == bestPrice && w.simpler(best.option) {
					best, bestPrice = w, price
				}
			}
			if picked[rule] = best; best != nil {
				c.options[rule] = best.offer
				u.add(best.lines)
			}
		}
	}
	looked, tries := u.lines.len(), 0
	for _, w := range picked {
		if w == nil {
			looked = lines // the rule is tried on every line
			tries += lines
		} else {
			tries += w.lines.len()
		}
	}
	return float64(lineCost*looked + ruleCost*tries)
}

// simpler says whether o has fewer texts than the other, or longer ones.
func (o option) simpler(other option) bool {
	if len(o) != len(other) {
		return len(o) < len(other)
	}
	return o.shortest() > other.shortest()
}
