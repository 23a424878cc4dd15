package sources

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// errNotRegular is what a name that leads to a directory, pipe or device gives.
var errNotRegular = errors.New("not a regular file")

// fileID tells a file from every other that exists at the same time.
type fileID struct{ dev, inode uint64 }

func idOf(st *unix.Stat_t) fileID { return fileID{dev: uint64(st.Dev), inode: st.Ino} }

// rawFile is the descriptor of a regular file, read with pread.
type rawFile int

// ReadAt is pread(2), as io.ReaderAt has it.
func (f rawFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		got, err := unix.Pread(int(f), p[n:], off+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("pread: %w", err)
		}
		if got == 0 {
			return n, io.EOF
		}
		n += got
	}
	return n, nil
}

// segment is one open file of a followed name and how far it was read.
type segment struct {
	path string // that it was opened by
	file rawFile
	id   fileID
	wd   int32 // inotify watch on the inode; -1: none

	unpacked io.Reader // of a compressed file: what is in it; offsets count its bytes

	split     splitter
	off       int64  // of the next byte to read
	size      int64  // when last looked at, as
	mtime     int64  // the time of the last write, in nanoseconds since the epoch
	head      []byte // the first bytes, as they were when read, up to headSize
	first     string // firstLineHash, once there is a first line
	tail      [tailSize]byte
	readMtime int64 // mtime when last read
	started   bool  // something of it was read, or skipped on purpose
	ended     bool  // a compressed file that was read to its end
	quiet     time.Time
	known     known
	expired   bool // held long enough for late writers
}

// openSegment opens a file to be read from its start. The caller closes it.
func openSegment(path string) (*segment, error) {
	// O_NONBLOCK: a named pipe must not hold everything up before it is refused.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "open", Path: path, Err: cmpErr(err, errNotRegular)}
	}
	g := &segment{path: path, file: rawFile(fd), id: idOf(&st), size: st.Size, mtime: st.Mtim.Nano(), wd: -1, quiet: time.Now()}
	g.known.size = g.size
	if err := g.unpack(filepath.Ext(path)); err != nil {
		g.close()
		return nil, fmt.Errorf("unpack %s: %w", path, err)
	}
	return g, nil
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// unpack prepares the file for its compression, which its name's ending says.
func (g *segment) unpack(ext string) error {
	switch strings.ToLower(ext) {
	case ".gz":
		unpacked, err := gzip.NewReader(io.NewSectionReader(g.file, 0, 1<<62))
		if err != nil {
			return err
		}
		g.unpacked = unpacked
	case ".bz2":
		g.unpacked = bzip2.NewReader(io.NewSectionReader(g.file, 0, 1<<62))
	default:
		return nil
	}
	// The head is read ahead; the reader gives it out again.
	head := make([]byte, headSize)
	n, err := io.ReadFull(g.unpacked, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	g.head = head[:n]
	g.unpacked = io.MultiReader(bytes.NewReader(g.head), g.unpacked)
	return nil
}

func (g *segment) close() { _ = unix.Close(int(g.file)) }

// stat looks at the file again: its size, and whether any name leads to it.
func (g *segment) stat() (linked bool) {
	var st unix.Stat_t
	if err := unix.Fstat(int(g.file), &st); err != nil {
		return true
	}
	g.size, g.mtime = st.Size, st.Mtim.Nano()
	return st.Nlink > 0
}

// read reads at the offset, into p, and leaves it where it is: what is kept is
// to be remembered. It returns 0 at the end.
func (g *segment) read(p []byte) (int, error) {
	if g.unpacked == nil {
		return g.readAt(p, g.off)
	}
	n, err := g.unpacked.Read(p)
	if g.ended = err != nil; errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// readAt is pread without the end of the file as an error.
func (g *segment) readAt(p []byte, off int64) (int, error) {
	n, err := g.file.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// remember takes note of what was read at the offset and moves it on.
func (g *segment) remember(p []byte) {
	if g.unpacked == nil && g.off == int64(len(g.head)) && g.off < headSize {
		g.head = append(g.head, p[:min(len(p), headSize-len(g.head))]...)
	}
	if len(p) >= tailSize {
		copy(g.tail[:], p[len(p)-tailSize:])
	} else {
		copy(g.tail[:], g.tail[len(p):])
		copy(g.tail[tailSize-len(p):], p)
	}
	g.off += int64(len(p))
	g.started = true
}

// goTo sets the offset of a file not read yet, and fills in what reading up to
// there would have left.
func (g *segment) goTo(off int64) error {
	g.started = true
	if g.unpacked != nil {
		_, err := io.CopyN(io.Discard, g.unpacked, off)
		g.off = off
		return err
	}
	g.head = g.headNow(int(min(off, headSize)))
	g.off = off
	n := int(min(off, tailSize))
	_, err := g.readAt(g.tail[tailSize-n:], off-int64(n))
	return err
}

// reaches goes to the offset, if the file, not read yet, is that long.
func (g *segment) reaches(off int64) bool {
	return (g.unpacked != nil || g.size >= off) && g.goTo(off) == nil
}

// headNow returns the first n bytes that the file has now.
func (g *segment) headNow(n int) []byte {
	if g.unpacked != nil {
		return g.head[:min(n, len(g.head))]
	}
	head := make([]byte, n)
	n, _ = g.readAt(head, 0)
	return head[:n]
}

// sameHead says whether the file still begins as it did when it was read.
func (g *segment) sameHead() bool {
	var now [headSize]byte
	n, err := g.readAt(now[:len(g.head)], 0)
	return err != nil || bytes.Equal(now[:n], g.head)
}

// intact says whether the file can still have what was read of it.
func (g *segment) intact() bool {
	if g.unpacked != nil {
		return true
	}
	g.stat()
	return g.size >= g.off && g.sameHead()
}

// sameTail says whether the bytes before the offset are still those that were read.
func (g *segment) sameTail() bool {
	return g.hasTail(g.off, g.tail)
}

// hasTail says whether the bytes before off are the given ones.
func (g *segment) hasTail(off int64, tail [tailSize]byte) bool {
	var now [tailSize]byte
	n := int(min(off, tailSize))
	got, err := g.readAt(now[:n], off-int64(n))
	return err != nil || bytes.Equal(now[:got], tail[tailSize-n:])
}

// continues says whether g, not read yet, has all that was read of other: it is
// a copy of it, perhaps longer. Less than a line says nothing: all lines of a log
// may begin alike.
func (g *segment) continues(other *segment) bool {
	if other.done() == 0 || !bytes.Equal(g.headNow(len(other.head)), other.head) {
		return false
	}
	if g.unpacked != nil {
		return true // its size is not known before it is read
	}
	return g.size >= other.off && g.hasTail(other.off, other.tail)
}

// inherit makes g, a copy of other, go on where other was.
func (g *segment) inherit(other *segment) error {
	if err := g.goTo(other.off); err != nil {
		return err
	}
	g.split, other.split = other.split, splitter{}
	return nil
}

// restart makes the file be read from its start again: it is another one now.
func (g *segment) restart() {
	// The rest stays: the descriptor, its watch, what is known of rotated files.
	g.off, g.head, g.first, g.split, g.started = 0, nil, "", splitter{}, false
}

// done returns how far whole lines were read.
func (g *segment) done() int64 { return g.off - g.split.size }

// fileMark returns what names the file in a position.
func (g *segment) fileMark() fileMark {
	return fileMark{inode: g.id.inode, offset: g.done(), length: len(g.head), hash: headHash(g.head)}
}

// firstLine returns the hash of the file's first line, "" where it has none yet.
func (g *segment) firstLine() string {
	if g.first == "" {
		if g.unpacked != nil {
			g.first = firstLineHash(bytes.NewReader(g.head))
		} else {
			g.first = firstLineHash(g.file)
		}
	}
	return g.first
}
