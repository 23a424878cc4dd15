package service

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// trouble is what does not work in a service that bans all the same, by part:
// store, log, an action.
type trouble struct {
	mu   sync.Mutex
	list map[string]string
}

// set says why a part does not work; empty: it works.
func (t *trouble) set(part, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if why == "" {
		delete(t.list, part)
		return
	}
	if t.list == nil {
		t.list = map[string]string{}
	}
	t.list[part] = why
}

// degraded returns what does not work, one text each; empty: everything does.
func (s *Service) degraded() []string {
	s.trouble.mu.Lock()
	all := maps.Clone(s.trouble.list)
	s.trouble.mu.Unlock()
	if all == nil {
		all = map[string]string{}
	}
	if s.keep.store != nil {
		if err := s.keep.store.Fault(); err != nil {
			all["store"] = "nothing can be written to the database: " + err.Error()
		}
	}
	if s.nft != nil {
		if ok, why := s.enforced(); !ok {
			all["kernel"] = "bans are not enforced: " + why
		}
	}
	if why := s.out.Trouble(); why != "" {
		all["log"] = fmt.Sprintf("%s takes no lines: %s", s.out.Target(), why)
	}
	for name, why := range s.actionTroubles() {
		all[name] = why
	}
	out := []string{}
	for _, part := range slices.Sorted(maps.Keys(all)) {
		out = append(out, part+": "+all[part])
	}
	return out
}
