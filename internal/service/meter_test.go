package service

import (
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// TestMeter lets two hours pass with a failure every second, a ban every minute
// and ten lines a second.
func TestMeter(t *testing.T) {
	const begin = int64(1_800_000_000) * int64(time.Second)
	m := &meter{startNanos: begin}
	j := pipeline.NewJail("web", pipeline.Policy{})
	var now, lines int64 = begin, 0
	want := func(perSecond float64, failuresMinute, failuresHour, bansMinute, bansHour int64) {
		t.Helper()
		got := m.rates(now, lines)
		if got != (RateStatus{perSecond, PerPeriod{failuresMinute, failuresHour}, PerPeriod{bansMinute, bansHour}}) {
			t.Errorf("after %v: %+v", time.Duration(now-begin), got)
		}
	}
	want(0, 0, 0, 0, 0)
	for second := 1; second <= 7200; second++ {
		now, lines = now+int64(time.Second), lines+10
		m.failed([]pipeline.Failure{{Count: 1}})
		if second%60 == 0 {
			m.banned(&pipeline.Ban{Jail: j, ID: pipeline.ParseID("192.0.2.1"), AtNanos: now, UntilNanos: pipeline.Permanent})
		}
		if second%5 == 0 {
			m.sample(now, lines)
		}
		if second == 30 {
			want(10, 30, 30, 0, 0)
		}
	}
	want(10, 60, 3600, 1, 60)
	lines = 0 // a reload took the inputs away
	if got := m.rates(now, lines); got.LinesPerSecond != 0 {
		t.Errorf("%+v", got)
	}
}

// TestRecentBans keeps the last of them with what led to them, cut.
func TestRecentBans(t *testing.T) {
	m := &meter{}
	a, b := pipeline.NewJail("a", pipeline.Policy{}), pipeline.NewJail("b", pipeline.Policy{})
	for i := range 3 * recentBans {
		j := a
		if i%2 == 1 {
			j = b
		}
		m.banned(&pipeline.Ban{Jail: j, ID: pipeline.TextID("x"), AtNanos: int64(i) * 1e9, UntilNanos: int64(i+1) * 1e9, Failures: 3,
			Ticket: &pipeline.Ticket{Matches: []string{"first", strings.Repeat("\u00e9", 1000)}, Count: 2}})
	}
	all := m.last("")
	if len(all) != recentBans || all[0].Jail != "b" || all[0].Time != 3*recentBans-1 || *all[0].Until != 3*recentBans || all[0].Count != 2 {
		t.Errorf("%d: %+v", len(all), all[0])
	}
	if n := len(all[0].Line); n > maxExcerpt+2 {
		t.Errorf("a line of %d bytes", n)
	}
	x := pipeline.TextID("x")
	m.because(&pipeline.Failure{Jail: a, ID: x, Regex: 3, Text: []byte("the\xff line")}, &pipeline.Ban{Jail: a, ID: x})
	m.banned(&pipeline.Ban{Jail: a, ID: x, UntilNanos: pipeline.Permanent, Failures: 3})
	m.banned(&pipeline.Ban{Jail: a, ID: x, UntilNanos: pipeline.Permanent})
	if got := m.last("")[:2]; got[1].Regex != 3 || got[1].Line != "the\ufffd line" || got[0].Regex != -1 || got[0].Line != "" {
		t.Errorf("%+v", got)
	}
	for i := range 10 * maxReasons {
		m.because(&pipeline.Failure{}, &pipeline.Ban{Jail: a, ID: pipeline.TextID(string(rune(i + 1000)))})
	}
	// The last ones are known, once each; those before are not.
	for _, c := range []struct {
		i    int
		want bool
	}{{9*maxReasons - 1, false}, {9 * maxReasons, true}, {9 * maxReasons, false}, {10*maxReasons - 1, true}} {
		if r := m.reasonOf(leakKey{a, pipeline.TextID(string(rune(c.i + 1000)))}); (r != nil) != c.want {
			t.Errorf("reason %d: %v", c.i, r)
		}
	}
	if one := m.last("a"); len(one) != recentBans/2+1 || one[0].Jail != "a" {
		t.Errorf("%d of a", len(one))
	}
}
