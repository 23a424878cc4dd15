package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/f2bpipe/f2bpipe/internal/service"
)

// profileTable says which jail costs what, and which of its regular
// expressions: the dearest first, those without a cost left out.
func profileTable(w io.Writer, profiles map[string]service.JailProfile, lines int64) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "JAIL\tREGEX\tLINES\tMATCHED\tNS PER TRY\tNS PER LINE OF THE LOG\t")
	per := func(ns, n int64) string {
		if n == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f", float64(ns)/float64(n))
	}
	names := slices.SortedFunc(maps.Keys(profiles), func(a, b string) int { return cmp.Compare(profiles[b].Nanos, profiles[a].Nanos) })
	for _, name := range names {
		p := profiles[name]
		fmt.Fprintf(t, "%s\tall\t%d\t%d\t%s\t%s\t\n", name, p.Candidates, p.Matched, per(p.Nanos, p.Candidates), per(p.Nanos, lines))
		slices.SortStableFunc(p.Regexes, func(a, b service.RegexProfile) int { return cmp.Compare(b.Nanos, a.Nanos) })
		for _, r := range p.Regexes {
			if r.Tries > 0 {
				fmt.Fprintf(t, "\t%s %d\t%d\t%d\t%s\t%s\t\n", r.Option, r.Index, r.Tries, r.Hits, per(r.Nanos, r.Tries), per(r.Nanos, lines))
			}
		}
	}
	_ = t.Flush() // an error of the writer is told at the end
	fmt.Fprintln(w, "estimates: every 64th line that a filter is run on is measured")
}
