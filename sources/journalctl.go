package sources

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// journalctlArgs returns the journalctl that follows the journal from the start
// on, in its export format.
func journalctlArgs(o JournalOptions, at Start) []string {
	args := []string{"journalctl", "--follow", "--no-tail", "--quiet", "--no-pager", "--all", "--output=export",
		"--output-fields=" + strings.Join(journalFields[:], ",")}
	switch {
	case len(o.Files) > 0:
		for _, file := range o.Files {
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
	if at.Position.Mark != "" {
		args = append(args, "--after-cursor="+at.Position.Mark)
	} else if at.FromNanos > 0 {
		args = append(args, fmt.Sprintf("--since=@%d.%06d", at.FromNanos/1e9, at.FromNanos/1000%1e6))
	}
	for i, all := range o.Matches {
		if i > 0 {
			args = append(args, "+")
		}
		args = append(args, all...)
	}
	return args
}

// readExport turns journalctl's entries into batches: all that came with one
// read, as far as a batch has room.
func (r *journalRun) readExport(ctx context.Context, feed *pipeline.Feed, stdout io.Reader) error {
	in := exportReader{r: bufio.NewReaderSize(stdout, 2*MaxLine)}
	for {
		b, err := feed.Get(ctx)
		if err != nil {
			return nil
		}
		cut, err := in.fill(b, r.Options.MessageOnly)
		if b.Lines == 0 && err != nil {
			feed.Recycle(b)
			return err
		}
		r.deliver(feed, b, cut)
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
}

// fill reads at least one entry into the batch and those that are there already.
func (x *exportReader) fill(b *pipeline.Batch, messageOnly bool) (cut int, err error) {
	for {
		if err := x.next(); err != nil {
			return cut, err
		}
		var long bool
		b.Data, long = x.entry.appendLine(b.Data, messageOnly)
		if long {
			cut++
		}
		b.Lines++
		b.Stamps = append(b.Stamps, x.entry.stamp())
		b.End = pipeline.Position{Mark: x.cursor, AtNanos: x.entry.stamp()}
		// An entry laid out may have twice its bytes, and is cut only then.
		if x.r.Buffered() == 0 || len(b.Data)+2*MaxLine+8<<10 > pipeline.BatchSize {
			return cut, nil
		}
	}
}

// next reads one entry. An entry that does not end is no entry.
func (x *exportReader) next() error {
	x.entry = journalEntry{}
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
}
