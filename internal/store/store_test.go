package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// now is the clock of these tests.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// testJails are jails by name; a name that begins with "no" has none.
type testJails map[string]*pipeline.Jail

func (m testJails) get(name string) *pipeline.Jail {
	if m[name] == nil {
		m[name] = pipeline.NewJail(name, pipeline.Policy{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: time.Hour})
	}
	return m[name]
}

func (m testJails) target(name string) (Target, bool) {
	return Target{Jail: m.get(name)}, name[:min(2, len(name))] != "no"
}

// open opens a store that ends with the test, on path or, where it is empty, on a new file.
func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "fail2ban.sqlite3")
	}
	cfg.Now = func() time.Time { return now }
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// must fails the test where there is an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ban is a ban of one hour that began a minute ago.
func ban(j *pipeline.Jail, id string) pipeline.Ban {
	at := now.Add(-time.Minute).UnixNano()
	return pipeline.Ban{Jail: j, ID: pipeline.ParseID(id), AtNanos: at, UntilNanos: at + int64(time.Hour), Failures: 5}
}

func events(kind pipeline.EventKind, bans ...pipeline.Ban) *pipeline.Checkpoint {
	c := new(pipeline.Checkpoint)
	for _, b := range bans {
		c.Events = append(c.Events, pipeline.Event{Kind: kind, Ban: b, AtNanos: now.UnixNano()})
	}
	return c
}

// bans returns the stored bans in force as texts, sorted.
func bans(t testing.TB, s *Store, jails testJails) []string {
	t.Helper()
	list, skipped, err := s.Bans(context.Background(), now.UnixNano(), jails.target)
	must(t, err)
	if skipped > 0 {
		t.Logf("%d rows skipped", skipped)
	}
	texts := make([]string, len(list))
	for i, r := range list {
		until := "ever"
		if r.UntilNanos != pipeline.Permanent {
			until = time.Unix(0, r.UntilNanos).UTC().Format(time.DateTime)
		}
		texts[i] = fmt.Sprintf("%s %s %s until %s failures %d count %d", r.Jail.Name, r.ID,
			time.Unix(0, r.AtNanos).UTC().Format(time.DateTime), until, r.Failures, r.Count)
	}
	slices.Sort(texts)
	return texts
}

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func TestBansSurvive(t *testing.T) {
	ctx, jails := context.Background(), testJails{}
	cfg := Config{Path: filepath.Join(t.TempDir(), "db")}
	ticket := &pipeline.Ticket{Count: 2, Matches: []string{"one", "two \"q\"\n"}, Fields: map[string]string{"user": "é\x80"}}
	ban := func(j *pipeline.Jail, id string) pipeline.Ban {
		b := ban(j, id)
		b.Ticket = ticket
		return b
	}
	s := open(t, cfg)
	sshd, mail := jails.get("sshd"), jails.get("mail")
	forever := ban(sshd, "2001:db8::/64")
	forever.UntilNanos, forever.Failures = pipeline.Permanent, 0
	longer := ban(mail, "192.0.2.2")
	must(t, s.Save(ctx, events(pipeline.EventBan, ban(sshd, "192.0.2.1"), forever, longer, ban(sshd, "id text"), ban(sshd, "198.51.100.7"))))
	longer.UntilNanos -= int64(10 * time.Minute)
	must(t, s.Save(ctx, events(pipeline.EventProlong, longer)))
	must(t, s.Save(ctx, events(pipeline.EventUnban, ban(sshd, "198.51.100.7"))))
	old := ban(sshd, "203.0.113.1")
	old.AtNanos -= int64(2 * time.Hour)
	old.UntilNanos -= int64(2 * time.Hour)
	must(t, s.Save(ctx, events(pipeline.EventBan, old)))
	want := []string{
		"mail 192.0.2.2 2026-11-22 11:59:00 until 2026-11-22 12:49:00 failures 5 count 2",
		"sshd 192.0.2.1 2026-11-22 11:59:00 until 2026-11-22 12:59:00 failures 5 count 2",
		"sshd 2001:db8::/64 2026-11-22 11:59:00 until ever failures 0 count 2",
		"sshd id text 2026-11-22 11:59:00 until 2026-11-22 12:59:00 failures 5 count 2",
	}
	equal(t, "bans", bans(t, s, jails), want)
	must(t, s.Close())
	equal(t, "files after Close", files(t, filepath.Dir(cfg.Path)), []string{"db"})

	s = open(t, cfg)
	equal(t, "bans after a restart", bans(t, s, jails), want)
	list, _, err := s.Bans(ctx, now.UnixNano(), jails.target)
	must(t, err)
	equal(t, "data", string(list[0].Data), `{"matches": ["one", "two \"q\"\n"], "failures": 5, "user": "é`+"\uFFFD"+`"}`)
	equal(t, "ticket", list[0].Ticket(), &pipeline.Ticket{Count: 2, Matches: ticket.Matches, Fields: map[string]string{"user": "é\uFFFD"}})
	h, ok, err := s.History(ctx, "sshd", old.ID)
	must(t, err)
	equal(t, "history", h, History{Count: 2, AtNanos: old.AtNanos, BanTime: time.Hour})
	equal(t, "has history", ok, true)
	matches, failures, err := s.Merged(ctx, "", old.ID)
	must(t, err)
	equal(t, "merged", fmt.Sprint(matches, failures), "[one two \"q\"\n] 5")
	must(t, s.Forget(ctx, "sshd", old.ID))
	_, ok, err = s.History(ctx, "", old.ID)
	must(t, err)
	equal(t, "has history when forgotten", ok, false)
	must(t, s.Forget(ctx, "sshd"))
	equal(t, "bans when the jail is forgotten", bans(t, s, jails), want[:1])
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, f := range list {
		names = append(names, f.Name())
	}
	return names
}

func TestHistoryOverAllJails(t *testing.T) {
	ctx, jails := context.Background(), testJails{}
	s := open(t, Config{})
	a, b := ban(jails.get("a"), "192.0.2.1"), ban(jails.get("b"), "192.0.2.1")
	a.Ticket, b.Ticket = &pipeline.Ticket{Count: 3}, &pipeline.Ticket{Count: 4}
	b.AtNanos += int64(time.Second)
	must(t, s.Save(ctx, events(pipeline.EventBan, a, b)))
	h, ok, err := s.History(ctx, "", a.ID)
	must(t, err)
	equal(t, "history", h, History{Count: 7, AtNanos: b.AtNanos, BanTime: 2*time.Hour - time.Second})
	equal(t, "found", ok, true)
	_, ok, err = s.History(ctx, "c", a.ID)
	must(t, err)
	equal(t, "found in another jail", ok, false)
}

func TestRestoreRules(t *testing.T) {
	jail := func(d time.Duration) *pipeline.Jail { return pipeline.NewJail("j", pipeline.Policy{BanTime: d}) }
	at := now.Add(-time.Hour).Unix()
	f := func(length, data string, target Target, want string) {
		t.Helper()
		s := open(t, Config{Path: Memory})
		_, err := s.db.Exec(`INSERT INTO jails VALUES('j', 1);
			INSERT INTO bips VALUES('192.0.2.1', 'j', ?, `+length+`, 3, ?)`, at, data)
		must(t, err)
		list, _, err := s.Bans(context.Background(), now.UnixNano(), func(string) (Target, bool) { return target, true })
		must(t, err)
		got := "none"
		if len(list) == 1 && list[0].UntilNanos == pipeline.Permanent {
			got = "ever"
		} else if len(list) == 1 {
			got = time.Duration(list[0].UntilNanos - list[0].AtNanos).String()
		}
		equal(t, fmt.Sprintf("%s %s %+v", length, data, target), got, want)
	}
	const found, command = `{"matches": [], "failures": 5}`, `{"matches": [], "failures": 0}`
	day, week := Target{Jail: jail(24 * time.Hour)}, Target{Jail: jail(7 * 24 * time.Hour)}
	f("86400", found, week, "24h0m0s")
	f("604800", found, day, "24h0m0s")    // the jail's bantime was made shorter
	f("604800", command, day, "168h0m0s") // not for bans by command
	f("-1", found, day, "24h0m0s")        // no longer permanent
	f("-1", command, day, "ever")         //
	f("-1", found, Target{Jail: jail(-1)}, "ever")
	f("-2", found, day, "24h0m0s") // not known
	f("-3", found, day, "none")
	f("3599", found, day, "none") // over
	f("3600", found, day, "none")
	f("3601", found, day, "1h0m1s")
	f("604800", found, Target{Jail: jail(time.Minute)}, "none")
	f("604800", found, Target{Jail: jail(time.Minute), Increment: true}, "168h0m0s")
	f("604800", found, Target{Jail: jail(time.Minute), Increment: true, MaxTime: 48 * time.Hour}, "48h0m0s")
	f("-1", found, Target{Jail: jail(time.Minute), Increment: true}, "ever")
	f("9223372036854775807", command, day, "ever")
	f("1e300", command, day, "ever")
	f("86400.75", found, week, "24h0m0s")
	f("'x'", found, week, "none")
}

func TestPositionsCountsMemory(t *testing.T) {
	ctx, jails := context.Background(), testJails{}
	a, b := jails.get("a"), jails.get("b")
	cfg := Config{Path: filepath.Join(t.TempDir(), "db"), Jails: func(in *pipeline.Input) []*pipeline.Jail { return []*pipeline.Jail{a, b} }}
	s := open(t, cfg)
	sha := "0123456789abcdef0123456789abcdef01234567"
	file := pipeline.Position{Offset: 4711, Mark: sha + " 12:13:14 <1:2:3", AtNanos: 99}
	journal := pipeline.Position{Mark: "s=cursor", AtNanos: now.UnixNano() + 123456000}
	c := &pipeline.Checkpoint{Inputs: []pipeline.InputEnd{
		{Input: pipeline.NewInput("/var/log/auth.log", nil), End: file},
		{Input: pipeline.NewInput("systemd-journal", nil), End: journal},
		{Input: pipeline.NewInput("stdin", nil), End: file},
	}}
	counts := []pipeline.Count{
		{Jail: a, ID: pipeline.ParseID("192.0.2.1"), FirstNanos: 5, LastNanos: 9, Failures: 2, Times: []int64{5, 9}},
		{Jail: a, ID: pipeline.ParseID("2001:db8::1"), FirstNanos: 5, LastNanos: 9, Failures: 3},
		{Jail: b, ID: pipeline.ParseID("text"), FirstNanos: -5, LastNanos: 9, Failures: 1},
	}
	c.Counts, c.AllCounts = counts, true
	c.Inputs[0].Memory = []pipeline.Memory{{Jail: "a", Key: "x", Value: []byte("1")}, {Jail: "a", Key: "y\x80", Value: []byte{0}}, {Jail: "b", Key: "", Value: []byte{}}}
	must(t, s.Save(ctx, c))
	gone := counts[1]
	gone.Failures = 0
	c = &pipeline.Checkpoint{Counts: []pipeline.Count{gone}}
	c.Inputs = []pipeline.InputEnd{{Input: pipeline.NewInput("/var/log/auth.log", nil), End: file, Memory: []pipeline.Memory{{Jail: "a", Key: "x"}}}}
	must(t, s.Save(ctx, c))
	counted := func() []pipeline.Count {
		t.Helper()
		got, err := s.Counts(ctx, jails.get)
		must(t, err)
		slices.SortFunc(got, func(a, b pipeline.Count) int { return strings.Compare(a.Jail.Name, b.Jail.Name) })
		return got
	}
	remembered := func() map[string][]pipeline.Memory {
		t.Helper()
		got, err := s.Memory(ctx)
		must(t, err)
		for _, list := range got {
			slices.SortFunc(list, func(a, b pipeline.Memory) int { return strings.Compare(a.Jail, b.Jail) })
		}
		return got
	}
	must(t, s.SetMeta(ctx, "k", []byte("v")))
	if s.SetMeta(ctx, metaCounter, nil) == nil {
		t.Error("a key of the store's own can be set")
	}
	for range 2 {
		position := func(jail, path string) string {
			p, ok, err := s.Position(ctx, jail, path)
			must(t, err)
			return fmt.Sprint(p, ok)
		}
		equal(t, "file", position("a", "/var/log/auth.log"), fmt.Sprint(file, true))
		equal(t, "journal", position("b", "systemd-journal"), fmt.Sprint(journal, true))
		equal(t, "stdin", position("b", "stdin"), fmt.Sprint(pipeline.Position{}, false))
		equal(t, "counts", counted(), []pipeline.Count{counts[0], counts[2]})
		equal(t, "memory", remembered(), map[string][]pipeline.Memory{
			"/var/log/auth.log": {{Jail: "a", Key: "y\x80", Value: []byte{0}}, {Jail: "b", Value: []byte{}}},
		})
		value, err := s.Meta(ctx, "k")
		must(t, err)
		equal(t, "meta", string(value), "v")
		must(t, s.Close())
		s = open(t, cfg)
		equal(t, "foreign", s.Foreign(), false)
	}
	must(t, s.Close())

	// Somebody else writes: ours is of no use, fail2ban's is.
	runSQL(t, cfg.Path, `UPDATE logs SET lastfilepos = 5000 WHERE path LIKE '/%'; UPDATE logs SET lastfilepos = 1790000000.25 WHERE path NOT LIKE '/%'`)
	s = open(t, cfg)
	equal(t, "foreign", s.Foreign(), true)
	p, ok, err := s.Position(ctx, "b", "/var/log/auth.log")
	must(t, err)
	equal(t, "file", fmt.Sprint(p, ok), fmt.Sprint(pipeline.Position{Offset: 5000, Mark: sha}, true))
	p, ok, err = s.Position(ctx, "b", "systemd-journal")
	must(t, err)
	equal(t, "journal", fmt.Sprint(p, ok), fmt.Sprint(pipeline.Position{AtNanos: 1790000000250000000}, true))
	equal(t, "counts", len(counted()), 0)
	equal(t, "memory", len(remembered()), 0)

	// What is everything takes the place of what was.
	must(t, s.Save(ctx, &pipeline.Checkpoint{Counts: counts[:2]}))
	must(t, s.Save(ctx, &pipeline.Checkpoint{Counts: counts[2:], AllCounts: true}))
	equal(t, "counts", counted(), counts[2:])
	c.Inputs[0].AllMemory = true
	must(t, s.Save(ctx, c))
	equal(t, "memory", len(remembered()), 0)
}

// However many counts there are, no row is longer than what is read again.
func TestManyCounts(t *testing.T) {
	ctx, jails := context.Background(), testJails{}
	s := open(t, Config{Path: Memory})
	var c pipeline.Checkpoint
	for i := range 40_000 {
		n := pipeline.Count{Jail: jails.get([]string{"a", "b"}[i%2]), ID: pipeline.ParseID(fmt.Sprintf("2001:db8::%x", i)), FirstNanos: int64(i), LastNanos: now.UnixNano(), Failures: 2}
		n.Times = []int64{n.FirstNanos, n.LastNanos}
		c.Counts = append(c.Counts, n)
	}
	must(t, s.Save(ctx, &c))
	var longest int
	must(t, s.db.QueryRow(`SELECT max(length(data)) FROM f2bpipe_counts`).Scan(&longest))
	if longest > maxBlob {
		t.Errorf("a row of %d bytes", longest)
	}
	got, err := s.Counts(ctx, jails.get)
	must(t, err)
	slices.SortFunc(got, func(a, b pipeline.Count) int { return cmp.Compare(a.FirstNanos, b.FirstNanos) })
	equal(t, "counts", got, c.Counts)
}

// runSQL runs statements on a file as another process would.
func runSQL(t testing.TB, path, statements string) {
	t.Helper()
	db, err := openDB("file:" + path)
	must(t, err)
	defer db.Close()
	_, err = db.Exec(statements)
	must(t, err)
}

// The stamp must be the header's change counter after each kind of transaction.
func TestCounter(t *testing.T) {
	ctx, jails := context.Background(), testJails{}
	cfg := Config{Path: filepath.Join(t.TempDir(), "db")}
	s := open(t, cfg)
	check := func(what string) {
		t.Helper()
		head, err := os.ReadFile(cfg.Path)
		must(t, err)
		equal(t, "counter after "+what, binary.BigEndian.Uint32(head[24:]), s.stamp)
	}
	check("Open")
	must(t, s.Save(ctx, events(pipeline.EventBan, ban(jails.get("a"), "192.0.2.1"))))
	check("Save")
	bans(t, s, jails)
	must(t, s.Purge(ctx, now.UnixNano()))
	check("Purge")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if s.SetJails(cancelled, []string{"x"}) == nil {
		t.Error("a transaction without a context succeeds")
	}
	check("a cancelled transaction")
	must(t, s.SetJails(ctx, []string{"a"}))
	check("SetJails")
	must(t, s.Close())
	runSQL(t, cfg.Path, `PRAGMA journal_mode = WAL; PRAGMA journal_mode = DELETE`)
	s = open(t, cfg)
	check("a second Open")
}

func TestPurge(t *testing.T) {
	ctx, jails := context.Background(), testJails{}
	s := open(t, Config{})
	older := func(id string, age, length time.Duration) pipeline.Ban {
		b := ban(jails.get("j"+id), "192.0.2."+id)
		b.AtNanos = now.Add(-age).UnixNano()
		b.UntilNanos = b.AtNanos + int64(length)
		return b
	}
	forever := older("4", 1000*time.Hour, 0)
	forever.UntilNanos = pipeline.Permanent
	must(t, s.Save(ctx, events(pipeline.EventBan, older("1", 23*time.Hour, time.Minute), older("2", 25*time.Hour, 10*time.Minute),
		older("3", 25*time.Hour, 21*time.Minute), forever)))
	must(t, s.SetJails(ctx, []string{"j1"}))
	must(t, s.Purge(ctx, now.UnixNano()))
	count := func(query string, want string) {
		t.Helper()
		var got string
		must(t, s.db.QueryRow(query).Scan(&got))
		equal(t, query, got, want)
	}
	count(`SELECT group_concat(ip) FROM bans`, "192.0.2.1")
	count(`SELECT group_concat(ip) FROM bips`, "192.0.2.1,192.0.2.3,192.0.2.4")
	count(`SELECT group_concat(name || enabled) FROM jails`, "j11,j30,j40")
	s.SetPurgeAge(time.Hour)
	must(t, s.Purge(ctx, now.UnixNano()))
	count(`SELECT count(*) FROM bans`, "0")
	count(`SELECT group_concat(ip) FROM bips`, "192.0.2.4")
}

func TestMemoryAndNone(t *testing.T) {
	ctx, jails := context.Background(), testJails{}
	f := func(path string, want int) {
		t.Helper()
		s := open(t, Config{Path: path})
		must(t, s.Save(ctx, events(pipeline.EventBan, ban(jails.get("a"), "192.0.2.1"))))
		must(t, s.SetMeta(ctx, "k", []byte("v")))
		equal(t, path+": bans", len(bans(t, s, jails)), want)
		v, err := s.Meta(ctx, "k")
		must(t, err)
		equal(t, path+": meta", len(v), want)
		must(t, s.Purge(ctx, now.UnixNano()))
		must(t, s.Close())
	}
	f(Memory, 1)
	f(None, 0)
	f("none", 0)
}

func TestPathAndMode(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "real ?%41#é"), 0o755))
	must(t, os.Symlink("real ?%41#é", filepath.Join(dir, "link")))
	path := filepath.Join(dir, "link", "db")
	s := open(t, Config{Path: path})
	st, err := os.Stat(filepath.Join(dir, "real ?%41#é", "db"))
	must(t, err)
	equal(t, "mode", st.Mode(), os.FileMode(0o600))
	must(t, s.Close())
	if err := s.Save(ctx, new(pipeline.Checkpoint)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Save after Close: %v", err)
	}
	fails := func(path, want string) {
		t.Helper()
		_, err := Open(ctx, Config{Path: path})
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	fails(filepath.Join(dir, "absent", "db"), "mkdir -p")
	fails(dir, "is no file")
}

func TestIDText(t *testing.T) {
	f := func(id, want string) {
		t.Helper()
		equal(t, id, idText(pipeline.ParseID(id)), want)
		equal(t, "back", pipeline.ParseID(want), pipeline.ParseID(id))
	}
	f("192.0.2.1", "192.0.2.1")
	f("::ffff:192.0.2.1", "192.0.2.1")
	f("::c000:201", "::192.0.2.1")
	f("::c000:200/120", "::192.0.2.0/120")
	f("::1", "::1")
	f("::", "::")
	f("2001:DB8:0::1", "2001:db8::1")
	f("2001:db8::1/64", "2001:db8::/64")
	f("user name", "user name")
	equal(t, "mapped", pipeline.AddrID(netip.MustParseAddr("::ffff:192.0.2.1")), pipeline.ParseID("192.0.2.1"))
}
