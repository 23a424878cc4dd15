package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// maxRescued is the number of rows of a table that are copied to a new file.
const maxRescued = 2_000_000

// replace makes a new file with the rows that can be read, sets the old one
// aside under the name that fail2ban would give it, and opens the new one. Where
// there is no room for it, everything stays as it is. why is for the log.
// Nothing is open before.
func (s *Store) replace(ctx context.Context, why string) error {
	fresh := s.path + ".f2bpipe-new"
	os.Remove(fresh + "-journal") // of a try that was killed
	os.Remove(fresh)
	copied, err := remake(ctx, s.path, fresh)
	if err != nil {
		os.Remove(fresh + "-journal")
		os.Remove(fresh)
		return err
	}
	old, err := s.setAside()
	if err != nil {
		return err
	}
	if err := os.Rename(fresh, s.path); err != nil {
		return err
	}
	s.aside.Store(&old)
	s.log.Warn("database was set aside and made anew", "path", s.cfg.Path, "aside", old, "reason", why, "rows", copied)
	found, err := s.openFile(ctx)
	if err != nil {
		return err
	}
	return s.prepare(ctx, found)
}

// setAside renames the file and returns its new name.
func (s *Store) setAside() (string, error) {
	old := s.path + s.cfg.Now().UTC().Format(".20060102-150405")
	for n, base := 1, old; ; n++ {
		if _, err := os.Lstat(old); errors.Is(err, os.ErrNotExist) {
			break
		}
		old = fmt.Sprintf("%s.%d", base, n)
	}
	// The journals go along: they belong to the file.
	for _, suffix := range []string{"-journal", "-wal", "-shm"} {
		if err := os.Rename(s.path+suffix, old+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return old, os.Rename(s.path, old)
}

// remake makes the file fresh with fail2ban's tables, and copies what can be
// read in the file at path. It returns the number of rows.
func remake(ctx context.Context, path, fresh string) (copied int, err error) {
	f, err := os.OpenFile(fresh, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	// rw: its journal is rolled back. writable_schema: a file that is shorter than
	// it says can be read to where it ends.
	src, err := openDB(dsn(path, url.Values{"mode": {"rw"}, "_defensive": {"0"}, "_query_only": {"1"}, "_pragma": {"writable_schema(ON)"}}))
	if err != nil {
		return 0, err
	}
	defer src.Close()
	// One transaction, so that a lock of another process is met here and does not
	// look like rows that cannot be read.
	from, err := src.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer from.Rollback()
	if err := from.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(new(int)); err != nil && kindOf(err) != ErrDamaged {
		return 0, err
	}
	dst, err := openDB(dsn(fresh, url.Values{"mode": {"rw"}, "_pragma": {"foreign_keys(ON)"}}))
	if err != nil {
		return 0, err
	}
	defer dst.Close()
	tx, err := dst.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	var theirs schema
	for i := range tables {
		if !tables[i].own() {
			theirs.missing = append(theirs.missing, tables[i].create...)
		}
	}
	if err := createMissing(ctx, tx, theirs); err != nil {
		return 0, err
	}
	if copied, err = rescue(ctx, tx, from); err != nil {
		return 0, err
	}
	return copied, tx.Commit()
}

// rescue copies the rows of all tables that can be read, and returns their
// number. An error is one of writing: what cannot be read is left out.
func rescue(ctx context.Context, to querier, from querier) (int, error) {
	total := 0
	for i := range tables {
		t := &tables[i]
		// Of ours nothing: their state and the bans' may be of two moments.
		if t.own() || len(t.columns) == 0 {
			continue
		}
		n, err := rescueTable(ctx, to, from, t)
		if err != nil {
			return total, err
		}
		total += n
		if t.name == "bips" && n == 0 {
			// Before version 4 there were only bans.
			if _, err := to.ExecContext(ctx, `INSERT OR REPLACE INTO bips(ip, jail, timeofban, bantime, bancount, data)
				SELECT ip, jail, timeofban, bantime, bancount, data FROM bans ORDER BY timeofban`); err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

// rescueTable copies one table: from its beginning to where it cannot be read,
// and then from its end backwards to there.
func rescueTable(ctx context.Context, to, from querier, t *table) (int, error) {
	list := plainColumns(ctx, from, t)
	if list == "" {
		return 0, nil
	}
	put := fmt.Sprintf(`INSERT OR IGNORE INTO %s(%s) VALUES(%s)`, t.name, names(t.columns), strings.TrimSuffix(strings.Repeat("?, ", len(t.columns)), ", "))
	total, last := 0, int64(0)
	copyRows := func(query string, args ...any) (whole bool, err error) {
		rows, err := from.QueryContext(ctx, query, args...)
		if err != nil {
			return false, nil
		}
		defer rows.Close()
		row := make([]any, len(t.columns)+1)
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		for rows.Next() && total < maxRescued {
			if rows.Scan(into...) != nil {
				break
			}
			last, _ = row[0].(int64)
			if !t.clean(row[1:]) {
				continue
			}
			if jail := t.jail(row[1:]); jail != "" {
				if _, err := to.ExecContext(ctx, `INSERT OR IGNORE INTO jails(name, enabled) VALUES(?, 0)`, jail); err != nil {
					return false, err
				}
			}
			if _, err := to.ExecContext(ctx, put, row[1:]...); err != nil {
				return false, err
			}
			total++
		}
		return rows.Err() == nil, ctx.Err()
	}
	whole, err := copyRows(fmt.Sprintf(`SELECT rowid, %s FROM %s NOT INDEXED`, list, t.name))
	if whole || err != nil {
		return total, err
	}
	_, err = copyRows(fmt.Sprintf(`SELECT rowid, %s FROM %s NOT INDEXED WHERE rowid > ? ORDER BY rowid DESC`, list, t.name), last)
	return total, err
}

// plainColumns returns the expressions to read a table by: NULL for a column
// that it does not have. It returns "" for what is no plain table: to read a
// view, a virtual table or a computed column runs what somebody wrote there.
func plainColumns(ctx context.Context, from querier, t *table) string {
	var plain bool
	err := from.QueryRowContext(ctx, `SELECT count(*) = 1 FROM sqlite_schema
		WHERE type = 'table' AND lower(name) = lower(?) AND rootpage > 0`, t.name).Scan(&plain)
	if err != nil || !plain {
		return ""
	}
	rows, err := from.QueryContext(ctx, `SELECT lower(name), hidden FROM pragma_table_xinfo(?) LIMIT 100`, t.name)
	if err != nil {
		return ""
	}
	defer rows.Close()
	have := make(map[string]bool)
	for rows.Next() {
		var (
			name   string
			hidden int
		)
		if rows.Scan(&name, &hidden) != nil {
			return ""
		}
		have[name] = hidden == 0
	}
	list := make([]string, len(t.columns))
	for i := range t.columns {
		list[i] = "NULL"
		if have[t.columns[i].name] {
			list[i] = t.columns[i].expr()
		}
	}
	if rows.Err() != nil {
		return ""
	}
	return strings.Join(list, ", ")
}

// clean puts in what stands for missing values, and says whether the row is of use.
func (t *table) clean(row []any) bool {
	for i := range t.columns {
		c := &t.columns[i]
		switch v := row[i].(type) {
		case nil:
			if row[i] = c.other; c.other == nil && !c.null {
				return false
			}
		case string:
			if row[i] = validText(v); c.kind == kindBytes {
				row[i] = []byte(v)
			}
		}
	}
	return true
}

// jail returns the jail that the row refers to, or "".
func (t *table) jail(row []any) string {
	for i := range t.columns {
		if t.columns[i].name == "jail" {
			name, _ := row[i].(string)
			return name
		}
	}
	return ""
}

func names(columns []column) string {
	list := make([]string, len(columns))
	for i := range columns {
		list[i] = columns[i].name
	}
	return strings.Join(list, ", ")
}
