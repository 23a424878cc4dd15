package sources

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// collected is everything that a source delivered.
type collected struct {
	text  bytes.Buffer
	lines int64
	ends  []pipeline.Position
}

// collect runs the source to its end and checks what holds for every batch.
func collect(t *testing.T, src pipeline.Source, batches int) (*collected, error) {
	t.Helper()
	feed := pipeline.NewFeed(batches)
	result := make(chan error, 1)
	go func() {
		err := src.Run(t.Context(), feed)
		feed.Close()
		result <- err
	}()
	var c collected
	for b := range feed.Full() {
		if b.First != c.lines+1 {
			t.Errorf("batch begins with line %d, want %d", b.First, c.lines+1)
		}
		if n := bytes.Count(b.Data, newline); n != b.Lines || n == 0 || b.Data[len(b.Data)-1] != '\n' {
			t.Errorf("batch of %d lines has %d newlines and ends with %q", b.Lines, n, b.Data[len(b.Data)-1:])
		}
		c.lines += int64(b.Lines)
		c.text.Write(b.Data)
		c.ends = append(c.ends, b.End)
		feed.Recycle(b)
	}
	return &c, <-result
}

func TestReader(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		input := pipeline.NewInput("stdin", nil)
		c, err := collect(t, &Reader{Input: input, R: strings.NewReader(in)}, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.text.String(); got != want {
			t.Errorf("%.40q gave %.40q, want %.40q", in, got, want)
		}
		if got := input.Bytes.Load(); got != int64(len(in)) {
			t.Errorf("%d bytes counted, want %d", got, len(in))
		}
		if n := len(c.ends); n > 0 && c.ends[n-1].Offset != int64(len(in)) {
			t.Errorf("ends at %d, want %d", c.ends[n-1].Offset, len(in))
		}
	}
	f("", "")
	f("\n", "\n")
	f("a", "a\n")
	f("a\n", "a\n")
	f("a\nb", "a\nb\n")
	f("a\r\n\x00\xff\n", "a\r\n\x00\xff\n")
	many := strings.Repeat("a line of a log\n", 100_000)
	f(many, many)
	f(many+"rest", many+"rest\n")
}

func TestReaderPositionIsAfterTheLastWholeLine(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	go func() {
		_, _ = w.Write([]byte("one\ntw"))
		_, _ = w.Write([]byte("o\nthree"))
		_ = w.Close()
	}()
	c, err := collect(t, &Reader{Input: pipeline.NewInput("stdin", nil), R: r}, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := []int64{4, 8, 13}
	for i, end := range c.ends {
		if end.Offset != want[i] {
			t.Errorf("batch %d ends at %d, want %d", i, end.Offset, want[i])
		}
	}
}

// endless is one line without an end, n bytes of it.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), e.n)]
	for i := range p {
		p[i] = 'A'
	}
	e.n -= int64(len(p))
	return len(p), nil
}

func TestReaderLineOf64MB(t *testing.T) {
	in := pipeline.NewInput("stdin", nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := collect(t, &Reader{Input: in, R: &endless{n: 64 << 20}}, 2)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if c.lines != 1 || c.text.Len() != MaxLine+1 || in.Cut.Load() != 1 {
		t.Errorf("%d lines, %d bytes, %d cut; want 1, %d, 1", c.lines, c.text.Len(), in.Cut.Load(), MaxLine+1)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 3<<20 {
		t.Errorf("%d bytes allocated for it", grown)
	}
}

func TestReaderError(t *testing.T) {
	broken := errors.New("cable pulled")
	r := io.MultiReader(strings.NewReader("a\nb"), iotestErr{broken})
	c, err := collect(t, &Reader{Input: pipeline.NewInput("stdin", nil), R: r}, 2)
	if !errors.Is(err, broken) || err.Error() != "read stdin: cable pulled" {
		t.Errorf("error %v", err)
	}
	if c.text.String() != "a\nb\n" {
		t.Errorf("delivered %q before the error", c.text.String())
	}
}

type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }

// While nobody recycles, the reader reads no more than the feed has batches.
func TestReaderBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &endlessLines{}
		feed := pipeline.NewFeed(3)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := (&Reader{Input: pipeline.NewInput("stdin", nil), R: src}).Run(ctx, feed); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if src.reads != 3 {
			t.Errorf("%d reads with 3 batches", src.reads)
		}
		feed.Recycle(<-feed.Full())
		synctest.Wait()
		if src.reads != 4 {
			t.Errorf("%d reads after one batch came back", src.reads)
		}
		cancel()
		wg.Wait()
	})
}

type endlessLines struct{ reads int }

func (e *endlessLines) Read(p []byte) (int, error) {
	e.reads++
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

// A blocked read must end with the context, whatever kind of reader it is.
func TestReaderStops(t *testing.T) {
	blockingPipe := func() (io.Reader, io.WriteCloser) {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil { // blocking, as a shell's
			t.Fatal(err)
		}
		return os.NewFile(uintptr(p[0]), "stdin"), os.NewFile(uintptr(p[1]), "writer")
	}
	osPipe := func() (io.Reader, io.WriteCloser) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return r, w
	}
	connPipe := func() (io.Reader, io.WriteCloser) { r, w := net.Pipe(); return r, w }
	ioPipe := func() (io.Reader, io.WriteCloser) { r, w := io.Pipe(); return r, w }
	for name, open := range map[string]func() (io.Reader, io.WriteCloser){
		"blocking pipe": blockingPipe, "os.Pipe": osPipe, "net.Pipe": connPipe, "io.Pipe": ioPipe,
	} {
		t.Run(name, func(t *testing.T) {
			r, w := open()
			defer r.(io.Closer).Close()
			defer w.Close()
			ctx, cancel := context.WithCancel(t.Context())
			feed := pipeline.NewFeed(2)
			result := make(chan error, 1)
			go func() { result <- (&Reader{Input: pipeline.NewInput("stdin", nil), R: r}).Run(ctx, feed) }()
			if _, err := w.Write([]byte("one\npart")); err != nil {
				t.Fatal(err)
			}
			b := <-feed.Full()
			if string(b.Data) != "one\n" {
				t.Errorf("got %q", b.Data)
			}
			feed.Recycle(b)
			cancel()
			if err := <-result; err != nil {
				t.Errorf("stopped with %v", err)
			}
		})
	}
}

func TestReaderOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("one\ntwo"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c, err := collect(t, &Reader{Input: pipeline.NewInput(path, nil), R: file}, 2)
	if err != nil || c.text.String() != "one\ntwo\n" {
		t.Errorf("got %q, %v", c.text.String(), err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := collect(t, &Reader{Input: pipeline.NewInput("dir", nil), R: dir}, 2); !errors.Is(err, unix.EISDIR) {
		t.Errorf("a directory was read: %v", err)
	}
}
