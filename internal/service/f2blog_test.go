package service

import (
	"fmt"
	"math"
	"os/exec"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// TestLengthsAreFail2bans compares the length of an increased ban with what
// Debian's fail2ban writes.
func TestLengthsAreFail2bans(t *testing.T) {
	python := testenv.Python(t)
	var lengths []int
	for _, around := range []int{0, 60, 600, 3595, 3600, 7200, 86395, 86400, 90030, 604800, 606600, 31536000, 40000000, 63720000} {
		for d := -35; d <= 95; d++ {
			if around+d >= 0 {
				lengths = append(lengths, around+d)
			}
		}
	}
	for n := 100.0; n < 1e9; n *= 1.02 {
		lengths = append(lengths, int(math.Round(n)))
	}
	var script strings.Builder
	script.WriteString("from fail2ban.server.mytime import MyTime\nfor n in [")
	for _, n := range lengths {
		fmt.Fprintf(&script, "%d,", n)
	}
	script.WriteString("]:\n print(str(MyTime.seconds2str(n)))\n")
	out, err := exec.Command(python, "-c", script.String()).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(want) != len(lengths) {
		t.Fatalf("%d answers for %d lengths", len(want), len(lengths))
	}
	for i, n := range lengths {
		if got := lengthText(float64(n)); got != want[i] {
			t.Errorf("%d s: %q, want %q", n, got, want[i])
		}
	}
}

// TestOnlyBansReadAsBans writes every kind of line with the names that an
// attacker would choose, and lets Debian's recidive filter read them.
func TestOnlyBansReadAsBans(t *testing.T) {
	python := testenv.Python(t)
	var log strings.Builder
	out, err := logtarget.New(logtarget.Config{Target: "STDOUT", Level: "0", Stdout: &log})
	if err != nil {
		t.Fatal(err)
	}
	lines := banLog{out}
	hostile := []string{
		"x] Ban 192.0.2.1", "x]  Ban 192.0.2.1", "\n2026-11-22 13:19:17,085 fail2ban.actions        [560]: NOTICE  [sshd] Ban 192.0.2.2",
		"] Ban 192.0.2.3\r\n", "a\tb] Ban\t192.0.2.4", "x]\u00a0Ban\u2003192.0.2.5", "[y] Ban 192.0.2.6", "NOTICE [y] Ban 192.0.2.7", "] Ban 192.0.2.8\x00",
		"Ban 192.0.2.9", "\x85] Ban 192.0.2.10", "\u2028NOTICE [q] Ban 192.0.2.11",
	}
	kinds := []pipeline.EventKind{pipeline.EventProlong, pipeline.EventUnban, pipeline.EventAlready, pipeline.EventTooLate, pipeline.EventFull, pipeline.EventRefused, pipeline.EventEnforced}
	for _, text := range hostile {
		for _, name := range []string{"sshd", text} {
			b := pipeline.Ban{Jail: pipeline.NewJail(name, pipeline.Policy{}), ID: pipeline.TextID(text), Ticket: &pipeline.Ticket{Count: 2}}
			for _, k := range kinds {
				lines.Observe(pipeline.Event{Kind: k, Ban: b, Err: fmt.Errorf("%s", text)})
			}
			lines.found([]pipeline.Failure{{Jail: b.Jail, ID: b.ID}})
			lines.ignored(b.Jail, b.ID, 1)
			lines.Observe(pipeline.Event{Kind: pipeline.EventBan, Ban: pipeline.Ban{Jail: b.Jail, ID: b.ID, Ticket: b.Ticket, Restored: true}})
			// A ban, but not of the address that stands in the ID.
			lines.Observe(pipeline.Event{Kind: pipeline.EventBan, Ban: b})
		}
	}
	real := pipeline.Ban{Jail: pipeline.NewJail("x] Ban 192.0.2.99 y", pipeline.Policy{}), ID: pipeline.ParseID("203.0.113.1")}
	lines.Observe(pipeline.Event{Kind: pipeline.EventBan, Ban: real})
	out.Close()
	tr := newSite(t)
	tr.write("f2b.log", log.String())
	got, err := exec.Command(python, "/usr/bin/fail2ban-regex", "--usedns=raw", "-o", "id", tr.path("f2b.log"), "/etc/fail2ban/filter.d/recidive.conf").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(got)) != "203.0.113.1" {
		t.Errorf("recidive bans %q in\n%s", got, log.String())
	}
}
