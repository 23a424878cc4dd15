package literal

import "slices"

// HasVectors says whether this machine can run the engine avx2.
var HasVectors = hasVectors

// NewEngine is New confined to one engine: go, or avx2.
func NewEngine(name string, rules []Rule, sample []byte) *Scanner {
	if name == "avx2" {
		return newScanner(rules, sample, vectorEngines)
	}
	return newScanner(rules, sample, goEngines)
}

// OptionScanners returns a scanner for each engine whose rules are all the
// options of r that are long enough for it, one each.
func OptionScanners(r Rule) (out []*Scanner) {
	engines := goEngines
	if hasVectors {
		engines = append(slices.Clip(engines), vectorEngines...)
	}
	counts := countWindows(nil)
	for _, e := range engines {
		if options := r.options(window + e.stride - 1); len(options) > 0 {
			c := choice{engine: e, options: options}
			out = append(out, c.build(counts, nil))
		}
	}
	return out
}
