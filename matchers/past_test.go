package matchers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// TestPast holds what is kept of the batches before to the end of all of them.
func TestPast(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var p past
		var all []byte
		for n := range 60 {
			var batch []byte
			for range 1 + random.IntN(1<<random.IntN(11)) {
				batch = append(append(batch, bytes.Repeat([]byte("x"), random.IntN(300))...), '\n')
			}
			p.add(batch)
			all = append(all, batch...)
			if p.end != int64(len(all)) || !bytes.HasSuffix(all, p.data) || len(p.data) > 2*pastBytes {
				t.Fatalf("batch %d: %d bytes at %d of %d", n, len(p.data), p.end, len(all))
			}
			start := len(all) - len(p.data)
			if start > 0 && (all[start-1] != '\n' || len(p.data) < pastBytes-300) {
				t.Fatalf("batch %d: %d bytes are kept, from %q on", n, len(p.data), all[max(0, start-5):start])
			}
		}
	}
	var p past
	p.add([]byte(strings.Repeat("x", pastBytes+1) + "\n"))
	if p.add([]byte("y\n")); string(p.data) != "y\n" {
		t.Errorf("%d bytes are kept after a line that is too long", len(p.data))
	}
	for n := range 3 * pastBytes {
		p.add(fmt.Appendf(nil, "%d\n", n))
	}
	if cap(p.data) > 4*pastBytes {
		t.Errorf("%d bytes for lines one by one", cap(p.data))
	}
}

// TestNewest: a batch whose last line has no date is as new as the date known.
func TestNewest(t *testing.T) {
	now := cutNow.UnixNano()
	f, err := CompileFilter(FilterConfig{Name: "t", Failregex: []Regex{{Text: "^ failure from <HOST>$"}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSet(Options{Now: func() int64 { return now }, Location: time.UTC}, []JailFilter{{Jail: pipeline.NewJail("t", pipeline.Policy{}), Filter: f}})
	if err != nil {
		t.Fatal(err)
	}
	lag := func(text string, want time.Duration) {
		t.Helper()
		s.Match(nil, &pipeline.Batch{Data: []byte(text), Lines: strings.Count(text, "\n")})
		if got := s.Lag(now, 1); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	lag("2026-11-30T11:58:00Z a line\n", 2*time.Minute)
	lag("2026-11-30T11:59:00Z failure from 192.0.2.1\nand what belongs to it\n", time.Minute)
}
