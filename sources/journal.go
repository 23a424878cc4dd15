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
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// JournalOptions say what of which journal is read. They are fail2ban's
// journalmatch and systemd[...] options.
type JournalOptions struct {
	// Matches has the alternatives; each is a list of FIELD=value that must all
	// hold (of several values for one field, one). None: every entry.
	Matches [][]string

	Flags     int      // sd_journal_open(3): 1 local only, 4 system only; 0: all
	Path      string   // a directory of journal files
	Files     []string // or the files themselves, patterns of Python's glob
	Namespace string

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
type Journal struct {
	Input   *pipeline.Input
	Options JournalOptions
	Start   Start // Position, Tail (now) and FromNanos are heeded
	Log     *slog.Logger

	// Command starts RunJournalReader in another process; nil is this program's
	// own file and "journal-reader".
	Command []string
}

var _ pipeline.Source = (*Journal)(nil)

const (
	restartPause    = time.Second // between two starts of a reader that dies
	exitNoLibsystem = 3           // the reader's exit status: it has no libsystemd
)

// Run reads the journal until ctx is done, which is no error.
func (j *Journal) Run(ctx context.Context, feed *pipeline.Feed) error {
	log := j.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := journalRun{Journal: j, log: log, at: j.Start, useJournalctl: JournalBackend() != "libsystemd"}
	if r.at.Tail && r.at.Position.Mark == "" {
		// "Now" is the time of the start and stays it when the reader is started again.
		r.at.FromNanos = time.Now().UnixNano()
	}
	for ctx.Err() == nil {
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
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("read journal: %w", err)
		}
		log.Error("journal reader ended, it is started again", "error", err)
		select {
		case <-time.After(restartPause):
		case <-ctx.Done():
		}
	}
	return nil
}

// journalRun is the state of one Run.
type journalRun struct {
	*Journal
	log           *slog.Logger
	at            Start // where the next reader begins
	live          bool  // the end was reached once
	useJournalctl bool
}

// once runs one reader until it ends.
func (r *journalRun) once(ctx context.Context, feed *pipeline.Feed) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args := r.Command
	if args == nil {
		args = []string{"/proc/self/exe", "journal-reader"}
	}
	if r.useJournalctl {
		args = journalctlArgs(r.Options, r.at)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.WaitDelay = time.Second
	// A reader that is killed says nothing; what it does say goes to the log.
	cmd.Stderr = &lineLogger{log: r.log}
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
		err = r.readExport(ctx, feed, stdout)
	} else {
		// stdin stays open: its end is how the reader learns that we are gone.
		if err = json.NewEncoder(stdin).Encode(readerOptions{JournalOptions: r.Options, At: r.at.wire()}); err == nil {
			err = r.readFrames(ctx, feed, stdout)
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

// readFrames turns the reader's frames into batches.
func (r *journalRun) readFrames(ctx context.Context, feed *pipeline.Feed, stdout io.Reader) error {
	in := bufio.NewReaderSize(stdout, 64<<10)
	for {
		b, err := feed.Get(ctx)
		if err != nil {
			return nil
		}
		cut, err := readFrame(in, b)
		if err != nil {
			feed.Recycle(b)
			return err
		}
		r.deliver(feed, b, cut)
	}
}

// deliver hands a batch of entries over and keeps its end for the next reader. An
// empty one says that the end of the journal was reached.
func (r *journalRun) deliver(feed *pipeline.Feed, b *pipeline.Batch, cut int) {
	if b.Lines == 0 {
		r.live = true
	} else {
		r.at.Position = b.End
	}
	b.Live = r.live
	deliver(feed, b, r.Input, int64(len(b.Data)), cut)
}

// frameHeader stands before the stamps, the lines and the cursor.
type frameHeader struct {
	Bytes, Lines, Cut, Cursor uint32
	AtNanos                   int64
}

// writeFrame writes a batch for readFrame, in one write.
func writeFrame(w io.Writer, buf []byte, b *pipeline.Batch, cut int) ([]byte, error) {
	h := frameHeader{uint32(len(b.Data)), uint32(b.Lines), uint32(cut), uint32(len(b.End.Mark)), b.End.AtNanos}
	buf, err := binary.Append(buf[:0], binary.LittleEndian, h)
	if err != nil {
		return buf, err
	}
	for _, stamp := range b.Stamps {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(stamp))
	}
	buf = append(append(buf, b.Data...), b.End.Mark...)
	_, err = w.Write(buf)
	return buf, err
}

// readFrame fills a batch with a frame and returns how many of its lines were cut.
func readFrame(r io.Reader, b *pipeline.Batch) (cut int, err error) {
	var h frameHeader
	if err := binary.Read(r, binary.LittleEndian, &h); err != nil {
		return 0, err
	}
	if h.Bytes > pipeline.BatchSize || h.Lines > h.Bytes || h.Cursor > 4096 {
		return 0, fmt.Errorf("journal reader sent a frame of %d bytes, %d lines", h.Bytes, h.Lines)
	}
	if cap(b.Data) < int(h.Bytes) {
		b.Data = make([]byte, 0, pipeline.BatchSize)
	}
	var stamp [8]byte
	for range h.Lines {
		if _, err := io.ReadFull(r, stamp[:]); err != nil {
			return 0, unexpected(err)
		}
		b.Stamps = append(b.Stamps, int64(binary.LittleEndian.Uint64(stamp[:])))
	}
	b.Data = b.Data[:h.Bytes]
	cursor := make([]byte, h.Cursor)
	if _, err := io.ReadFull(r, b.Data); err != nil {
		return 0, unexpected(err)
	}
	if _, err := io.ReadFull(r, cursor); err != nil {
		return 0, unexpected(err)
	}
	b.Lines = int(h.Lines)
	b.End = pipeline.Position{Mark: string(cursor), AtNanos: h.AtNanos}
	return int(h.Cut), nil
}

// unexpected is the error for an end inside a frame: the reader was killed.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// lineLogger logs what a reader writes to stderr.
type lineLogger struct{ log *slog.Logger }

func (l *lineLogger) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.log.Warn("journal reader says", "text", string(p[:min(len(p), 1024)]))
	}
	return len(p), nil
}
