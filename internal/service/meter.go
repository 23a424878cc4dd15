package service

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

const (
	meterEvery = 5 * time.Second
	meterKeeps = int(time.Hour/meterEvery) + 1
	recentBans = 20
	maxExcerpt = 240 // bytes of the line that caused a ban
	maxReasons = 256 // of bans that the ledger does not have yet
)

// RateStatus is how much there is to do. Minute and hour are those before now,
// or the time since the start where that is less.
type RateStatus struct {
	LinesPerSecond float64   `json:"lines_per_second"` // over the last minute
	Failures       PerPeriod `json:"failures"`
	Bans           PerPeriod `json:"bans"` // new ones; not those restored
}

// PerPeriod are numbers of the last minute and hour.
type PerPeriod struct {
	Minute int64 `json:"minute"`
	Hour   int64 `json:"hour"`
}

// RecentBan is a ban and what led to it.
type RecentBan struct {
	Jail     string   `json:"jail"`
	IP       string   `json:"ip"`
	Time     float64  `json:"time"`  // of the failure that caused it, epoch seconds
	Until    *float64 `json:"until"` // null: permanent
	Failures int      `json:"failures"`
	Count    int      `json:"count"` // which ban of the address it is, from 1; 0: not known
	Regex    int      `json:"regex"` // which failregex found the failure that caused it, from 0; -1: none, or not known
	Line     string   `json:"line"`  // its line, cut; empty: by command, or not known. Whoever attacks may have written it
}

// meter counts what goes on, and remembers it for an hour. Safe for concurrent use.
type meter struct {
	startNanos int64
	failures   atomic.Int64
	bans       atomic.Int64

	mu      sync.Mutex
	samples []meterSample       // the oldest first
	recent  [recentBans]madeBan // a ring
	made    int                 // bans that were put into it
	reasons []reason            // of bans under way: a ring, in memory that is used again
	noted   int                 // reasons so far
}

// reason is the failure that caused a ban.
type reason struct {
	of    leakKey
	regex int
	line  []byte
}

// because notes what caused a ban that may come now. Of more than there is room
// for, only the last are known.
func (m *meter) because(f *pipeline.Failure, b *pipeline.Ban) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reasons == nil {
		m.reasons = make([]reason, maxReasons)
	}
	r := &m.reasons[m.noted%maxReasons]
	m.noted++
	r.of, r.regex = leakKey{b.Jail, b.ID}, f.Regex
	r.line = r.line[:0]
	if lastMatch(b) == "" {
		r.line = append(r.line, f.Text[:min(len(f.Text), maxExcerpt)]...)
	}
}

// reasonOf takes the newest reason of a ban, nil where none is known.
func (m *meter) reasonOf(k leakKey) *reason {
	for n := 1; n <= min(m.noted, maxReasons); n++ {
		if r := &m.reasons[(m.noted-n)%maxReasons]; r.of == k {
			r.of = leakKey{}
			return r
		}
	}
	return nil
}

// lastMatch returns the line that caused a ban, where its ticket has it.
func lastMatch(b *pipeline.Ban) string {
	if b.Ticket == nil || len(b.Ticket.Matches) == 0 {
		return ""
	}
	return b.Ticket.Matches[len(b.Ticket.Matches)-1]
}

func excerpt(line string) string {
	return strings.ToValidUTF8(line[:min(len(line), maxExcerpt)], "\uFFFD")
}

type meterSample struct{ atNanos, lines, failures, bans int64 }

// failed counts the failures of a batch.
func (m *meter) failed(failures []pipeline.Failure) {
	n := 0
	for i := range failures {
		n += max(failures[i].Count, 1)
	}
	if n > 0 {
		m.failures.Add(int64(n))
	}
}

// madeBan is a ban and the failure that caused it, written out when somebody asks.
type madeBan struct {
	ban   pipeline.Ban
	regex int    // of the failure that caused it
	line  string // where the ban's ticket has none
}

// shown returns the ban as it is shown.
func (b *madeBan) shown() RecentBan {
	r := RecentBan{Jail: b.ban.Jail.Name, IP: b.ban.ID.String(), Time: epoch(b.ban.AtNanos), Failures: b.ban.Failures, Regex: b.regex, Line: b.line}
	if b.ban.UntilNanos != pipeline.Permanent {
		until := epoch(b.ban.UntilNanos)
		r.Until = &until
	}
	if b.ban.Ticket != nil {
		r.Count = b.ban.Ticket.Count
	}
	if r.Line == "" {
		r.Line = excerpt(lastMatch(&b.ban))
	}
	return r
}

// banned notes a new ban.
func (m *meter) banned(b *pipeline.Ban) {
	m.bans.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	made := &m.recent[m.made%recentBans]
	*made = madeBan{ban: *b, regex: -1}
	if why := m.reasonOf(leakKey{b.Jail, b.ID}); why != nil {
		made.regex, made.line = why.regex, excerpt(string(why.line))
	}
	m.made++
}

// last returns the last bans, the newest first, of one jail or of all.
func (m *meter) last(jail string) []RecentBan {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []RecentBan{}
	for i := m.made - 1; i >= max(m.made-recentBans, 0); i-- {
		if b := &m.recent[i%recentBans]; jail == "" || b.ban.Jail.Name == jail {
			out = append(out, b.shown())
		}
	}
	return out
}

// sample notes the numbers of now.
func (m *meter) sample(nowNanos, lines int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.samples) == meterKeeps {
		m.samples = append(m.samples[:0], m.samples[1:]...)
	}
	m.samples = append(m.samples, meterSample{nowNanos, lines, m.failures.Load(), m.bans.Load()})
}

// rates returns the numbers at nowNanos, when the inputs had so many lines. An
// input that is gone takes its lines with it: there are never less than none.
func (m *meter) rates(nowNanos, lines int64) RateStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := meterSample{nowNanos, lines, m.failures.Load(), m.bans.Load()}
	since := func(d time.Duration) meterSample {
		first := meterSample{atNanos: m.startNanos}
		for _, s := range m.samples {
			if s.atNanos > nowNanos-int64(d) {
				break
			}
			first = s
		}
		return first
	}
	minute, hour := since(time.Minute), since(time.Hour)
	out := RateStatus{
		Failures: PerPeriod{max(now.failures-minute.failures, 0), max(now.failures-hour.failures, 0)},
		Bans:     PerPeriod{max(now.bans-minute.bans, 0), max(now.bans-hour.bans, 0)},
	}
	if took := time.Duration(nowNanos - minute.atNanos).Seconds(); took > 0 {
		out.LinesPerSecond = float64(max(lines-minute.lines, 0)) / took
	}
	return out
}

// measure samples until ctx is done.
func (s *Service) measure(ctx context.Context) {
	tick := time.NewTicker(meterEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.meter.sample(s.clock.Now(), s.lines())
		case <-ctx.Done():
			return
		}
	}
}

// lines returns the number of lines that all inputs have had.
func (s *Service) lines() int64 {
	n := int64(0)
	for _, in := range s.readers() {
		n += in.Lines.Load()
	}
	return n
}

// Totals are the sums over the jails that are shown.
type Totals struct {
	Failing  int `json:"failing"` // addresses with failures that count now
	Failed   int `json:"failed"`
	Banned   int `json:"banned"`
	Bans     int `json:"bans"`
	Enforced int `json:"enforced"`
	Leaked   int `json:"leaked"`
	Guarded  int `json:"guarded"` // bans that the guard kept from being
}

// TotalsOf returns the sums over jails.
func TotalsOf(jails ...JailStatus) (t Totals) {
	for _, j := range jails {
		t.Failing, t.Failed = t.Failing+j.Failed.Current, t.Failed+j.Failed.Total
		t.Banned, t.Bans = t.Banned+j.Banned.Current, t.Bans+j.Banned.Total
		t.Enforced, t.Leaked = t.Enforced+j.Enforced, t.Leaked+j.Leaked
		t.Guarded += int(j.Guard.Own + j.Guard.Gateway + j.Guard.SSH)
	}
	return t
}

// LogStatus is where the log goes, and what became of it.
type LogStatus struct {
	Target  string `json:"target"`
	Level   string `json:"level"`
	Dropped int64  `json:"dropped"` // Found and Ignore lines that came too fast
	Lost    int64  `json:"lost"`    // others: the target took none for too long
	Problem string `json:"problem"` // why the target takes none now; empty: it does
}

func (s *Service) logStatus() LogStatus {
	return LogStatus{Target: s.out.Target(), Level: s.out.Level().String(), Dropped: s.out.Dropped(), Lost: s.out.Lost(), Problem: s.out.Trouble()}
}

// NetworkStatus is what became of whole networks (ipv6-prefix, subnet-ban).
type NetworkStatus struct {
	Groups   int64 `json:"groups"`   // /64 banned because three members failed
	Subnets  int64 `json:"subnets"`  // networks banned because enough members were
	Spared   int64 `json:"spared"`   // not banned, because of somebody in them
	Capped   int64 `json:"capped"`   // not banned, because there were enough
	Evicted  int64 `json:"evicted"`  // forgotten for want of room
	Watching int   `json:"watching"` // remembered now
}

func (s *Service) networkStatus() NetworkStatus {
	if s.networks == nil {
		return NetworkStatus{}
	}
	n := s.networks.Stats()
	return NetworkStatus{n.Groups, n.Subnets, n.Spared, n.Capped, n.Evicted, n.Watching}
}
