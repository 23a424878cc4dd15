package service

import (
	"github.com/f2bpipe/f2bpipe/internal/runner"
)

// ActionStatus is one action of a jail.
type ActionStatus struct {
	Name    string `json:"name"`
	By      string `json:"by"`      // nftables (our sink in its place), command, python3; empty: it is not carried out
	Reason  string `json:"reason"`  // why it is not carried out, or not in nftables
	Done    int64  `json:"done"`    // commands that succeeded
	Failed  int64  `json:"failed"`  // commands that failed
	Pending int    `json:"pending"` // orders that it has not been told
	Problem string `json:"problem"` // why the last command failed; empty: it did not
}

// RunnerStatus is what runs the commands of actions.
type RunnerStatus struct {
	Process  bool   `json:"process"`  // one of its own
	Restarts int64  `json:"restarts"` // how often it ended unasked
	Problem  string `json:"problem"`  // why there is none any more; empty: there is
}

func (s *Service) runnerStatus() (out RunnerStatus) {
	if c, ok := s.cfg.Runner.(*runner.Client); ok {
		out.Process, out.Restarts = true, c.Restarts()
		if err := c.Gone(); err != nil {
			out.Problem = err.Error()
		}
	}
	return out
}

// actionStatus describes a jail's actions, in their order but for those that
// make up its drop, which come first.
func (s *Service) actionStatus(j *jail) []ActionStatus {
	out := []ActionStatus{}
	for _, name := range j.dropBy {
		out = append(out, ActionStatus{Name: name, By: byNFTables})
	}
	var table actionTable
	if t := s.actions.table.Load(); t != nil {
		table = *t
	}
	for _, x := range j.actions {
		a := ActionStatus{Name: x.name, By: x.by, Reason: x.note}
		if c := table.same(j, x); c != nil {
			standing, refused := c.flusher.Pending()
			a.Pending = standing + refused
			if c.command != nil {
				st := c.command.State()
				a.Done, a.Failed, a.Problem = st.Done, st.Failed, st.Problem
				a.Pending += st.Waiting
			}
		}
		out = append(out, a)
	}
	for _, o := range j.other {
		out = append(out, ActionStatus{Name: o.action, Reason: o.reason})
	}
	return out
}

// actionTroubles are the actions whose last command failed, and a runner that is
// gone, each with why.
func (s *Service) actionTroubles() map[string]string {
	out := map[string]string{}
	for _, c := range s.actions.all() {
		if c.command == nil {
			continue
		}
		if why := c.command.State().Problem; why != "" {
			out["action "+c.name+" of "+c.jail.config.Name] = why
		}
	}
	if why := s.runnerStatus().Problem; why != "" {
		out["actions"] = why
	}
	return out
}
