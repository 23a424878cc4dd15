package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// busyMillis is the time that a transaction waits for another process's.
const busyMillis = "3000"

// Keys of f2bpipe_meta that are the store's own.
const (
	metaPrefix  = "store."
	metaCounter = metaPrefix + "counter" // change counter after the transaction that wrote it, 4 bytes
	metaClosed  = metaPrefix + "closed"  // 1: the file was closed in order and need not be checked
)

// connect makes the store ready to write. Its errors are not explained yet.
// s.mu is held.
func (s *Store) connect(ctx context.Context) error {
	if s.db != nil {
		return nil
	}
	if s.cfg.Path == Memory {
		return s.connectMemory(ctx)
	}
	fresh, err := s.locate()
	if err != nil {
		return err
	}
	if !fresh && holders(s.path).servers() {
		return s.inUse(nil)
	}
	if s.suspect != "" {
		err := s.replace(ctx, s.suspect)
		if err == nil {
			s.suspect = ""
		}
		return err
	}
	found, err := s.openFile(ctx)
	why := found.foreign
	switch {
	case err != nil && kindOf(err) == ErrDamaged:
		why = "damaged: " + err.Error()
	case err != nil:
		return err
	case why != "":
		why = "foreign schema: " + why
	case found.version > version:
		return fmt.Errorf("%w: %d, %d is known; upgrade f2bpipe, or set dbfile to another file", ErrNewer, found.version, version)
	case found.version < version:
		why = fmt.Sprintf("version %d", found.version)
	default:
		return s.prepare(ctx, found)
	}
	s.disconnect()
	return s.replace(ctx, why)
}

// connectMemory opens a database without a file.
func (s *Store) connectMemory(ctx context.Context) error {
	db, err := sql.Open("sqlite", "file::memory:?_pragma=foreign_keys(ON)&_txlock=immediate")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1) // each connection would be a database of its own
	s.db = db
	s.reader.Store(db)
	found, err := inspect(ctx, db)
	if err != nil {
		return err
	}
	return s.transact(ctx, func(tx *sql.Tx) error { return createMissing(ctx, tx, found) })
}

// locate finds the file itself and makes it where it is not there, readable by
// nobody else. fresh says that it is empty.
func (s *Store) locate() (fresh bool, err error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(s.cfg.Path))
	if errors.Is(err, os.ErrNotExist) {
		dir := filepath.Dir(s.cfg.Path)
		return false, fmt.Errorf("directory %s is not there: make it with: mkdir -p -m 755 %s: %w", dir, dir, err)
	}
	if err != nil {
		return false, err
	}
	if s.path, err = filepath.Abs(filepath.Join(dir, filepath.Base(s.cfg.Path))); err != nil {
		return false, err
	}
	if to, err := filepath.EvalSymlinks(s.path); err == nil {
		s.path = to
	}
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return true, f.Close()
	}
	st, statErr := os.Stat(s.path)
	switch {
	case statErr != nil:
		return false, err
	case !st.Mode().IsRegular():
		return false, fmt.Errorf("is no file (%v): set dbfile to the path of one", st.Mode().Type())
	}
	return st.Size() == 0, nil
}

// dsn returns the name under which the driver opens path.
func dsn(path string, params url.Values) string {
	params["_pragma"] = append(params["_pragma"], "busy_timeout("+busyMillis+")", "trusted_schema(OFF)", "cell_size_check(ON)", "temp_store(MEMORY)")
	params.Set("_dqs", "0")
	if !params.Has("_defensive") {
		params.Set("_defensive", "1")
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: params.Encode()}).String()
}

// openFile opens the file and looks at it. What it opened stays open when it fails.
func (s *Store) openFile(ctx context.Context) (schema, error) {
	if s.file != nil {
		return schema{}, errors.New("file is open already")
	}
	f, err := os.Open(s.path)
	if err != nil {
		return schema{}, err
	}
	s.file = f
	db, err := openDB(dsn(s.path, url.Values{
		"mode":    {"rw"},
		"_txlock": {"immediate"},
		"_pragma": {"foreign_keys(ON)", "synchronous(FULL)"},
	}))
	if err != nil {
		return schema{}, err
	}
	s.db = db
	// A WAL that somebody left is taken in here, and a hot journal rolled back.
	// The driver forbids it in the name, where _defensive comes first.
	if _, err := db.ExecContext(ctx, `PRAGMA journal_mode = TRUNCATE`); err != nil {
		return schema{}, err
	}
	found, err := inspect(ctx, db)
	if err != nil || found.foreign != "" || found.version != version {
		return found, err
	}
	return found, s.check(ctx, found)
}

func openDB(name string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// check looks for damage, unless the file was closed in order and not written since.
func (s *Store) check(ctx context.Context, found schema) error {
	if len(found.missing) == 0 {
		same, err := s.unchanged(ctx)
		if err != nil {
			return err
		}
		if closed, err := readMeta(ctx, s.db, metaClosed); err != nil {
			return err
		} else if same && len(closed) == 1 && closed[0] == 1 {
			return nil
		}
	}
	var verdict string
	if err := s.db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %.200s", ErrDamaged, verdict)
	}
	return nil
}

// counter returns the change counter in the file's header. It is the file's
// where the caller holds a lock. The file stays open for it: to close it would
// drop every lock of this process on it (fcntl(2), POSIX record locks).
func (s *Store) counter() (uint32, error) {
	var b [4]byte
	if _, err := s.file.ReadAt(b[:], 24); err != nil && err != io.EOF { // EOF: nothing was written yet
		return 0, fmt.Errorf("read the change counter: %w", err)
	}
	return binary.BigEndian.Uint32(b[:]), nil
}

// unchanged says whether the last transaction in the file was ours.
func (s *Store) unchanged(ctx context.Context) (bool, error) {
	value, err := readMeta(ctx, s.db, metaCounter)
	if err != nil {
		return false, err
	}
	now, err := s.counter()
	return err == nil && len(value) == 4 && binary.BigEndian.Uint32(value) == now, err
}

// prepare makes what is missing in a sound file and drops what is out of date.
func (s *Store) prepare(ctx context.Context, found schema) error {
	ours := make(map[string]bool)
	for _, c := range found.missing {
		ours[objectName(c)] = true
	}
	same, had := false, !ours["f2bpipe_meta"]
	if had {
		var err error
		if same, err = s.unchanged(ctx); err != nil {
			return err
		}
	}
	s.stale.Store(false)
	err := s.transact(ctx, func(tx *sql.Tx) error {
		if err := createMissing(ctx, tx, found); err != nil {
			return err
		}
		if !same {
			for _, name := range []string{"f2bpipe_positions", "f2bpipe_counts", "f2bpipe_memory"} {
				if _, err := tx.ExecContext(ctx, `DELETE FROM `+name); err != nil {
					return err
				}
			}
		}
		return setMeta(ctx, tx, metaClosed, []byte{0})
	})
	if err != nil {
		return err
	}
	if had && !same {
		s.took.Store(true)
		s.log.Info("database was written by fail2ban since: its positions count", "path", s.cfg.Path)
	}
	s.openReader(ctx)
	return nil
}

// openReader opens the connection that reads beside a transaction. Where it
// cannot, nothing is found, which is what Fault is about.
func (s *Store) openReader(ctx context.Context) {
	if s.path == "" || s.reader.Load() != nil {
		return
	}
	if _, err := os.Stat(s.path); err != nil {
		return
	}
	// Read before SQLite has the file open: see counter.
	head := make([]byte, 28)
	if f, err := os.Open(s.path); s.db == nil && err == nil {
		io.ReadFull(f, head)
		f.Close()
	}
	db, err := openDB(dsn(s.path, url.Values{"mode": {"ro"}, "_query_only": {"1"}}))
	if err != nil {
		return
	}
	if found, err := inspect(ctx, db); err != nil || found.foreign != "" || found.version != version {
		s.log.Warn("database cannot be read", "path", s.cfg.Path, "error", err, "schema", found.foreign)
		db.Close()
		return
	}
	if s.db == nil {
		value, err := readMeta(ctx, db, metaCounter)
		s.stale.Store(err != nil || !bytes.Equal(value, head[24:]))
	}
	s.reader.Store(db)
}

// disconnect closes all connections, and only then the file: see counter.
func (s *Store) disconnect() {
	if r := s.reader.Swap(nil); r != nil && r != s.db {
		r.Close()
	}
	if s.db != nil {
		s.db.Close()
		s.db = nil
	}
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.stamp = 0
}

// transact runs do in one transaction and stamps it. s.mu is held.
func (s *Store) transact(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil) // BEGIN IMMEDIATE
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var next uint32
	if s.file != nil {
		now, err := s.counter()
		if err != nil {
			return err
		}
		if s.stamp != 0 && now != s.stamp && !s.warned {
			s.warned = true
			s.log.Warn("another process writes to the database", "path", s.cfg.Path, "holders", holders(s.path).String())
		}
		next = now + 1
	}
	if err := do(tx); err != nil {
		return err
	}
	if s.file != nil {
		if err := setMeta(ctx, tx, metaCounter, binary.BigEndian.AppendUint32(nil, next)); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.stamp = next
	return nil
}

// readMeta returns one value, nil where there is none.
func readMeta(ctx context.Context, db querier, key string) (value []byte, err error) {
	err = db.QueryRowContext(ctx, fmt.Sprintf(`SELECT iif(octet_length(value) <= %d, value, NULL)
		FROM f2bpipe_meta WHERE key = ?`, maxBlob), key).Scan(&value)
	return value, errNoRows(err)
}

// setMeta writes one value.
func setMeta(ctx context.Context, db querier, key string, value []byte) error {
	_, err := db.ExecContext(ctx, `INSERT OR REPLACE INTO f2bpipe_meta(key, value) VALUES(?, ?)`, key, value)
	return err
}
