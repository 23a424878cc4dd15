package ignore

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The bounds of a file of addresses.
const (
	fileCheck   = time.Second // between two looks at whether it has changed
	maxFileSize = 64 << 20
)

// file is a list in a file: items of ignoreip, any number a line, separated by
// blanks or commas; what follows # or ; is a comment. It is read when it is
// first needed, and again when it has changed. A file that cannot be read
// leaves what it held before.
type file struct {
	path string
	log  *slog.Logger

	checked atomic.Int64 // when it was looked at, nanoseconds
	list    atomic.Pointer[list]

	mu     sync.Mutex
	stamp  fileStamp
	failed bool
}

// fileStamp tells whether a file has changed.
type fileStamp struct {
	mtime      time.Time
	size       int64
	dev, inode uint64
}

// look reads the file if it has changed and it was not looked at within the
// last second; changed says that the list is another one. Beside the goroutine
// that reads, the others go on with the list as it was.
func (f *file) look(now time.Time) (changed bool) {
	if f.list.Load() == nil {
		f.mu.Lock()
	} else if now.UnixNano()-f.checked.Load() < int64(fileCheck) || !f.mu.TryLock() {
		return false
	}
	defer f.mu.Unlock()
	if f.list.Load() != nil && now.UnixNano()-f.checked.Load() < int64(fileCheck) {
		return false
	}
	changed, err := f.read()
	switch {
	case err != nil && !f.failed:
		f.log.Warn("ignoreip file is not read: what it held before stays in force", "problem", err)
	case err == nil && f.failed:
		f.log.Info("ignoreip file is read again", "path", f.path)
	}
	f.failed = err != nil
	if f.list.Load() == nil {
		f.list.Store(&list{})
	}
	f.checked.Store(now.UnixNano())
	return changed
}

// read reads the file if it is another one than before.
func (f *file) read() (changed bool, err error) {
	// A FIFO must not hold up the line: it is opened without waiting, and refused.
	h, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false, fmt.Errorf("open list: %w", err)
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return false, fmt.Errorf("stat list: %w", err)
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("%s is no regular file", f.path)
	}
	if info.Size() > maxFileSize {
		return false, fmt.Errorf("%s has %d bytes, more than %d", f.path, info.Size(), maxFileSize)
	}
	stamp := fileStamp{mtime: info.ModTime(), size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		stamp.dev, stamp.inode = st.Dev, st.Ino
	}
	if stamp == f.stamp && f.list.Load() != nil {
		return false, nil
	}
	l, err := readList(io.LimitReader(h, maxFileSize))
	if err != nil {
		return false, fmt.Errorf("read list %s: %w", f.path, err)
	}
	if l.dropped > 0 {
		f.log.Warn("ignoreip file has too many names", "path", f.path, "most", maxListNames, "left out", l.dropped)
	}
	f.list.Store(l)
	f.stamp = stamp
	return true, nil
}

// readList reads items. A file: among them is none.
func readList(r io.Reader) (*list, error) {
	l := &list{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	order := int32(0)
	for lines.Scan() {
		line := lines.Text()
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		for item := range strings.FieldsFuncSeq(line, isSeparator) {
			if !strings.HasPrefix(item, "file:") {
				l.add(item, order)
				order++
			}
		}
	}
	return l, lines.Err()
}

func isSeparator(r rune) bool {
	return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\v' || r == '\f'
}
