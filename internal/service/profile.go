package service

// JailProfile is what a jail has cost: estimates from every 64th line that its
// filter was run on.
type JailProfile struct {
	Candidates int64          `json:"candidates"` // lines that its filter was run on
	Matched    int64          `json:"matched"`
	Nanos      int64          `json:"ns"` // spent in its regular expressions
	Regexes    []RegexProfile `json:"regexes"`
}

// RegexProfile is what one regular expression has cost.
type RegexProfile struct {
	Option string `json:"option"` // prefregex, failregex or ignoreregex
	Index  int    `json:"index"`
	Tries  int64  `json:"tries"`
	Hits   int64  `json:"hits"`
	Nanos  int64  `json:"ns"`
}

// profileOf sums over the inputs of a jail.
func profileOf(j *jail, inputs []*input) JailProfile {
	out := JailProfile{Regexes: []RegexProfile{}}
	for _, in := range inputs {
		p := in.current().Profile(j.identity)
		out.Candidates += p.Candidates
		out.Matched += p.Matched
		out.Nanos += p.Nanos
		for i, r := range p.Regexes {
			if i == len(out.Regexes) {
				out.Regexes = append(out.Regexes, RegexProfile{Option: r.Option, Index: r.Index})
			}
			sum := &out.Regexes[i]
			sum.Tries, sum.Hits, sum.Nanos = sum.Tries+r.Tries, sum.Hits+r.Hits, sum.Nanos+r.Nanos
		}
	}
	return out
}
