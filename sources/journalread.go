package sources

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

const (
	// journald announces what it wrote 250 ms later (it gathers), but it can be
	// read at once. So the end of the journal is looked at every 5 ms, which
	// costs 0.8 % of a core, and, when it was quiet for a minute, every 10 ms.
	pollBusy   = 5 * time.Millisecond
	pollQuiet  = 10 * time.Millisecond
	quietAfter = time.Minute

	// Rotated and vacuumed files are noticed only in sd_journal_process.
	processEvery = 250 * time.Millisecond

	entriesPerBlock = 1024
	maxErrors       = 100 // in a row, then the reader gives up and is started anew
)

// errNoLibsystemd says that this program cannot read the journal by itself.
var errNoLibsystemd = errors.New("no libsystemd")

// polling is how often the end of the journal is looked at again before it is one.
type polling struct {
	looks int
	every time.Duration
}

// readerOptions is what the reader process is told, as one line of JSON on its
// stdin. Matches of the options are those of all groups.
type readerOptions struct {
	JournalOptions
	Groups []wireGroup
}

// journalHandle is an open journal. One goroutine uses it.
type journalHandle interface {
	// next calls entry for up to n further entries, as many as fit a batch whatever
	// has to be escaped, and returns how many there were. end says that there are
	// no more now, also after the further looks that wait asks for.
	next(n int, wait polling, entry func(*journalEntry)) (got int, end bool, err error)
	// isAt says whether the last entry is the one with the cursor.
	isAt(cursor string) bool
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
	if len(o.Groups) == 0 {
		return errors.New("read options: no group")
	}
	sorter, err := newSorter(o.Groups)
	if err != nil {
		return err
	}
	r := journalReader{options: o.JournalOptions, sorter: sorter, out: stdout}
	if err := r.open(); err != nil {
		return err
	}
	defer func() { r.handle.close() }()
	if r.usec, err = seek(r.handle, sorter); err != nil {
		return err
	}
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

// seek goes to where the first group starts, and returns when that was. A position whose cursor libsystemd
// does not take gives way to its time. There is no seeking to the tail: with
// matches that have no entry yet it loses the first ones that come.
func seek(h journalHandle, s *sorter) (fromUsec uint64, err error) {
	if cursor, ok := s.together(); ok && h.seekCursor(cursor) == nil {
		s.startAll()
		return s.groups[0].fromUsec, nil
	}
	from := s.earliest(func(cursor string) bool {
		if h.seekCursor(cursor) != nil {
			return false
		}
		return h.isAt(cursor)
	})
	if err := h.seekRealtime(from); err != nil {
		return 0, fmt.Errorf("seek journal: %w", err)
	}
	return from, nil
}

// journalReader is the reader process.
type journalReader struct {
	options JournalOptions
	handle  journalHandle
	files   []fileID // that are open, of Options.Files
	sorter  *sorter
	out     io.Writer

	batch pipeline.Batch
	cut   int
	usec  uint64 // when the last entry was received; before it, where the reading began
	frame []byte
	err   error // of a write
	ended bool  // the end was told
}

// open opens the journal.
func (r *journalReader) open() (err error) {
	r.files = identities(r.options.openedFiles())
	if r.handle, err = openJournal(r.options, r.sorter.fields); err != nil {
		return err
	}
	if err := readable(r.options); err != nil {
		r.handle.close()
		return err
	}
	return nil
}

// loop reads what is there, tells it, and waits for more. That nobody listens any
// more it notices between two waits, of processEvery each.
func (r *journalReader) loop(gone <-chan struct{}) error {
	r.batch.Data = make([]byte, 0, pipeline.BatchSize)
	var processed, last time.Time
	unprocessed := 0
	for failures := 0; ; {
		wait := polling{} // the end is told before it is waited at
		if r.ended {
			wait = polling{looks: int(processEvery / pollBusy), every: pollBusy}
			if time.Since(last) > quietAfter {
				wait = polling{looks: int(processEvery / pollQuiet), every: pollQuiet}
			}
		}
		n, end, err := r.fill(wait)
		now := time.Now()
		if err == nil {
			err = r.flush(end)
		}
		if r.err != nil {
			return nil // nobody listens any more
		}
		if unprocessed += n; err != nil || unprocessed >= entriesPerBlock || now.Sub(processed) >= processEvery {
			processed, unprocessed = now, 0
			if processErr := r.process(end); err == nil {
				err = processErr
			}
		}
		pause := time.Duration(0)
		switch {
		case err != nil:
			pause = pollBusy
			if failures++; failures == maxErrors {
				return fmt.Errorf("read journal: %w", err)
			}
		case n > 0:
			failures, last = 0, now
		}
		if pause == 0 {
			select {
			case <-gone:
				return nil
			default:
				continue
			}
		}
		select {
		case <-gone:
			return nil
		case <-time.After(pause):
		}
	}
}

// fill reads a block of entries; one by one while a group waits for its own.
func (r *journalReader) fill(wait polling) (n int, end bool, err error) {
	if r.sorter.pending == 0 {
		return r.handle.next(entriesPerBlock, wait, r.add)
	}
	for n < entriesPerBlock && len(r.batch.Data) < pipeline.BatchSize/4 && !end {
		var got int
		if got, end, err = r.handle.next(1, polling{}, r.add); err != nil {
			break
		}
		n += got
		r.sorter.passed(r.handle.isAt)
	}
	if end {
		r.sorter.startAll()
	}
	return n, end, err
}

// process takes notice of files that came and went. libsystemd looks for them in
// a directory only: where the files are named, a new one is taken up by opening
// all of them again, when what was open has been read to its end. Nothing is
// written to a file any more when its successor is there.
func (r *journalReader) process(end bool) error {
	if !end || len(r.options.Files) == 0 {
		return r.handle.process()
	}
	now := identities(r.options.openedFiles())
	if len(now) == 0 || !slices.ContainsFunc(now, func(id fileID) bool { return !slices.Contains(r.files, id) }) {
		return r.handle.process()
	}
	// Once more to the end, as the successor may have come after that was reached.
	for more := true; more; {
		n, end, err := r.fill(polling{})
		if err != nil {
			return err
		}
		if err := r.flush(end); err != nil {
			return err
		}
		more = n > 0
	}
	cursor, err := r.handle.cursor()
	if err != nil {
		cursor = "" // nothing was read yet
	}
	old := r.handle
	if err := r.open(); err != nil {
		r.handle = old
		return err
	}
	old.close()
	if cursor != "" && r.handle.seekCursor(cursor) == nil {
		return nil
	}
	return r.handle.seekRealtime(r.usec)
}

// add lays an entry out into the batch. What next reads at once fits.
func (r *journalReader) add(e *journalEntry) {
	r.usec = e.realtime
	if addEntry(&r.batch, e, r.sorter, r.options.MessageOnly) {
		r.cut++
	}
}

// addEntry adds the line of an entry to a batch, for the groups that take it,
// if any, and says whether it was cut.
func addEntry(b *pipeline.Batch, e *journalEntry, s *sorter, messageOnly bool) (cut bool) {
	mask := s.mask(e) & s.reached(e.realtime)
	if mask == 0 {
		return false
	}
	b.Data, cut = e.appendLine(b.Data, messageOnly)
	b.Lines++
	b.Stamps = append(b.Stamps, e.stamp())
	if len(s.groups) > 1 {
		b.Masks = append(b.Masks, mask)
	}
	return cut
}

// flush tells what was read, and where that is the end.
func (r *journalReader) flush(end bool) error {
	if r.batch.Lines == 0 {
		if end && !r.ended {
			r.write(pipeline.Position{}, end)
		}
		return nil
	}
	cursor, err := r.handle.cursor()
	if err != nil {
		return err
	}
	r.write(pipeline.Position{Mark: cursor, AtNanos: r.batch.Stamps[len(r.batch.Stamps)-1]}, end)
	return nil
}

func (r *journalReader) write(at pipeline.Position, end bool) {
	f := frame{cut: r.cut, end: end, started: r.sorter.all() &^ r.sorter.pending, usec: r.usec}
	r.batch.End, r.ended = at, end
	if r.err == nil {
		r.frame, r.err = writeFrame(r.out, r.frame, &r.batch, f)
	}
	r.batch.Reset()
	r.cut = 0
}
