package matchers_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// TestTooComplexIsToldOnce: a search with a backreference that runs out of
// steps is no match, is counted, and is logged once for its expression.
func TestTooComplexIsToldOnce(t *testing.T) {
	filter, err := matchers.CompileFilter(matchers.FilterConfig{Name: "x", Failregex: []matchers.Regex{
		{Text: `^(?P<a>(?:x?x?x?)*)(?P=a)(?P=a)y <HOST>$`},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	set, err := matchers.NewSet(matchers.Options{
		Now: func() int64 { return samplesNow }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	}, []matchers.JailFilter{{Jail: pipeline.NewJail("x", pipeline.Policy{}), Filter: filter}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 4000) + "z 192.0.2.1\n"
	for i := range 3 {
		if got := set.Match(nil, &pipeline.Batch{Data: []byte(line), First: int64(i + 1), Lines: 1}); len(got) > 0 {
			t.Errorf("%d failures, want none", len(got))
		}
	}
	if n := filter.Failregex()[0].TooComplexCount(); n != 3 {
		t.Errorf("%d searches counted as given up, want 3", n)
	}
	if n := strings.Count(log.String(), "too complex"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, log.String())
	}
}
