package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Names of inputs that are no files.
const (
	journalName = "systemd-journal"
	stdinName   = "stdin"
)

// position writes where an input goes on, for each jail that reads it: all of it
// in our table, what fail2ban understands in its own. A stream has no position.
func (w *writer) position(ctx context.Context, in *pipeline.InputEnd) error {
	if w.store.cfg.Jails == nil || in.Input.Name == stdinName {
		return nil
	}
	path, mark := validText(in.Input.Name), validText(in.End.Mark)
	if len(mark) > maxData {
		mark = ""
	}
	first, pos := fileMark(mark), any(in.End.Offset)
	if path == journalName {
		// Of a journal: the time of the last entry, as text and as number.
		first = time.Unix(0, in.End.AtNanos).Format("2006-01-02T15:04:05.000000")
		pos = float64(in.End.AtNanos/1000) / 1e6
	}
	for _, j := range w.store.cfg.Jails(in.Input) {
		jail, err := w.jail(ctx, j.Name)
		if err != nil {
			return err
		}
		if _, err := w.exec(ctx, `INSERT OR REPLACE INTO f2bpipe_positions(jail, path, offset, mark, at) VALUES(?, ?, ?, ?, ?)`,
			jail, path, in.End.Offset, mark, in.End.AtNanos); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `INSERT INTO logs(jail, path, firstlinemd5, lastfilepos) VALUES(?, ?, ?, ?)
			ON CONFLICT(jail, path) DO UPDATE SET firstlinemd5 = excluded.firstlinemd5, lastfilepos = excluded.lastfilepos`,
			jail, path, first, pos); err != nil {
			return err
		}
	}
	return nil
}

// fileMark returns what fail2ban knows a file by: the SHA-1 of its first line in
// hex, which a file's mark begins with; "" where that is not known.
func fileMark(mark string) string {
	first, _, _ := strings.Cut(mark, " ")
	if len(first) != 40 || strings.Trim(first, "0123456789abcdef") != "" {
		return ""
	}
	return first
}

// Position returns where a jail goes on in an input. After fail2ban it has what
// fail2ban stored: of a file Offset and in Mark the SHA-1 of the first line in
// hex, of a journal AtNanos.
func (s *Store) Position(ctx context.Context, jail, path string) (p pipeline.Position, found bool, err error) {
	err = s.reading(ctx, func(db *sql.DB) error {
		jail, path := validText(jail), validText(path)
		var err error
		if p, found, err = ourPosition(ctx, db, jail, path); found && !s.stale.Load() || kindOf(err) != nil {
			return err
		}
		// Where only fail2ban was here, our table is not there.
		p, found, err = theirPosition(ctx, db, jail, path)
		return err
	})
	return p, found, err
}

// ourPosition reads a position from our table.
func ourPosition(ctx context.Context, db *sql.DB, jail, path string) (pipeline.Position, bool, error) {
	var (
		offset, at any
		mark       sql.NullString
	)
	err := db.QueryRowContext(ctx, fmt.Sprintf(`SELECT offset, iif(octet_length(mark) <= %d, mark, NULL), at
		FROM f2bpipe_positions WHERE jail = ? AND path = ?`, maxData), jail, path).Scan(&offset, &mark, &at)
	off, _ := offset.(int64)
	atNanos, _ := at.(int64)
	p := pipeline.Position{Offset: max(off, 0), Mark: mark.String, AtNanos: max(atNanos, 0)}
	return p, err == nil && mark.Valid, err
}

// theirPosition reads a position from fail2ban's table.
func theirPosition(ctx context.Context, db *sql.DB, jail, path string) (pipeline.Position, bool, error) {
	var (
		first sql.NullString
		pos   any
	)
	err := db.QueryRowContext(ctx, fmt.Sprintf(`SELECT iif(octet_length(firstlinemd5) <= %d, firstlinemd5, NULL), lastfilepos
		FROM logs WHERE jail = ? AND path = ?`, maxName), jail, path).Scan(&first, &pos)
	if err != nil {
		return pipeline.Position{}, false, errNoRows(err)
	}
	if path == journalName {
		nanos := journalNanos(pos)
		return pipeline.Position{AtNanos: nanos}, nanos > 0, nil
	}
	mark := fileMark(first.String)
	if mark == "" {
		return pipeline.Position{}, false, nil
	}
	return pipeline.Position{Offset: seconds(pos, 0), Mark: mark}, true, nil
}

// journalNanos reads the time of a journal's last entry.
func journalNanos(v any) int64 {
	switch v := v.(type) {
	case int64:
		return seconds(v, 0) * int64(time.Second)
	case float64:
		if v > 0 && v < float64(maxSeconds) {
			return int64(math.Round(v*1e6)) * 1000
		}
	}
	return 0
}

// packTimes returns ascending times as the differences between them. The
// oldest are left out where they are too many for a value.
func packTimes(times []int64) []byte {
	if len(times) == 0 {
		return nil
	}
	times = times[max(0, len(times)-maxData/binary.MaxVarintLen64):]
	b := make([]byte, 0, 8+5*len(times))
	last := int64(0)
	for _, t := range times {
		b = binary.AppendVarint(b, t-last)
		last = t
	}
	return b
}

// unpackTimes reads what packTimes made; false where it is anything else.
func unpackTimes(b []byte) (times []int64, ok bool) {
	last := int64(0)
	for len(b) > 0 {
		d, n := binary.Varint(b)
		if n <= 0 || len(times) > 0 && (d < 0 || last > math.MaxInt64-d) {
			return nil, false
		}
		last += d
		times = append(times, last)
		b = b[n:]
	}
	return times, true
}

// Meta returns the value of a key, nil where there is none.
func (s *Store) Meta(ctx context.Context, key string) (value []byte, err error) {
	err = s.reading(ctx, func(db *sql.DB) error {
		var err error
		if value, err = readMeta(ctx, db, key); kindOf(err) == nil {
			return nil // no table: fail2ban's file
		}
		return err
	})
	return value, err
}

// SetMeta stores a value of at most 1 MiB under a key. Keys that begin with
// "store." are the store's own.
func (s *Store) SetMeta(ctx context.Context, key string, value []byte) error {
	if strings.HasPrefix(key, metaPrefix) || len(key) > maxName || len(value) > maxBlob {
		return fmt.Errorf("meta key %.64q with %d bytes is not allowed", key, len(value))
	}
	return s.write(ctx, func(tx *sql.Tx) error { return setMeta(ctx, tx, key, value) })
}

// own calls scan for each row of a table of ours, after begin: anew where the
// file had to be replaced. There are no rows where they would be of an older day
// than fail2ban's, or where the table is not there.
func (s *Store) own(ctx context.Context, name string, begin func(), scan func(*sql.Rows) error) error {
	t := tableOf(name)
	return s.reading(ctx, func(db *sql.DB) error {
		begin()
		if s.stale.Load() {
			return nil
		}
		rows, err := db.QueryContext(ctx, fmt.Sprintf(`SELECT %s FROM %s ORDER BY rowid LIMIT %d`, exprs(t.columns), t.name, maxRescued))
		if err != nil && kindOf(err) == nil && ctx.Err() == nil {
			return nil
		}
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// tableOf returns a table by its name.
func tableOf(name string) *table {
	for i := range tables {
		if tables[i].name == name {
			return &tables[i]
		}
	}
	panic("no table " + name)
}
