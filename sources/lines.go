package sources

import (
	"bytes"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// MaxLine is the number of bytes that a line may have without its '\n'. A longer
// one is cut for matching: its first 60 KiB and its last 4 KiB are kept, back to
// back, and it is counted in Input.Cut.
const MaxLine = 64 << 10

const (
	keepTail = 4 << 10
	keepHead = MaxLine - keepTail
)

// splitter turns what is read, in whatever pieces it comes, into batches of
// whole lines. The bytes of a line whose end was not read yet are kept here, at
// most MaxLine of them. The zero splitter stands at the start of a line.
//
// A round is: read into space(b), then split(b, n).
type splitter struct {
	part []byte // the unfinished line; of a long one the head and the latest tail
	size int64  // its length so far
}

// long says whether the unfinished line is already known to be too long. Then
// part is exactly MaxLine bytes.
func (s *splitter) long() bool { return s.size > MaxLine }

// space returns the part of b's memory to read into. What the line before left
// unfinished is in front of it.
func (s *splitter) space(b *pipeline.Batch) []byte {
	if cap(b.Data) < pipeline.BatchSize {
		b.Data = make([]byte, 0, pipeline.BatchSize)
	}
	if s.long() {
		// Room for the cut line, should its end be among what is read.
		return b.Data[MaxLine+1 : cap(b.Data)]
	}
	b.Data = append(b.Data[:0], s.part...)
	return b.Data[len(b.Data):cap(b.Data)]
}

// split makes b's data the whole lines that the n bytes read into space(b)
// completed, sets b.Lines and returns how many of them were cut.
func (s *splitter) split(b *pipeline.Batch, n int) (cut int) {
	data := b.Data[:len(b.Data)+n]
	fresh := data[len(b.Data):]
	if s.long() {
		fresh = b.Data[MaxLine+1 : MaxLine+1+n]
		end := bytes.IndexByte(fresh, '\n')
		if end < 0 {
			s.extend(fresh)
			b.Data, b.Lines = b.Data[:0], 0
			return 0
		}
		s.extend(fresh[:end])
		fresh = fresh[end+1:]
		data = b.Data[:MaxLine+1+copy(b.Data[MaxLine+1:cap(b.Data)], fresh)]
		copy(data, s.part)
		data[MaxLine] = '\n'
		s.part, s.size = s.part[:0], 0
		fresh, cut = data[MaxLine:], 1
	}
	// Only what is new can hold a '\n': a line that comes byte by byte is not searched again.
	last := bytes.LastIndexByte(fresh, '\n')
	if last < 0 && len(data) <= MaxLine {
		s.part, s.size = append(s.part, fresh...), int64(len(data))
		b.Data, b.Lines = b.Data[:0], 0
		return 0
	}
	end := len(data) - len(fresh) + last + 1
	if last < 0 {
		end = 0
	}
	s.keep(data[end:])
	data, more := cutLong(data[:end])
	b.Data, b.Lines = data, bytes.Count(data, newline)
	return cut + more
}

var newline = []byte{'\n'}

// keep makes rest the unfinished line.
func (s *splitter) keep(rest []byte) {
	s.size = int64(len(rest))
	if len(rest) == 0 && cap(s.part) > 1024 {
		s.part = nil // a thousand files must not hold 64 KiB each for one long line
	}
	if !s.long() {
		s.part = append(s.part[:0], rest...)
		return
	}
	s.part = append(s.part[:0], rest[:keepHead]...)
	s.part = append(s.part, rest[len(rest)-keepTail:]...)
}

// extend adds the bytes to the unfinished long line: only its tail changes.
func (s *splitter) extend(more []byte) {
	s.size += int64(len(more))
	tail := s.part[keepHead:]
	if len(more) >= keepTail {
		copy(tail, more[len(more)-keepTail:])
		return
	}
	copy(tail, tail[len(more):])
	copy(tail[keepTail-len(more):], more)
}

// finish makes b's data the unfinished line with a '\n' added, where there is
// one, and returns 1 if it was cut. The splitter stands at the start of a line then.
func (s *splitter) finish(b *pipeline.Batch) (cut int) {
	b.Data, b.Lines = b.Data[:0], 0
	if s.size == 0 {
		return 0
	}
	b.Data, b.Lines = append(append(b.Data, s.part...), '\n'), 1
	if s.long() {
		cut = 1
	}
	s.keep(nil)
	return cut
}

// cutLong cuts the lines of data that are too long, in place, and returns what
// is left and how many there were. It looks at the ends of stretches of MaxLine
// bytes only: where a '\n' is near, no line in the stretch is too long.
func cutLong(data []byte) (short []byte, cut int) {
	at := 0
	for len(data)-at > MaxLine {
		stretch := data[at : at+MaxLine+1]
		if end := bytes.LastIndexByte(stretch, '\n'); end >= 0 {
			at += end + 1
			continue
		}
		end := at + MaxLine + bytes.IndexByte(data[at+MaxLine:], '\n')
		kept := at + keepHead
		n := copy(data[kept:], data[end-keepTail:])
		data = data[:kept+n]
		at += MaxLine + 1
		cut++
	}
	return data, cut
}

// deliver completes a batch whose data and line count are set and hands it over:
// the number of its first line, the input's counters. A batch without lines goes
// back unused. bytesRead is what was read for it, cut how many lines were cut.
func deliver(feed *pipeline.Feed, b *pipeline.Batch, in *pipeline.Input, bytesRead int64, cut int) {
	in.Bytes.Add(bytesRead)
	if b.Lines == 0 {
		feed.Recycle(b)
		return
	}
	b.Input = in
	b.First = in.Lines.Add(int64(b.Lines)) - int64(b.Lines) + 1
	in.Cut.Add(int64(cut))
	feed.Put(b)
}
