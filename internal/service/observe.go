package service

import (
	"net/netip"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/ignore"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// watcher sees the failures that count, before they are counted.
type watcher struct{ *Service }

// Watch implements pipeline.Watcher.
func (w watcher) Watch(b *pipeline.Batch, failures []pipeline.Failure) {
	w.noteLogins(b)
	banLog{w.out}.found(failures)
	w.noteLeaks(failures)
	w.meter.failed(failures)
}

// observer sees what happens to bans. It is called with the ledger locked.
type observer struct{ *Service }

// Observe implements pipeline.Observer.
func (o observer) Observe(e pipeline.Event) {
	banLog{o.out}.Observe(e)
	o.decisions.note(e)
	if e.Kind == pipeline.EventAlready && e.AtNanos-e.Ban.AtNanos > int64(recheckAfter) {
		o.recheckActions(e.Ban.Jail)
	}
	if e.Kind == pipeline.EventBan && !e.Ban.Restored {
		o.meter.banned(&e.Ban)
	}
	if e.Kind == pipeline.EventUnban && !e.Expired && o.networks != nil {
		o.networks.Forget(e.Ban.Jail, e.Ban.ID)
	}
}

// judge is the pipeline's Ignore: the rules of the jails, and whom the guard
// keeps from bans by log lines.
type judge struct {
	*ignore.Guard
	s *Service
}

// Judge implements pipeline.Ignore.
func (g judge) Judge(f *pipeline.Failure, b pipeline.Ban, answer func(ban bool)) pipeline.Judgment {
	if g.s.spares(&b) {
		return pipeline.JudgeFree
	}
	g.s.meter.because(f, &b)
	return g.Guard.Judge(f, b, answer)
}

// spares says whether a ban by log lines is not to be. Over a log that is its
// own clock nobody is spared: it may be another machine's.
func (s *Service) spares(b *pipeline.Ban) bool {
	if s.clock.FromLog() {
		return false
	}
	j := s.jail(b.Jail.Name)
	return j != nil && j.net.guard && s.wards.spares(b, s.clock.Now())
}

// noteLogins looks for the logins that lines of an sshd tell of.
func (s *Service) noteLogins(b *pipeline.Batch) {
	w, ok := b.Input.Matcher().(*watched)
	if !ok || s.clock.FromLog() {
		return
	}
	for _, j := range w.jails {
		if isSSHD(j) {
			now := s.clock.Now()
			acceptedIn(b.Data, func(a netip.Addr) { s.wards.loggedIn(a, now) })
			return
		}
	}
}

// isSSHD says whether a jail's filter is one of sshd's.
func isSSHD(j *jail) bool {
	return j.config.Filter != nil && strings.HasPrefix(j.config.Filter.Name, "sshd")
}

// sshdPorts returns the ports that sshd listens on, as far as the configuration
// of its jails and its own say.
func (s *Service) sshdPorts() []uint16 {
	out := append([]uint16{22}, s.wards.configured()...)
	for _, j := range s.jails() {
		if !isSSHD(j) || j.drop == nil {
			continue
		}
		for _, r := range j.drop.Ports {
			if r.Last-r.First < 16 { // more are not sshd's
				for p := int(r.First); p <= int(r.Last); p++ {
					out = append(out, uint16(p))
				}
			}
		}
	}
	return out
}
