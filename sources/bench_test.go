package sources

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	nxadm "github.com/nxadm/tail"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// catchUpFile writes a log of about size bytes and returns its number of lines.
func catchUpFile(b *testing.B, size int) (path string, lines int) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for n := 0; n < size; lines++ {
		k, err := fmt.Fprintf(w, "Nov 22 15:%02d:%02d mx sshd[%d]: Failed password for root from 192.0.2.%d port 22 ssh2\n", lines/60%60, lines%60, lines%30000, lines%250)
		if err != nil {
			b.Fatal(err)
		}
		n += k
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path, lines
}

// BenchmarkCatchUp reads a log that is there already, F2BPIPE_CATCHUP_MB (64) of it:
//
//	F2BPIPE_CATCHUP_MB=1024 go test -run '^$' -bench CatchUp -benchtime 1x ./sources
func BenchmarkCatchUp(b *testing.B) {
	size := 64
	if n, err := strconv.Atoi(os.Getenv("F2BPIPE_CATCHUP_MB")); err == nil {
		size = n
	}
	path, lines := catchUpFile(b, size<<20)
	run := func(name string, read func(b *testing.B) int) {
		b.Run("reader="+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size) << 20)
			for b.Loop() {
				if n := read(b); n != lines {
					b.Fatalf("%d lines, want %d", n, lines)
				}
			}
			b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
	run("Files", func(b *testing.B) int {
		files := &Files{
			Patterns: func() []string { return []string{path} },
			Open: func(string, bool) (*pipeline.Input, Start, bool) {
				return pipeline.NewInput(path, nil), Start{}, true
			},
		}
		return drain(b, files, lines)
	})
	run("Reader", func(b *testing.B) int {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		return drain(b, &Reader{Input: pipeline.NewInput(path, nil), R: f}, lines)
	})
	run("bufio.Scanner", func(b *testing.B) (n int) {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		s := bufio.NewScanner(f)
		for s.Scan() {
			n++
		}
		return n
	})
	run("nxadm/tail", func(b *testing.B) (n int) {
		t, err := nxadm.TailFile(path, nxadm.Config{Logger: nxadm.DiscardingLogger})
		if err != nil {
			b.Fatal(err)
		}
		for range t.Lines {
			n++
		}
		return n
	})
}

// drain runs the source until it delivered so many lines and returns how many came.
func drain(b *testing.B, source pipeline.Source, lines int) (n int) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	feed := pipeline.NewFeed(4)
	go func() {
		if err := source.Run(ctx, feed); err != nil {
			b.Error(err)
		}
		feed.Close()
	}()
	for batch := range feed.Full() {
		if n += batch.Lines; n >= lines {
			cancel()
		}
		feed.Recycle(batch)
	}
	cancel()
	return n
}

// BenchmarkLatency is the time from before the write of one line to its batch.
// The writer waits for each line, and a millisecond more.
//
//	go test -run '^$' -bench Latency -benchtime 2000x ./sources
func BenchmarkLatency(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	files := &Files{
		Patterns: func() []string { return []string{path} },
		Open: func(string, bool) (*pipeline.Input, Start, bool) {
			return pipeline.NewInput(path, nil), Start{}, true
		},
	}
	latency(b, files, time.Millisecond, func() {
		if _, err := f.WriteString("Nov 22 15:00:00 mx sshd[1]: Failed password for root from 192.0.2.1\n"); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkJournalLatency is the same for an entry sent to a journald of its own.
//
//	go test -run '^$' -bench JournalLatency -benchtime 500x ./sources
func BenchmarkJournalLatency(b *testing.B) {
	d := testenv.StartJournald(b, 64)
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	source := &Journal{
		Input: pipeline.NewInput("systemd-journal", nil), Start: Start{FromNanos: time.Now().UnixNano()},
		Options: JournalOptions{Path: d.Dir, Matches: [][]string{{"SYSLOG_IDENTIFIER=sshd"}}},
		Command: []string{self, "journal-reader"},
	}
	latency(b, source, 7*time.Millisecond, func() { d.Send("one") })
}

func latency(b *testing.B, source pipeline.Source, gap time.Duration, write func()) {
	ctx, cancel := context.WithCancel(b.Context())
	feed := pipeline.NewFeed(4)
	go func() {
		if err := source.Run(ctx, feed); err != nil {
			b.Error(err)
		}
		feed.Close()
	}()
	var all []time.Duration
	pace := time.NewTicker(gap)
	defer pace.Stop()
	write()
	feed.Recycle(<-feed.Full())
	for b.Loop() {
		<-pace.C
		start := time.Now()
		write()
		batch := <-feed.Full()
		all = append(all, time.Since(start))
		feed.Recycle(batch)
	}
	cancel()
	for range feed.Full() {
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1e3, "p99-µs")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkJournal reads a journal back, against journalctl -o export.
//
//	go test -run '^$' -bench 'Journal$' -benchtime 3x ./sources
func BenchmarkJournal(b *testing.B) {
	const n = 100_000
	var entries []entry
	for i := range n {
		e := entry{{"_HOSTNAME", "mx"}, {"SYSLOG_IDENTIFIER", "sshd"}, {"_COMM", "sshd"}, {"_PID", fmt.Sprint(i % 30000)},
			{"_SYSTEMD_UNIT", "sshd.service"}, {"_SOURCE_REALTIME_TIMESTAMP", fmt.Sprint(startUsec + i)},
			{"MESSAGE", fmt.Sprintf("Failed password for root from 192.0.2.%d port %d ssh2", i%250, i)}}
		for _, more := range []string{"_UID", "_GID", "_EXE", "_CMDLINE", "_CAP_EFFECTIVE", "_SELINUX_CONTEXT", "_SYSTEMD_CGROUP",
			"_SYSTEMD_SLICE", "_SYSTEMD_INVOCATION_ID", "_TRANSPORT", "_MACHINE_ID", "SYSLOG_FACILITY", "PRIORITY", "_RUNTIME_SCOPE"} {
			e = append(e, [2]string{more, "value of " + more})
		}
		entries = append(entries, e)
	}
	dir := makeJournal(b, entries, startUsec)
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for _, messageOnly := range []bool{false, true} {
		b.Run(fmt.Sprintf("reader=Journal/messageonly=%v", messageOnly), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				j := &Journal{
					Input: pipeline.NewInput("systemd-journal", nil), Command: []string{self, "journal-reader"},
					Options: JournalOptions{Path: dir, MessageOnly: messageOnly},
				}
				if got := drain(b, j, n); got != n {
					b.Fatalf("%d entries", got)
				}
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
	b.Run("reader=in-process", func(b *testing.B) { // what the process of its own and its pipe cost
		for b.Loop() {
			told, tell := io.Pipe()
			go func() { _, _ = fmt.Fprintf(tell, `{"Path":%q,"Groups":[{}]}`+"\n", dir) }()
			frames := &frameCounter{until: n, done: tell}
			if err := RunJournalReader(told, frames); err != nil || frames.lines != n {
				b.Fatal(frames.lines, err)
			}
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	})
	b.Run("reader=journalctl-export", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command("journalctl", "-D", dir, "-o", "export", "--all")
			out, err := cmd.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			count := 0
			s := bufio.NewReaderSize(out, 256<<10)
			for {
				line, err := s.ReadSlice('\n')
				if bytes.HasPrefix(line, []byte("MESSAGE=")) {
					count++
				}
				if err == io.EOF {
					break
				}
			}
			if err := cmd.Wait(); err != nil || count != n {
				b.Fatal(count, err)
			}
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	})
}

// frameCounter counts the lines of the frames that are written to it, and ends
// the reader after the last.
type frameCounter struct {
	lines, until int
	done         io.Closer
}

func (c *frameCounter) Write(p []byte) (int, error) {
	if c.lines += int(binary.LittleEndian.Uint32(p[4:])); c.lines >= c.until {
		_ = c.done.Close()
	}
	return len(p), nil
}

// BenchmarkIdle is the CPU that following 100 idle files takes, in percent of a core.
//
//	go test -run '^$' -bench Idle -benchtime 1x ./sources
func BenchmarkIdle(b *testing.B) {
	dir := b.TempDir()
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d.log", i)), []byte("line\n"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	files := &Files{
		Patterns: func() []string { return []string{filepath.Join(dir, "*.log")} },
		Open: func(path string, _ bool) (*pipeline.Input, Start, bool) {
			return pipeline.NewInput(path, nil), Start{}, true
		},
	}
	ctx, cancel := context.WithCancel(b.Context())
	feed := pipeline.NewFeed(4)
	done := make(chan error)
	go func() { done <- files.Run(ctx, feed) }()
	for range 100 {
		feed.Recycle(<-feed.Full())
	}
	cpu := func() time.Duration {
		text, err := os.ReadFile("/proc/self/stat")
		if err != nil {
			b.Fatal(err)
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		return time.Duration(user+system) * 10 * time.Millisecond
	}
	before := cpu()
	const span = 5 * time.Second
	for b.Loop() {
		<-time.After(span)
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N)/float64(span)*100, "%core")
	b.ReportMetric(0, "ns/op")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
