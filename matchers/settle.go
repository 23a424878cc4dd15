package matchers

import (
	"net/netip"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

const (
	minute = int64(time.Minute)
	day    = int64(24 * time.Hour)
)

// The warnings that a jail gives at most once a day.
const (
	warnOdd = iota
	warnOld
	warnUndated
	warnings
)

// warn logs a warning unless it was given within a day.
func (s *Set) warn(m *member, kind int, msg string, l *line, args ...any) {
	if s.opts.Log == nil || s.now < m.state.warned[kind] {
		return
	}
	m.state.warned[kind] = s.now + day
	s.opts.Log.Warn(msg, append([]any{"jail", m.Jail.Name, "line", string(l.raw)}, args...)...)
}

// settle is the ordered half: what a match is worth, given the clock, the lines
// before it and its session. The match is one of so many lines, and its fields
// are in s.w.values.
func (s *Set) settle(dst []pipeline.Failure, m *member, l *line, rule, lines int) []pipeline.Failure {
	values := s.w.values
	inSession := values[fieldMLFID] != nil
	var hash uint64
	if inSession {
		hash = m.state.sessions.expect(values[fieldMLFID])
	}
	at, ok := s.timeFor(m, l)
	if !ok {
		return dst
	}
	m.counters.Matched.Add(1)
	var sess *session
	if inSession {
		var nofail bool
		sess, nofail, lines = m.state.sessions.merge(values, hash, lines, s.now)
		m.counters.Sessions.Store(m.state.sessions.lost)
		s.opts.Trace.note(s, m.view.form, rule, sess, nofail, len(dst))
		if nofail && !s.opts.Trace.reportsQuiet(s.opts.All) {
			return dst
		}
	} else {
		s.opts.Trace.note(s, m.view.form, rule, nil, false, len(dst))
	}
	if s.opts.Clock == Undated && len(values[fieldNofail]) > 0 && !s.opts.Trace.reportsQuiet(true) {
		// Without a session <F-NOFAIL> means nothing to fail2ban's server, which
		// counts the match; its tests of a filter leave it out.
		return dst
	}
	dst = append(dst, pipeline.Failure{})
	failure := &dst[len(dst)-1]
	failure.Jail, failure.AtNanos, failure.Count, failure.Attempts = m.Jail, at, 1, lines
	failure.Line, failure.Regex, failure.Text = l.no, rule, l.raw
	raw := s.opts.RawHost || m.Filter.useDNS == DNSRaw
	fid := values[fieldFID]
	switch {
	case values[fieldIP4] != nil:
		failure.ID = s.idOf(values[fieldIP4], values[fieldCIDR], fid, raw)
	case values[fieldIP6] != nil:
		failure.ID = s.idOf(values[fieldIP6], values[fieldCIDR], fid, raw)
	case values[fieldDNS] != nil && raw:
		failure.ID = pipeline.TextID(string(values[fieldDNS]))
		if fid != nil && string(fid) != string(values[fieldDNS]) {
			failure.ID = failureID(fid, raw)
		}
	case values[fieldDNS] != nil:
		return s.resolved(dst[:len(dst)-1], m, *failure, string(values[fieldDNS]))
	case fid != nil:
		failure.ID = failureID(fid, raw)
	default:
		// Nobody yet: the failure waits in its session for a line that names one.
		if sess != nil {
			sess.pending = true
		}
		if !inSession {
			m.counters.NoID.Add(1)
		}
		if !s.opts.Trace.reportsPending() {
			return dst[:len(dst)-1]
		}
	}
	s.complete(m, failure)
	return dst
}

// idOf is the ID of a failure with an address: the address, or what <F-ID>
// captured where that says something else.
func (s *Set) idOf(addr, cidr, fid []byte, raw bool) pipeline.ID {
	if fid != nil && string(fid) != string(addr) {
		return failureID(fid, raw)
	}
	return addressID(addr, cidr)
}

// complete fills in the fields, where they are asked for, out of the way of
// the buffers that the next line will use.
func (s *Set) complete(m *member, f *pipeline.Failure) {
	if !s.opts.Fields {
		return
	}
	first := len(s.field)
	for i, v := range s.w.values {
		if v != nil && i != fieldContent {
			start := len(s.arena)
			s.arena = append(s.arena, v...)
			s.field = append(s.field, pipeline.Field{Name: m.Filter.fields[i], Value: s.arena[start:len(s.arena):len(s.arena)]})
		}
	}
	f.Fields = s.field[first:len(s.field):len(s.field)]
}

// resolved gives a failure to each address of a name, as usedns has it.
func (s *Set) resolved(dst []pipeline.Failure, m *member, f pipeline.Failure, name string) []pipeline.Failure {
	s.complete(m, &f)
	if addr, err := netip.ParseAddr(name); err == nil {
		f.ID = pipeline.AddrID(addr)
		return append(dst, f)
	}
	if m.Filter.useDNS == DNSNo || s.opts.Resolver == nil {
		m.counters.NoID.Add(1)
		return dst
	}
	addrs := s.opts.Resolver.Resolve(name)
	if len(addrs) == 0 {
		m.counters.NoID.Add(1)
	} else if m.Filter.useDNS == DNSWarn && s.opts.Log != nil {
		s.opts.Log.Warn("address determined by a name's lookup", "jail", m.Jail.Name, "name", name, "addresses", addrs)
	}
	for _, a := range addrs {
		f.ID = pipeline.AddrID(a)
		dst = append(dst, f)
	}
	return dst
}

// timeFor returns the time that a match in the line counts at; false where it
// does not count at all.
func (s *Set) timeFor(m *member, l *line) (at int64, ok bool) {
	v := m.view
	if v.dated && len(v.date) == 0 {
		s.lookBack(v, l.start)
	}
	at, dated := v.time(l, s.now)
	if !dated {
		if at, ok = s.timeWithout(m, l); !ok {
			m.counters.NoDate.Add(1)
			return 0, false
		}
		if at == NoTime {
			return at, true
		}
	}
	if s.opts.Clock != ByClock {
		return at, true
	}
	if l.live {
		if off := at - s.now; off > minute+int64(time.Second)-1 || off < -minute-int64(time.Second)+1 {
			s.warn(m, warnOdd, "log entry is more than a minute off the clock; it is treated as if it just happened: check the time zone of log and service", l,
				"off", time.Duration(off).Truncate(time.Second))
			at = s.now
			v.noteStamp(s.now)
			v.at = s.now
		}
	} else if findtime := m.Jail.Policy().FindTime; at < s.now-int64(findtime) {
		s.warn(m, warnOld, "log entries older than findtime are ignored while catching up", l, "findtime", findtime)
		m.counters.TooOld.Add(1)
		return 0, false
	}
	return min(at, s.now), true
}

// timeWithout is the time of a line that has no date.
func (s *Set) timeWithout(m *member, l *line) (at int64, ok bool) {
	v := m.view
	s.lookBack(v, l.start)
	v.form = v.lastForm
	if s.opts.Clock == ByLog {
		if at, ok = v.last(s.now); ok {
			return at, true
		}
		return s.now, true
	}
	if at, ok = v.recent(s.now); ok {
		return at, true
	}
	if s.opts.Clock == Undated {
		return NoTime, true
	}
	s.warn(m, warnUndated, "a match has no date that is understood: set datepattern", l)
	return s.now, l.live
}
