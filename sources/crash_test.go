package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// TestMain lets the test binary be the process that is stopped and killed.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "journal-reader":
		err := RunJournalReader(os.Stdin, os.Stdout)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(JournalReaderStatus(err))
	case os.Getenv("F2BPIPE_TEST_TAIL") != "":
		childTail(os.Getenv("F2BPIPE_TEST_TAIL"), os.Getenv("F2BPIPE_TEST_POSITION"))
	default:
		os.Exit(m.Run())
	}
}

// record is what the child tells of a batch: lines and position in one write, as
// a transaction keeps both or neither.
type record struct {
	Lines []string
	End   pipeline.Position
}

// childTail follows the file and writes records to stdout until it is killed.
func childTail(path, position string) {
	in := pipeline.NewInput(path, nil)
	var start Start
	if position != "" {
		if err := json.Unmarshal([]byte(position), &start.Position); err != nil {
			panic(err)
		}
	}
	files := &Files{
		Patterns: func() []string { return []string{path} },
		Open:     func(string, bool) (*pipeline.Input, Start, bool) { return in, start, true },
		Log:      slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	feed := pipeline.NewFeed(4)
	go func() {
		if err := files.Run(context.Background(), feed); err != nil {
			panic(err)
		}
	}()
	for b := range feed.Full() {
		r := record{Lines: splitLines(b.Data), End: b.End}
		out, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		if _, err := os.Stdout.Write(append(out, '\n')); err != nil {
			os.Exit(0)
		}
		feed.Recycle(b)
	}
}

func splitLines(data []byte) (lines []string) {
	for len(data) > 0 {
		i := slices.Index(data, '\n')
		lines = append(lines, string(data[:i]))
		data = data[i+1:]
	}
	return lines
}

// victim is a process that follows a file, is killed and started again, and what
// all its lives have told.
type victim struct {
	t    testing.TB
	path string
	cmd  *exec.Cmd
	done chan struct{}
	log  lockedLog

	mu    sync.Mutex
	cond  *sync.Cond
	lines []string
	end   string // position, as JSON

	want func() []string // to say what is lost, where wait fails
}

type lockedLog struct {
	mu   sync.Mutex
	text []byte
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func newVictim(t testing.TB, path string) *victim {
	v := &victim{t: t, path: path}
	v.cond = sync.NewCond(&v.mu)
	t.Cleanup(func() {
		v.kill()
		if t.Failed() {
			t.Logf("%s", v.log.text[max(0, len(v.log.text)-12000):])
		}
	})
	return v
}

func (v *victim) alive() bool { return v.cmd != nil }

func (v *victim) start() {
	v.t.Helper()
	self, err := os.Executable()
	if err != nil {
		v.t.Fatal(err)
	}
	v.cmd = exec.Command(self)
	v.cmd.Env = append(os.Environ(), "F2BPIPE_TEST_TAIL="+v.path, "F2BPIPE_TEST_POSITION="+v.end)
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	v.cmd.Stderr = &v.log
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		v.t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	v.done = make(chan struct{})
	go func() {
		defer close(v.done)
		for dec := json.NewDecoder(out); ; {
			var r record
			if dec.Decode(&r) != nil {
				return // killed, perhaps in the middle of a record
			}
			end, err := json.Marshal(r.End)
			if err != nil {
				v.t.Error(err)
			}
			v.mu.Lock()
			v.lines = append(v.lines, r.Lines...)
			v.end = string(end)
			v.cond.Broadcast()
			v.mu.Unlock()
		}
	}()
}

// kill is kill -9.
func (v *victim) kill() {
	if v.cmd == nil {
		return
	}
	_ = v.cmd.Process.Kill()
	<-v.done
	_ = v.cmd.Wait()
	v.cmd = nil
}

func (v *victim) signal(sig syscall.Signal) {
	v.t.Helper()
	if err := v.cmd.Process.Signal(sig); err != nil {
		v.t.Fatal(err)
	}
}

// wait blocks until n lines were told.
func (v *victim) wait(n int) {
	v.t.Helper()
	timer := time.AfterFunc(patience, v.cond.Broadcast)
	defer timer.Stop()
	deadline := time.Now().Add(patience)
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(v.lines) < n {
		if !time.Now().Before(deadline) {
			if v.want != nil {
				(&tail{t: v.t}).compare(v.want(), v.lines)
			}
			v.t.Fatalf("%d lines came, want %d; the last %q", len(v.lines), n, v.lines[max(len(v.lines)-2, 0):])
		}
		v.cond.Wait()
	}
}

// exactly compares all that was told with what was written: nothing lost,
// nothing twice. Late writers and successors may be told in either order.
func (v *victim) exactly(want []string) {
	v.t.Helper()
	v.wait(len(want))
	v.mu.Lock()
	got := slices.Clone(v.lines)
	v.mu.Unlock()
	want = slices.Clone(want)
	slices.Sort(want)
	slices.Sort(got)
	(&tail{t: v.t}).compare(want, got)
}

// Stopped at 50,000 lines a second while the file is copied and truncated: the
// rest is read from the copy. The copy and the truncation are one step for the
// writer, as what it writes between them is in no file.
func TestStoppedDuringCopytruncate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path)
	w.write(100)
	v := newVictim(t, path)
	v.start()
	v.wait(100)
	const rate = 50 // lines a millisecond
	flood := func(milliseconds int) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range milliseconds {
			<-tick.C
			w.burst(rate)
		}
	}
	for range 3 {
		flood(100)
		v.signal(syscall.SIGSTOP)
		flood(200)
		w.copytruncate()
		flood(50)
		v.signal(syscall.SIGCONT)
		flood(50)
	}
	v.exactly(w.lines)
}

func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path)
	v := newVictim(t, path)
	for i := range 6 {
		v.start()
		w.burst(5000)
		w.write(200)
		v.wait(len(w.lines) - 4000) // in the middle of it
		v.kill()
		w.burst(1000)
		switch i % 3 {
		case 0:
			w.rotate()
		case 1:
			w.copytruncate()
		}
	}
	w.write(1)
	v.start()
	v.exactly(w.lines)
}

// schedule runs a random order of everything that happens to a log.
func schedule(t *testing.T, seed uint64, steps int) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "mail.log")
	w := newWriter(t, path)
	v := newVictim(t, path)
	v.want = func() []string { return w.lines }
	w.write(1 + rnd.IntN(5))
	v.start()
	v.wait(1)
	stopped := false
	cont := func() {
		if stopped {
			v.signal(syscall.SIGCONT)
			stopped = false
		}
	}
	synced := func() {
		t.Helper()
		cont()
		if !v.alive() {
			v.start()
		}
		w.write(1) // that this line came says that the file is open
		v.wait(len(w.lines))
	}
	var log []string
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %v", seed, log)
		}
	}()
	for range steps {
		op := []string{"write", "burst", "halves", "rotate", "late", "copytruncate", "delete", "rewrite", "pack",
			"kill", "start", "stop", "cont", "write", "burst"}[rnd.IntN(15)]
		log = append(log, fmt.Sprintf("%s@%d", op, w.n))
		switch op {
		case "write":
			w.write(1 + rnd.IntN(50))
		case "burst":
			w.burst(1 + rnd.IntN(20_000))
		case "halves":
			line := w.next() + "\n"
			cut := rnd.IntN(len(line))
			w.raw(line[:cut])
			w.raw(line[cut:])
		case "rotate":
			w.rotate()
		case "late":
			w.shift()
			w.write(rnd.IntN(20))
			w.open(0)
		case "copytruncate":
			w.copytruncate()
		case "delete": // what was not read before is nowhere
			synced()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			w.write(rnd.IntN(3))
			synced()
			w.open(0)
		case "rewrite":
			synced()
			w.open(os.O_TRUNC)
		case "pack":
			if _, err := os.Stat(path + ".2"); err == nil {
				pack(t, path+".2")
			}
		case "kill":
			cont()
			v.kill()
		case "start":
			if !v.alive() {
				v.start()
			}
		case "stop":
			if v.alive() && !stopped {
				v.signal(syscall.SIGSTOP)
				stopped = true
			}
		case "cont":
			cont()
		}
	}
	synced()
	v.exactly(w.lines)
	// The test keeps its cleanups, and with them writer and victim, until the
	// last of a thousand has ended.
	v.kill()
	w.lines, v.lines = nil, nil
}

// TestSchedule runs a few random schedules; with F2BPIPE_SOAK=1 a thousand, or
// those of F2BPIPE_SEEDS=FIRST-LAST.
func TestSchedule(t *testing.T) {
	first, last, steps := 0, 11, 60
	if os.Getenv("F2BPIPE_SOAK") == "1" {
		last = 999
		if text := os.Getenv("F2BPIPE_SEEDS"); text != "" {
			if _, err := fmt.Sscanf(text, "%d-%d", &first, &last); err != nil {
				t.Fatalf("F2BPIPE_SEEDS=%s: expected FIRST-LAST", text)
			}
		}
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { t.Parallel(); schedule(t, uint64(seed), steps) })
	}
}
