package service

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sources"
)

// journal is one reader of the systemd journal and the jails that it serves, in
// groups that want the same entries. To the pipeline it is one input, so that it
// has one position; to the rest of the service each group is an input, whose
// lines are those that its matches take.
//
// What a reload adds to a journal that is read catches up on a reader of its
// own, and joins when that has come to the end. Then both are stopped, which
// drains them, and one goes on for all: each group after its own last entry.
type journal struct {
	name    string // of its input
	options sources.JournalOptions
	line    *pipeline.Input // its matcher is a *sorted
	groups  []*group
	source  *sources.Journal
	running string     // the name of its source in the pipeline
	lates   []*journal // whose groups catch up
}

// group are the jails of a journal that want the same entries.
type group struct {
	*input
	matches [][]string
	start   sources.Start // of the source's next Run
}

// lag is how old the last entry was when it was read, where there are more.
func (jn *journal) lag(nowNanos int64) time.Duration {
	newest := jn.line.Matcher().(*sorted).newest.Load()
	if jn.line.Lag.Load() == 0 || newest == 0 || newest > nowNanos {
		return 0
	}
	return time.Duration(nowNanos - newest)
}

// all returns the journal and those that catch up with it.
func (jn *journal) all() []*journal { return append([]*journal{jn}, jn.lates...) }

// hasRoom says whether one reader can serve further matches.
func (jn *journal) hasRoom(matches [][]string) bool {
	n := 1
	all := slices.Clone(matches)
	for _, of := range jn.all() {
		n += len(of.groups)
		for _, g := range of.groups {
			all = append(all, g.matches...)
		}
	}
	return n <= sources.MaxJournalGroups && len(sources.MatchFields(all)) <= sources.MaxJournalFields
}

// group returns the group that a jail is in, or nil.
func (jn *journal) group(j *pipeline.Jail) *group {
	for _, of := range jn.all() {
		for _, g := range of.groups {
			if g.current().Counters(j) != nil {
				return g
			}
		}
	}
	return nil
}

// journalOf returns the journal that a jail reads, or nil. The caller holds s.mu.
func (s *Service) journalOf(j *pipeline.Jail) *journal {
	for _, jn := range s.journals {
		if jn.group(j) != nil {
			return jn
		}
	}
	return nil
}

// journalProblem says why a jail's journal is not read; empty: it is, or the
// jail reads none.
func (s *Service) journalProblem(j *jail) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if jn := s.journalOf(j.identity); jn != nil && jn.source != nil {
		return jn.source.Problem()
	}
	return ""
}

// journalReadings makes the journals of the jails that run, for the start of the
// pipeline.
func (s *Service) journalReadings() (out []pipeline.Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := s.freshGroups(s.jails(), nil)
	for _, name := range slices.Sorted(maps.Keys(fresh)) {
		s.journals[name] = fresh[name]
		out = append(out, s.reading(fresh[name], name))
	}
	return out
}

// reading is a journal's source as the pipeline runs it under a name, from where
// its groups stand.
func (s *Service) reading(jn *journal, name string) pipeline.Reading {
	jn.running = name
	jn.source = &sources.Journal{Input: jn.line, Options: jn.options, Log: s.log.With("source", jn.name)}
	for _, g := range jn.groups {
		jn.source.Groups = append(jn.source.Groups, sources.JournalGroup{Matches: g.matches, Start: g.start})
	}
	jn.line.SetMatcher(newSorted(jn.groups))
	return pipeline.Reading{Name: name, Source: jn.source}
}

// freshGroups makes groups of the jails that read a journal and are in none,
// and returns them in journals of their own, by the journals' keys. before is
// what jails were before a reload.
func (s *Service) freshGroups(jails []*jail, before map[*jail]*jail) map[string]*journal {
	fresh, members := map[string]*journal{}, map[*group][]*jail{}
	for _, j := range jails {
		if j.journal == nil || !j.reads() || s.journalOf(j.identity) != nil {
			continue
		}
		g := s.placeFor(j.journal, fresh)
		members[g] = append(members[g], j)
	}
	for g, jails := range members {
		w, err := s.watch(g.input, jails, nil)
		if err != nil {
			// Every jail was checked when it was compiled.
			s.log.Error("jails do not read the journal", "problem", err)
			continue
		}
		g.SetMatcher(w)
		g.start = s.from(w, g.Name, s.startOfJournal(w, before))
	}
	return fresh
}

// placeFor returns the fresh group for what a jail reads. A journal whose reader
// is full gets a second one.
func (s *Service) placeFor(use *journalUse, fresh map[string]*journal) *group {
	name := journalName(use.options)
	for n := 1; ; n++ {
		key := name
		if n > 1 {
			key += " #" + strconv.Itoa(n)
		}
		jn := fresh[key]
		if jn == nil {
			jn = &journal{name: name, options: use.options, line: pipeline.NewInput(name, newSorted(nil))}
			if old := s.journals[key]; old != nil && !old.hasRoom(use.matches) {
				continue
			}
			fresh[key] = jn
		}
		if i := slices.IndexFunc(jn.groups, func(g *group) bool { return sameMatches(g.matches, use.matches) }); i >= 0 {
			return jn.groups[i]
		}
		if old := s.journals[key]; jn.hasRoom(use.matches) && (old == nil || (&journal{groups: old.groups, lates: append([]*journal{jn}, old.lates...)}).hasRoom(use.matches)) {
			g := &group{input: newInput(name, &watched{}), matches: use.matches}
			jn.groups = append(jn.groups, g)
			return g
		}
	}
}

func sameMatches(a, b [][]string) bool {
	return slices.EqualFunc(a, b, func(x, y []string) bool { return slices.Equal(x, y) })
}

// startOfJournal returns where the reading for a new group begins: findtime ago;
// a jail that was idle has seen what there was.
func (s *Service) startOfJournal(w *watched, before map[*jail]*jail) sources.Start {
	findTime := time.Duration(0)
	for _, j := range w.jails {
		if b := before[j]; b != nil && b.idle {
			continue
		}
		findTime = max(findTime, j.config.FindTime)
	}
	return sources.Start{FromNanos: s.clock.Now() - int64(findTime)}
}

// rejournal lets the journals serve the jails that run now, after a reload.
func (s *Service) rejournal(c *change) {
	s.joining.Lock()
	defer s.joining.Unlock()
	s.mu.Lock()
	for _, jn := range s.journals {
		for _, of := range jn.all() {
			for _, g := range of.groups {
				s.regroup(jn, g)
			}
		}
	}
	fresh := s.freshGroups(c.jails, c.before)
	keys := slices.Sorted(maps.Keys(s.journals))
	s.mu.Unlock()
	for _, key := range keys {
		s.prune(key)
	}
	for _, key := range slices.Sorted(maps.Keys(fresh)) {
		s.begin(key, fresh[key])
	}
}

// regroup gives a group those of its jails that still run and want the same.
func (s *Service) regroup(jn *journal, g *group) {
	was := g.current()
	var jails []*jail
	for _, j := range s.jails() {
		if was.Counters(j.identity) != nil && j.journal != nil && j.reads() && journalName(j.journal.options) == jn.name && sameMatches(j.journal.matches, g.matches) {
			jails = append(jails, j)
		}
	}
	if slices.EqualFunc(was.jails, jails, sameMember) {
		return
	}
	w, err := s.watch(g.input, jails, was)
	if err != nil {
		// Every jail was checked when it was compiled.
		s.log.Error("journal goes on with the jails before", "journal", jn.name, "problem", err)
		return
	}
	g.SetMatcher(w)
}

// prune ends the reading for groups without jails.
func (s *Service) prune(key string) {
	idle := func(g *group) bool { return len(g.current().jails) == 0 }
	s.mu.Lock()
	jn := s.journals[key]
	s.mu.Unlock()
	for _, of := range jn.all() {
		if !slices.ContainsFunc(of.groups, idle) {
			continue
		}
		s.halt(of)
		s.mu.Lock()
		of.groups = slices.DeleteFunc(of.groups, idle)
		if of != jn && len(of.groups) == 0 {
			jn.lates = slices.DeleteFunc(jn.lates, func(x *journal) bool { return x == of })
		}
		s.mu.Unlock()
		switch {
		case len(of.groups) > 0:
			s.resume(of)
		case of == jn && len(jn.lates) == 0:
			s.mu.Lock()
			delete(s.journals, key)
			s.mu.Unlock()
		}
	}
}

// begin begins to read for fresh groups: at once, where nobody reads that
// journal yet, else on a reader of their own.
func (s *Service) begin(key string, fresh *journal) {
	s.mu.Lock()
	jn := s.journals[key]
	if jn == nil {
		s.journals[key] = fresh
		r := s.reading(fresh, key)
		s.mu.Unlock()
		s.start(r)
		return
	}
	s.lateNumber++
	r := s.reading(fresh, key+", catching up "+strconv.Itoa(s.lateNumber))
	s.watchEnd(jn, fresh)
	jn.lates = append(jn.lates, fresh)
	s.mu.Unlock()
	s.start(r)
}

// watchEnd lets a late journal join when its source comes to the end.
func (s *Service) watchEnd(jn, late *journal) {
	ended := make(chan struct{})
	late.source.OnEnd = sync.OnceFunc(func() { close(ended) })
	s.joiners.Go(func() {
		select {
		case <-ended:
			s.join(jn, late)
		case <-s.drained:
		}
	})
}

// join lets groups that have caught up go on with the others, if they still run.
func (s *Service) join(jn, late *journal) {
	s.joining.Lock()
	defer s.joining.Unlock()
	s.mu.Lock()
	still := slices.Contains(jn.lates, late)
	s.mu.Unlock()
	if !still {
		return
	}
	s.halt(late)
	s.halt(jn)
	s.mu.Lock()
	jn.lates = slices.DeleteFunc(jn.lates, func(x *journal) bool { return x == late })
	jn.groups = append(jn.groups, late.groups...)
	// The inputs before keep their jails: the places that they have come to, and
	// that are not stored yet, are those of their own jails alone.
	jn.line = pipeline.NewInput(jn.name, newSorted(nil))
	s.mu.Unlock()
	s.resume(jn)
}

// halt stops a journal's reader, waits until what it has read is counted, and
// notes where each group stands.
func (s *Service) halt(jn *journal) {
	// Not a reload's context: what has begun is done.
	_ = s.line.StopSource(context.Background(), jn.running)
	for i, g := range jn.groups {
		g.start = jn.source.Groups[i].Start
	}
}

// resume reads a journal on for its groups.
func (s *Service) resume(jn *journal) {
	s.mu.Lock()
	end := jn.source.OnEnd
	r := s.reading(jn, jn.running)
	jn.source.OnEnd = end
	s.mu.Unlock()
	s.start(r)
}

func (s *Service) start(r pipeline.Reading) {
	if err := s.line.StartSource(r); err != nil && !errors.Is(err, pipeline.ErrNotRunning) {
		s.log.Error("journal is not read", "source", r.Name, "problem", err)
	}
}
