package matchers

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/f2bpipe/f2bpipe/matchers/regex"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// ClockRule says what a line's date has to do with the clock.
type ClockRule uint8

// The rules.
const (
	// ByLog takes the date as the log has it; a line without one gets the last
	// date of its input, or the clock's where there was none. For piped logs.
	ByLog ClockRule = iota
	// ByClock is fail2ban's rule for a running jail: while an input is caught up
	// with, lines older than findtime are dropped; lines just written that are more
	// than a minute off happen now; nothing happens in the future.
	ByClock
	// Undated takes the date as the log has it and leaves a line without one
	// without: its failures have AtNanos = NoTime. For tests of a filter.
	Undated
)

// NoTime is the AtNanos of a failure whose line had no date.
const NoTime = -1 << 63

// Options say how a set reads lines.
type Options struct {
	Now   func() int64 // the clock, nanoseconds since the epoch; asked once a batch
	Clock ClockRule
	All   bool // try every failregex and report each that matches
	// Exhaustive looks at every line, also at those that no rule can match: all
	// lines that an ignoreregex takes out are counted then.
	Exhaustive bool
	Fields     bool           // fill Failure.Fields
	RawHost    bool           // a host that is a name is the ID itself, whatever usedns says
	Resolver   Resolver       // nil: names have no addresses
	Location   *time.Location // of dates without a zone; nil: time.Local
	Log        *slog.Logger   // nil: nothing is logged
	Trace      *Trace         // nil: nobody watches
}

// JailFilter is a jail as a matcher sees it.
type JailFilter struct {
	Jail     *pipeline.Jail
	Filter   *Filter
	Dates    []string // datepattern; nil: the defaults
	TimeZone string   // logtimezone
	Encoding string   // logencoding; empty: auto
}

// Counters count what became of the lines of a jail. They are added to once a batch.
type Counters struct {
	Candidates atomic.Int64 // lines that the filter was run on
	Matched    atomic.Int64 // lines that a failregex matched, failures or not
	Ignored    atomic.Int64 // lines that an ignoreregex took out
	TooOld     atomic.Int64 // matches older than findtime while catching up
	NoDate     atomic.Int64 // matches without a date, dropped under ByClock
	NoID       atomic.Int64 // matches that name nobody: no group took part, or the name has no address
	Sessions   atomic.Int64 // sessions that were lost for want of room
}

// Set is the matcher of one input: every jail that watches it. It implements
// pipeline.Matcher. Jails with one date setting and encoding share a line's date.
type Set struct {
	opts    Options
	views   []*view
	jails   []*member
	joiners []*member // those of jails that join lines
	owners  []*member // of the rules, by their bits in a mask of candidates
	w       worker
	arena   []byte // text of the failures of a batch
	field   []pipeline.Field
	now     int64
	batch   *pipeline.Batch            // that is being matched
	at      line                       // of it
	ascii   bool                       // it holds nothing else
	done    struct{ bytes, lines int } // of it, as far as lines were counted
	none    []uint64                   // a mask of no candidate
	past    past                       // of the batch

	prefilter prefilter
	bulk      bulk
	profiler  profiler
	notes     *found // of a scout
	chief     *Set   // of a scout that reports at once
	memory    memory

	newest atomic.Int64 // the last date of the batch before, nanoseconds
}

// A member is a jail in a set, with the state that hangs on its identity.
type member struct {
	JailFilter
	view     *view
	state    *jailState
	counters *Counters
	index    int      // in the set
	firstBit int      // of its failregexes in a mask of candidates
	masks    []uint64 // all of them, from the word of firstBit on

	candidates int64 // of the batch
	taken      int   // bytes of the batch whose lines the buffer has had
}

// jailState is what the lines before have left for those to come. It outlives
// a set: a reload hands it on.
type jailState struct {
	sessions *sessions
	buffer   lineBuffer // maxlines
	warned   [warnings]int64
	counters Counters
}

// NewSet compiles the date patterns of the jails and returns their set. Jails
// that one of prev holds keep their state: sessions, counters, line buffers.
func NewSet(opts Options, jails []JailFilter, prev ...*Set) (*Set, error) {
	s := &Set{opts: opts, now: opts.Now()}
	if opts.Log != nil {
		s.w.gaveUp = &gaveUp{log: opts.Log, told: map[*regex.Regexp]bool{}}
	}
	byKey, places := map[string]*view{}, cutPlaces{}
	for _, j := range jails {
		key := fmt.Sprintf("%q %q %q", j.Dates, j.TimeZone, strings.ToLower(j.Encoding))
		v := byKey[key]
		if v == nil {
			var err error
			if v, err = newView(j, opts.Location, s.now); err != nil {
				return nil, fmt.Errorf("jail %s: %w", j.Jail.Name, err)
			}
			byKey[key] = v
			s.views = append(s.views, v)
		}
		var state *jailState
		for _, p := range prev {
			if state == nil {
				state = p.stateOf(j.Jail)
			}
		}
		if state == nil {
			state = &jailState{sessions: newSessions()}
		}
		state.sessions.everyUser = opts.Trace != nil
		m := &member{JailFilter: j, index: len(s.jails), view: v, state: state, counters: &state.counters}
		m.firstBit = s.prefilter.add(m, places)
		m.masks = masksOf(m.firstBit, len(m.Filter.fail))
		s.jails = append(s.jails, m)
		for range m.Filter.fail {
			s.owners = append(s.owners, m)
		}
		if j.Filter.maxLines > 1 {
			s.joiners = append(s.joiners, m)
		}
	}
	s.none = make([]uint64, (len(s.prefilter.rules)+63)/64)
	if opts.Exhaustive {
		s.prefilter = prefilter{}
	}
	if opts.Trace != nil {
		opts.Trace.watch(s)
	}
	return s, nil
}

func (s *Set) stateOf(j *pipeline.Jail) *jailState {
	if s == nil {
		return nil
	}
	for _, m := range s.jails {
		if m.Jail == j {
			return m.state
		}
	}
	return nil
}

// Counters returns the counters of a jail of this set, nil where it is none.
func (s *Set) Counters(j *pipeline.Jail) *Counters {
	if st := s.stateOf(j); st != nil {
		return &st.counters
	}
	return nil
}

// Match implements pipeline.Matcher.
func (s *Set) Match(dst []pipeline.Failure, b *pipeline.Batch) []pipeline.Failure {
	s.begin(b)
	s.opts.Trace.begin()
	dst = s.matchBatch(dst)
	s.countInvalid()
	s.end()
	return dst
}

// begin turns to a batch.
func (s *Set) begin(b *pipeline.Batch) {
	s.arena, s.field = s.arena[:0], s.field[:0]
	s.now, s.batch, s.ascii = s.opts.Now(), b, false
	for _, v := range s.views {
		v.ready, v.begin = false, s.past.end
	}
	for _, m := range s.jails {
		m.state.sessions.follow(m.Filter.fields)
	}
	for _, m := range s.joiners {
		m.taken = 0
	}
}

// matchBatch looks at the lines that matter.
func (s *Set) matchBatch(dst []pipeline.Failure) []pipeline.Failure {
	s.done.bytes, s.done.lines = 0, 0
	some := s.prefilter.scan(s.batch.Data)
	s.ascii = s.prefilter.ascii()
	if s.chief != nil {
		s.chief.ascii = s.ascii
	}
	for _, m := range s.joiners {
		m.state.buffer.judgedBy(s.prefilter.scanner)
	}
	if some {
		dst = s.matchCandidates(dst)
	} else {
		dst = s.matchAll(dst)
	}
	for _, m := range s.jails {
		if m.candidates > 0 {
			m.counters.Candidates.Add(m.candidates)
			m.candidates = 0
		}
	}
	return dst
}

func (s *Set) countInvalid() {
	if s.batch.Input != nil && len(s.views) > 0 && !s.ascii {
		s.batch.Input.Invalid.Add(s.views[0].decoder.countInvalid(s.batch.Data))
	}
}

// end leaves the batch: what later lines need of it is kept.
func (s *Set) end() {
	for _, m := range s.joiners {
		s.take(m, len(s.batch.Data))
	}
	for _, v := range s.views {
		v.keepLast(s.now)
	}
	s.noteNewest()
	s.past.add(s.batch.Data)
	s.batch = nil
}

// TimeOf returns the time in a line, and false where it has none: for a
// source that looks for the place where to start.
func (s *Set) TimeOf(text []byte) (atNanos int64, ok bool) {
	for _, v := range s.views {
		if at, ok := v.timeOf(&s.w.machine, trimCR(text), s.now); ok {
			return at, true
		}
	}
	return 0, false
}

var _ pipeline.Matcher = (*Set)(nil)

// Check reports what of a jail NewSet would refuse: a date pattern, a time zone
// or an encoding.
func Check(j JailFilter) error {
	_, err := newView(j, nil, time.Now().UnixNano())
	return err
}

// Lag returns how old the newest date of the lines was when they were matched
// last, where the input has more bytes to read; else 0.
func (s *Set) Lag(nowNanos, bytes int64) time.Duration {
	newest := s.newest.Load()
	if bytes == 0 || newest == 0 || newest > nowNanos {
		return 0
	}
	return time.Duration(nowNanos - newest)
}
