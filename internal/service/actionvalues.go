package service

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/runner"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// mergeTimeout is how long an action waits for the store.
const mergeTimeout = 5 * time.Second

// actionValues returns the values that the commands of a phase want.
func (s *Service) actionValues(ctx context.Context, c *carried, p sinks.Phase, b *pipeline.Ban) map[string]string {
	out := map[string]string{}
	for _, tag := range c.wants[p] {
		if group, ok := runner.Capture(tag); ok {
			tag = "F-" + group
		}
		if _, there := out[tag]; there {
			continue
		}
		if v, ok := sinks.BanValue(tag, b); ok {
			out[tag] = v
		} else if v, ok := s.jailValue(ctx, c, tag, b); ok {
			out[tag] = v
		}
	}
	if c.by == byPython && b.Ticket != nil {
		for group, v := range b.Ticket.Fields {
			out["F-"+group] = v
		}
	}
	return out
}

// jailValue returns the value of a tag that the ban alone does not know.
func (s *Service) jailValue(ctx context.Context, c *carried, tag string, b *pipeline.Ban) (string, bool) {
	j := c.jail.identity
	switch tag {
	case "jail.banned":
		return strconv.Itoa(s.ledger.Totals(j).Current), true
	case "jail.banned_total":
		return strconv.Itoa(s.ledger.Totals(j).Total), true
	case "jail.found":
		current, _ := s.window.Failing(j)
		return strconv.Itoa(current), true
	case "jail.found_total":
		_, total := s.window.Failing(j)
		return strconv.Itoa(total), true
	case "ipmatches", "ipfailures", "ipjailmatches", "ipjailfailures":
		name := ""
		if strings.HasPrefix(tag, "ipjail") {
			name = j.Name
		}
		matches, failures := s.mergedOf(ctx, name, b)
		if strings.HasSuffix(tag, "failures") {
			return strconv.Itoa(failures), true
		}
		return strings.Join(matches, "\n"), true
	}
	return "", false
}

// mergedOf returns what is stored of an ID, and this ban, which may not have
// been stored yet.
func (s *Service) mergedOf(ctx context.Context, jail string, b *pipeline.Ban) (matches []string, failures int) {
	var own []string
	if b.Ticket != nil {
		own = b.Ticket.Matches
	}
	if s.keep.store == nil {
		return own, b.Failures
	}
	ctx, cancel := context.WithTimeout(ctx, mergeTimeout)
	defer cancel()
	matches, failures, err := s.keep.store.Merged(ctx, jail, b.ID)
	if err != nil || failures == 0 && len(matches) == 0 {
		return own, b.Failures
	}
	if n := len(own); n > 0 && (len(matches) == 0 || matches[len(matches)-1] != own[n-1]) {
		return append(matches, own...), failures + b.Failures
	}
	return matches, failures
}
