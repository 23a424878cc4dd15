package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

func TestReloadChangesOnlyWhatChanged(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("same")+jailText("other")+jailText("gone"))
	for _, name := range []string{"same", "other", "gone"} {
		tr.log(name+".log", "begin")
	}
	s := tr.start()
	tr.log("same.log", failed("203.0.113.1", "203.0.113.1", "203.0.113.2")...)
	tr.log("other.log", failed("203.0.113.3")...)
	tr.log("gone.log", failed("203.0.113.4", "203.0.113.4")...)
	s.log.wait(t, 1, "Found 203.0.113.2 ")
	s.log.wait(t, 1, "Found 203.0.113.3 ")
	s.out.wait(t, 1, `"ban"`, "203.0.113.1")
	s.out.wait(t, 1, `"ban"`, "203.0.113.4")
	same, other := s.inputs[tr.path("same.log")].current(), s.inputs[tr.path("other.log")].current()

	tr.log("new.log", failed("203.0.113.5", "203.0.113.5")...) // stands there before its jail
	tr.write("filter.d/login.local", "[Definition]\nfailregex = ^ login failed from <HOST>$\n            ^ login refused from <HOST>$\n")
	tr.write("jail.local", jailText("same", "failregex = ^ login failed from <HOST>$")+jailText("other", "maxretry = 3")+jailText("new"))
	got := s.reload(t, "")
	want := &Reloaded{Added: []string{"new"}, Changed: []string{"other"}, Removed: []string{"gone"}, Unchanged: 2, Disabled: []string{}}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	s.out.wait(t, 1, `"unban"`, "203.0.113.4")
	s.out.wait(t, 1, `"ban"`, `"new"`, "203.0.113.5")
	if s.inputs[tr.path("same.log")].current() != same || s.inputs[tr.path("other.log")].current() == other {
		t.Error("same has another set, or other has not")
	}
	tr.log("same.log", failed("203.0.113.2")...)
	s.out.wait(t, 1, `"ban"`, `"same"`, "203.0.113.2")
	tr.log("other.log", "login refused from 203.0.113.3")
	s.log.wait(t, 2, "Found 203.0.113.3 ")
	tr.log("other.log", failed("203.0.113.3")...)
	s.out.wait(t, 1, `"ban"`, `"other"`, "203.0.113.3", `"failures":3`)
	if got := s.status(t, "same").Banned.List; len(got) != 2 {
		t.Errorf("bans of same: %v", got)
	}

	// Nothing has changed: not a set is another one.
	if got := s.reload(t, ""); got.Unchanged != 4 || len(got.Changed)+len(got.Added)+len(got.Removed) > 0 {
		t.Errorf("got %+v", got)
	}
	if s.inputs[tr.path("same.log")].current() != same {
		t.Error("the set of an unchanged jail was replaced")
	}
	// The log of a jail that is gone is read no more, and again when it is back.
	tr.log("gone.log", failed("203.0.113.6", "203.0.113.6")...)
	tr.write("jail.d/back.conf", jailText("gone"))
	s.reload(t, "gone")
	s.out.wait(t, 1, `"ban"`, `"gone"`, "203.0.113.6")
}

func TestReloadRefusesNewErrors(t *testing.T) {
	tr := newSite(t)
	broken := jailText("broken", "failregex = ^ ( from <HOST>$")
	tr.write("jail.local", jailText("good")+broken+jailText("unknown", "filter = nowhere"))
	tr.log("good.log", "begin")
	s := tr.start()
	if got := len(s.jails()); got != 2 { // good, manual
		t.Fatalf("%d jails run", got)
	}
	f := func(text string, want ...string) {
		t.Helper()
		before := s.jails()
		tr.write("jail.local", text)
		_, err := s.Reload(t.Context(), "")
		for _, part := range append(want, "nothing has changed") {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("no %q in the error %v", part, err)
			}
		}
		if got := s.jails(); &got[0] != &before[0] {
			t.Error("the jails are other ones")
		}
		if got := s.jail("good").identity.Policy().MaxRetry; got != 2 {
			t.Errorf("maxretry is %d", got)
		}
	}
	unknown := jailText("unknown", "filter = nowhere")
	f(jailText("good", "maxretry = 7", "failregex = ^ [ from <HOST>$")+broken+unknown, "[good] failregex", "unbalanced parenthesis")
	f(jailText("good", "maxretry = many")+broken+unknown, "good", "maxretry", "many")
	f(jailText("good", "maxretry = 7", "blindalarm = never")+broken+unknown, "blindalarm", "never")
	f(jailText("good", "maxretry = 7")+broken+unknown+jailText("third", "filter = elsewhere"), "third", "elsewhere")
	f("broken before the first section\n"+jailText("good", "maxretry = 7"), "jail.local:1")

	// What was wrong before does not keep anything from its change, wherever it stands now.
	tr.write("jail.local", "# a line more\n"+jailText("good", "maxretry = 7")+broken+unknown)
	if got := s.reload(t, ""); !reflect.DeepEqual(got.Disabled, []string{"broken", "unknown"}) || !reflect.DeepEqual(got.Changed, []string{"good"}) {
		t.Errorf("got %+v", got)
	}
	if got := s.jail("good").identity.Policy().MaxRetry; got != 7 {
		t.Errorf("maxretry is %d", got)
	}

	// A jail by itself is judged alone.
	tr.write("jail.local", jailText("good", "maxretry = 8")+jailText("broken", "failregex = ^ [ from <HOST>$")+unknown)
	if got := s.reload(t, "good"); !reflect.DeepEqual(got.Changed, []string{"good"}) || got.Unchanged != 1 {
		t.Errorf("got %+v", got)
	}
	if _, err := s.Reload(t.Context(), "broken"); err == nil {
		t.Error("a new error is not refused")
	}
	if _, err := s.Reload(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), "no such jail") {
		t.Errorf("got %v", err)
	}
	tr.write("jail.local", jailText("good", "maxretry = 8")+jailText("broken")+unknown)
	if got := s.reload(t, "broken"); !reflect.DeepEqual(got.Added, []string{"broken"}) || got.Unchanged != 2 {
		t.Errorf("got %+v", got)
	}
	tr.write("jail.local", jailText("good", "enabled = false")+jailText("broken", "enabled = false"))
	if got := s.reload(t, "broken"); !reflect.DeepEqual(got.Removed, []string{"broken"}) || got.Unchanged != 2 {
		t.Errorf("got %+v", got)
	}
}

// Reloads, commands and lines at the same time: every line is found once.
func TestReloadLosesNothing(t *testing.T) {
	const rounds, perRound = 20, 50
	tr := newSite(t)
	texts := [2]string{
		jailText("stays", "maxretry = 1000000", "findtime = 1h") + jailText("goes", "logpath = DIR/stays.log", "maxretry = 1"),
		jailText("stays", "maxretry = 2000000", "findtime = 1h", "ignoreregex = ^nobody$") + jailText("comes", "logpath = DIR/stays.log"),
	}
	tr.write("jail.local", texts[0])
	tr.log("stays.log", "begin")
	s := tr.start()
	var beside sync.WaitGroup
	done := make(chan struct{})
	beside.Go(func() {
		v := verbs{s.Service}
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := v.status(StatusArgs{}); err != nil {
				t.Error(err)
			}
			v.banned()
			_ = s.summary()
			s.checkBlind(s.clock.Now())
			if _, err := v.Ban(t.Context(), "stays", []string{"198.51.100.1"}); err != nil {
				t.Error(err)
			}
			if _, err := v.UnbanEverywhere(t.Context(), []string{"198.51.100.1"}); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range rounds {
		for k := range perRound {
			tr.log("stays.log", failed(fmt.Sprintf("203.0.113.%d", k))...)
		}
		tr.write("jail.local", texts[(i+1)%2])
		s.reload(t, "")
	}
	s.log.wait(t, rounds*perRound, "[stays] Found ")
	close(done)
	beside.Wait()
	// What was found is counted a moment later.
	for tick, late := time.NewTicker(time.Millisecond), time.After(10*time.Second); ; {
		if _, total := s.window.Failing(s.jail("stays").identity); total >= rounds*perRound {
			tick.Stop()
			break
		}
		select {
		case <-tick.C:
			continue
		case <-late:
			tick.Stop()
		}
		break
	}
	if _, total := s.window.Failing(s.jail("stays").identity); total != rounds*perRound {
		t.Errorf("%d failures counted, want %d", total, rounds*perRound)
	}
	for _, b := range (verbs{s.Service}).banned() {
		if b.Jail != "goes" {
			t.Errorf("banned: %+v", b)
		}
	}
}

func TestReloadInTheKernel(t *testing.T) {
	testenv.Netns(t)
	testenv.NeedTool(t, "nft")
	netns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(netns)
	tr := newSite(t)
	tr.write("jail.local", jailText("web", `action = nftables[port="80,443"]`)+jailText("mail", `action = nftables[port="25"]`)+jailText("mute"))
	s := tr.start(func(c *Config) { c.DryRun, c.NetNS, c.Options.Stock = nil, netns, stock.FS() })
	ban := func(jail, addr string) {
		t.Helper()
		if n, err := (verbs{s.Service}).Ban(t.Context(), jail, []string{addr}); n != 1 || err != nil {
			t.Fatalf("banned %d, %v", n, err)
		}
	}
	ban("web", "203.0.113.1")
	ban("mail", "203.0.113.2")
	if rules := ruleset(t); !strings.Contains(rules, "203.0.113.1") || !strings.Contains(rules, "203.0.113.2") || !strings.Contains(rules, "443") || !strings.Contains(rules, "25") {
		t.Fatalf("ruleset: %s", rules)
	}

	// An action whose ports mean nothing changes nothing.
	tr.write("jail.local", jailText("web", `action = nftables[port="nosuchport"]`)+jailText("mute"))
	if _, err := s.Reload(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "nosuchport") {
		t.Errorf("got %v", err)
	}
	if rules := ruleset(t); strings.Contains(rules, "8080") || !strings.Contains(rules, "203.0.113.2") {
		t.Fatalf("ruleset: %s", rules)
	}

	tr.write("jail.local", jailText("web", `action = nftables[port="8080"]`)+jailText("mute", `action = nftables[port="110"]`))
	s.reload(t, "")
	rules := ruleset(t)
	for _, part := range []string{"203.0.113.1", "8080"} {
		if !strings.Contains(rules, part) {
			t.Errorf("%s is not in the ruleset: %s", part, rules)
		}
	}
	for _, part := range []string{"443", "203.0.113.2", "mail"} {
		if strings.Contains(rules, part) {
			t.Errorf("%s is in the ruleset still: %s", part, rules)
		}
	}
	ban("mute", "203.0.113.3")
	if rules := ruleset(t); !strings.Contains(rules, "203.0.113.3") || !strings.Contains(rules, "110") {
		t.Errorf("ruleset: %s", rules)
	}
}

// ruleset is what nft lists in the thread's network namespace.
func ruleset(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "-j", "list", "ruleset").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(out) {
		t.Fatalf("no JSON: %s", out)
	}
	return string(out)
}

func TestSignals(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("one"))
	s := tr.start()
	tr.write("jail.local", jailText("one", "maxretry = 9"))
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.log.wait(t, 1, "msg=reloaded", "changed=[one]")
	if got := s.jail("one").identity.Policy().MaxRetry; got != 9 {
		t.Errorf("maxretry is %d", got)
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	s.log.wait(t, 1, "flush performed")
}

func TestPipeHasNothingToReload(t *testing.T) {
	s := newService(Config{Log: slog.New(slog.DiscardHandler)}, pipeline.WallClock())
	if _, err := s.Reload(t.Context(), ""); err != ErrNoReload {
		t.Errorf("got %v", err)
	}
}

// told is a sink that refuses everything.
type told struct{ orders []pipeline.Order }

var errTold = errors.New("refused")

func (s *told) Apply(_ context.Context, _ int64, orders []pipeline.Order) {
	s.orders = append(s.orders, orders...)
	for i := range orders {
		orders[i].Err = errTold
	}
}

func TestGateStopsJailsThatAreGone(t *testing.T) {
	here, gone := pipeline.NewJail("a", pipeline.Policy{}), pipeline.NewJail("a", pipeline.Policy{})
	sink := &told{}
	g := &gate{sink: sink}
	apply := func(want ...error) {
		t.Helper()
		sink.orders = nil
		orders := []pipeline.Order{{Ban: pipeline.Ban{Jail: gone}}, {Ban: pipeline.Ban{Jail: here}}, {Ban: pipeline.Ban{Jail: gone}}, {Ban: pipeline.Ban{Jail: here}}}
		g.Apply(t.Context(), 0, orders)
		for i, o := range orders {
			if o.Err != want[i] {
				t.Errorf("order %d: %v, want %v", i, o.Err, want[i])
			}
		}
	}
	apply(errTold, errTold, errTold, errTold)
	g.close(gone)
	apply(nil, errTold, nil, errTold)
	if len(sink.orders) != 2 || sink.orders[0].Ban.Jail != here || sink.orders[1].Ban.Jail != here {
		t.Errorf("the sink got %v", sink.orders)
	}
}
