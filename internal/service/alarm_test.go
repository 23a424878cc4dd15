package service

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

func TestBlindWithoutMatch(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("default")+jailText("hour", "logpath = DIR/default.log", "blindalarm = 1h")+jailText("off", "logpath = DIR/default.log", "blindalarm = 0"))
	tr.log("default.log", "begin")
	s := tr.start()
	now := s.clock.Now()
	after := func(d time.Duration) { s.checkBlind(now + int64(d)) }
	blind := func(want ...string) {
		t.Helper()
		var got []string
		for _, name := range []string{"default", "hour", "off"} {
			if s.status(t, name).Blind != "" {
				got = append(got, name)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("blind are %v, want %v", got, want)
		}
	}
	after(0)
	after(48 * time.Hour)
	blind() // the log stands still

	tr.log("default.log", failed("203.0.113.1")...)
	s.log.wait(t, 3, "Found 203.0.113.1 ")
	for in := s.inputs[tr.path("default.log")]; in.Lines.Load() < 2; {
		runtime.Gosched()
	}
	after(0)
	for range blindLines {
		tr.log("default.log", "nothing of interest")
	}
	for in := s.inputs[tr.path("default.log")]; in.Lines.Load() < blindLines+2; {
		runtime.Gosched()
	}
	after(59 * time.Minute)
	blind()
	after(time.Hour)
	blind("hour")
	if got, want := s.status(t, "hour").Blind, "no line matched for 1h0m0s, while its logs had 100 lines"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	after(24 * time.Hour)
	after(25 * time.Hour)
	blind("default", "hour")
	if n := s.log.times("seems to be blind", "jail=hour"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	tr.log("default.log", failed("203.0.113.1")...)
	s.log.wait(t, 6, "Found 203.0.113.1 ")
	after(26 * time.Hour)
	blind()
}

func TestBlindToFailures(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("one")+jailText("two", "logpath = DIR/one.log", "blindalarm = 0"))
	tr.log("one.log", "begin")
	s := tr.start()
	in := newInput(tr.path("other.log"), nil)
	w, err := s.watch(in, watchers(s.jails(), tr.path("one.log")), nil)
	if err != nil {
		t.Fatal(err)
	}
	in.SetMatcher(w)
	no := int64(0)
	batch := func(lines ...string) {
		in.suspects.next = 0
		data := strings.Join(lines, "\n") + "\n"
		w.Match(nil, &pipeline.Batch{Input: in.Input, Data: []byte(data), First: no + 1, Lines: len(lines)})
		no += int64(len(lines))
		s.alarm.looking.Lock() // the service looks, too
		defer s.alarm.looking.Unlock()
		s.probe(in, s.clock.Now())
	}
	sign := func(want string) {
		t.Helper()
		s.alarm.looking.Lock()
		defer s.alarm.looking.Unlock()
		if got := in.suspects.sign("LOG"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	unread := "2026-11-22 13:00:00 imap-login: Login aborted (auth failed): user=<\x1b[2Jx>, rip=198.51.100.9, lip=10.0.0.1"
	batch("begin")
	batch(unread, unread, "2026-11-22 13:00:00 auth failed for 127.0.0.1")
	sign("")
	batch(unread)
	sign(`lines of LOG look like authentication failures that no jail takes, such as "` + strings.ReplaceAll(unread, "\x1b", `\x1b`) + `"`)
	s.mu.Lock()
	s.inputs[in.Name] = in
	s.mu.Unlock()
	if in.current().Counters(s.jail("two").identity) == nil {
		t.Fatal("two does not watch the log")
	}
	s.checkBlind(s.clock.Now())
	if one, two := s.status(t, "one").Blind, s.status(t, "two").Blind; !strings.Contains(one, "198.51.100.9") || two != "" {
		t.Errorf("one: %q, two: %q", one, two)
	}
	batch("2026-11-22 13:00:00 login failed from 198.51.100.9")
	sign("")
	batch(unread, unread)
	batch("2026-11-22 13:00:00 login failed from 198.51.100.9", unread, unread)
	sign("")
}

func TestLooksLikeFailure(t *testing.T) {
	f := func(line string, want bool) {
		t.Helper()
		if got := looksLikeFailure([]byte(line)); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
	f("dovecot: auth: Debug: password mismatch for joe,198.51.100.9", true)
	f("sshd-session[1]: Invalid user x from 2001:db8::66 port 22", true)
	f("sshd-session[1]: Failed password for root from 198.51.100.9 port 22 ssh2", true)
	f("pam_unix(x:auth): authentication failure; rhost=198.51.100.9  user=root", true)
	f("LOGIN FAILED: [198.51.100.9]:4711", true)
	f("AUTH FAILURE from 198.51.100.9:4711.", true)
	f("Login failed: 198.51.100.9:", true)
	f("Login failed on console", false)
	f("Login failed from ::1 and 127.0.0.1", false)
	f("Accepted password for root from 198.51.100.9", false)
	f("authorised 198.51.100.9", false)
	f("failed unit at 03:04:05", false)
	f("", false)
	f(strings.Repeat("x", sampleSize)+" login failed 198.51.100.9", false)
	f(strings.Repeat(":", 5000)+" login failed", false)
}

func TestSampleIsBounded(t *testing.T) {
	var s suspects
	line := "login failed from 198.51.100.9\n"
	b := &pipeline.Batch{Data: []byte(strings.Repeat(line, 1000)), First: 1, Lines: 1000}
	const second = int64(time.Second)
	for range 100 {
		s.sample(second, b, nil)
	}
	if len(s.lines) == 0 || len(s.lines) > sampleLines {
		t.Errorf("%d lines of one second", len(s.lines))
	}
	for i := range int64(10) {
		s.sample((i+2)*second, b, nil)
	}
	if len(s.lines) != suspectsKept {
		t.Errorf("%d lines are kept", len(s.lines))
	}
	if lines := s.take(); len(lines) != suspectsKept || string(lines[0])+"\n" != line || len(s.take()) != 0 {
		t.Errorf("took %q", lines)
	}
	if n := testing.AllocsPerRun(100, func() { s.sample(12*second, b, nil) }); n != 0 {
		t.Errorf("%v allocations once the sample is over", n)
	}
}
