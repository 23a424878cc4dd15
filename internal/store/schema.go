package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// version is that of fail2ban's schema since 0.10.
const version = 4

// What a value may have at most. fail2ban's own values are far below.
const (
	maxName = 4 << 10  // bytes of a jail's name, an ID, a path, a key
	maxData = 64 << 10 // bytes of data JSON, a mark
	maxBlob = 1 << 20  // bytes of a row of counts or of a matcher's memory, a meta value
)

// kind is what a column holds.
type kind uint8

const (
	kindText   kind = iota // TEXT of at most max bytes
	kindNumber             // INTEGER, or REAL where fail2ban writes one
	kindBytes              // BLOB or TEXT of at most max bytes
)

// column is one column of a table as far as it is copied.
type column struct {
	name  string
	kind  kind
	max   int // bytes of a text or blob
	other any // stands for a value that is missing or not of its kind; nil: the row is left out, see null
	null  bool
}

// table is one table of the file.
type table struct {
	name    string
	columns []column
	create  []string // the table, then its indexes
	rowid   bool
}

// tables are all that this package reads and writes, in the order in which
// foreign keys allow them to be filled. fail2ban's are fail2ban's facts
// (reference: its schema version 4); what stands there is compared by
// normalized text with what a file has.
var tables = []table{
	{
		name: "fail2banDb", rowid: true,
		create: []string{`CREATE TABLE fail2banDb(version INTEGER)`},
	},
	{
		name: "jails", rowid: true,
		columns: []column{{name: "name", max: maxName}, {name: "enabled", kind: kindNumber, other: int64(1)}},
		create: []string{
			`CREATE TABLE jails(name TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL DEFAULT 1)`,
			`CREATE INDEX jails_name ON jails(name)`,
		},
	},
	{
		name: "logs", rowid: true,
		columns: []column{
			{name: "jail", max: maxName}, {name: "path", max: maxName},
			{name: "firstlinemd5", max: maxName, null: true}, {name: "lastfilepos", kind: kindNumber, other: int64(0)},
		},
		create: []string{
			`CREATE TABLE logs(jail TEXT NOT NULL, path TEXT, firstlinemd5 TEXT, lastfilepos INTEGER DEFAULT 0,
				FOREIGN KEY(jail) REFERENCES jails(name) ON DELETE CASCADE,
				UNIQUE(jail, path), UNIQUE(jail, path, firstlinemd5))`,
			`CREATE INDEX logs_path ON logs(path)`,
			`CREATE INDEX logs_jail_path ON logs(jail, path)`,
		},
	},
	{
		name: "bans", rowid: true, columns: banColumns,
		create: []string{
			`CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL,
				bancount INTEGER NOT NULL default 1, data JSON, FOREIGN KEY(jail) REFERENCES jails(name))`,
			`CREATE INDEX bans_jail_timeofban_ip ON bans(jail, timeofban)`,
			`CREATE INDEX bans_jail_ip ON bans(jail, ip)`,
			`CREATE INDEX bans_ip ON bans(ip)`,
		},
	},
	{
		name: "bips", rowid: true, columns: banColumns,
		create: []string{
			`CREATE TABLE bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL,
				bancount INTEGER NOT NULL default 1, data JSON, PRIMARY KEY(ip, jail), FOREIGN KEY(jail) REFERENCES jails(name))`,
			`CREATE INDEX bips_timeofban ON bips(timeofban)`,
			`CREATE INDEX bips_ip ON bips(ip)`,
		},
	},
	{
		name: "f2bpipe_positions",
		columns: []column{
			{name: "jail", max: maxName}, {name: "path", max: maxName}, {name: "offset", kind: kindNumber},
			{name: "mark", max: maxData}, {name: "at", kind: kindNumber},
		},
		create: []string{`CREATE TABLE f2bpipe_positions(jail TEXT NOT NULL, path TEXT NOT NULL, offset INTEGER NOT NULL,
			mark TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(jail, path)) WITHOUT ROWID`},
	},
	{
		name:    "f2bpipe_counts",
		columns: []column{{name: "seq", kind: kindNumber}, {name: "data", kind: kindBytes, max: maxBlob}},
		create:  []string{`CREATE TABLE f2bpipe_counts(seq INTEGER PRIMARY KEY NOT NULL, data BLOB NOT NULL)`},
		rowid:   true,
	},
	{
		name:    "f2bpipe_memory",
		columns: []column{{name: "seq", kind: kindNumber}, {name: "input", max: maxName}, {name: "data", kind: kindBytes, max: maxBlob}},
		create:  []string{`CREATE TABLE f2bpipe_memory(seq INTEGER PRIMARY KEY NOT NULL, input TEXT NOT NULL, data BLOB NOT NULL)`},
		rowid:   true,
	},
	{
		name:    "f2bpipe_meta",
		columns: []column{{name: "key", max: maxName}, {name: "value", kind: kindBytes, max: maxBlob}},
		create:  []string{`CREATE TABLE f2bpipe_meta(key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL)`},
		rowid:   true,
	},
}

// banColumns are those of bans and bips. A bantime of −2 is one that is not
// known, as in files of fail2ban before 0.10.
var banColumns = []column{
	{name: "ip", max: maxName}, {name: "jail", max: maxName}, {name: "timeofban", kind: kindNumber},
	{name: "bantime", kind: kindNumber, other: int64(-2)}, {name: "bancount", kind: kindNumber, other: int64(1)},
	{name: "data", kind: kindBytes, max: maxData, other: []byte("{}")},
}

// own says whether a table is ours and not fail2ban's.
func (t *table) own() bool { return strings.HasPrefix(t.name, "f2bpipe_") }

// expr is the SQL that reads the column: NULL where it is not of its kind or too long.
// octet_length looks at the row's header only, so that what is too long is never read.
func (c *column) expr() string {
	switch c.kind {
	case kindNumber:
		return fmt.Sprintf(`iif(typeof(%[1]s) IN ('integer','real'), %[1]s, NULL)`, c.name)
	case kindBytes:
		return fmt.Sprintf(`iif(octet_length(%[1]s) <= %[2]d AND typeof(%[1]s) IN ('blob','text'), %[1]s, NULL)`, c.name, c.max)
	default:
		return fmt.Sprintf(`iif(octet_length(%[1]s) <= %[2]d AND typeof(%[1]s) = 'text', %[1]s, NULL)`, c.name, c.max)
	}
}

// The columns of a ban as they are read everywhere.
var banExprs = exprs(banColumns)

func exprs(columns []column) string {
	list := make([]string, len(columns))
	for i := range columns {
		list[i] = columns[i].expr()
	}
	return strings.Join(list, ", ")
}

// schema is what the file's schema was found to be.
type schema struct {
	version int
	missing []string // CREATE statements
	foreign string   // what must not be there; "": nothing
}

// querier is a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// maxObjects is the number of tables, indexes… that a file may have.
const maxObjects = 1000

// inspect compares the file's schema with the known one.
func inspect(ctx context.Context, db querier) (schema, error) {
	known := make(map[string]string) // normalized text by name
	for i := range tables {
		for _, c := range tables[i].create {
			known[objectName(c)] = normalize(c)
		}
	}
	rows, err := db.QueryContext(ctx, `SELECT type, name, tbl_name, coalesce(substr(sql, 1, 4096), '') FROM sqlite_schema LIMIT ?`, maxObjects+1)
	if err != nil {
		return schema{}, err
	}
	defer rows.Close()
	var (
		s    schema
		have = make(map[string]bool)
	)
	for n := 1; rows.Next(); n++ {
		var typ, name, of, create string
		if err := rows.Scan(&typ, &name, &of, &create); err != nil {
			return schema{}, err
		}
		name, of = strings.ToLower(name), strings.ToLower(of)
		want, is := known[name]
		_, ofKnown := known[of]
		switch {
		case s.foreign != "":
		case n > maxObjects:
			s.foreign = "more than a thousand objects"
		case typ != "table" && typ != "index":
			s.foreign = fmt.Sprintf("%s %.64q", typ, name)
		case is && normalize(create) != want:
			s.foreign = fmt.Sprintf("another %s %.64q", typ, name)
		case !is && ofKnown && typ == "index" && !strings.HasPrefix(name, "sqlite_autoindex_"):
			s.foreign = fmt.Sprintf("index %.64q", name)
		}
		have[name] = true
	}
	if err := rows.Err(); err != nil {
		return schema{}, err
	}
	for i := range tables {
		for _, c := range tables[i].create {
			if !have[objectName(c)] {
				s.missing = append(s.missing, c)
			}
		}
	}
	s.version = version
	if have["fail2bandb"] && s.foreign == "" {
		err = db.QueryRowContext(ctx, `SELECT coalesce(max(iif(typeof(version) = 'integer', version, 0)), ?) FROM fail2banDb`, version).Scan(&s.version)
	}
	return s, err
}

// objectName returns the name that a CREATE statement gives, in lower case.
func objectName(create string) string {
	name := strings.Fields(create)[2]
	name, _, _ = strings.Cut(name, "(")
	return strings.ToLower(name)
}

// normalize removes from a CREATE statement what SQLite does not heed: case,
// white space, quotes around names, IF NOT EXISTS.
func normalize(create string) string {
	create = strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\n', '\r', '\f', '"', '`', '[', ']', ';':
			return -1
		}
		return r
	}, strings.ToLower(create))
	return strings.Replace(create, "ifnotexists", "", 1)
}

// createMissing brings the schema to what it should be, within a transaction.
func createMissing(ctx context.Context, db querier, s schema) error {
	for _, c := range s.missing {
		if _, err := db.ExecContext(ctx, c); err != nil {
			return err
		}
	}
	_, err := db.ExecContext(ctx, `INSERT INTO fail2banDb(version) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM fail2banDb)`, version)
	return err
}
