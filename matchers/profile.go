package matchers

import (
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/matchers/regex"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// sampleEvery is how many candidates of a set pass for one that is measured:
// measuring costs some hundred nanoseconds.
const sampleEvery = 64

// Profile is what a jail has cost. Nanos and those of the regular expressions
// are estimates from every 64th candidate.
type Profile struct {
	Candidates int64 // lines that held a rule's literals, or all where it has none
	Matched    int64 // lines that a failregex matched, failures or not
	Nanos      int64 // spent in regular expressions
	Regexes    []RegexProfile
}

// RegexProfile is what one regular expression has cost.
type RegexProfile struct {
	Option string // prefregex, failregex or ignoreregex
	Index  int    // in the option's list
	Tries  int64
	Hits   int64
	Nanos  int64
}

// profiler measures some of the candidates of a set, or of a scout.
type profiler struct {
	count int        // candidates; the set's goroutine alone
	mu    sync.Mutex // over trace, held while a candidate is measured
	trace *Trace
}

// begin measures the candidate that comes if its turn has come.
func (p *profiler) begin(w *worker, all bool) (measured bool) {
	p.count++
	if p.count%sampleEvery != 0 || w.trace != nil {
		return false
	}
	p.mu.Lock()
	if p.trace == nil {
		p.trace = &Trace{timings: map[*regex.Regexp]*Timing{}, all: all}
	}
	w.trace = p.trace
	return true
}

// end ends what begin began.
func (p *profiler) end(w *worker) {
	w.trace = nil
	p.mu.Unlock()
}

// timing returns the sum over the set and its scouts.
func (s *Set) timing(re *regex.Regexp) (sum Timing) {
	add := func(p *profiler) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.trace != nil {
			t := p.trace.Timing(re)
			sum.Tries, sum.Hits, sum.Took = sum.Tries+t.Tries, sum.Hits+t.Hits, sum.Took+t.Took
		}
	}
	add(&s.profiler)
	s.bulk.mu.Lock()
	defer s.bulk.mu.Unlock()
	for _, scout := range s.bulk.scouts {
		add(&scout.profiler)
	}
	return sum
}

// Profile returns what a jail of this set has cost. It may be called while the
// set is at work.
func (s *Set) Profile(j *pipeline.Jail) Profile {
	var out Profile
	for _, m := range s.jails {
		if m.Jail != j {
			continue
		}
		out.Candidates, out.Matched = m.counters.Candidates.Load(), m.counters.Matched.Load()
		add := func(option string, index int, re *regex.Regexp) {
			t := s.timing(re)
			p := RegexProfile{Option: option, Index: index, Tries: t.Tries * sampleEvery, Hits: t.Hits * sampleEvery,
				Nanos: int64(t.Took/time.Nanosecond) * sampleEvery}
			out.Nanos += p.Nanos
			out.Regexes = append(out.Regexes, p)
		}
		if m.Filter.pref != nil {
			add("prefregex", 0, m.Filter.pref.re)
		}
		for i, r := range m.Filter.fail {
			add("failregex", i, r.re)
		}
		for i, re := range m.Filter.ignore {
			add("ignoreregex", i, re)
		}
	}
	return out
}
