package matchers_test

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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
	now := time.Now().UnixNano()
	set, err := matchers.NewSet(matchers.Options{Now: func() int64 { return now }, Location: time.UTC}, fail2banJails(t, names...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// fail2banJails returns jails of fail2ban's filters.
func fail2banJails(t testing.TB, names ...string) []matchers.JailFilter {
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
	return jails
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
	{"bulk on one", func(t testing.TB, s *matchers.Set, batches []*pipeline.Batch, dst []pipeline.Failure) []pipeline.Failure {
		for _, b := range batches {
			if !s.Bulk(b) || !s.Prepare(b, true) {
				t.Fatal("no batch of a big input")
			}
			dst = s.MatchBulk(dst[:0], b)
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

// TestAllFiltersCostLittleMore holds all of fail2ban's filters at once to twice
// the time of the six: lines that matter to nobody are found in one scan.
func TestAllFiltersCostLittleMore(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("a measurement")
	}
	lines, most := 10_000, 4.0 // beside other tests
	if os.Getenv("F2BPIPE_SOAK") != "" {
		lines, most = 60_000, 2
	}
	batches := blocks(generated(t, "mixed", lines), 72<<10)
	batches = batches[:len(batches)-1]
	six, all := fail2banSet(t, sixFilters...), fail2banSet(t, allFail2ban(t)...)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cost := func(s *matchers.Set) (sum time.Duration) {
		var dst []pipeline.Failure
		for i := range batches {
			best := time.Duration(1 << 62)
			for range 12 {
				start := threadTime(t)
				dst = passes[0].pass(t, s, batches[i:i+1], dst)
				best = min(best, threadTime(t)-start)
			}
			sum += best
		}
		return sum
	}
	cost(six) // they learn what to look for
	cost(all)
	a, b := cost(six), cost(all)
	t.Logf("six filters %v, all %v: %.2f times", a, b, float64(b)/float64(a))
	if float64(b) > most*float64(a) {
		t.Errorf("all filters take %v, the six %v: more than %.0f times", b, a, most)
	}
}

// threadTime is the processor time that the thread has had.
func threadTime(t testing.TB) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// maxCompile is what compiling all filters may take. Tests run beside others.
const maxCompile = 300 * time.Millisecond

// TestCompileTime compiles every filter of fail2ban's and what their set looks for.
func TestCompileTime(t *testing.T) {
	if raceEnabled {
		t.Skip("time under the race detector says nothing")
	}
	dir := testenv.Shared(t, "fail2ban", "config")
	var configs []matchers.FilterConfig
	var patterns [][]string
	names := allFail2ban(t)
	for _, name := range names {
		f, problems := config.LoadFilter(config.Options{Dir: dir}, name)
		if f == nil {
			t.Fatalf("%s: %v", name, problems)
		}
		configs, patterns = append(configs, filterConfig(f)), append(patterns, texts(f.Datepattern))
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Duration(1 << 62)
	for range 3 {
		start := threadTime(t)
		var jails []matchers.JailFilter
		for i, c := range configs {
			filter, err := matchers.CompileFilter(c)
			if err != nil {
				t.Fatal(err)
			}
			jails = append(jails, matchers.JailFilter{Jail: pipeline.NewJail(names[i], pipeline.Policy{}), Filter: filter, Dates: patterns[i]})
		}
		if _, err := matchers.NewSet(matchers.Options{Now: func() int64 { return 1_795_000_000e9 }}, jails, nil); err != nil {
			t.Fatal(err)
		}
		best = min(best, threadTime(t)-start)
	}
	t.Logf("%d filters in %v", len(names), best)
	if best > maxCompile {
		t.Errorf("%d filters take %v to compile, want %v", len(names), best, maxCompile)
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
						dst = passes[0].pass(b, s, batches[i:i+1], dst)
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
