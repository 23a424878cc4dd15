package service

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// A filter that no longer fits the log bans nobody and says nothing: fail2ban
// was blind for months after Dovecot 2.4 and sshd-session came. Two signs give
// it away: its log moves while it matches nothing, and lines of the log look
// like failures that nobody takes.
const (
	blindAfter   = 24 * time.Hour   // blindalarm, where the jail does not say
	blindEvery   = 10 * time.Second // between two looks
	blindLines   = 100              // that a log has moved by, at least
	blindUntaken = 3                // lines that look like failures and nobody takes
)

// blindAlarm reads a jail's option blindalarm: the time without a match after
// which it counts as blind; 0 turns both alarms off.
func blindAlarm(c *config.Jail) (time.Duration, error) {
	v, ok := c.Options["blindalarm"]
	if !ok {
		return blindAfter, nil
	}
	d, err := config.ParseDuration(v.Text)
	if err == nil && d < 0 {
		err = fmt.Errorf("%s is negative", v.Text)
	}
	if err != nil {
		return 0, wrongOption(c, "blindalarm", v, fmt.Errorf("%w (expected a time such as 1d; 0 is off)", err))
	}
	return d, nil
}

// alarm knows which jails seem to be blind.
type alarm struct {
	looking sync.Mutex // one look at a time

	mu    sync.Mutex
	sight map[*pipeline.Jail]*sight
}

// sight is what a jail sees. matched and lines are sums over its inputs.
type sight struct {
	matched    int64
	lines      int64 // when it matched last
	sinceNanos int64 // likewise
	blind      string
}

// forget lets a jail begin anew: its filter is another one.
func (a *alarm) forget(j *pipeline.Jail) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sight, j)
}

// text returns why a jail seems blind; empty: it does not.
func (a *alarm) text(j *pipeline.Jail) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sight[j]; s != nil {
		return s.blind
	}
	return ""
}

// lookForBlind looks for blind jails until ctx is done.
func (s *Service) lookForBlind(ctx context.Context) {
	tick := time.NewTicker(blindEvery)
	defer tick.Stop()
	s.checkBlind(s.clock.Now())
	for {
		select {
		case <-tick.C:
			s.checkBlind(s.clock.Now())
		case <-ctx.Done():
			return
		}
	}
}

// checkBlind looks once. A jail that has become blind is logged, once.
func (s *Service) checkBlind(nowNanos int64) {
	s.alarm.looking.Lock()
	defer s.alarm.looking.Unlock()
	inputs := s.inputList()
	for _, in := range inputs {
		s.probe(in, nowNanos)
	}
	s.alarm.mu.Lock()
	defer s.alarm.mu.Unlock()
	next := map[*pipeline.Jail]*sight{}
	for _, j := range s.jails() {
		old := s.alarm.sight[j.identity]
		now := look(j, inputs, old, nowNanos)
		switch {
		case now.blind != "" && (old == nil || old.blind == ""):
			s.log.Warn("jail seems to be blind: its filter does not fit its log", "jail", j.config.Name, "sign", now.blind)
		case now.blind == "" && old != nil && old.blind != "":
			s.log.Info("jail is no longer blind", "jail", j.config.Name)
		}
		next[j.identity] = now
	}
	s.alarm.sight = next
}

// look returns what a jail sees now, given what it saw before (nil: nothing yet).
func look(j *jail, inputs []*input, old *sight, nowNanos int64) *sight {
	now := &sight{sinceNanos: nowNanos}
	untaken, lines := "", int64(0)
	for _, in := range inputs {
		w := in.current()
		c := w.Counters(j.identity)
		if c == nil {
			continue
		}
		now.matched += c.Matched.Load() + c.Ignored.Load()
		lines += in.Lines.Load()
		if untaken == "" {
			untaken = in.suspects.sign(in.Name)
		}
	}
	now.lines = lines
	if old != nil && old.matched == now.matched && old.lines <= lines {
		now.lines, now.sinceNanos = old.lines, old.sinceNanos
	}
	quiet, moved := time.Duration(nowNanos-now.sinceNanos), lines-now.lines
	switch {
	case j.blind == 0:
	case untaken != "":
		now.blind = untaken
	case quiet >= j.blind && moved >= blindLines:
		now.blind = fmt.Sprintf("no line matched for %v, while its logs had %d lines", quiet.Truncate(time.Second), moved)
	}
	return now
}

// Few lines are looked at, so that it costs nothing, and fewer are kept. Where
// a log is blind all of its failures are suspect, and some are met soon.
const (
	sampleLines  = 8    // a second, of one input
	sampleSize   = 1024 // bytes of a line that are looked at
	suspectsKept = 16
)

// suspects are lines of an input that look like failures and that no jail of
// it took.
type suspects struct {
	next int64 // nanoseconds: when there is another sample; the matcher's goroutine alone
	left int   // lines of the one that runs; likewise

	mu    sync.Mutex
	lines [][]byte // not probed yet

	// Of one look at a time:
	of         *watched // whose jails they were tried on
	matched    int64    // by all of them
	untaken    int      // since a jail matched, within blindAfter
	sinceNanos int64    // when the first of them was seen
	last       string   // of them
}

// sample looks at some lines of a batch, of which found came.
func (s *suspects) sample(nowNanos int64, b *pipeline.Batch, found []pipeline.Failure) {
	if nowNanos >= s.next {
		s.next, s.left = nowNanos+int64(time.Second), sampleLines
	}
	if s.left == 0 {
		return
	}
	data, no := b.Data, b.First
	if b.Lines > s.left {
		// From any place, to the end of the batch or of the sample.
		skip := rand.IntN(len(data))
		skip += bytes.IndexByte(data[skip:], '\n') + 1
		no += int64(bytes.Count(data[:skip], []byte("\n")))
		data = data[skip:]
	}
	for ; len(data) > 0 && s.left > 0; s.left-- {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		if looksLikeFailure(line) && !slices.ContainsFunc(found, func(f pipeline.Failure) bool { return f.Line == no }) {
			s.keep(line)
		}
		data, no = rest, no+1
	}
}

func (s *suspects) keep(line []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) < suspectsKept {
		s.lines = append(s.lines, bytes.Clone(line))
	}
}

func (s *suspects) take() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.lines
	s.lines = nil
	return lines
}

// sign says what is suspect about the input; empty: nothing.
func (s *suspects) sign(name string) string {
	if s.untaken < blindUntaken {
		return ""
	}
	return fmt.Sprintf("lines of %s look like authentication failures that no jail takes, such as %.300q", name, s.last)
}

// probe tries the suspects of an input on its jails once more, each line by
// itself: one that a session or an ignoreregex has taken is none. Where a jail
// matches anything, the log is not unread, and what nobody takes is another's.
func (s *Service) probe(in *input, nowNanos int64) {
	w := in.current()
	lines := in.suspects.take()
	matched := int64(0)
	for _, j := range w.jails {
		if c := w.Counters(j.identity); c != nil {
			matched += c.Matched.Load() + c.Ignored.Load()
		}
	}
	if matched != in.suspects.matched || w != in.suspects.of || nowNanos-in.suspects.sinceNanos > int64(blindAfter) {
		in.suspects.of, in.suspects.matched = w, matched
		in.suspects.untaken, in.suspects.sinceNanos = 0, nowNanos
		return
	}
	if len(lines) == 0 || slices.ContainsFunc(w.jails, func(j *jail) bool { return j.config.Maxlines > 1 }) {
		return // a line by itself says nothing to a filter that joins lines
	}
	var filters []matchers.JailFilter
	for _, j := range w.jails {
		f := j.matcher
		f.Jail = pipeline.NewJail(j.config.Name, *j.identity.Policy())
		filters = append(filters, f)
	}
	set, err := matchers.NewSet(matchers.Options{Now: s.clock.Now, Exhaustive: true}, filters, nil)
	if err != nil {
		s.log.Error("suspect lines are not probed", "path", in.Name, "problem", err)
		return
	}
	for i, line := range lines {
		set.Match(nil, &pipeline.Batch{Data: append(bytes.Clone(line), '\n'), First: int64(i) + 1, Lines: 1})
		taken := slices.ContainsFunc(filters, func(f matchers.JailFilter) bool {
			c := set.Counters(f.Jail)
			return c.Matched.Load()+c.Ignored.Load() > 0
		})
		if taken {
			in.suspects.untaken = 0
			return
		}
		in.suspects.untaken++
		in.suspects.last = string(line)
	}
}

// phrases are what failed logins are called in logs, in lower case.
var phrases = [][]byte{
	[]byte("password mismatch"), []byte("invalid user"), []byte("failed password"), []byte("login failed"), []byte("failed login"),
	[]byte("login failure"), []byte("invalid credentials"), []byte("wrong password"), []byte("bad password"),
}

// looksLikeFailure says whether a line speaks of a failed authentication and
// holds an address that is not this host's loopback.
func looksLikeFailure(line []byte) bool {
	var memory [sampleSize]byte
	text := memory[:copy(memory[:], line)]
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			text[i] = c + 'a' - 'A'
		}
	}
	failed := bytes.Contains(text, []byte("auth")) && bytes.Contains(text, []byte("fail"))
	if !failed && !slices.ContainsFunc(phrases, func(p []byte) bool { return bytes.Contains(text, p) }) {
		return false
	}
	return holdsAddress(text)
}

// holdsAddress says whether a word of the text is an address of another host.
func holdsAddress(text []byte) bool {
	start := -1
	for i := 0; i <= len(text); i++ {
		if i < len(text) && (text[i] == '.' || text[i] == ':' || text[i] >= '0' && text[i] <= '9' || text[i] >= 'a' && text[i] <= 'f') {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 && i-start >= len("::1") {
			word := string(bytes.Trim(text[start:i], "."))
			addr, err := netip.ParseAddr(word)
			if err != nil { // 192.0.2.1: and 192.0.2.1:22
				host, _, _ := strings.Cut(strings.TrimPrefix(word, ":"), ":")
				addr, err = netip.ParseAddr(host)
			}
			if err == nil && !addr.IsLoopback() && !addr.IsUnspecified() {
				return true
			}
		}
		start = -1
	}
	return false
}
