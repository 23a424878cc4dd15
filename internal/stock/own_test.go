package stock

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// own returns the project's reader and matcher as the engine, by the samples' clock.
func own() engine {
	return func(t testing.TB, jobs []job) [][][]failure {
		t.Helper()
		out := make([][][]failure, len(jobs))
		filters := map[string]*ownFilter{}
		for i, j := range jobs {
			spec := filterSpec(j)
			f := filters[spec]
			if f == nil {
				f = newOwnFilter(t, spec, j.Options["logtype"] == "journal")
				filters[spec] = f
			}
			out[i] = f.run(t, j)
		}
		return out
	}
}

// filterSpec writes NAME[option="value",…].
func filterSpec(j job) string {
	var options []string
	for _, k := range slices.Sorted(maps.Keys(j.Options)) {
		options = append(options, fmt.Sprintf("%s=\"%s\"", k, j.Options[k]))
	}
	if len(options) == 0 {
		return j.Filter
	}
	return j.Filter + "[" + strings.Join(options, ",") + "]"
}

// ownFilter is a filter of ours, compiled.
type ownFilter struct {
	jail    matchers.JailFilter
	journal bool // the time comes with the line
}

func newOwnFilter(t testing.TB, spec string, journal bool) *ownFilter {
	t.Helper()
	c, problems := config.LoadFilter(config.Options{Stock: FS()}, spec)
	if c == nil || len(problems) > 0 {
		t.Fatalf("%s: %v", spec, problems)
	}
	rules := matchers.FilterConfig{Name: spec, Prefregex: matchers.Regex{Text: c.Rules.Prefregex.Text}}
	for _, r := range c.Rules.Failregex {
		rules.Failregex = append(rules.Failregex, matchers.Regex{Text: r.Text})
	}
	for _, r := range c.Rules.Ignoreregex {
		rules.Ignoreregex = append(rules.Ignoreregex, matchers.Regex{Text: r.Text})
	}
	compiled, err := matchers.CompileFilter(rules)
	if err != nil {
		t.Fatal(err)
	}
	f := &ownFilter{journal: journal}
	f.jail = matchers.JailFilter{Filter: compiled}
	for _, d := range c.Rules.Datepattern {
		f.jail.Dates = append(f.jail.Dates, d.Text)
	}
	return f
}

// set returns a matcher that remembers nothing.
func (f *ownFilter) set(t testing.TB) *matchers.Set {
	t.Helper()
	f.jail.Jail = pipeline.NewJail("jail", pipeline.Policy{MaxRetry: 5, FindTime: time.Minute, BanTime: time.Minute})
	s, err := matchers.NewSet(matchers.Options{
		Now: samplesNow.UnixNano, Clock: matchers.Undated, All: true, RawHost: true, Location: time.UTC,
	}, []matchers.JailFilter{f.jail}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// batchLines is how many lines are matched at once. Where a job wants sessions
// and dates to be forgotten they are so after each batch: a set compiles its date
// patterns, which is dear, and what a session keeps of the hostile lines before
// must not move an address either.
const batchLines = 500

func (f *ownFilter) run(t testing.TB, j job) [][]failure {
	t.Helper()
	out := make([][]failure, len(j.Lines))
	set := f.set(t)
	for first := 0; first < len(j.Lines); first += batchLines {
		if j.Fresh {
			set = f.set(t)
		}
		b := &pipeline.Batch{First: int64(first)}
		for _, line := range j.Lines[first:min(first+batchLines, len(j.Lines))] {
			b.Data = append(append(b.Data, line...), '\n')
			b.Lines++
			if f.journal {
				b.Stamps = append(b.Stamps, samplesNow.UnixNano())
			}
		}
		for _, found := range set.Match(nil, b) {
			out[found.Line] = append(out[found.Line], failure{
				Host: found.ID.String(), Time: float64(found.AtNanos) / 1e9, Regex: found.Regex,
			})
		}
	}
	return out
}

// Our own engine finds what the samples say.
func TestSamples(t *testing.T) { testSamples(t, own()) }

// Whatever a client writes, our own engine finds its address and time.
func TestInjection(t *testing.T) { testInjection(t, own()) }
