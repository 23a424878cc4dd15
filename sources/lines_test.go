package sources

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// wantLines is what any source must make of the bytes: lines ended by '\n', the
// long ones cut, an unfinished last one completed.
func wantLines(all []byte) (lines []string, cut int) {
	for len(all) > 0 {
		line, rest, _ := bytes.Cut(all, []byte{'\n'})
		all = rest
		if len(line) > MaxLine {
			cut++
			line = append(bytes.Clone(line[:60<<10]), line[len(line)-4<<10:]...)
		}
		lines = append(lines, string(line)+"\n")
	}
	return lines, cut
}

// splitAll runs the splitter over the bytes in pieces of the given sizes, again
// and again; 0 ends a round with nothing read.
func splitAll(t *testing.T, all []byte, sizes []int) (lines []string, cut int) {
	t.Helper()
	var s splitter
	b := &pipeline.Batch{Data: make([]byte, 0, pipeline.BatchSize)}
	take := func() {
		t.Helper()
		if got := bytes.Count(b.Data, newline); got != b.Lines {
			t.Fatalf("batch says %d lines, has %d", b.Lines, got)
		}
		if len(b.Data) > 0 && b.Data[len(b.Data)-1] != '\n' {
			t.Fatal("batch does not end with a newline")
		}
		for line := range bytes.Lines(b.Data) {
			lines = append(lines, string(line))
		}
	}
	read := 0
	for i := 0; read < len(all); i++ {
		b.Reset()
		space := s.space(b)
		if len(space) < pipeline.BatchSize-MaxLine-1 {
			t.Fatalf("only %d bytes to read into", len(space))
		}
		n := copy(space[:min(len(space), sizes[i%len(sizes)])], all[read:])
		read += n
		cut += s.split(b, n)
		take()
		if len(s.part) > MaxLine {
			t.Fatalf("%d bytes kept of an unfinished line", len(s.part))
		}
	}
	b.Reset()
	cut += s.finish(b)
	take()
	return lines, cut
}

func checkSplit(t *testing.T, all []byte, sizes ...int) {
	t.Helper()
	want, wantCut := wantLines(all)
	got, gotCut := splitAll(t, all, sizes)
	if gotCut != wantCut {
		t.Errorf("%d lines cut, want %d", gotCut, wantCut)
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("line %d has %d bytes %.40q, want %d bytes %.40q", i+1, len(got[i]), got[i], len(want[i]), want[i])
		}
	}
}

func TestSplit(t *testing.T) {
	letters := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = 'a' + byte(i%23)
		}
		return string(b)
	}
	for _, all := range []string{
		"", "\n", "\n\n\n", "a", "a\n", "a\nb", "\na", "a\r\nb\r\n", "\x00\xff\xfe\n\x00",
		letters(MaxLine), letters(MaxLine) + "\n", letters(MaxLine+1) + "\n", letters(MaxLine + 1),
		"x\n" + letters(MaxLine+1) + "\n" + letters(MaxLine-1) + "\ny",
		letters(MaxLine+1) + "\n" + letters(MaxLine+2) + "\n" + letters(3*MaxLine) + "\n\n",
		letters(700<<10) + "\nshort\n" + letters(400<<10),
		strings.Repeat(letters(99)+"\n", 9000),
	} {
		for _, sizes := range [][]int{{1 << 20}, {MaxLine}, {MaxLine + 1}, {4096}, {30000, 1, 1, 70000}} {
			checkSplit(t, []byte(all), sizes...)
		}
	}
	checkSplit(t, []byte("a\nbc\n\nd"+letters(300)), 1)
	checkSplit(t, []byte(letters(MaxLine+500)+"\n"+letters(20)), MaxLine-50, 1, 1, 1, 1, 1, 1)
}

// FuzzSplit builds a text from (length, byte) pairs, so that long lines are as
// cheap to find as short ones, and splits it in arbitrary pieces.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("ab\ncd\n"), []byte{1, 2, 3}, uint16(0))
	f.Add([]byte{0, 0, '\n', '\n'}, []byte{255, 1}, uint16(65535))
	f.Add([]byte("\n\n\r\x00"), []byte{0, 128}, uint16(60000))
	f.Fuzz(func(t *testing.T, text, chunks []byte, stretch uint16) {
		if len(text) > 64 {
			text = text[:64]
		}
		var all []byte
		for i, c := range text {
			n := 1
			if c != '\n' && i%3 == 0 {
				n += int(stretch)
			}
			all = append(all, bytes.Repeat([]byte{c}, n)...)
		}
		sizes := []int{40000}
		for _, c := range chunks {
			sizes = append(sizes, 1+int(c)*int(c)*4)
		}
		checkSplit(t, all, sizes...)
	})
}

func TestSplitRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		var all []byte
		for len(all) < 600<<10 {
			n := rnd.IntN(200)
			if rnd.IntN(20) == 0 {
				n = MaxLine - 3 + rnd.IntN(6)
			} else if rnd.IntN(30) == 0 {
				n = rnd.IntN(300 << 10)
			}
			all = append(all, bytes.Repeat([]byte{'a' + byte(rnd.IntN(26))}, n)...)
			all = append(all, '\n')
		}
		all = all[:len(all)-rnd.IntN(3)]
		sizes := make([]int, 7)
		for i := range sizes {
			sizes[i] = 1 + rnd.IntN(1<<(4+rnd.IntN(15)))
		}
		checkSplit(t, all, sizes...)
	}
}

func TestSplitAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	block := []byte(strings.Repeat("Nov 22 15:00:00 mx sshd[1]: Failed password for root from 192.0.2.1\n", 3000))
	block = append(block, "an unfinished line"...)
	b := &pipeline.Batch{Data: make([]byte, 0, pipeline.BatchSize)}
	var s splitter
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		s.split(b, copy(s.space(b), block))
	}); n != 0 {
		t.Errorf("%v allocations a block", n)
	}
}

func ExampleReader() {
	log := strings.NewReader("one\ntwo\nthree")
	in := pipeline.NewInput("stdin", nil)
	feed := pipeline.NewFeed(2)
	if err := (&Reader{Input: in, R: log}).Run(context.Background(), feed); err != nil {
		panic(err)
	}
	feed.Close()
	for b := range feed.Full() {
		fmt.Printf("from line %d: %q\n", b.First, b.Data)
		feed.Recycle(b)
	}
	// Output:
	// from line 1: "one\ntwo\n"
	// from line 3: "three\n"
}

// go test -run '^$' -bench Split ./sources
func BenchmarkSplit(b *testing.B) {
	block := bytes.Repeat([]byte("Nov 22 15:00:00 mx sshd[1]: Failed password for root from 192.0.2.1 port 22\n"), 3400)
	batch := &pipeline.Batch{Data: make([]byte, 0, pipeline.BatchSize)}
	var s splitter
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		s.split(batch, copy(s.space(batch), block))
	}
}
