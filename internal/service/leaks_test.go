package service

import (
	"strings"
	"testing"
	"time"
)

// TestLeakPackets: failures that go on although the ban holds are counted, with
// what lets them come, and not logged for ever.
func TestLeakPackets(t *testing.T) {
	c := newCable(t)
	tr := newSite(t)
	tr.dropping()
	tr.write("jail.local", jailText("web", `action = nftables[port="80,443"]`)+jailText("udp", `action = nftables[port="53", protocol=udp]`))
	tr.log("web.log")
	tr.log("udp.log")
	s := tr.start(c.wired)
	// The service is at another port too, which the action does not name.
	conn, err := c.dial("10.1.0.2", "10.0.0.1:2222")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// One whose connection is open when the ban comes; and one whom only a log knows.
	open, err := c.dial("10.1.0.3", "10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	ids := []string{"10.1.0.2", "10.1.0.3", "203.0.113.5"}
	tr.log("web.log", append(failed(ids...), failed(ids...)...)...)
	tr.log("udp.log", failed("10.1.0.4", "10.1.0.4")...)
	enforced(t, s, "web", 3)
	enforced(t, s, "udp", 1)
	c.fails("10.0.0.1:80", "10.1.0.2", "10.1.0.3")
	c.passes("10.0.0.1:2222", "10.1.0.2")

	tick, late := time.NewTicker(100*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for s.log.times("Leak of ") < 4 {
		select {
		case <-tick.C:
			tr.log("web.log", failed(ids...)...)
			tr.log("udp.log", failed("10.1.0.4")...)
		case <-late:
			t.Fatalf("%d diagnoses: %s", s.log.times("Leak of "), strings.Join(s.log.lines, ""))
		}
	}
	for id, why := range map[string]string{
		"10.1.0.2": "it is connected to port 2222, which is not among those of the action (80, 443)", "10.1.0.3": "its connection to port 80 was open before",
		"203.0.113.5": "no connection of it reaches this host",
	} {
		s.log.wait(t, 1, "WARNING [web] Leak of "+id+": ", " failures although the ban is in the kernel: "+why)
	}
	s.log.wait(t, 1, "WARNING [udp] Leak of 10.1.0.4: ", "the action drops udp only")
	st, err := verbs{s.Service}.status(StatusArgs{})
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Leaks) != 4 {
		t.Errorf("leaks %+v", st.Leaks)
	}
	for _, l := range st.Leaks {
		if l.Failures < leaksDiagnose || l.Why == "" {
			t.Errorf("%+v", l)
		}
	}
	if got := s.status(t, "web").Leaked; got < 3*leaksDiagnose {
		t.Errorf("%d failures leaked", got)
	}
	// "already banned" is not said at every turn, the diagnosis once.
	already := s.log.times("203.0.113.5 already banned")
	for range 20 {
		tr.log("web.log", failed("203.0.113.5", "203.0.113.5")...)
	}
	tr.log("web.log", failed("203.0.113.99")...)
	s.log.wait(t, 1, "Found 203.0.113.99 ")
	if more := s.log.times("203.0.113.5 already banned") - already; more > 4 {
		t.Errorf("%d lines more of 20", more)
	}
	if n := s.log.times("Leak of 203.0.113.5"); n != 1 {
		t.Errorf("%d diagnoses", n)
	}
}

// TestLeakThroughAContainer: fail2ban's layout does not see what is handed on to
// a container; the packets go on, and the log says why. In our own layout the
// same ban holds.
func TestLeakThroughAContainer(t *testing.T) {
	c := newCable(t)
	c.container()
	tr := newSite(t)
	tr.dropping()
	tr.write("jail.local", jailText("web", `action = nftables[port="8080"]`))
	tr.log("web.log")
	s := tr.start(c.wired, func(cfg *Config) { cfg.Fail2ban = true })
	tr.log("web.log", failed("10.1.0.2", "10.1.0.2")...)
	enforced(t, s, "web", 1)
	c.passes("10.0.0.1:8080", "10.1.0.2")
	tick, late := time.NewTicker(100*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for s.log.times("Leak of ") < 1 {
		select {
		case <-tick.C:
			tr.log("web.log", failed("10.1.0.2")...)
		case <-late:
			t.Fatal("no diagnosis")
		}
	}
	s.log.wait(t, 1, "WARNING [web] Leak of 10.1.0.2: ", "its connection to port 8080 is handed on to 10.2.0.2, such as a container: chain f2b-chain of hook input, priority -1, does not see what is forwarded")
}
