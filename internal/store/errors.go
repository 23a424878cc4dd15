package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"modernc.org/sqlite"
)

// The kinds of faults that the errors of this package wrap.
var (
	// ErrInUse: another process has the file, or holds a lock on it.
	ErrInUse = errors.New("database is in use")
	// ErrFull: the disk or the quota is full.
	ErrFull = errors.New("disk is full")
	// ErrReadOnly: the file or its directory cannot be written.
	ErrReadOnly = errors.New("database cannot be written")
	// ErrDamaged: the file is not, or no longer, a sound database.
	ErrDamaged = errors.New("database is damaged")
	// ErrNewer: the file was made by a later fail2ban.
	ErrNewer = errors.New("database is of a newer version")
)

// Primary result codes of SQLite (https://www.sqlite.org/rescode.html).
const (
	codePerm     = 3
	codeBusy     = 5
	codeLocked   = 6
	codeReadOnly = 8
	codeIOErr    = 10
	codeCorrupt  = 11
	codeFull     = 13
	codeCantOpen = 14
	codeAuth     = 23
	codeNotADB   = 26
	// What follows an I/O error in its extended code.
	ioShortRead = 2
	ioWrite     = 3
	ioFsync     = 4
	ioTruncate  = 6
	// codeMoved is the extended code of a file that was removed or renamed.
	codeMoved = 8 | 4<<8
)

// kindOf returns the fault that an error of SQLite or of the system is, or nil.
func kindOf(err error) error {
	var e *sqlite.Error
	switch {
	case errors.Is(err, ErrDamaged):
		return ErrDamaged
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return ErrFull
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return ErrReadOnly
	case !errors.As(err, &e):
		return nil
	}
	switch e.Code() & 0xff {
	case codeBusy, codeLocked:
		return ErrInUse
	case codeFull:
		return ErrFull
	case codeIOErr:
		switch e.Code() >> 8 {
		case ioShortRead:
			return ErrDamaged
		case ioWrite, ioFsync, ioTruncate:
			// A full disk, a quota or a limit far more often than a broken one; the
			// text that SQLite gives with it says which.
			return ErrFull
		}
	case codeReadOnly, codePerm, codeAuth, codeCantOpen:
		return ErrReadOnly
	case codeCorrupt, codeNotADB:
		return ErrDamaged
	}
	return nil
}

// isMoved says whether the file that SQLite has open no longer stands under its name.
func isMoved(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == codeMoved
}

// explain wraps an error with the file, what is wrong and what helps.
func (s *Store) explain(err error) error {
	if err == nil {
		return nil
	}
	kind := kindOf(err)
	if kind == nil || kind != ErrDamaged && errors.Is(err, kind) {
		return fmt.Errorf("%s: %w", s.cfg.Path, err)
	}
	dir := filepath.Dir(s.path)
	cure := ""
	switch kind {
	case ErrInUse:
		return s.inUse(err)
	case ErrFull:
		cure = fmt.Sprintf("free space in %s (df %s); bans go on and are saved as soon as there is room", dir, dir)
	case ErrReadOnly:
		cure = fmt.Sprintf("make %s and the directory %s writable (ReadWritePaths=%s under systemd); bans go on and are saved from then on", s.path, dir, dir)
	case ErrDamaged:
		cure = "it is set aside and a new one made of what can be read"
	}
	return fmt.Errorf("%s: %w: %s: %w", s.cfg.Path, kind, cure, err)
}

// inUse is the error of a file that another process has; err may be nil.
func (s *Store) inUse(err error) error {
	who := "another process holds a lock on it: find it with fuser " + s.path
	if h := holders(s.path); len(h) > 0 {
		who = h.String()
	}
	if err == nil {
		return fmt.Errorf("%s: %w: %s", s.cfg.Path, ErrInUse, who)
	}
	return fmt.Errorf("%s: %w: %s: %w", s.cfg.Path, ErrInUse, who, err)
}
