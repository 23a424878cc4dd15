package literal

// build makes the scanner.
func (c *choice) build(counts *windowCounts, sample []byte) *Scanner {
	s := &Scanner{rules: len(c.options), words: (len(c.options) + 63) / 64}
	s.always, s.beyond = make([]uint64, s.words), make([]uint64, s.words)
	var book probeBook
	for rule, o := range c.options {
		if o.option == nil || len(book.probes)+len(o.option) > maxEntries/c.engine.stride {
			s.always[rule/64] |= 1 << (rule % 64)
			s.every = true
			continue
		}
		if o.ascii {
			s.beyond[rule/64] |= 1 << (rule % 64)
			s.some = true
		}
		book.add(o.option)
		for _, p := range o.option {
			i := book.number(p)
			if need := (i + 1) * s.words; len(s.masks) < need {
				s.masks = append(s.masks, make([]uint64, need-len(s.masks))...)
			}
			s.masks[i*s.words+rule/64] |= 1 << (rule % 64)
		}
	}
	s.tables = newTables(book.probes, c.engine, counts, sample)
	return s
}

// probeBook numbers distinct probes.
type probeBook struct {
	probes []probe
	known  map[probe]int
}

func (b *probeBook) add(o option) {
	if b.known == nil {
		b.known = map[probe]int{}
	}
	for _, p := range o {
		if _, ok := b.known[p]; !ok {
			b.known[p] = len(b.probes)
			b.probes = append(b.probes, p)
		}
	}
}

func (b *probeBook) number(p probe) int { return b.known[p] }
