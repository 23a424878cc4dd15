package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// filled makes a file with n bans in the given directory and returns its path.
func filled(t testing.TB, dir string, n int) string {
	t.Helper()
	path := filepath.Join(dir, "db")
	s := open(t, Config{Path: path})
	must(t, s.Save(context.Background(), manyBans(testJails{}.get("sshd"), n)))
	must(t, s.Close())
	return path
}

// manyBans are the events of n bans of different addresses.
func manyBans(j *pipeline.Jail, n int) *pipeline.Checkpoint {
	c := new(pipeline.Checkpoint)
	for i := range n {
		b := ban(j, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
		c.Events = append(c.Events, pipeline.Event{Kind: pipeline.EventBan, Ban: b})
	}
	return c
}

// A store must open whatever the file holds, set aside what is not sound, read
// no more bans than there were, and take new ones.
func TestDamagedFiles(t *testing.T) {
	ctx, n := context.Background(), 2000
	sound, err := os.ReadFile(filled(t, t.TempDir(), n))
	must(t, err)
	f := func(name string, damage func([]byte) []byte, atLeast int, aside bool) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "db")
		must(t, os.WriteFile(path, damage(bytes.Clone(sound)), 0o600))
		s := open(t, Config{Path: path})
		jails := testJails{}
		got := len(bans(t, s, jails))
		if got < atLeast || got > n {
			t.Errorf("%s: %d bans, want at least %d", name, got, atLeast)
		}
		must(t, s.Save(ctx, events(pipeline.EventBan, ban(jails.get("sshd"), "192.0.2.1"))))
		equal(t, name+": bans", len(bans(t, s, jails)), got+1)
		var verdict string
		must(t, s.db.QueryRow(`PRAGMA integrity_check`).Scan(&verdict))
		equal(t, name+": integrity", verdict, "ok")
		want := ""
		if aside { // on opening, or on the first use of what is damaged
			want = path + ".20261122-120000"
		}
		equal(t, name+": set aside", s.SetAside(), want)
	}
	f("sound", func(b []byte) []byte { return b }, n, false)
	f("empty", func(b []byte) []byte { return nil }, 0, false)
	f("half", func(b []byte) []byte { return b[:len(b)/2] }, 1, true)
	f("one page", func(b []byte) []byte { return b[:4096] }, 0, true)
	f("text", func([]byte) []byte {
		return []byte("this is not a database, but it is long enough for a header of one")
	}, 0, true)
	f("short", func(b []byte) []byte { return b[:50] }, 0, true)
	f("header only", func(b []byte) []byte { return b[:100] }, 0, true)
	f("last tenth overwritten", func(b []byte) []byte {
		clear(b[len(b)*9/10:])
		return b
	}, n/2, true)
	f("other bytes in the schema", func(b []byte) []byte {
		copy(b[100:], bytes.Repeat([]byte{0xa5}, 100))
		return b
	}, 0, true)
	f("random", func(b []byte) []byte {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}, 0, true)
}

// Random bytes anywhere: nothing may panic, and the store works afterwards.
func TestRandomDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector, and runs in the full suite")
	}
	ctx, n := context.Background(), 300
	sound, err := os.ReadFile(filled(t, t.TempDir(), n))
	must(t, err)
	lost := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		b := bytes.Clone(sound)
		for range 1 + r.IntN(20) {
			b[28+r.IntN(len(b)-28)] = byte(r.Uint32()) // the counter says that it was written
		}
		b[27]++
		path := filepath.Join(t.TempDir(), "db")
		must(t, os.WriteFile(path, b, 0o600))
		s, err := Open(ctx, Config{Path: path})
		if err != nil {
			if errors.Is(err, ErrNewer) {
				continue
			}
			t.Fatalf("seed %d: %v", seed, err)
		}
		jails := testJails{}
		list, _, err := s.Bans(ctx, now.UnixNano(), jails.target)
		must(t, err)
		lost += max(0, n-len(list))
		must(t, s.Save(ctx, events(pipeline.EventBan, ban(jails.get("new"), "192.0.2.1"))))
		must(t, s.Close())
	}
	t.Logf("%d of %d bans lost in 60 damaged files", lost, 60*n)
}

// Damage that shows only while writing is repaired then.
func TestDamageWhileRunning(t *testing.T) {
	ctx, jails := context.Background(), testJails{}
	path := filled(t, t.TempDir(), 2000)
	s := open(t, Config{Path: path})
	before := len(bans(t, s, jails))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	st, err := f.Stat()
	must(t, err)
	// The last pages, and the counter, so that SQLite reads all of them again.
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, int(st.Size()/3)), st.Size()*2/3)
	must(t, err)
	_, err = f.WriteAt([]byte{0x7f, 1, 2, 3}, 24)
	must(t, err)
	must(t, f.Close())
	c := manyBans(jails.get("sshd"), 4000)
	must(t, s.Save(ctx, c))
	if s.SetAside() == "" {
		t.Error("not set aside")
	}
	equal(t, "bans", len(bans(t, s, jails)), 4000)
	t.Logf("%d bans before", before)
	equal(t, "fault", s.Fault(), nil)
}

// A file that is removed or renamed while it is open is made again with all that it held.
func TestFileMovedAway(t *testing.T) {
	ctx, jails := context.Background(), testJails{}
	path := filled(t, t.TempDir(), 100)
	s := open(t, Config{Path: path})
	must(t, os.Remove(path))
	must(t, s.Save(ctx, events(pipeline.EventBan, ban(jails.get("sshd"), "192.0.2.1"))))
	equal(t, "bans", len(bans(t, s, jails)), 101)
	must(t, s.Close())
	equal(t, "bans in the new file", len(bans(t, open(t, Config{Path: path}), jails)), 101)
}

func TestForeignSchema(t *testing.T) {
	ctx := context.Background()
	f := func(name, statements string, want int, aside bool) {
		t.Helper()
		path := filled(t, t.TempDir(), 10)
		runSQL(t, path, statements)
		s := open(t, Config{Path: path})
		if got := s.SetAside() != ""; got != aside {
			t.Errorf("%s: set aside: %q", name, s.SetAside())
		}
		jails := testJails{}
		equal(t, name+": bans", len(bans(t, s, jails)), want)
		must(t, s.Save(ctx, events(pipeline.EventBan, ban(jails.get("sshd"), "192.0.2.1"))))
		equal(t, name+": bans", len(bans(t, s, jails)), want+1)
		found, err := inspect(ctx, s.db)
		must(t, err)
		equal(t, name+": schema", found.foreign, "")
	}
	f("trigger", `CREATE TRIGGER t AFTER INSERT ON bips BEGIN DELETE FROM bips; END`, 10, true)
	f("trigger on our table", `CREATE TRIGGER t AFTER INSERT ON f2bpipe_meta BEGIN DELETE FROM bips; END`, 10, true)
	f("view", `CREATE VIEW v AS SELECT * FROM bips`, 10, true)
	f("view in place of a table", `DROP TABLE bips; CREATE VIEW bips AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c)
		SELECT '192.0.2.'||x AS ip, 'sshd' AS jail, 0 AS timeofban, -1 AS bantime, 1 AS bancount, '{}' AS data FROM c`, 10, true)
	f("virtual table", `DROP TABLE bips; CREATE VIRTUAL TABLE bips USING fts5(ip, jail, timeofban, bantime, bancount, data)`, 10, true)
	f("computed column", `ALTER TABLE bips ADD COLUMN x TEXT AS (hex(zeroblob(100000000)))`, 10, true)
	f("check", `ALTER TABLE jails RENAME TO j2; CREATE TABLE jails(name TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL DEFAULT 1 CHECK(enabled = 7))`, 10, true)
	f("index by an expression", `CREATE INDEX i ON bips(lower(ip))`, 10, true)
	f("a table of somebody", `CREATE TABLE notes(text)`, 10, false)
	f("missing tables", `DROP TABLE logs; DROP TABLE f2bpipe_meta; DROP INDEX bans_ip`, 10, false)
	f("older version", `UPDATE fail2banDb SET version = 2; DROP TABLE bips; ALTER TABLE bans DROP COLUMN bantime; ALTER TABLE bans DROP COLUMN bancount`, 10, true)
	f("version of another kind", `UPDATE fail2banDb SET version = 'x'`, 10, true)

	path := filled(t, t.TempDir(), 10)
	runSQL(t, path, `UPDATE fail2banDb SET version = 5`)
	if _, err := Open(ctx, Config{Path: path}); !errors.Is(err, ErrNewer) {
		t.Errorf("newer version: %v", err)
	}
}

func TestHostileRows(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector, and runs in the full suite")
	}
	ctx, jails := context.Background(), testJails{}
	path := filled(t, t.TempDir(), 1)
	runSQL(t, path, `PRAGMA foreign_keys = OFF;
		INSERT INTO bips VALUES
			('192.0.2.1', 'sshd', -5, -1, -7, '{}'),
			('192.0.2.2', 'sshd', 9223372036854775807, 9223372036854775807, 9223372036854775807, '{}'),
			('192.0.2.3', 'sshd', -9223372036854775808, 9223372036854775807, 1, x'ff00'),
			('192.0.2.4', 'sshd', 1e308, 1e308, 1e308, '{"failures": 99999999999999999999}'),
			('192.0.2.5', 'sshd', 'text', 1, 1, '{}'),
			('192.0.2.6', 'sshd', x'00', 1, 1, '{}'),
			(x'31', 'sshd', 1, -1, 1, '{}'),
			('', 'sshd', 1, -1, 1, '{}'),
			('192.0.2.7', '', 1, -1, 1, '{}'),
			('192.0.2.8', 'sshd', 0, -1, 1, NULL),
			('192.0.2.9', 'sshd', 0, -1, 1, zeroblob(50000000)),
			('192.0.2.10', 'nojail', 1, -1, 1, '{}'),
			(hex(zeroblob(3000)), 'sshd', 1, -1, 1, '{}');
		INSERT INTO logs VALUES('sshd', '/a', x'00', 'x'), ('sshd', '/b', '0123456789abcdef0123456789abcdef01234567', -5),
			('sshd', '/c', '0123456789abcdef0123456789abcdef01234567', 1e300), ('sshd', 'systemd-journal', NULL, 1e300)`)
	s := open(t, Config{Path: path})
	equal(t, "set aside", s.SetAside(), "")
	list := bans(t, s, jails)
	want := []string{
		"sshd 10.0.0.0 2026-11-22 11:59:00 until 2026-11-22 12:59:00 failures 5 count 1",
		"sshd 192.0.2.1 1970-01-01 00:00:00 until ever failures 0 count 1",
		"sshd 192.0.2.2 2026-11-22 12:00:00 until ever failures 0 count 2147483647",
		"sshd 192.0.2.3 1970-01-01 00:00:00 until ever failures 0 count 1",
		"sshd 192.0.2.4 2026-11-22 12:00:00 until 2026-11-22 13:00:00 failures 1073741824 count 2147483647",
		"sshd 192.0.2.8 1970-01-01 00:00:00 until ever failures 0 count 1",
		"sshd 192.0.2.9 1970-01-01 00:00:00 until ever failures 0 count 1",
	}
	equal(t, "bans", list, want)
	position := func(path, want string) {
		t.Helper()
		p, ok, err := s.Position(ctx, "sshd", path)
		must(t, err)
		equal(t, path, fmt.Sprint(p, ok), want)
	}
	position("/a", "{0  0} false")
	position("/b", "{0 0123456789abcdef0123456789abcdef01234567 0} true")
	position("/c", fmt.Sprintf("{%d 0123456789abcdef0123456789abcdef01234567 0} true", maxSeconds))
	position("systemd-journal", "{0  0} false")

	// Our own tables are no more to be trusted.
	count := func(id string, failures int) []byte {
		row, _ := appendCounts(nil, []pipeline.Count{{Jail: jails.get("sshd"), ID: pipeline.ParseID(id), FirstNanos: 4, LastNanos: 5, Failures: failures}})
		return row
	}
	cut := count("192.0.2.2", 3)
	other := append([]byte{9}, count("192.0.2.3", 3)[1:]...)
	_, err := s.db.Exec(`INSERT INTO f2bpipe_counts(data) VALUES(?), (?), (?), (zeroblob(5000000)), ('text'), (?), (?);
		INSERT INTO f2bpipe_positions VALUES('sshd', '/d', -1, 'm', -1), ('sshd', '/e', 'x', zeroblob(1000000), x'00');
		INSERT INTO f2bpipe_memory(input, data) VALUES(x'00', 'data'), ('i', zeroblob(5000000)), ('j', ''), ('k', x'01ffffffffffffffffffff01'), ('l', x'01017801790601');
		INSERT OR REPLACE INTO f2bpipe_meta VALUES('k', zeroblob(5000000))`,
		count("192.0.2.1", math.MaxInt), cut[:len(cut)-2], other, count("nojail", 1), count("192.0.2.4", 7))
	must(t, err)
	counts, err := s.Counts(ctx, jails.get)
	must(t, err)
	var got []string
	for _, c := range counts {
		got = append(got, fmt.Sprint(c.ID, " ", c.Failures, " ", len(c.Times)))
	}
	slices.Sort(got)
	equal(t, "counts", strings.Join(got, ", "), fmt.Sprintf("192.0.2.1 %d 0, 192.0.2.4 7 0, nojail 1 0", maxFailures))
	position("/d", "{0 m 0} true")
	position("/e", "{0  0} false")
	memory, err := s.Memory(ctx)
	must(t, err)
	equal(t, "memory", len(memory), 0)
	value, err := s.Meta(ctx, "k")
	must(t, err)
	equal(t, "meta", len(value), 0)
	must(t, s.Purge(ctx, now.UnixNano()))
	must(t, s.Save(ctx, events(pipeline.EventBan, ban(jails.get("sshd"), "192.0.2.9"))))
}

// FuzzRow reads a row of any values.
func FuzzRow(f *testing.F) {
	f.Add("192.0.2.1", "j", int64(1), 2.0, int64(-1), 3.0, uint8(0), []byte(`{"matches": ["a", ["b", "c"]], "failures": 3, "user": "x"}`))
	f.Add("2001:db8::/129", "", int64(-1<<63), -1e308, int64(1<<63-1), 1e308, uint8(255), []byte(`{"failures": 1e99, "matches": {"a": "failures\": 7"`))
	f.Fuzz(func(t *testing.T, ip, jail string, a int64, x float64, l int64, y float64, kinds uint8, data []byte) {
		pick := func(bits uint8, n int64, f float64) any {
			switch kinds >> bits & 3 {
			case 0:
				return n
			case 1:
				return f
			case 2:
				return nil
			}
			return "text"
		}
		r := row{ip: []byte(ip), jail: []byte(jail), data: data, at: pick(0, a, x), length: pick(2, l, y), counted: pick(4, l, x)}
		d, failures := parseData(data)
		if failures < 0 || failures > maxFailures {
			t.Fatalf("failures %d", failures)
		}
		// What was read and written again is read the same.
		again, n := parseData(appendData(nil, &d, failures, len(d.Matches)))
		d.Fields = filterFields(d.Fields)
		if n != failures || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", d) {
			t.Fatalf("%+v %d, then %+v %d", d, failures, again, n)
		}
		if !r.valid() {
			return
		}
		b, ok := r.ban(&Target{Jail: testJails{}.get("j")}, now.UnixNano())
		if !ok {
			return
		}
		if b.AtNanos < 0 || b.AtNanos > now.UnixNano() || b.UntilNanos <= now.UnixNano() || b.Count < 1 || b.ID.IsZero() {
			t.Fatalf("%+v", b)
		}
	})
}

// filterFields leaves out what appendData does.
func filterFields(fields []Field) []Field {
	var out []Field
	for _, f := range fields {
		if f.Name != "matches" && f.Name != "failures" {
			out = append(out, f)
		}
	}
	return out
}

// FuzzMemory reads rows of counts and of what matchers remember.
func FuzzMemory(f *testing.F) {
	j := testJails{}
	for _, id := range []string{"192.0.2.1", "2001:db8::1", "2001:db8::/64", "joe"} {
		row, _ := appendCounts(nil, []pipeline.Count{{Jail: j.get("a"), ID: pipeline.ParseID(id), FirstNanos: 1, LastNanos: 9, Failures: 2, Times: []int64{1, 9}}})
		f.Add(row)
	}
	f.Add([]byte("\x01\x01a\x01b\x01\x03xyz\x01a\x01b\x00"))
	f.Fuzz(func(t *testing.T, row []byte) {
		readMemory(row, map[memoryKey][]byte{})
		counts := map[counter]pipeline.Count{}
		readCounts(row, j.get, counts)
		var list []pipeline.Count
		for _, c := range counts {
			if c.Failures < 1 || c.Failures > maxFailures || c.LastNanos < c.FirstNanos || c.ID.IsZero() {
				t.Fatalf("%+v", c)
			}
			if c.Jail.Name != validText(c.Jail.Name) || len(packTimes(c.Times)) > maxRecord {
				continue // a name that only a hand can have written
			}
			list = append(list, c)
		}
		again := map[counter]pipeline.Count{}
		for rest := list; len(rest) > 0; {
			var row []byte
			row, rest = appendCounts(nil, rest)
			readCounts(row, j.get, again)
		}
		for _, c := range list {
			if got := again[counter{c.Jail, c.ID}]; idText(c.ID) == c.ID.String() && fmt.Sprint(got) != fmt.Sprint(c) {
				t.Fatalf("%+v, then %+v", c, got)
			}
		}
	})
}

// FuzzTimes reads the times of a count.
func FuzzTimes(f *testing.F) {
	f.Add(packTimes([]int64{1, 2, 3}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		times, ok := unpackTimes(b)
		for i := range times[min(1, len(times)):] {
			if times[i] > times[i+1] {
				t.Fatalf("%v descends", times)
			}
		}
		if ok && len(times) < 1000 {
			again, ok := unpackTimes(packTimes(times))
			if !ok || fmt.Sprint(again) != fmt.Sprint(times) {
				t.Fatalf("%v, then %v", times, again)
			}
		}
	})
}
