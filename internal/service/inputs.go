package service

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sources"
)

// input is a file that is followed, and the matcher of the jails that watch it.
type input struct {
	*pipeline.Input
	set *matchers.Set
}

// sources returns the sources of the jails: one for all files.
func (s *Service) sources() []pipeline.Reading {
	var out []pipeline.Reading
	if slices.ContainsFunc(s.jails, func(j *jail) bool { return len(j.config.LogPaths) > 0 }) {
		out = append(out, pipeline.Reading{Name: "files", Source: &sources.Files{Patterns: s.patterns, Open: s.openFile, Log: s.log}, Batches: 8})
	}
	return out
}

// patterns returns the logpaths of all jails, each once.
func (s *Service) patterns() []string {
	var out []string
	for _, j := range s.jails {
		for _, p := range j.config.LogPaths {
			if !slices.Contains(out, p.Pattern.Text) {
				out = append(out, p.Pattern.Text)
			}
		}
	}
	return out
}

// watchers returns the jails whose logpath covers a path, and whether all of
// them want it from its end.
func (s *Service) watchers(path string) (jails []matchers.JailFilter, findTime time.Duration, tail bool) {
	tail = true
	for _, j := range s.jails {
		i := slices.IndexFunc(j.config.LogPaths, func(p config.LogPath) bool { return covers(p.Pattern.Text, path) })
		if i < 0 {
			continue
		}
		jails = append(jails, j.matcher)
		findTime = max(findTime, j.config.FindTime)
		tail = tail && j.config.LogPaths[i].Tail
	}
	return jails, findTime, tail
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
	jails, findTime, tail := s.watchers(path)
	if len(jails) == 0 {
		return nil, sources.Start{}, false
	}
	if in := s.inputs[path]; in != nil {
		return in.Input, sources.Start{}, true
	}
	set, err := matchers.NewSet(s.matching(matchers.ByClock), jails, nil)
	if err != nil {
		// Every jail was checked when it was compiled.
		s.log.Error("file is not followed", "path", path, "problem", err)
		return nil, sources.Start{}, false
	}
	in := &input{Input: pipeline.NewInput(path, set), set: set}
	s.inputs[path] = in
	start := sources.Start{Tail: tail && atStart}
	if atStart && !tail {
		start.FromNanos, start.At = s.clock.Now()-int64(findTime), set.TimeOf
	}
	return in.Input, start, true
}

// matching says how sets read lines.
func (s *Service) matching(rule matchers.ClockRule) matchers.Options {
	return matchers.Options{Now: s.clock.Now, Clock: rule, Resolver: s.resolver, Log: s.log}
}

// inputList returns the inputs by name.
func (s *Service) inputList() []*input {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*input, 0, len(s.inputs))
	for _, in := range s.inputs {
		out = append(out, in)
	}
	slices.SortFunc(out, func(a, b *input) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}
