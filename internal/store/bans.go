package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// Target is the jail that stored bans come back to, and what it allows them.
type Target struct {
	Jail *pipeline.Jail
	// Increment says that the jail has bantime.increment: a ban may then be as
	// long as MaxTime (bantime.maxtime; 0 or negative: without end). Without it
	// no longer than the jail's policy says.
	Increment bool
	MaxTime   time.Duration
}

// Record is a ban as it is stored.
type Record struct {
	pipeline.Ban
	Count int    // how often the ID has been banned, this ban included
	Data  []byte // fail2ban's JSON; see Details
}

// Details reads the ban's data.
func (r *Record) Details() Details {
	d, _ := parseData(r.Data)
	d.Count = r.Count
	return d
}

// Ticket returns the ban's details as they travel with it.
func (r *Record) Ticket() *pipeline.Ticket {
	d := r.Details()
	t := &pipeline.Ticket{Matches: d.Matches, Count: d.Count}
	for _, f := range d.Fields {
		if t.Fields == nil {
			t.Fields = make(map[string]string, len(d.Fields))
		}
		t.Fields[f.Name] = f.Value
	}
	return t
}

// Bans returns the bans that are in force at nowNanos, by fail2ban's rules: not
// longer than the jail allows now, so that a bantime that was made shorter
// counts for old bans too. Bans by command (without failures) keep their time.
// target returns the jail of a name, or false where there is none: its bans
// are left out. skipped is the number of rows that are no bans, whatever they are.
func (s *Store) Bans(ctx context.Context, nowNanos int64, target func(jail string) (Target, bool)) (bans []Record, skipped int, err error) {
	err = s.reading(ctx, func(db *sql.DB) error {
		bans, skipped = nil, 0
		return s.bans(ctx, db, nowNanos, target, &bans, &skipped)
	})
	if err != nil {
		return nil, 0, err
	}
	return bans, skipped, nil
}

func (s *Store) bans(ctx context.Context, db *sql.DB, nowNanos int64, target func(string) (Target, bool), bans *[]Record, skipped *int) error {
	var n int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM bips`).Scan(&n); err != nil {
		return err
	}
	*bans = make([]Record, 0, min(n, s.cfg.MaxBans))
	rows, err := db.QueryContext(ctx, `SELECT `+banExprs+` FROM bips NOT INDEXED`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var (
		r       row
		data    []byte // of many bans: a hundred thousand allocations less
		targets = make(map[string]*Target)
	)
	for rows.Next() && len(*bans) < s.cfg.MaxBans {
		if err := r.scan(rows); err != nil {
			return err
		}
		if !r.valid() {
			*skipped++
			continue
		}
		t, asked := targets[string(r.jail)]
		if !asked {
			if found, ok := target(string(r.jail)); ok {
				t = &found
			}
			targets[string(r.jail)] = t
		}
		if t == nil {
			continue
		}
		if b, ok := r.ban(t, nowNanos); ok {
			if cap(data)-len(data) < len(r.data) {
				data = make([]byte, 0, max(dataBlock, len(r.data)))
			}
			data = append(data, r.data...)
			b.Data = data[len(data)-len(r.data) : len(data) : len(data)]
			*bans = append(*bans, b)
		}
	}
	return rows.Err()
}

// row is a row of bans or bips as it was read. Its texts are valid until the next scan.
type row struct {
	ip, jail, data      sql.RawBytes
	at, length, counted any
}

func (r *row) scan(rows *sql.Rows) error {
	return rows.Scan(&r.ip, &r.jail, &r.at, &r.length, &r.counted, &r.data)
}

// valid says whether the row can be a ban.
func (r *row) valid() bool {
	return len(r.ip) > 0 && len(r.jail) > 0 && r.at != nil && r.length != nil
}

// Bounds of times in seconds.
const (
	maxSeconds  = math.MaxInt64 / int64(time.Second) // what nanoseconds in an int64 can say
	unknownTime = -2                                 // a bantime of fail2ban before 0.10
)

// seconds returns a number as whole seconds, clamped to [low, maxSeconds].
func seconds(v any, low int64) int64 {
	switch v := v.(type) {
	case int64:
		return min(max(v, low), maxSeconds)
	case float64:
		if v >= float64(maxSeconds) {
			return maxSeconds
		}
		if v >= float64(low) {
			return int64(v)
		}
	}
	return low
}

// dataBlock is the number of bytes that the data of bans are kept by.
const dataBlock = 64 << 10

// ban makes the ban of the row, without its data; false where it is not in force at nowNanos.
func (r *row) ban(t *Target, nowNanos int64) (Record, bool) {
	now := nowNanos / int64(time.Second)
	at := min(seconds(r.at, 0), now) // no ban begins in the future
	length := seconds(r.length, math.MinInt64)
	allowed := t.allowed()
	failures := parseFailures(r.data)
	switch {
	case length == unknownTime:
		length = policySeconds(t.Jail.Policy())
	case length < -1:
		return Record{}, false
	case failures > 0 && allowed >= 0 && (length < 0 || length > allowed):
		length = allowed
	}
	b := Record{
		Ban: pipeline.Ban{
			Jail: t.Jail, ID: pipeline.ParseID(string(r.ip)), AtNanos: at * int64(time.Second),
			UntilNanos: pipeline.Permanent, Failures: failures, Restored: true,
		},
		Count: count(r.counted),
	}
	if length >= 0 && length < maxSeconds-at {
		b.UntilNanos = (at + length) * int64(time.Second)
	}
	return b, b.UntilNanos > nowNanos
}

// allowed returns the seconds that a ban may last, negative: for ever.
func (t *Target) allowed() int64 {
	if !t.Increment {
		return policySeconds(t.Jail.Policy())
	}
	if t.MaxTime <= 0 {
		return -1
	}
	return int64(t.MaxTime / time.Second)
}

// policySeconds returns a jail's bantime in seconds, −1: for ever.
func policySeconds(p *pipeline.Policy) int64 {
	if p.BanTime < 0 {
		return -1
	}
	return int64(p.BanTime / time.Second)
}

// History is what is known of an ID that was banned before.
type History struct {
	Count   int           // bans; over all jails their sum
	AtNanos int64         // when the last one began
	BanTime time.Duration // its length, over all jails the sum; negative: permanent
}

// History returns what is known of an ID in a jail; in all of them where jail is
// empty (bantime.overalljails). false: it was never banned, or that is purged.
func (s *Store) History(ctx context.Context, jail string, id pipeline.ID) (h History, found bool, err error) {
	err = s.reading(ctx, func(db *sql.DB) error {
		h, found = History{}, false
		rows, err := db.QueryContext(ctx, `SELECT `+banExprs+` FROM bips WHERE ip = ?1 AND (?2 = '' OR jail = ?2) LIMIT 1000`,
			idText(id), validText(jail))
		if err != nil {
			return err
		}
		defer rows.Close()
		var (
			r   row
			sum int64
		)
		for rows.Next() {
			if err := r.scan(rows); err != nil {
				return err
			}
			if !r.valid() {
				continue
			}
			found = true
			h.Count = min(h.Count+count(r.counted), math.MaxInt32)
			h.AtNanos = max(h.AtNanos, seconds(r.at, 0)*int64(time.Second))
			sum = min(sum+seconds(r.length, -1), maxSeconds)
		}
		h.BanTime = time.Duration(sum) * time.Second
		return rows.Err()
	})
	return h, found, err
}

// count returns a bancount.
func count(v any) int { return int(min(max(seconds(v, 1), 1), math.MaxInt32)) }

// maxMerged is the number of bans of one ID that Merged looks at.
const maxMerged = 1000

// Merged returns the last lines (MaxMatches) and the sum of the failures of all
// bans of an ID that are stored, in a jail or, where jail is empty, in all: what
// fail2ban's tags ipmatches, ipjailmatches, ipfailures and ipjailfailures say.
func (s *Store) Merged(ctx context.Context, jail string, id pipeline.ID) (matches []string, failures int, err error) {
	err = s.reading(ctx, func(db *sql.DB) error {
		matches, failures = nil, 0
		rows, err := db.QueryContext(ctx, `SELECT `+banColumns[5].expr()+` FROM bans
			WHERE ip = ?1 AND (?2 = '' OR jail = ?2) ORDER BY timeofban DESC LIMIT ?3`, idText(id), validText(jail), maxMerged)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var data sql.RawBytes
			if err := rows.Scan(&data); err != nil {
				return err
			}
			d, n := parseData(data)
			failures = min(failures+n, math.MaxInt32)
			if room := s.MaxMatches() - len(matches); room > 0 {
				last := d.Matches[max(0, len(d.Matches)-room):]
				matches = append(last[:len(last):len(last)], matches...)
			}
		}
		return rows.Err()
	})
	return matches, failures, err
}

// idText returns an ID as fail2ban writes it: like String, but for IPv6
// addresses that begin with 96 zero bits, whose rest inet_ntop(3) writes like IPv4.
func idText(id pipeline.ID) string {
	p, ok := id.Prefix()
	if !ok {
		return validText(id.String())
	}
	a := p.Addr()
	b := a.As16()
	if !a.Is6() || [12]byte(b[:12]) != [12]byte{} || b[12] == 0 && b[13] == 0 {
		return id.String()
	}
	s := "::" + netip.AddrFrom4([4]byte(b[12:])).String()
	if !p.IsSingleIP() {
		s += fmt.Sprintf("/%d", p.Bits())
	}
	return s
}

// EachBanned calls do for each ID that was ever banned, with the number of its
// bans, when the last one began and how many seconds it lasts (−1: for ever):
// in the jails named, or in all where jails is nil.
func (s *Store) EachBanned(ctx context.Context, jails []string, do func(jail string, id pipeline.ID, count int, atNanos, seconds int64)) error {
	wanted := make(map[string]bool, len(jails))
	for _, name := range jails {
		wanted[validText(name)] = true
	}
	names := make(map[string]string) // one string a jail, not one a row
	return s.reading(ctx, func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, `SELECT `+banExprs+` FROM bips NOT INDEXED LIMIT ?`, s.cfg.MaxBans)
		if err != nil {
			return err
		}
		defer rows.Close()
		var r row
		for rows.Next() {
			if err := r.scan(rows); err != nil {
				return err
			}
			if !r.valid() || jails != nil && !wanted[string(r.jail)] {
				continue
			}
			name, known := names[string(r.jail)]
			if !known {
				name = string(r.jail)
				names[name] = name
			}
			do(name, pipeline.ParseID(string(r.ip)), count(r.counted), seconds(r.at, 0)*int64(time.Second), seconds(r.length, -1))
		}
		return rows.Err()
	})
}
