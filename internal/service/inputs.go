package service

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sources"
)

// input is a file that is followed, and the matcher of the jails that watch it.
type input struct {
	*pipeline.Input
	suspects suspects
}

// watched is the matcher of an input: a set, and the jails that are in it. A
// reload replaces it between two batches.
type watched struct {
	*matchers.Set
	jails  []*jail
	sample func(b *pipeline.Batch, found []pipeline.Failure) // nil: nobody looks for blind jails
	floors floors
	joined func(b *pipeline.Batch) // takes a batch without lines: the input joins another; nil: none comes
}

// Counters returns the counters of a jail, nil where it is not among the jails.
func (w *watched) Counters(j *pipeline.Jail) *matchers.Counters {
	if w.Set == nil {
		return nil
	}
	return w.Set.Counters(j)
}

// Match implements pipeline.Matcher.
func (w *watched) Match(dst []pipeline.Failure, b *pipeline.Batch) []pipeline.Failure {
	if b.Lines == 0 && w.joined != nil {
		w.joined(b)
	}
	if w.Set == nil || b.Lines == 0 {
		return dst // nobody watches, or nothing
	}
	first := len(dst)
	dst = w.Set.Match(dst, b)
	dst = dst[:first+w.floors.drop(b, dst[first:])]
	if w.sample != nil {
		w.sample(b, dst[first:])
	}
	return dst
}

// Settle implements pipeline.Splitter.
func (w *watched) Settle(dst []pipeline.Failure, b *pipeline.Batch, found pipeline.Found) []pipeline.Failure {
	first := len(dst)
	dst = w.Set.Settle(dst, b, found)
	return dst[:first+w.floors.drop(b, dst[first:])]
}

// MatchBulk implements pipeline.Splitter.
func (w *watched) MatchBulk(dst []pipeline.Failure, b *pipeline.Batch) []pipeline.Failure {
	first := len(dst)
	dst = w.Set.MatchBulk(dst, b)
	return dst[:first+w.floors.drop(b, dst[first:])]
}

// newInput returns an input that w matches; an input's matcher is a *watched
// always.
func newInput(name string, w *watched) *input {
	return &input{Input: pipeline.NewInput(name, w)}
}

// current returns the matcher of the next batch.
func (in *input) current() *watched { return in.Matcher().(*watched) }

// sources returns the sources of the service: one for all files, also where no
// jail has any yet, and one for each journal.
func (s *Service) sources() []pipeline.Reading {
	s.files = &sources.Files{Patterns: s.patterns, Open: s.openFile, Log: s.log}
	return append([]pipeline.Reading{{Name: "files", Source: s.files, Batches: 8}}, s.journalReadings()...)
}

// patterns returns the logpaths of all jails that read files, each once.
func (s *Service) patterns() []string {
	var out []string
	for _, j := range s.jails() {
		if j.journal != nil {
			continue
		}
		for _, p := range j.config.LogPaths {
			if !slices.Contains(out, p.Pattern.Text) {
				out = append(out, p.Pattern.Text)
			}
		}
	}
	return out
}

// watchers returns those of the jails whose logpath covers a path.
func watchers(jails []*jail, path string) []*jail {
	var out []*jail
	for _, j := range jails {
		if j.reads() && j.journal == nil && j.logPath(path) != nil {
			out = append(out, j)
		}
	}
	return out
}

// logPath returns the first logpath of the jail that covers a path, or nil.
func (j *jail) logPath(path string) *config.LogPath {
	i := slices.IndexFunc(j.config.LogPaths, func(p config.LogPath) bool { return covers(p.Pattern.Text, path) })
	if i < 0 {
		return nil
	}
	return &j.config.LogPaths[i]
}

// covers says whether a logpath means a path: literally, or as a pattern.
func covers(pattern, path string) bool {
	if pattern == path {
		return true
	}
	ok, err := filepath.Match(pattern, path)
	return ok && err == nil
}

// openFile is asked by the source when a file is found. A file that was there
// before keeps its input, its sessions and its counters.
func (s *Service) openFile(path string, atStart bool) (*pipeline.Input, sources.Start, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	jails := watchers(s.jails(), path)
	if len(jails) == 0 {
		return nil, sources.Start{}, false
	}
	// To the jails of a reload the files that it found are what those of the
	// start are to the service.
	if _, there := s.there[path]; there {
		delete(s.there, path)
		atStart = true
	}
	in, known := s.inputs[path]
	if !known {
		in = newInput(path, nil)
	}
	if known && !atStart {
		return in.Input, sources.Start{}, true
	}
	// One that is known may still have lines under way: its own set is not free
	// to look for a time.
	w, err := s.watch(in, jails, nil)
	if err != nil {
		// Every jail was checked when it was compiled.
		s.log.Error("file is not followed", "path", path, "problem", err)
		return nil, sources.Start{}, false
	}
	if !known {
		in.SetMatcher(w)
		s.inputs[path] = in
	}
	return in.Input, s.from(w, path, s.startOf(w, path, atStart)), true
}

// startOf returns where the reading of a file begins: where it was there
// before, at its end if all jails want it so, else findtime ago.
func (s *Service) startOf(w *watched, path string, atStart bool) sources.Start {
	if !atStart {
		return sources.Start{}
	}
	tail, findTime := true, time.Duration(0)
	for _, j := range w.jails {
		findTime = max(findTime, j.config.FindTime)
		tail = tail && j.logPath(path).Tail
	}
	if tail {
		return sources.Start{Tail: true}
	}
	return sources.Start{FromNanos: s.clock.Now() - int64(findTime), At: w.TimeOf}
}

// watch makes the matcher of an input for jails; those of one of prev keep their state.
func (s *Service) watch(in *input, jails []*jail, prev ...*watched) (*watched, error) {
	filters := make([]matchers.JailFilter, len(jails))
	for i, j := range jails {
		filters[i] = j.matcher
	}
	var before []*matchers.Set
	for _, p := range prev {
		if p != nil {
			before = append(before, p.Set)
		}
	}
	set, err := matchers.NewSet(s.matching(matchers.ByClock), filters, before...)
	if err != nil {
		return nil, err
	}
	return &watched{Set: set, jails: jails, sample: func(b *pipeline.Batch, found []pipeline.Failure) {
		in.suspects.sample(s.clock.Now(), b, found)
	}}, nil
}

// matching says how sets read lines.
func (s *Service) matching(rule matchers.ClockRule) matchers.Options {
	return matchers.Options{Now: s.clock.Now, Clock: rule, Resolver: s.resolver, Fields: s.keepsFields(), Log: s.log}
}

// inputList returns the inputs that some jail watches, by name: files, and of a
// journal each group.
func (s *Service) inputList() []*input {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*input, 0, len(s.inputs))
	add := func(in *input) {
		if len(in.current().jails) > 0 {
			out = append(out, in)
		}
	}
	for _, in := range s.inputs {
		add(in)
	}
	for _, l := range s.lates {
		add(l.input)
	}
	for _, jn := range s.journals {
		for _, of := range jn.all() {
			for _, g := range of.groups {
				add(g.input)
			}
		}
	}
	slices.SortFunc(out, func(a, b *input) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// reader is an input as status shows it.
type reader struct {
	*pipeline.Input
	lag     time.Duration
	problem string // why it cannot be read
}

// readers returns what is read for some jail, by name: each file and each journal.
func (s *Service) readers() (out []reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	for _, in := range s.inputs {
		if w := in.current(); len(w.jails) > 0 {
			out = append(out, reader{Input: in.Input, lag: w.Lag(now, in.Lag.Load()), problem: s.fileProblem(in.Name)})
		}
	}
	for _, jn := range s.journals {
		for _, of := range jn.all() {
			out = append(out, reader{Input: of.line, lag: of.lag(now), problem: of.source.Problem()})
		}
	}
	slices.SortFunc(out, func(a, b reader) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// fileProblem says why a file is not read; empty: it is. A pipe's files are not
// followed.
func (s *Service) fileProblem(path string) string {
	if s.files == nil {
		return ""
	}
	return s.files.Problem(path)
}

// logProblem says why a jail's journal, or the first of its files of which that
// can be said, is not read; empty: all that is there is.
func (v verbs) logProblem(j *jail) string {
	if j.journal != nil {
		return v.journalProblem(j)
	}
	for _, path := range v.filesOf(j) {
		if why := v.fileProblem(path); why != "" {
			return why
		}
	}
	return ""
}
