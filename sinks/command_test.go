package sinks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// script are the commands of an action that is not executed.
type script struct {
	text map[Phase][2]string
	ran  []string
	fail map[string]int // how often a command fails, by what ran
	gone error
}

func (s *script) Text(p Phase, f AddressFamily) string { return s.text[p][f] }

func (s *script) Run(_ context.Context, p Phase, f AddressFamily, values map[string]string) (Outcome, error) {
	if s.gone != nil {
		return Outcome{}, s.gone
	}
	line := strings.TrimSpace(s.text[p][f] + " " + values["ip"])
	s.ran = append(s.ran, line)
	if s.fail[line] > 0 {
		s.fail[line]--
		return Outcome{Problem: "it failed"}, nil
	}
	return Outcome{OK: true}, nil
}

func both(s string) [2]string { return [2]string{s, s} }

// newScript returns an action of every phase, and its sink.
func newScript(change func(*CommandConfig)) (*script, *Command) {
	s := &script{text: map[Phase][2]string{
		PhaseStart: both("start"), PhaseStop: both("stop"), PhaseFlush: both("flush"), PhaseBan: both("ban"), PhaseReban: both("reban"),
		PhaseUnban: both("unban"), PhaseCheck: both("check"), PhaseReload: both("reload"),
	}, fail: map[string]int{}}
	cfg := CommandConfig{Commands: s, Values: func(_ context.Context, p Phase, b *pipeline.Ban) map[string]string {
		restored, _ := BanValue("restored", b)
		return map[string]string{"ip": strings.TrimSuffix(b.ID.String()+"r"+restored, "r0")}
	}}
	if change != nil {
		change(&cfg)
	}
	return s, NewCommand(cfg)
}

var commandJail = pipeline.NewJail("j", pipeline.Policy{})

func order(v pipeline.Verb, ip string) pipeline.Order {
	return pipeline.Order{Verb: v, Ban: pipeline.Ban{Jail: commandJail, ID: pipeline.ParseID(ip), AtNanos: 100, UntilNanos: pipeline.Permanent}}
}

// expect applies orders and compares what ran.
func (s *script) expect(t *testing.T, c *Command, orders []pipeline.Order, want ...string) {
	t.Helper()
	s.ran = nil
	c.Apply(t.Context(), 0, orders)
	for _, o := range orders {
		if o.Err != nil {
			t.Errorf("%v %v: %v", o.Verb, o.Ban.ID, o.Err)
		}
	}
	if !slices.Equal(s.ran, want) {
		t.Errorf("ran %q, want %q", s.ran, want)
	}
}

const ban4, ban6 = "192.0.2.1", "2001:db8::1"

func TestCommandLife(t *testing.T) {
	s, c := newScript(func(c *CommandConfig) { c.OnDemand = true })
	s.text[PhaseStart] = [2]string{"start4", "start6"}
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbUnban, ban4)}) // of nobody
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, ban4), order(pipeline.VerbBan, ban4)}, "start4", "ban "+ban4)
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, ban6)}, "start6", "ban "+ban6)
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbProlong, ban6)})
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbUnban, ban6)}, "unban "+ban6)
	s.ran = nil
	c.Reload(t.Context())
	c.Stop(t.Context(), nil)
	if want := []string{"reload", "flush", "stop"}; !slices.Equal(s.ran, want) {
		t.Errorf("ran %q, want %q", s.ran, want)
	}
	if st := c.State(); st.Done != 8 || st.Failed != 0 || st.Waiting != 0 || c.Holds() != 0 {
		t.Errorf("%+v, holds %d", st, c.Holds())
	}
}

// Everybody is freed by one command where the action has one.
func TestCommandFlushes(t *testing.T) {
	s, c := newScript(nil)
	bans, unbans := []pipeline.Order{}, []pipeline.Order{}
	want := []string{"start"}
	for i := range 5 {
		ip := fmt.Sprintf("192.0.2.%d", i)
		bans, unbans, want = append(bans, order(pipeline.VerbBan, ip)), append(unbans, order(pipeline.VerbUnban, ip)), append(want, "ban "+ip)
	}
	s.expect(t, c, bans, want...)
	s.expect(t, c, unbans[:2], "unban 192.0.2.0", "unban 192.0.2.1")
	s.expect(t, c, unbans[2:], "flush")
	if c.Holds() != 0 {
		t.Errorf("holds %d", c.Holds())
	}
}

// A restored ban is not told to an action that does not want it, nor is its end;
// for an action that a reload brings, what was banned before counts as restored.
func TestCommandRestored(t *testing.T) {
	s, c := newScript(func(c *CommandConfig) { c.NoRestored, c.SinceNanos = true, 200 })
	late := order(pipeline.VerbBan, ban6)
	late.Ban.AtNanos = 300
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, ban4), late}, "start", "ban "+ban6)
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbUnban, ban4)})
	s, c = newScript(func(c *CommandConfig) { c.SinceNanos = 200 })
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, ban4)}, "start", "ban "+ban4+"r1")
}

// An action that is put right is told of everybody anew.
func TestCommandLost(t *testing.T) {
	lost := 0
	s, c := newScript(func(c *CommandConfig) { c.OnDemand, c.Lost = true, func() { lost++ } })
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, ban4)}, "start", "ban "+ban4)
	s.fail["ban 192.0.2.2"], s.fail["check"] = 1, 1
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, "192.0.2.2")}, "ban 192.0.2.2", "check", "stop", "start", "check", "ban 192.0.2.2")
	if lost != 1 {
		t.Errorf("lost is told %d times", lost)
	}
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, ban4), order(pipeline.VerbBan, "192.0.2.2")}, "reban "+ban4)
	// A free address that the action lost is free already.
	s.fail["unban 192.0.2.2"], s.fail["check"] = 1, 1
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbUnban, "192.0.2.2")}, "unban 192.0.2.2", "check")
}

// Somebody who is banned was seen again: the action is checked, and put right.
func TestCommandRecheck(t *testing.T) {
	lost := 0
	s, c := newScript(func(c *CommandConfig) { c.OnDemand, c.Lost = true, func() { lost++ } })
	s.ran = nil
	c.Recheck(t.Context()) // nothing is started
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, ban4), order(pipeline.VerbBan, ban6)}, "start", "ban "+ban4, "ban "+ban6)
	s.ran = nil
	c.Recheck(t.Context())
	s.fail["check"] = 1
	c.Recheck(t.Context())
	if want := []string{"check", "check", "stop", "start", "check"}; !slices.Equal(s.ran, want) || lost != 1 {
		t.Errorf("ran %q, want %q; lost is told %d times", s.ran, want, lost)
	}
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, ban4), order(pipeline.VerbBan, ban6)}, "reban "+ban4, "reban "+ban6)
}

// What fails is counted and not tried again; what nobody knows is refused.
func TestCommandFails(t *testing.T) {
	s, c := newScript(nil)
	s.fail["ban "+ban4] = 2
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, ban4)}, "start", "ban "+ban4, "check", "ban "+ban4)
	if st := c.State(); st.Failed != 2 || st.Problem != "it failed" {
		t.Errorf("%+v", st)
	}
	s.gone = errors.New("gone")
	orders := []pipeline.Order{order(pipeline.VerbBan, ban6)}
	c.Apply(t.Context(), 0, orders)
	if !errors.Is(orders[0].Err, s.gone) {
		t.Errorf("got %v", orders[0].Err)
	}
	s.gone = nil
	s.expect(t, c, []pipeline.Order{order(pipeline.VerbBan, ban6)}, "ban "+ban6)
	if st := c.State(); st.Problem != "" {
		t.Errorf("%+v", st)
	}
}

func TestBanValues(t *testing.T) {
	f := func(b pipeline.Ban, tag, want string) {
		t.Helper()
		if got, ok := BanValue(tag, &b); !ok || got != want {
			t.Errorf("%v <%s>: %q %v, want %q", b.ID, tag, got, ok, want)
		}
	}
	b := order(pipeline.VerbBan, ban4).Ban
	b.AtNanos, b.UntilNanos, b.Failures = 1795168800_500000000, 1795169400_500000000, 7
	f(b, "ip-rev", "1.2.0.192.")
	f(b, "time", "1795168800.5")
	f(b, "bantime", "600")
	f(b, "failures", "7")
	f(b, "bancount", "1")
	f(b, "matches", "")
	f(b, "F-user", "")
	b.Ticket = &pipeline.Ticket{Matches: []string{"a", "b"}, Fields: map[string]string{"user": "joe"}, Count: 3}
	b.Restored, b.UntilNanos = true, pipeline.Permanent
	f(b, "time", "1795168800")
	f(b, "bantime", "-1")
	f(b, "bancount", "3")
	f(b, "matches", "a\nb")
	f(b, "F-user", "joe")
	f(b, "restored", "1")
	f(b, "family", "inet4")
	id := pipeline.Ban{ID: pipeline.TextID("session 7"), Ticket: &pipeline.Ticket{Fields: map[string]string{"ip6": ban6}}}
	f(id, "ip", ban6)
	f(id, "fid", "session 7")
	f(id, "family", "inet6")
	f(pipeline.Ban{ID: pipeline.TextID("who")}, "ip", "who")
	f(pipeline.Ban{ID: pipeline.ParseID("10.0.0.0/8")}, "ip-rev", "0/8.0.0.10.")
	f(pipeline.Ban{ID: pipeline.ParseID(ban6)}, "ip-rev", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.")
	if _, ok := BanValue("ip-host", &b); ok {
		t.Error("ip-host is not the ban's")
	}
}
