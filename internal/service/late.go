package service

import (
	"slices"

	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sources"
)

// lateInput is a followed file to the jails that a reload added: they catch up
// with the jails that watch it already, by a reading of their own that joins at
// an exact place. Until then the file's own input knows nothing of them.
type lateInput struct {
	*input
	path  string
	start sources.Start
}

// newcomers takes out of the jails that watch a followed file those that are
// catching up with it, and makes a late input for those that are to.
// The caller holds s.mu.
func (s *Service) newcomers(c *change, path string, was *watched, jails []*jail) (stay []*jail, late *lateInput) {
	var fresh []*jail
	for _, j := range jails {
		b := c.before[j]
		switch {
		case slices.ContainsFunc(s.lates, func(l *lateInput) bool { return l.path == path && l.current().Counters(j.identity) != nil }):
		case len(was.jails) == 0 || was.Counters(j.identity) != nil || b != nil && b.idle:
			stay = append(stay, j)
		default:
			fresh = append(fresh, j)
		}
	}
	if len(fresh) == 0 {
		return stay, nil
	}
	late = &lateInput{input: newInput(path, &watched{}), path: path}
	w, err := s.watch(late.input, fresh, nil)
	if err != nil {
		// Every jail was checked when it was compiled.
		s.log.Error("what a file held before is not read", "path", path, "problem", err)
		return jails, nil
	}
	late.setMatcher(s, w)
	late.start = s.from(w, path, s.startOf(w, path, true))
	s.lates = append(s.lates, late)
	return stay, late
}

// setMatcher gives the input a matcher that joins when it is told to.
func (l *lateInput) setMatcher(s *Service, w *watched) {
	w.joined = func(b *pipeline.Batch) { s.joinFile(l, b) }
	l.SetMatcher(w)
}

// retargetLate lets the late inputs serve the jails that run now.
// The caller holds s.mu.
func (s *Service) retargetLate(c *change) {
	for _, l := range s.lates {
		was := l.current()
		jails := slices.DeleteFunc(watchers(c.jails, l.path), func(j *jail) bool { return was.Counters(j.identity) == nil })
		if slices.EqualFunc(was.jails, jails, sameMember) {
			continue
		}
		w, err := s.watch(l.input, jails, was)
		if err != nil {
			// Every jail was checked when it was compiled.
			s.log.Error("file goes on with the jails before", "path", l.path, "problem", err)
			continue
		}
		l.setMatcher(s, w)
	}
}

// joinFile gives the jails of a late input to the file's own: between two
// batches, when they have come to the same place. From b on, which says so, that
// place is the position of all.
func (s *Service) joinFile(l *lateInput, b *pipeline.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lates = slices.DeleteFunc(s.lates, func(x *lateInput) bool { return x == l })
	in := s.inputs[l.path]
	was, late := in.current(), l.current()
	jails := slices.DeleteFunc(watchers(s.jails(), l.path), func(j *jail) bool {
		return was.Counters(j.identity) == nil && late.Counters(j.identity) == nil
	})
	w, err := s.watch(in, jails, was, late)
	if err != nil {
		// Every jail was checked when it was compiled.
		s.log.Error("file goes on with the jails before", "path", l.path, "problem", err)
		return
	}
	in.SetMatcher(w)
	b.Input = in.Input
	l.SetMatcher(&watched{})
}
