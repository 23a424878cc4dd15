package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// How long it takes to open a store and read its bans: go test -bench Load ./internal/store/
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("bans=%d", n), func(b *testing.B) {
			path := filled(b, b.TempDir(), n)
			b.ReportAllocs()
			for b.Loop() {
				s, err := Open(context.Background(), Config{Path: path})
				must(b, err)
				list, _, err := s.Bans(context.Background(), now.UnixNano(), testJails{}.target)
				must(b, err)
				equal(b, "bans", len(list), n)
				must(b, s.Close())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/ban")
		})
	}
}

// What a checkpoint costs, with fsync: go test -bench Save ./internal/store/
func BenchmarkSave(b *testing.B) {
	for _, n := range []int{1, 100, 10_000, 100_000} {
		b.Run(fmt.Sprintf("bans=%d", n), func(b *testing.B) {
			s := open(b, Config{Path: filepath.Join(b.TempDir(), "db")})
			c := manyBans(testJails{}.get("sshd"), n)
			b.ReportAllocs()
			for b.Loop() {
				must(b, s.Save(context.Background(), c))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/ban")
		})
	}
}

// What the counts of a flood cost: 20,000 changed entries a checkpoint.
func BenchmarkCounts(b *testing.B) {
	s, j := open(b, Config{Path: filepath.Join(b.TempDir(), "db")}), testJails{}.get("sshd")
	counts := make([]pipeline.Count, 20_000)
	for i := range counts {
		counts[i] = pipeline.Count{Jail: j, ID: pipeline.ParseID(fmt.Sprintf("2001:db8::%x", i)), FirstNanos: now.UnixNano(), LastNanos: now.UnixNano(), Failures: 1}
	}
	for b.Loop() {
		must(b, s.Save(context.Background(), &pipeline.Checkpoint{Counts: counts, AllCounts: false}))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(counts)), "ns/count")
}

// A store with 100,000 bans is open and read within half a second: the start's
// share. What counts is the processor's time, so that a busy machine passes too.
func TestLoadTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector, and runs in the full suite")
	}
	const n = 100_000
	path, best := filled(t, t.TempDir(), n), time.Hour
	for range 3 {
		begin, wall := cpuTime(t), time.Now()
		s := open(t, Config{Path: path})
		list, _, err := s.Bans(context.Background(), now.UnixNano(), testJails{}.target)
		must(t, err)
		took := cpuTime(t) - begin
		best = min(best, took)
		equal(t, "bans", len(list), n)
		must(t, s.Close())
		t.Logf("%d bans in %v of the processor, %v by the clock", n, took, time.Since(wall))
	}
	if best > 500*time.Millisecond && !raceEnabled {
		t.Errorf("100,000 bans take %v", best)
	}
}

// cpuTime returns the processor's time that this process took.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
