package service

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/f2bpipe/f2bpipe/internal/logtarget"
)

// statusEvery is the time between two STATUS lines for systemd, and inForceWithin
// how long the restored bans may keep it from being told that we are ready.
const (
	statusEvery   = 10 * time.Second
	inForceWithin = 15 * time.Second
)

// tell sends a state to the service manager, where one has started us
// (sd_notify(3), NOTIFY_SOCKET).
func (s *Service) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("service manager is not told", "problem", err)
	}
}

// report tells the service manager that the service is ready, its restored bans
// in force, how it is, and at the end that it stops. Where the manager wants a
// sign of life (WATCHDOG_USEC) it gets one twice as often as it asks; the status
// before each is made from what every stage holds, so that a stage that hangs lets
// the watchdog bark.
func (s *Service) report(ctx context.Context) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	every, sign := statusEvery, ""
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("watchdog is not served", "problem", err)
	} else if watchdog > 0 {
		every, sign = min(every, watchdog/2), "\n"+daemon.SdNotifyWatchdog
	}
	s.awaitInForce(ctx)
	s.tell(daemon.SdNotifyReady + "\nSTATUS=" + s.summary())
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.tell("STATUS=" + s.summary() + sign)
		case <-ctx.Done():
			s.tell(daemon.SdNotifyStopping + "\nSTATUS=stopping")
			return
		}
	}
}

// awaitInForce waits until the sink has looked at every restored ban: what is
// ordered behind a unit of ours may bring the network up. A sink that does not
// come to an end holds nothing up for ever.
func (s *Service) awaitInForce(ctx context.Context) {
	if s.nft == nil {
		return
	}
	late := time.NewTimer(inForceWithin)
	defer late.Stop()
	select {
	case <-s.gate.restored:
	case <-late.C:
		s.log.Warn("ready before every restored ban is in the kernel", "waited", inForceWithin)
	case <-ctx.Done():
	}
}

// tellReloading tells the service manager that a reload has begun; the func
// that it returns, that it is over.
func (s *Service) tellReloading() (over func()) {
	s.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() + "STATUS=reloading")
	return func() { s.tell(daemon.SdNotifyReady + "\nSTATUS=" + s.summary()) }
}

// summary is the service in one line: jails, bans, lag.
func (s *Service) summary() string {
	jails, banned, enforced := s.jails(), 0, 0
	for _, j := range jails {
		t := s.ledger.Totals(j.identity)
		banned += t.Current
		enforced += t.Enforced
	}
	var bytes int64
	var lag time.Duration
	for _, in := range s.readers() {
		bytes += in.Lag.Load()
		lag = max(lag, in.lag)
	}
	text := fmt.Sprintf("%d jails, %d bans, %d bytes (%.1f s) behind", len(jails), banned, bytes, lag.Seconds())
	if ok, reason := s.enforced(); !ok {
		text += ", NOT ENFORCED: " + reason
	} else if enforced < banned {
		text += fmt.Sprintf(", %d not enforced", banned-enforced)
	}
	for _, what := range s.degraded() {
		if !strings.HasPrefix(what, "kernel: ") { // that has been said
			text += ", degraded: " + logtarget.Text(what)
		}
	}
	return text
}

// caught are the signals of a running service. A second one that comes before
// the first is dealt with is the same.
type caught struct {
	reload chan os.Signal // SIGHUP
	reopen chan os.Signal // SIGUSR1
	end    chan os.Signal // SIGTERM, SIGINT: the caller's context ends by them, this says which it was
}

func catchSignals() caught {
	c := caught{make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 1)}
	signal.Notify(c.reload, syscall.SIGHUP)
	signal.Notify(c.reopen, syscall.SIGUSR1)
	signal.Notify(c.end, syscall.SIGTERM, syscall.SIGINT)
	return c
}

// ignore ends it.
func (c caught) ignore() {
	signal.Stop(c.reload)
	signal.Stop(c.reopen)
	signal.Stop(c.end)
}

// ending is the signal that ended the service; nil: none.
func (c caught) ending() os.Signal {
	signal.Stop(c.end) // after it nothing is under way any more
	select {
	case sig := <-c.end:
		return sig
	default:
		return nil
	}
}

// obey does what signals ask for until ctx is done.
func (s *Service) obey(ctx context.Context, c caught) {
	for {
		select {
		case <-c.reload:
			if s.cfg.Fail2ban {
				continue // fail2ban's daemon takes no notice of it
			}
			// What came of it, Reload has logged.
			_, _ = s.Reload(ctx, "")
		case <-c.reopen:
			_, _ = s.reopenLog() // which has logged it
		case <-ctx.Done():
			return
		}
	}
}
