package matchers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
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
