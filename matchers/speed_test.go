package matchers_test

import (
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// sixFilters are the filters that f2bpipe is measured by.
var sixFilters = []string{"sshd[mode=aggressive]", "postfix[mode=extra]", "dovecot", "nginx-http-auth", "nginx-botsearch", "recidive"}

// fail2banSet returns a set of filters of fail2ban's own configuration.
func fail2banSet(t testing.TB, names ...string) *matchers.Set {
	t.Helper()
	dir := testenv.Shared(t, "fail2ban", "config")
	var jails []matchers.JailFilter
	for _, name := range names {
		f, problems := config.LoadFilter(config.Options{Dir: dir}, name)
		if f == nil {
			t.Fatalf("%s: %v", name, problems)
		}
		filter, err := matchers.CompileFilter(filterConfig(f))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		jails = append(jails, matchers.JailFilter{Jail: pipeline.NewJail(name, pipeline.Policy{}), Filter: filter, Dates: texts(f.Datepattern)})
	}
	now := time.Now().UnixNano()
	set, err := matchers.NewSet(matchers.Options{Now: func() int64 { return now }, Location: time.UTC}, jails, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// generated returns a log of the project's generator.
func generated(t testing.TB, kind string, lines int) []byte {
	t.Helper()
	cmd := exec.Command("go", "run", "./bench/gen", "-kind", kind, "-lines", strconv.Itoa(lines))
	cmd.Dir = testenv.Root(t)
	data, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return data
}

// passes are the ways in which a set looks at batches: live ones, and those of
// a big input.
var passes = []struct {
	name string
	pass func(t testing.TB, s *matchers.Set, batches []*pipeline.Batch, dst []pipeline.Failure) []pipeline.Failure
}{
	{"match", func(_ testing.TB, s *matchers.Set, batches []*pipeline.Batch, dst []pipeline.Failure) []pipeline.Failure {
		for _, b := range batches {
			dst = s.Match(dst[:0], b)
		}
		return dst
	}},
	{"bulk", func(t testing.TB, s *matchers.Set, batches []*pipeline.Batch, dst []pipeline.Failure) []pipeline.Failure {
		for _, b := range batches {
			if !s.Bulk(b) || !s.Prepare(b, true) {
				t.Fatal("no batch of a big input")
			}
			dst = s.Settle(dst[:0], b, s.Scan(0, b))
		}
		return dst
	}},
}

// TestNoAllocations: a set that has seen such lines allocates nothing for
// them, matches and sessions among them.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, kind := range []string{"mixed", "clean", "attack"} {
		data := generated(t, kind, 5000)
		for _, p := range passes {
			s := fail2banSet(t, sixFilters...)
			batches := blocks(data, 256<<10)
			batches = batches[:len(batches)-1] // the last one is small
			var dst []pipeline.Failure
			once := func() { dst = p.pass(t, s, batches, dst) }
			for range 20 {
				once()
			}
			if n := testing.AllocsPerRun(5, once); n != 0 {
				t.Errorf("%s, %s: %v allocations in %d batches", kind, p.name, n, len(batches))
			}
		}
	}
}

// BenchmarkSet matches logs by the six filters, and by all. What it reports is
// each batch's fastest time: on a machine with other work the mean says little.
//
//	go test -run '^$' -bench Set -cpu 1 ./matchers
func BenchmarkSet(b *testing.B) {
	for _, filters := range []struct {
		name  string
		names []string
	}{{"six", sixFilters}, {"all", allFail2ban(b)}} {
		for _, kind := range []string{"mixed", "clean", "attack"} {
			data := generated(b, kind, 20000)
			b.Run("filters="+filters.name+"/log="+kind, func(b *testing.B) {
				s := fail2banSet(b, filters.names...)
				batches := blocks(data, 72<<10)
				batches = batches[:len(batches)-1]
				lines := 0
				for _, batch := range batches {
					lines += batch.Lines
				}
				var dst []pipeline.Failure
				best := make([]time.Duration, len(batches))
				b.ReportAllocs()
				for b.Loop() {
					for i := range batches {
						start := time.Now()
						dst = passes[1].pass(b, s, batches[i:i+1], dst)
						if d := time.Since(start); best[i] == 0 || d < best[i] {
							best[i] = d
						}
					}
				}
				sum := time.Duration(0)
				for _, d := range best {
					sum += d
				}
				b.ReportMetric(float64(sum.Nanoseconds())/float64(lines), "best-ns/line")
			})
		}
	}
}
