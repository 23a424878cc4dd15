package service

import (
	"context"
	"errors"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// openKernel opens the sink that bans in the kernel and declares the jails.
func (s *Service) openKernel() (pipeline.Sink, error) {
	cfg := sinks.Config{NetNS: s.cfg.NetNS, Log: s.log}
	if s.classic() {
		cfg.Layout = sinks.LayoutClassic
	}
	nft, err := sinks.OpenKernel(cfg)
	if err != nil {
		return nil, err
	}
	for _, j := range s.jails() {
		if j.drop == nil {
			continue
		}
		if err := nft.SetJail(j.config.Name, *j.drop); err != nil {
			return nil, errors.Join(err, nft.Close(false))
		}
	}
	s.nft = nft
	return nft, nil
}

// lookAtKernel finds out how bans can be enforced. It comes before the sandbox is
// entered: where there is no nf_tables, iptables may have to load the kernel's
// modules, which nobody inside may.
func (s *Service) lookAtKernel() {
	if s.nft != nil {
		s.nft.Look()
	}
}

// settling is the time for lines to be read again whose bans a crash kept from
// the store: their elements stand in the kernel and are somebody's ban.
const settling = 3 * time.Second

// reconcile takes out of the kernel what a process before us left there and is
// nobody's ban any more, once the bans that were restored have gone in and the
// logs have been read on.
func (s *Service) reconcile(ctx context.Context) {
	select {
	case <-s.gate.restored:
	case <-ctx.Done():
		return
	}
	select {
	case <-time.After(settling):
		// The sink has logged what is wrong, and tries again.
		_ = s.nft.Reconcile()
		s.tidy()
	case <-ctx.Done():
	}
}

// classic says whether bans stand in fail2ban's layout.
func (s *Service) classic() bool { return s.cfg.Fail2ban || s.daemon }

// leaveKernel ends the sink and leaves everything as it is.
func (s *Service) leaveKernel() error {
	if s.nft == nil {
		return nil
	}
	return s.nft.Close(false)
}

// closeKernel ends the sink; with remove what is in the kernel goes with it,
// and fail2ban's layout always does.
func (s *Service) closeKernel(why string, remove bool) error {
	if s.nft == nil {
		return nil
	}
	s.paused.end()
	remove = remove || s.classic()
	if remove {
		s.log.Info("service ends, its bans are taken out of the kernel", "by", why)
		banLog{s.out}.lifted(s.ledger.Banned(nil))
	} else {
		s.log.Info("service ends, its bans stay in the kernel until they end; f2bpipe stop takes them away", "by", why)
	}
	return s.nft.Close(remove)
}

// KernelStatus is how bans are enforced.
type KernelStatus struct {
	By     string   `json:"by"`           // nftables, ipset, routes; empty: nothing yet, or a dry run
	Layout string   `json:"layout"`       // of nftables: f2bpipe or fail2ban; empty elsewhere
	Coarse string   `json:"coarse"`       // in what a ban does more, or less, than the jail asks for; empty: nothing
	Healed int64    `json:"healed"`       // how often somebody else had removed bans
	Paused *float64 `json:"paused_until"` // epoch seconds; null: it is not paused
}

// Refused is what the rules of a jail have refused since they stand; in
// fail2ban's layout nothing counts.
type Refused struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// enforced says whether bans are in the kernel, and why not.
func (s *Service) enforced() (bool, string) {
	if s.nft == nil {
		return false, "dry run: nothing is banned"
	}
	if until := s.paused.ends(); !until.IsZero() {
		return false, "paused until " + until.Format(time.DateTime) + "; f2bpipe pause --end ends it"
	}
	return s.nft.State()
}

func (s *Service) kernelStatus() (out KernelStatus) {
	if s.nft == nil {
		return out
	}
	out.Healed = s.nft.Healed()
	out.By, out.Coarse = s.nft.By()
	switch {
	case out.By != "nftables":
	case s.classic():
		out.Layout = "fail2ban"
	default:
		out.Layout = "f2bpipe"
	}
	if until := s.paused.ends(); !until.IsZero() {
		at := epoch(until.UnixNano())
		out.Paused = &at
	}
	return out
}

// refused reads a jail's counters.
func (s *Service) refused(j *jail) (r Refused) {
	if s.nft != nil {
		r.Packets, r.Bytes = s.nft.Counters(j.config.Name)
	}
	return r
}
