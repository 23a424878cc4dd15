package sources

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// journalctlArgs returns the journalctl that follows the journal, in its export
// format, from where the first group of s starts (nil: from its beginning).
func journalctlArgs(o JournalOptions, s *sorter) []string {
	fields := strings.Join(journalFields[:], ",")
	if s != nil && len(s.fields) > 0 {
		fields += "," + strings.Join(s.fields, ",")
	}
	args := append([]string{"journalctl", "--follow", "--no-tail", "--quiet", "--no-pager", "--all", "--output=export", "--output-fields=" + fields},
		whichJournal(o)...)
	if s != nil {
		if cursor, ok := s.together(); ok {
			// Not --after-cursor: where the entry is gone, or none of the matches', that
			// leaves out the one after it.
			args = append(args, "--cursor="+cursor)
			s.startAll()
			s.after = cursor
		} else if usec := s.earliest(func(cursor string) bool { return journalctlHas(o, cursor) }); usec > 0 {
			args = append(args, fmt.Sprintf("--since=@%d.%06d", usec/1e6, usec%1e6))
		}
	}
	return append(args, matchArgs(o)...)
}

// matchArgs returns journalctl's arguments for the matches.
func matchArgs(o JournalOptions) (args []string) {
	for i, all := range o.Matches {
		if i > 0 {
			args = append(args, "+")
		}
		args = append(args, all...)
	}
	return args
}

// journalctlHas says whether the entry with a cursor is still there, among those
// that are read.
func journalctlHas(o JournalOptions, cursor string) bool {
	args := append([]string{"--quiet", "--no-pager", "--output=export", "--output-fields=_PID", "--lines=1", "--cursor=" + cursor}, whichJournal(o)...)
	out, err := exec.Command("journalctl", append(args, matchArgs(o)...)...).Output()
	return err == nil && bytes.Contains(out, []byte("__CURSOR="+cursor+"\n"))
}

// whichJournal returns journalctl's arguments for the journal.
func whichJournal(o JournalOptions) (args []string) {
	switch {
	case len(o.Files) > 0:
		for _, file := range o.openedFiles() {
			args = append(args, "--file="+file)
		}
	case o.Path != "":
		args = append(args, "--directory="+o.Path)
	case o.Namespace != "":
		args = append(args, "--namespace="+o.Namespace)
	case o.Flags&4 != 0:
		args = append(args, "--system")
	case o.Flags&8 != 0:
		args = append(args, "--user")
	}
	return args
}

// readExport turns journalctl's entries into batches: all that came with one
// read, as far as a batch has room.
func (r *journalRun) readExport(ctx context.Context, feed *pipeline.Feed, stdout io.Reader, s *sorter, meter *lagMeter) error {
	in := exportReader{r: bufio.NewReaderSize(stdout, 2*MaxLine), sorter: s, meter: meter}
	in.entry.extra = make([][][]byte, len(s.fields))
	for {
		b, err := feed.Get(ctx)
		if err != nil {
			return nil
		}
		f, err := in.fill(b, r.Options.MessageOnly)
		if b.Lines == 0 && err != nil {
			feed.Recycle(b)
			return err
		}
		r.Input.Lag.Store(in.behind)
		r.deliver(feed, b, f)
		if err != nil {
			return err
		}
	}
}

// exportReader reads systemd's journal export format
// (https://systemd.io/JOURNAL_EXPORT_FORMATS): FIELD=value lines, or FIELD alone,
// then the length as 64 bits, little-endian, the value and a line feed; an empty
// line ends an entry.
type exportReader struct {
	r      *bufio.Reader
	entry  journalEntry
	cursor string
	sorter *sorter
	meter  *lagMeter
	behind int64 // bytes that are not read yet
}

// fill reads at least one entry into the batch and those that are there already.
func (x *exportReader) fill(b *pipeline.Batch, messageOnly bool) (f frame, err error) {
	for {
		if err := x.next(); err != nil {
			return f, err
		}
		if at := x.sorter.after; at != "" {
			if x.sorter.after = ""; x.cursor == at {
				continue // it was read before
			}
		}
		if addEntry(b, &x.entry, x.sorter, messageOnly) {
			f.cut++
		}
		x.sorter.passed(func(cursor string) bool { return cursor == x.cursor })
		f.started = x.sorter.all() &^ x.sorter.pending
		b.End = pipeline.Position{Mark: x.cursor, AtNanos: x.entry.stamp()}
		// An entry laid out may have twice its bytes, and is cut only then.
		if x.r.Buffered() == 0 || len(b.Data)+2*MaxLine+8<<10 > pipeline.BatchSize {
			// journalctl does not say when it is at the end.
			just := time.Now().UnixMicro()-int64(x.entry.realtime) < time.Second.Microseconds()
			x.behind = x.meter.behind(just, x.r.Buffered(), x.entry.realtime)
			f.end = x.behind == 0
			return f, nil
		}
	}
}

// next reads one entry. An entry that does not end is no entry.
func (x *exportReader) next() error {
	x.entry = journalEntry{extra: x.entry.extra}
	for i := range x.entry.extra {
		x.entry.extra[i] = nil
	}
	for seen := false; ; {
		line, err := x.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			if seen {
				return nil
			}
			continue
		}
		seen = true
		name, value, short := bytes.Cut(line, []byte{'='})
		if !short {
			if value, err = x.long(); err != nil {
				return err
			}
		}
		x.set(string(name), value)
	}
}

// line reads a line without its end. Of one that is too long the beginning and
// the end are kept.
func (x *exportReader) line() ([]byte, error) {
	part, err := x.r.ReadSlice('\n')
	if err == nil {
		return bytes.Clone(part[:len(part)-1]), nil
	}
	var s splitter
	for s.keep(part); errors.Is(err, bufio.ErrBufferFull); s.extend(bytes.TrimSuffix(part, newline)) {
		part, err = x.r.ReadSlice('\n')
	}
	return s.part, err
}

// long reads the value of a field that has line feeds in it. Of a message that is
// too long the beginning and the end are kept.
func (x *exportReader) long() ([]byte, error) {
	var size uint64
	if err := binary.Read(x.r, binary.LittleEndian, &size); err != nil {
		return nil, err
	}
	kept := min(size, MaxLine+1)
	value := make([]byte, kept)
	if _, err := io.ReadFull(x.r, value); err != nil {
		return nil, err
	}
	if size > kept {
		skip := size - kept - min(size-kept, keepTail)
		if _, err := io.CopyN(io.Discard, x.r, int64(skip)); err != nil {
			return nil, err
		}
		tail := value[MaxLine+1-int(size-kept-skip):]
		if _, err := io.ReadFull(x.r, tail); err != nil {
			return nil, err
		}
	}
	end, err := x.r.ReadByte()
	if err == nil && end != '\n' {
		err = errors.New("journalctl: a value does not end where it says")
	}
	return value, err
}

func (x *exportReader) set(name string, value []byte) {
	switch name {
	case "__CURSOR":
		x.cursor = string(value)
	case "__REALTIME_TIMESTAMP":
		x.entry.realtime, _ = strconv.ParseUint(string(value), 10, 64)
	case "__MONOTONIC_TIMESTAMP":
		x.entry.monotonic, _ = strconv.ParseUint(string(value), 10, 64)
	}
	for i, field := range journalFields {
		if name == field && len(x.entry.fields[i]) == 0 {
			x.entry.fields[i] = value
		}
	}
	for i, field := range x.sorter.fields {
		if name == field {
			x.entry.extra[i] = append(x.entry.extra[i], value)
		}
	}
}
