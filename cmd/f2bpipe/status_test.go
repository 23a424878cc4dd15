package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/f2bpipe/f2bpipe/internal/service"
)

// sampleStatus is a service with hostile text wherever there can be some.
func sampleStatus() *service.Status {
	until := 1_800_000_600.0
	hostile := "user \x1b[31mred\u202e\n] Ban 192.0.2.1"
	st := &service.Status{Version: "1", Enforced: true, Since: 1_800_000_000, Degraded: []string{"store: nothing can be written"}}
	st.Config.Dir = "/etc/fail2ban"
	for _, name := range []string{"sshd", "a-jail-with-quite-a-long-name"} {
		j := service.JailStatus{Name: name, Enforced: 1, Leaked: 3}
		j.Failed.Current, j.Failed.Total, j.Banned.Current, j.Banned.Total = 2, 12, 2, 7
		j.Actions = []service.ActionStatus{{Name: "nftables", By: "nftables"}, {Name: "mail", By: "command", Done: 3, Problem: "exit status 1: " + hostile}, {Name: "x", Reason: "no python3"}}
		j.Banned.List = []string{"192.0.2.7", hostile}
		st.Jails = append(st.Jails, j)
	}
	st.Totals = service.TotalsOf(st.Jails...)
	st.Rates = service.RateStatus{LinesPerSecond: 12.34, Failures: service.PerPeriod{Minute: 3, Hour: 40}, Bans: service.PerPeriod{Minute: 1, Hour: 5}}
	st.Recent = []service.RecentBan{
		{Jail: "sshd", IP: "192.0.2.7", Time: 1_800_000_000, Until: &until, Failures: 5, Count: 2, Regex: 1, Line: hostile},
		{Jail: "manual", IP: "2001:db8::/64", Time: 1_800_000_000, Regex: -1},
	}
	st.Leaks = []service.LeakStatus{{Jail: "sshd", IP: hostile, Failures: 4, Why: "it is connected to port 2222"}}
	st.Sources = []service.SourceStatus{{Name: "/var/log/" + hostile, Lines: 100, LagBytes: 5, LagSeconds: 20, Problem: "gone"}}
	return st
}

// TestStatusFits prints for screens of any width: no line of a table is wider,
// nothing that a terminal would obey comes from outside.
func TestStatusFits(t *testing.T) {
	t.Setenv("TZ", "UTC")
	for _, width := range []int{0, 40, 60, 80, 100, 200} {
		var b bytes.Buffer
		printStatus(screen{Writer: &b, width: width}, sampleStatus(), false)
		text := b.String()
		if strings.ContainsAny(text, "\x1b\u202e\r") {
			t.Errorf("width %d: control characters in %q", width, text)
		}
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); width > 0 && n > width && strings.HasPrefix(line, "  ") {
				t.Errorf("width %d: %d columns: %q", width, n, line)
			}
		}
		for _, want := range []string{"JAIL", "  sshd ", "  all ", "BANNED", "192.0.2.7", "degraded: store: nothing can be written", "leak: ", "12.3 lines a second; failures: 3 in the last minute, 40 in the last hour; bans: 1, 5"} {
			if !strings.Contains(text, want) {
				t.Errorf("width %d: no %q in\n%s", width, want, text)
			}
		}
		if width == 0 || width == 200 {
			for _, want := range []string{`5 failures, ban no. 2, failregex 1: user \x1b[31mred\u202e\n] Ban 192.0.2.1`, "by command", "nftables native, mail by command FAILS, x NOT carried out", "2001:db8::/64", "permanent", "gone"} {
				if !strings.Contains(text, want) {
					t.Errorf("width %d: no %q in\n%s", width, want, text)
				}
			}
		}
	}
}

// TestStatusColours has them only where there is a terminal that wants them, and
// then they change no width.
func TestStatusColours(t *testing.T) {
	var b, plain bytes.Buffer
	printStatus(screen{Writer: &b, width: 80, colour: true}, sampleStatus(), true)
	printStatus(screen{Writer: &plain, width: 80}, sampleStatus(), true)
	text := b.String()
	if !strings.Contains(plain.String(), "\naction nftables: native: ") || !strings.Contains(plain.String(), "\naction mail: by command: 3 done, 0 failed, 0 wait; FAILS: exit status 1: user \\x1b") {
		t.Errorf("no actions in %s", plain.String())
	}
	if !strings.Contains(text, "\x1b[32menforced\x1b[0m") || !strings.Contains(text, "\x1b[31m1\x1b[0m") {
		t.Errorf("no colours in %q", text)
	}
	for _, code := range []string{"0", bold, red, green, yellow} {
		text = strings.ReplaceAll(text, "\x1b["+code+"m", "")
	}
	if text != plain.String() {
		t.Errorf("without colours\n%s\nis not\n%s", text, plain.String())
	}
	if s := screenOf(&b, &b); s.colour || s.width != 0 {
		t.Errorf("a buffer is a screen: %+v", s)
	}
}
