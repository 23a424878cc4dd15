package sources

import (
	"bytes"
	"io"
)

const (
	probeSize  = 64 << 10 // bytes in which a probe must find a line with a time
	nearEnough = 4 << 10  // bytes that are no longer halved
)

// searchTime returns the offset of the first line of r that is not older than
// fromNanos, by halving: the times in a log grow. Where at finds no time the
// search goes to the earlier half: rather too much is read than a line lost.
// Where all lines are older it is the end of the last whole line.
func searchTime(r io.ReaderAt, size, fromNanos int64, at func(line []byte) (atNanos int64, ok bool)) int64 {
	buf := make([]byte, probeSize)
	older, newer := int64(0), size
	for newer-older > nearEnough {
		middle := older + (newer-older)/2
		start, nanos, ok := probe(r, buf, middle, at)
		if ok && nanos < fromNanos && start < newer {
			older = start
		} else {
			newer = middle
		}
	}
	return scanTime(r, buf, older, fromNanos, at)
}

// lineStart returns the start of the line that stands unfinished at the end of
// r, or size where none does or it is too long to matter.
func lineStart(r io.ReaderAt, size int64) int64 {
	buf := make([]byte, min(size, MaxLine))
	n, _ := r.ReadAt(buf, size-int64(len(buf)))
	last := bytes.LastIndexByte(buf[:n], '\n')
	if last < 0 && size > MaxLine {
		return size
	}
	return size - int64(n-last-1)
}

// probe returns the start and the time of the first dated line that begins after
// the byte before off.
func probe(r io.ReaderAt, buf []byte, off int64, at func([]byte) (int64, bool)) (start, nanos int64, ok bool) {
	n, _ := r.ReadAt(buf, off)
	block := buf[:n]
	i := bytes.IndexByte(block, '\n') + 1
	if i == 0 {
		return 0, 0, false
	}
	for {
		end := bytes.IndexByte(block[i:], '\n')
		if end < 0 {
			return 0, 0, false
		}
		if nanos, ok := at(block[i : i+end]); ok {
			return off + int64(i), nanos, true
		}
		i += end + 1
	}
}

// scanTime looks at one line after the other from off on, which a line begins at.
// It gives up, with off, where a block has no time in it.
func scanTime(r io.ReaderAt, buf []byte, off, fromNanos int64, at func([]byte) (int64, bool)) int64 {
	from := off
	for {
		n, _ := r.ReadAt(buf, from)
		block, dated := buf[:n], false
		for {
			end := bytes.IndexByte(block, '\n')
			if end < 0 {
				break
			}
			nanos, ok := at(block[:end])
			if ok && nanos >= fromNanos {
				return from
			}
			dated = dated || ok
			from += int64(end) + 1
			block = block[end+1:]
		}
		if n < len(buf) {
			if !dated && from-off > 0 {
				return off
			}
			return from
		}
		if !dated {
			return off
		}
		off = from
	}
}
