package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Save writes a checkpoint in one transaction: positions, counts, what matchers
// remember and the bans that they caused are on disk together or not at all.
//
// An error says what is wrong and what helps; nothing was written then, and the
// same is to be saved again. A database that turns out to be damaged is set
// aside, and the checkpoint goes into the new one.
func (s *Store) Save(ctx context.Context, c *pipeline.Checkpoint) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		w := writer{store: s, tx: tx, ready: make(map[string]*sql.Stmt), jails: make(map[string]bool)}
		defer w.close()
		for i := range c.Events {
			if err := w.event(ctx, &c.Events[i]); err != nil {
				return err
			}
		}
		for i := range c.Inputs {
			if err := errors.Join(w.position(ctx, &c.Inputs[i]), w.memory(ctx, &c.Inputs[i])); err != nil {
				return err
			}
		}
		return w.counts(ctx, c.Counts, c.AllCounts)
	})
}

// write runs do in a transaction and repairs what can be repaired.
func (s *Store) write(ctx context.Context, do func(*sql.Tx) error) error {
	if s.cfg.Path == None {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	err := s.attempt(ctx, do)
	switch {
	case kindOf(err) == ErrDamaged && s.path != "":
		s.suspect = "damaged: " + err.Error()
		s.disconnect()
		err = s.attempt(ctx, do)
	case isMoved(err):
		err = s.moved(ctx, do)
	}
	if err = s.explain(err); err != nil {
		s.fault.Store(&err)
		return err
	}
	s.fault.Store(nil)
	return nil
}

// moved makes a new file where the one that is open was removed or renamed, with
// all that it held; a file that somebody put in its place is taken as it is.
func (s *Store) moved(ctx context.Context, do func(*sql.Tx) error) error {
	old, oldFile, path := s.db, s.file, s.path
	s.db, s.file = nil, nil
	defer func() {
		old.Close()
		oldFile.Close()
	}()
	s.disconnect()
	_, err := os.Stat(path)
	s.log.Warn("database was moved away", "path", s.cfg.Path, "replaced", err == nil)
	if err == nil {
		return s.attempt(ctx, do)
	}
	return s.attempt(ctx, func(tx *sql.Tx) error {
		if _, err := rescue(ctx, tx, old); err != nil {
			return err
		}
		return do(tx)
	})
}

// attempt connects if need be and runs do in a transaction.
func (s *Store) attempt(ctx context.Context, do func(*sql.Tx) error) error {
	if s.db == nil {
		if err := s.connect(ctx); err != nil {
			s.disconnect()
			s.openReader(ctx)
			return err
		}
	}
	return s.transact(ctx, do)
}

// writer writes within one transaction.
type writer struct {
	store *Store
	tx    *sql.Tx
	ready map[string]*sql.Stmt
	jails map[string]bool // that are in the table jails
	data  []byte
	row   []byte
}

func (w *writer) close() {
	for _, stmt := range w.ready {
		stmt.Close()
	}
}

// exec runs a statement that is prepared once, and returns how many rows it changed.
func (w *writer) exec(ctx context.Context, query string, args ...any) (int64, error) {
	stmt := w.ready[query]
	if stmt == nil {
		var err error
		if stmt, err = w.tx.PrepareContext(ctx, query); err != nil {
			return 0, err
		}
		w.ready[query] = stmt
	}
	r, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// jail makes the jail known, as the other tables' foreign keys want it, and
// returns its name as it is stored.
func (w *writer) jail(ctx context.Context, name string) (string, error) {
	name = validText(name)
	if w.jails[name] {
		return name, nil
	}
	_, err := w.exec(ctx, `INSERT INTO jails(name, enabled) VALUES(?, 1) ON CONFLICT(name) DO NOTHING`, name)
	w.jails[name] = err == nil
	return name, err
}

// event writes what became of a ban.
func (w *writer) event(ctx context.Context, e *pipeline.Event) error {
	switch e.Kind {
	case pipeline.EventBan:
		if e.Ban.Restored {
			return nil
		}
		return w.ban(ctx, &e.Ban)
	case pipeline.EventProlong:
		return w.prolong(ctx, &e.Ban)
	case pipeline.EventUnban:
		if e.Expired {
			return nil // its time says so; what is left is history
		}
		return w.forget(ctx, e.Ban.Jail.Name, e.Ban.ID)
	}
	return nil
}

// ban writes a new ban: its history, and the ID's last state.
func (w *writer) ban(ctx context.Context, b *pipeline.Ban) error {
	jail, err := w.jail(ctx, b.Jail.Name)
	if err != nil {
		return err
	}
	d := w.details(b)
	w.data = appendData(w.data[:0], &d, b.Failures, w.store.MaxMatches())
	if len(w.data) > maxData {
		d.Matches = nil
		w.data = appendData(w.data[:0], &d, b.Failures, w.store.MaxMatches())
	}
	if len(w.data) > maxData {
		w.data = appendData(w.data[:0], &Details{}, b.Failures, w.store.MaxMatches())
	}
	at, length := stored(b)
	args := []any{idText(b.ID), jail, at, length, max(d.Count, 1), w.data}
	if _, err := w.exec(ctx, `INSERT INTO bans(ip, jail, timeofban, bantime, bancount, data) VALUES(?, ?, ?, ?, ?, ?)`, args...); err != nil {
		return err
	}
	_, err = w.exec(ctx, `INSERT OR REPLACE INTO bips(ip, jail, timeofban, bantime, bancount, data) VALUES(?, ?, ?, ?, ?, ?)`, args...)
	return err
}

// prolong writes the new end of a ban, and of its history.
func (w *writer) prolong(ctx context.Context, b *pipeline.Ban) error {
	jail := validText(b.Jail.Name)
	d := w.details(b)
	at, length := stored(b)
	n, err := w.exec(ctx, `UPDATE bips SET bantime = ?, bancount = max(bancount, ?) WHERE ip = ? AND jail = ? AND timeofban = ?`,
		length, d.Count, idText(b.ID), jail, at)
	if err != nil {
		return err
	}
	if n == 0 { // the ban itself never came here
		return w.ban(ctx, b)
	}
	_, err = w.exec(ctx, `UPDATE bans SET bantime = ?, bancount = max(bancount, ?) WHERE ip = ? AND jail = ? AND timeofban = ?`,
		length, d.Count, idText(b.ID), jail, at)
	return err
}

// details returns what fail2ban keeps of a ban beside its times.
func (w *writer) details(b *pipeline.Ban) Details {
	t := b.Ticket
	if t == nil {
		return Details{}
	}
	d := Details{Count: t.Count, Matches: t.Matches}
	for _, name := range slices.Sorted(maps.Keys(t.Fields)) {
		d.Fields = append(d.Fields, Field{name, t.Fields[name]})
	}
	return d
}

// forget removes all that is stored of an ID's bans in a jail.
func (w *writer) forget(ctx context.Context, jail string, id pipeline.ID) error {
	ip, jail := idText(id), validText(jail)
	if _, err := w.exec(ctx, `DELETE FROM bips WHERE ip = ? AND jail = ?`, ip, jail); err != nil {
		return err
	}
	_, err := w.exec(ctx, `DELETE FROM bans WHERE ip = ? AND jail = ?`, ip, jail)
	return err
}

// stored returns a ban's begin and length in seconds as fail2ban has them:
// whole ones, the length −1 for a ban that does not end.
func stored(b *pipeline.Ban) (at, length int64) {
	at = int64(math.RoundToEven(float64(b.AtNanos) / 1e9))
	if b.UntilNanos == pipeline.Permanent {
		return at, -1
	}
	return at, max(0, int64(math.Round(float64(b.UntilNanos-b.AtNanos)/1e9)))
}

// Forget removes what is stored of IDs in a jail, bans in force and history, as
// fail2ban does for each unban by command; without IDs, of the whole jail.
func (s *Store) Forget(ctx context.Context, jail string, ids ...pipeline.ID) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		w := writer{store: s, tx: tx, ready: make(map[string]*sql.Stmt), jails: make(map[string]bool)}
		defer w.close()
		for _, id := range ids {
			if err := w.forget(ctx, jail, id); err != nil {
				return err
			}
		}
		if len(ids) > 0 {
			return nil
		}
		if _, err := w.exec(ctx, `DELETE FROM bips WHERE jail = ?`, validText(jail)); err != nil {
			return err
		}
		_, err := w.exec(ctx, `DELETE FROM bans WHERE jail = ?`, validText(jail))
		return err
	})
}

// SetJails says which jails there are from now on: at start and after a reload.
// The others stay as long as bans of theirs do, see Purge.
func (s *Store) SetJails(ctx context.Context, jails []string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		w := writer{store: s, tx: tx, ready: make(map[string]*sql.Stmt), jails: make(map[string]bool)}
		defer w.close()
		if _, err := w.exec(ctx, `UPDATE jails SET enabled = 0 WHERE enabled != 0`); err != nil {
			return err
		}
		for _, name := range jails {
			if _, err := w.exec(ctx, `INSERT INTO jails(name, enabled) VALUES(?, 1) ON CONFLICT(name) DO UPDATE SET enabled = 1`, validText(name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Purge removes what nobody needs any more, by fail2ban's rules: bans older than
// PurgeAge; the last state of an ID when both its begin and its begin and three
// times its length are, never a permanent one; jails that are not there any more
// and have neither. fail2ban does it hourly.
func (s *Store) Purge(ctx context.Context, nowNanos int64) error {
	before := (nowNanos - int64(s.PurgeAge())) / int64(time.Second)
	return s.write(ctx, func(tx *sql.Tx) error {
		for _, q := range []struct {
			query string
			args  []any
		}{
			{`DELETE FROM bans WHERE timeofban < ?`, []any{before}},
			{`DELETE FROM bips WHERE timeofban < ?1 AND bantime != -1 AND timeofban + bantime * 3 < ?1`, []any{before}},
			{`DELETE FROM jails WHERE enabled = 0
				AND NOT EXISTS (SELECT 1 FROM bans WHERE jail = jails.name)
				AND NOT EXISTS (SELECT 1 FROM bips WHERE jail = jails.name)`, nil},
			{`DELETE FROM f2bpipe_positions WHERE jail NOT IN (SELECT name FROM jails)`, nil},
		} {
			if _, err := tx.ExecContext(ctx, q.query, q.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// errNoRows tells a missing row from a fault.
func errNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
