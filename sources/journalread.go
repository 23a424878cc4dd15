package sources

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

const (
	// journald announces what it wrote 250 ms later (it gathers), but it can be
	// read at once. So the end of the journal is looked at every 10 ms, which
	// costs 1.4 % of a core, and, when it was quiet for a minute, every 20 ms.
	pollBusy   = 10 * time.Millisecond
	pollQuiet  = 20 * time.Millisecond
	quietAfter = time.Minute

	// Rotated and vacuumed files are noticed only in sd_journal_process.
	processEvery = 250 * time.Millisecond

	entriesPerBlock = 1024
	maxErrors       = 100 // in a row, then the reader gives up and is started anew
)

// errNoLibsystemd says that this program cannot read the journal by itself.
var errNoLibsystemd = errors.New("no libsystemd")

// readerOptions is what the reader process is told, as one line of JSON on its stdin.
type readerOptions struct {
	JournalOptions
	At wireStart
}

// wireStart is the part of Start that goes through the pipe.
type wireStart struct {
	Position  pipeline.Position
	FromNanos int64
}

func (s Start) wire() wireStart { return wireStart{Position: s.Position, FromNanos: s.FromNanos} }

// journalHandle is an open journal. One goroutine uses it.
type journalHandle interface {
	// next calls entry for up to n further entries, as many as fit a batch whatever
	// has to be escaped, and returns how many there were: 0 at the end.
	next(n int, entry func(*journalEntry)) (int, error)
	// cursor returns the cursor of the last entry.
	cursor() (string, error)
	// seekCursor makes next begin after the entry with the cursor, or, where that
	// one is gone, with the first that is younger.
	seekCursor(cursor string) error
	seekRealtime(usec uint64) error
	// process takes notice of files that came and went.
	process() error
	close()
}

// RunJournalReader is the other end of Journal: it reads options from stdin and
// writes entries to stdout until stdin or stdout is closed. Its error is for
// stderr and an exit status of ExitStatus(err).
func RunJournalReader(stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	var o readerOptions
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		// Whoever started us holds the other end; when it is gone, so are we.
		_, _ = io.Copy(io.Discard, in)
		close(gone)
	}()
	h, err := openJournal(o.JournalOptions)
	if err != nil {
		return err
	}
	defer h.close()
	if err := seek(h, o.At); err != nil {
		return err
	}
	r := journalReader{handle: h, out: stdout, messageOnly: o.MessageOnly}
	return r.loop(gone)
}

// JournalReaderStatus returns the exit status for RunJournalReader's error.
func JournalReaderStatus(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNoLibsystemd):
		return exitNoLibsystem
	}
	return 1
}

// seek goes to the start. A position whose cursor libsystemd does not take gives
// way to its time. There is no seeking to the tail: with matches that have no
// entry yet it loses the first ones that come.
func seek(h journalHandle, at wireStart) error {
	if at.Position.Mark != "" && h.seekCursor(at.Position.Mark) == nil {
		return nil
	}
	if err := h.seekRealtime(uint64(max(at.Position.AtNanos, at.FromNanos, 0)) / 1000); err != nil {
		return fmt.Errorf("seek journal: %w", err)
	}
	return nil
}

// journalReader is the reader process.
type journalReader struct {
	handle      journalHandle
	out         io.Writer
	messageOnly bool

	batch pipeline.Batch
	cut   int
	frame []byte
	err   error // of a write
	ended bool  // the end was told
}

// loop reads what is there, tells it, and waits for more.
func (r *journalReader) loop(gone <-chan struct{}) error {
	r.batch.Data = make([]byte, 0, pipeline.BatchSize)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var processed, last time.Time
	unprocessed := 0
	for failures := 0; ; {
		now := time.Now()
		n, err := r.handle.next(entriesPerBlock, r.add)
		if err == nil {
			err = r.flush()
		}
		if r.err != nil {
			return nil // nobody listens any more
		}
		if unprocessed += n; err != nil || unprocessed >= entriesPerBlock || now.Sub(processed) >= processEvery {
			processed, unprocessed = now, 0
			if processErr := r.handle.process(); err == nil {
				err = processErr
			}
		}
		switch {
		case err != nil:
			if failures++; failures == maxErrors {
				return fmt.Errorf("read journal: %w", err)
			}
		case n > 0:
			failures, last = 0, now
			select {
			case <-gone:
				return nil
			default:
				continue
			}
		}
		pause := pollBusy
		if now.Sub(last) > quietAfter {
			pause = pollQuiet
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-gone:
			return nil
		}
	}
}

// add lays an entry out into the batch. What next reads at once fits.
func (r *journalReader) add(e *journalEntry) {
	var cut bool
	r.batch.Data, cut = e.appendLine(r.batch.Data, r.messageOnly)
	if cut {
		r.cut++
	}
	r.batch.Lines++
	r.batch.Stamps = append(r.batch.Stamps, e.stamp())
}

// flush tells what was read, and the first time that the end is reached.
func (r *journalReader) flush() error {
	if r.batch.Lines == 0 {
		if !r.ended {
			r.ended = true
			r.write(pipeline.Position{})
		}
		return nil
	}
	cursor, err := r.handle.cursor()
	if err != nil {
		return err
	}
	r.write(pipeline.Position{Mark: cursor, AtNanos: r.batch.Stamps[len(r.batch.Stamps)-1]})
	return nil
}

func (r *journalReader) write(end pipeline.Position) {
	r.batch.End = end
	if r.err == nil {
		r.frame, r.err = writeFrame(r.out, r.frame, &r.batch, r.cut)
	}
	r.batch.Reset()
	r.cut = 0
}

// globAll expands the patterns of Options.Files to the files that exist.
func globAll(patterns []string) (files []string) {
	for _, pattern := range patterns {
		for _, name := range visible(filepath.Clean(pattern)) {
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				files = append(files, name)
			}
		}
	}
	return files
}
