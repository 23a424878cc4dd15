package sources

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

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

// isRotated says whether a journal file is one that journald has finished with.
func isRotated(name string) bool { return strings.Contains(filepath.Base(name), "@") }

// openedFiles returns the files that the options name now.
func (o JournalOptions) openedFiles() []string {
	files := globAll(o.Files)
	if o.NoRotated {
		files = slices.DeleteFunc(files, isRotated)
	}
	return files
}

// identities returns which files the names lead to.
func identities(names []string) (ids []fileID) {
	for _, name := range names {
		var st unix.Stat_t
		if unix.Stat(name, &st) == nil {
			ids = append(ids, idOf(&st))
		}
	}
	return ids
}

// The directories in which journald keeps its files, each in one named by the
// machine's ID and the namespace.
var journalDirs = []string{"/var/log/journal", "/run/log/journal"}

// readable says why nothing of a journal can be read: libsystemd opens one of
// which it may not read a single file, or that is not there, without a word.
func readable(o JournalOptions) error {
	var denied error
	found := false
	patterns := o.Files
	if len(patterns) == 0 {
		dirs := []string{o.Path}
		if o.Path == "" {
			dirs = journalDirs
		}
		name := "*.journal"
		if o.Path == "" && o.Flags&4 != 0 {
			name = "system*.journal" // users' own may be all that can be read
		}
		for _, dir := range dirs {
			if _, err := os.ReadDir(dir); errors.Is(err, fs.ErrPermission) {
				found, denied = true, err
			}
			if o.Namespace != "" {
				patterns = append(patterns, filepath.Join(dir, "*."+o.Namespace, name))
			} else {
				patterns = append(patterns, filepath.Join(dir, name), filepath.Join(dir, "*", name))
			}
		}
	}
	for _, pattern := range patterns {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			f, err := os.Open(name)
			if err == nil {
				_ = f.Close()
				return nil
			}
			found = found || !errors.Is(err, fs.ErrNotExist)
			denied = err
		}
	}
	switch {
	case found:
		return fmt.Errorf("open journal: %w (add the user to the group systemd-journal, or run as root)", denied)
	case o.Path != "":
		return nil // its first file may be on its way
	}
	return fmt.Errorf("open journal: no file %s: does systemd-journald run?", strings.Join(patterns, ", "))
}

// lagMeter says how far a process that reads the journal, and who reads from it,
// are behind.
type lagMeter struct {
	pid    int           // 0: not known
	pipe   io.ReadCloser // its stdout
	looked time.Time
	last   int64
}

// behind returns about how many bytes are not read yet, after an entry received
// at usec. end says that the process knew of no more, buffered is what was read
// from it and not used.
func (m *lagMeter) behind(end bool, buffered int, usec uint64) int64 {
	waiting := buffered + inPipe(m.pipe)
	if end && waiting == 0 {
		m.looked = time.Time{}
		return 0
	}
	if now := time.Now(); now.Sub(m.looked) >= processEvery || m.last > 0 && waiting == 0 {
		m.looked, m.last = now, journalLag(m.pid, usec)
	}
	return max(m.last, int64(waiting))
}

// inPipe returns how many bytes stand in a pipe.
func inPipe(r io.ReadCloser) (n int) {
	f, ok := r.(*os.File)
	if !ok {
		return 0
	}
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	}
	return n
}

// journalLag estimates how many bytes of the journal files that a process has
// open are younger than a time (microseconds since the epoch): the entries of a
// file are taken to be spread evenly from its first one to its last.
func journalLag(pid int, usec uint64) (bytes int64) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil && strings.HasSuffix(name, ".journal") {
			bytes += youngerBytes(link, usec)
		}
	}
	return bytes
}

// Where the header of a journal file has what is needed of it
// (https://systemd.io/JOURNAL_FILE_FORMAT), in little-endian 64 bits.
const (
	headerTailObject   = 136 // offset of the last object: the file's end, nearly
	headerHeadRealtime = 184
	headerTailRealtime = 192
	headerSize         = 200
)

func youngerBytes(name string, usec uint64) int64 {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	var header [headerSize]byte
	if _, err := f.ReadAt(header[:], 0); err != nil || string(header[:8]) != "LPKSHHRH" {
		return 0
	}
	at := func(offset int) uint64 { return binary.LittleEndian.Uint64(header[offset:]) }
	used, head, tail := at(headerTailObject), at(headerHeadRealtime), at(headerTailRealtime)
	switch {
	case tail <= usec || tail < head:
		return 0
	case usec < head || tail == head:
		return int64(used)
	}
	return int64(float64(used) * (float64(tail-usec) / float64(tail-head)))
}
