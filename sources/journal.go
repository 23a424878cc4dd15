package sources

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// JournalOptions say what of which journal is read. They are fail2ban's
// journalmatch and systemd[...] options.
type JournalOptions struct {
	Matches [][]string // as a JournalGroup's, where there is one

	Flags     int      // sd_journal_open(3): 1 local only, 4 system only; 0: all
	Path      string   // a directory of journal files
	Files     []string // or the files themselves, patterns of Python's glob
	Namespace string
	NoRotated bool // of Files, those that are rotated (NAME@….journal) are left out

	MessageOnly bool // lines are MESSAGE alone
}

// Journal reads the systemd journal and goes on with what is written to it.
// Batches carry the entries' times in Stamps; a batch's End has the cursor in
// Mark and the time in AtNanos, in nanoseconds since the epoch.
//
// libsystemd maps journal files into memory and dies of SIGBUS when one is cut
// short under it. So it is loaded in a process of its own, which is this program
// with the argument "journal-reader"; what that costs is a pipe. When it dies it
// is started again and goes on after the last entry that was delivered. Without
// libsystemd (or cgo) the entries come from journalctl.
//
// A journal that cannot be read is logged, once for each reason, and tried again.
type Journal struct {
	Input   *pipeline.Input
	Options JournalOptions
	Start   Start // Position, Tail (now) and FromNanos are heeded

	// Groups, where there are several readers, take the place of Options.Matches
	// and Start. Batch.Masks has a bit for each of them, in their order.
	Groups []JournalGroup

	// OnEnd, if any, is called once, when the end is first reached: what is read
	// from then on has just been written. It must not block.
	OnEnd func()

	Log *slog.Logger

	// Command starts RunJournalReader in another process; nil is this program's
	// own file and "journal-reader".
	Command []string

	problem atomic.Pointer[string]
	live    atomic.Bool
}

var _ pipeline.Source = (*Journal)(nil)

const (
	restartPause    = time.Second      // between two starts of a reader that dies, at first
	restartMost     = 10 * time.Second // and at most
	exitNoLibsystem = 3                // the reader's exit status: it has no libsystemd
)

// Problem says why the journal is not read now; empty: it is.
func (j *Journal) Problem() string {
	if text := j.problem.Load(); text != nil {
		return *text
	}
	return ""
}

// Run reads the journal until ctx is done, which is no error. Then Groups says
// where each group goes on, after what was delivered.
func (j *Journal) Run(ctx context.Context, feed *pipeline.Feed) error {
	log := j.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if len(j.Groups) == 0 {
		j.Groups = []JournalGroup{{Matches: j.Options.Matches, Start: j.Start}}
	}
	for i := range j.Groups {
		// "Now" is the time of the start and stays it when the reader is started again.
		if s := &j.Groups[i].Start; s.Tail && s.Position.Mark == "" {
			s.FromNanos = time.Now().UnixNano()
		}
	}
	r := journalRun{Journal: j, log: log, useJournalctl: JournalBackend() != "libsystemd"}
	pause := restartPause
	for ctx.Err() == nil {
		r.worked = false
		err := r.once(ctx, feed)
		if ctx.Err() != nil {
			return nil
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == exitNoLibsystem && !r.useJournalctl {
			log.Info("libsystemd is not there, the journal is read through journalctl")
			r.useJournalctl = true
			continue
		}
		if r.worked {
			pause = restartPause
		}
		r.fault(err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, restartMost)
	}
	return nil
}

// journalRun is the state of one Run.
type journalRun struct {
	*Journal
	log           *slog.Logger
	worked        bool // the reader has delivered something, or the end
	useJournalctl bool
	said          lastWords // of the reader
}

// fault notes that the reader has ended, and logs why where that is news. Who
// has read the line finds the problem: it stands before the line does.
func (r *journalRun) fault(err error) {
	text := "the reader ended"
	if err != nil {
		text = err.Error()
	}
	if said := r.said.take(); said != "" {
		text = said
	}
	news := r.worked || text != r.Problem()
	r.problem.Store(&text)
	if news {
		r.log.Error("journal reader ended, it is started again", "problem", text)
	}
}

// works notes that the reader works.
func (r *journalRun) works() {
	if r.worked {
		return
	}
	r.worked = true
	if r.problem.Swap(nil) != nil {
		r.log.Info("journal is read again")
	}
}

// once runs one reader until it ends.
func (r *journalRun) once(ctx context.Context, feed *pipeline.Feed) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sorter, err := newSorter(r.wire())
	if err != nil {
		return err
	}
	options := r.Options
	options.Matches = union(r.Groups)
	args := r.Command
	if args == nil {
		args = []string{"/proc/self/exe", "journal-reader"}
	}
	if r.useJournalctl {
		args = journalctlArgs(options, sorter)
	}
	// The thread that starts a process must live as long as that: its end is the
	// signal. journalctl has no other way to learn that we are gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	cmd.Stderr = &r.said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	if r.useJournalctl {
		err = r.readExport(ctx, feed, stdout, sorter, &lagMeter{pid: cmd.Process.Pid, pipe: stdout})
	} else {
		// stdin stays open: its end is how the reader learns that we are gone.
		if err = json.NewEncoder(stdin).Encode(readerOptions{JournalOptions: options, Groups: r.wire()}); err == nil {
			err = r.readFrames(ctx, feed, stdout, &lagMeter{pid: cmd.Process.Pid, pipe: stdout})
		}
	}
	// A reader that closed its end of a pipe is about to say, by its exit status, why.
	if ended := errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE); !ended {
		cancel()
		_ = stdin.Close()
		_ = cmd.Wait()
		return err
	}
	_ = stdin.Close()
	return cmd.Wait()
}

// wire is what another process is told of the groups.
func (r *journalRun) wire() []wireGroup {
	out := make([]wireGroup, len(r.Groups))
	for i, g := range r.Groups {
		out[i] = wireGroup{Matches: g.Matches, Position: g.Start.Position, FromNanos: g.Start.FromNanos}
	}
	return out
}

// readFrames turns the reader's frames into batches.
func (r *journalRun) readFrames(ctx context.Context, feed *pipeline.Feed, stdout io.Reader, meter *lagMeter) error {
	in := bufio.NewReaderSize(stdout, 64<<10)
	for {
		b, err := feed.Get(ctx)
		if err != nil {
			return nil
		}
		f, err := readFrame(in, b)
		if err != nil {
			feed.Recycle(b)
			return err
		}
		r.Input.Lag.Store(meter.behind(f.end, in.Buffered(), f.usec))
		r.deliver(feed, b, f)
	}
}

// deliver hands a batch of entries over and keeps its end for the next reader.
func (r *journalRun) deliver(feed *pipeline.Feed, b *pipeline.Batch, f frame) {
	r.works()
	if b.Lines > 0 {
		for i := range r.Groups {
			if f.started&(1<<i) != 0 {
				r.Groups[i].Start = Start{Position: b.End}
			}
		}
	}
	b.Live = r.live.Load()
	deliver(feed, b, r.Input, int64(len(b.Data)), f.cut)
	if f.end && !r.live.Swap(true) && r.OnEnd != nil {
		r.OnEnd()
	}
}

// frame is what the reader says of a batch beside its lines.
type frame struct {
	cut     int    // lines that were cut
	end     bool   // there are no more now
	started uint64 // the groups that go on after its end
	usec    uint64 // when the last entry was received, microseconds since the epoch
}

// frameHeader stands before the stamps, the masks, the lines and the cursor.
type frameHeader struct {
	Bytes, Lines, Cut, Cursor, Flags uint32
	AtNanos                          int64
	Started, Usec                    uint64
}

// The flags of a frame.
const (
	frameEnd    = 1 << iota
	frameMasked // it has masks
)

// writeFrame writes a batch for readFrame, in one write.
func writeFrame(w io.Writer, buf []byte, b *pipeline.Batch, f frame) ([]byte, error) {
	h := frameHeader{
		Bytes: uint32(len(b.Data)), Lines: uint32(b.Lines), Cut: uint32(f.cut), Cursor: uint32(len(b.End.Mark)),
		AtNanos: b.End.AtNanos, Started: f.started, Usec: f.usec,
	}
	if f.end {
		h.Flags |= frameEnd
	}
	if len(b.Masks) > 0 {
		h.Flags |= frameMasked
	}
	buf, err := binary.Append(buf[:0], binary.LittleEndian, h)
	if err != nil {
		return buf, err
	}
	for _, stamp := range b.Stamps {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(stamp))
	}
	for _, mask := range b.Masks {
		buf = binary.LittleEndian.AppendUint64(buf, mask)
	}
	buf = append(append(buf, b.Data...), b.End.Mark...)
	_, err = w.Write(buf)
	return buf, err
}

// readFrame fills a batch with a frame.
func readFrame(r io.Reader, b *pipeline.Batch) (frame, error) {
	var h frameHeader
	if err := binary.Read(r, binary.LittleEndian, &h); err != nil {
		return frame{}, err
	}
	if h.Bytes > pipeline.BatchSize || h.Lines > h.Bytes || h.Cut > h.Lines || h.Cursor > 4096 {
		return frame{}, fmt.Errorf("journal reader sent a frame of %d bytes, %d lines", h.Bytes, h.Lines)
	}
	if cap(b.Data) < int(h.Bytes) {
		b.Data = make([]byte, 0, pipeline.BatchSize)
	}
	var word [8]byte
	for range h.Lines {
		if _, err := io.ReadFull(r, word[:]); err != nil {
			return frame{}, unexpected(err)
		}
		b.Stamps = append(b.Stamps, int64(binary.LittleEndian.Uint64(word[:])))
	}
	if h.Flags&frameMasked != 0 {
		for range h.Lines {
			if _, err := io.ReadFull(r, word[:]); err != nil {
				return frame{}, unexpected(err)
			}
			b.Masks = append(b.Masks, binary.LittleEndian.Uint64(word[:]))
		}
	}
	b.Data = b.Data[:h.Bytes]
	cursor := make([]byte, h.Cursor)
	if _, err := io.ReadFull(r, b.Data); err != nil {
		return frame{}, unexpected(err)
	}
	if _, err := io.ReadFull(r, cursor); err != nil {
		return frame{}, unexpected(err)
	}
	b.Lines = int(h.Lines)
	b.End = pipeline.Position{Mark: string(cursor), AtNanos: h.AtNanos}
	return frame{cut: int(h.Cut), end: h.Flags&frameEnd != 0, started: h.Started, usec: h.Usec}, nil
}

// unexpected is the error for an end inside a frame: the reader was killed.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// lastWords keeps the beginning of what a reader wrote to stderr.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := 1024 - len(l.text); room > 0 {
		l.text = append(l.text, p[:min(len(p), room)]...)
	}
	return len(p), nil
}

// take returns it, without the end of its last line, and forgets it.
func (l *lastWords) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(string(l.text))
	l.text = nil
	return text
}
