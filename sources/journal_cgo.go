//go:build cgo

package sources

// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "journal_cgo.h"
import "C"

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"syscall"
	"unsafe"
)

// JournalBackend says how this program reads the journal: "libsystemd" or
// "journalctl". That libsystemd is there is only known when it is loaded.
func JournalBackend() string { return "libsystemd" }

// packSize is the memory that f2b_next packs entries into. Laid out, with every
// byte of them escaped, they fit a batch.
const packSize = 128 << 10

// libsystemd is an open journal.
//
// go-systemd's sdjournal was left, by reading it and not by a benchmark: it can open neither a namespace
// nor with flags (so it cannot leave out users' journals, in which anybody may
// call himself sshd), it allocates several times for each field it reads, and it
// panics on a field without '='. What is below it is this.
type libsystemd struct {
	j           *C.f2b_journal
	buf         *C.uchar
	messageOnly C.int
	extra       **C.char // names of further fields, ended by nil
	values      [][][]byte
}

var _ journalHandle = (*libsystemd)(nil)

// openJournal opens the journal that the options name and adds their matches.
// extra are fields that its entries carry beside those of a line.
func openJournal(o JournalOptions, extra []string) (journalHandle, error) {
	var path, space *C.char
	var files **C.char
	if len(o.Files) > 0 {
		names := o.openedFiles()
		if len(names) == 0 {
			return nil, fmt.Errorf("open journal files %q: %w", o.Files, fs.ErrNotExist)
		}
		files = stringList(names)
		defer freeList(files)
	}
	if o.Path != "" {
		path = C.CString(o.Path)
		defer C.free(unsafe.Pointer(path))
	}
	if o.Namespace != "" {
		space = C.CString(o.Namespace)
		defer C.free(unsafe.Pointer(space))
	}
	l := &libsystemd{}
	if r := C.f2b_open(&l.j, files, path, space, C.int(o.Flags)); r < 0 {
		if r == -C.int(syscall.ENOSYS) {
			return nil, errNoLibsystemd
		}
		return nil, fmt.Errorf("open journal: %w", syscall.Errno(-r))
	}
	if o.MessageOnly {
		l.messageOnly = 1
	}
	l.buf = (*C.uchar)(C.malloc(packSize))
	l.extra, l.values = stringList(extra), make([][][]byte, len(extra))
	if err := l.addMatches(o.Matches); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// stringList makes a list of C strings that a NULL ends. freeList frees it.
func stringList(texts []string) **C.char {
	list := (**C.char)(C.calloc(C.size_t(len(texts)+1), C.size_t(unsafe.Sizeof((*C.char)(nil)))))
	for i, text := range texts {
		unsafe.Slice(list, len(texts))[i] = C.CString(text)
	}
	return list
}

func freeList(list **C.char) {
	for p := list; *p != nil; p = (**C.char)(unsafe.Add(unsafe.Pointer(p), unsafe.Sizeof(*p))) {
		C.free(unsafe.Pointer(*p))
	}
	C.free(unsafe.Pointer(list))
}

func (l *libsystemd) addMatches(alternatives [][]string) error {
	for i, all := range alternatives {
		if i > 0 {
			if r := C.f2b_or(l.j); r < 0 {
				return fmt.Errorf("add journal match: %w", syscall.Errno(-r))
			}
		}
		for _, match := range all {
			text := C.CString(match)
			r := C.f2b_match(l.j, unsafe.Pointer(text), C.size_t(len(match)))
			C.free(unsafe.Pointer(text))
			if r < 0 {
				return fmt.Errorf("add journal match %q: %w", match, syscall.Errno(-r))
			}
		}
	}
	return nil
}

func (l *libsystemd) next(n int, wait polling, entry func(*journalEntry)) (got int, end bool, err error) {
	var atEnd C.int
	got = int(C.f2b_next(l.j, l.buf, packSize, C.int(n), l.messageOnly, l.extra, C.int(wait.looks), C.int(wait.every.Microseconds()), &atEnd))
	if got < 0 {
		return 0, false, fmt.Errorf("next entry: %w", syscall.Errno(-got))
	}
	packed := unsafe.Slice((*byte)(unsafe.Pointer(l.buf)), packSize)
	number := func() uint32 {
		n := binary.NativeEndian.Uint32(packed)
		packed = packed[4:]
		return n
	}
	for range got {
		e := journalEntry{extra: l.values, realtime: binary.NativeEndian.Uint64(packed), monotonic: binary.NativeEndian.Uint64(packed[8:])}
		packed = packed[16:]
		for i := range e.extra {
			e.extra[i] = e.extra[i][:0]
		}
		for index := number(); index != C.f2b_end; index = number() {
			size := number()
			value := packed[:size]
			packed = packed[size:]
			if index < numFields {
				e.fields[index] = value
			} else {
				e.extra[index-numFields] = append(e.extra[index-numFields], value)
			}
		}
		entry(&e)
	}
	return got, atEnd != 0, nil
}

func (l *libsystemd) isAt(cursor string) bool {
	text := C.CString(cursor)
	defer C.free(unsafe.Pointer(text))
	return C.f2b_test(l.j, text) > 0
}

func (l *libsystemd) cursor() (string, error) {
	var text *C.char
	if r := C.f2b_cursor(l.j, &text); r < 0 {
		return "", fmt.Errorf("get cursor: %w", syscall.Errno(-r))
	}
	defer C.free(unsafe.Pointer(text))
	return C.GoString(text), nil
}

func (l *libsystemd) seekCursor(cursor string) error {
	text := C.CString(cursor)
	defer C.free(unsafe.Pointer(text))
	if r := C.f2b_seek_cursor(l.j, text); r < 0 {
		return fmt.Errorf("seek cursor: %w", syscall.Errno(-r))
	}
	return nil
}

func (l *libsystemd) seekRealtime(usec uint64) error {
	if r := C.f2b_seek_realtime(l.j, C.uint64_t(usec)); r < 0 {
		return syscall.Errno(-r)
	}
	return nil
}

func (l *libsystemd) process() error {
	if r := C.f2b_process(l.j); r < 0 {
		return fmt.Errorf("process journal: %w", syscall.Errno(-r))
	}
	return nil
}

func (l *libsystemd) close() {
	C.f2b_close(l.j)
	C.free(unsafe.Pointer(l.buf))
	freeList(l.extra)
}
