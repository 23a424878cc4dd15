package control

import (
	"strings"
	"testing"
)

// TestNotEnforced: that bans are not in the kernel is a line of its own, behind
// fail2ban's, which stay where they are.
func TestNotEnforced(t *testing.T) {
	f := goldenService(t)
	d := &Dispatcher{Verbs: f}
	for _, line := range []string{"status", "status sshd"} {
		f.notEnforced = ""
		before, err := printed(t, d, Beautifier{}, line)
		if err != nil || strings.Contains(before, "enforced") {
			t.Errorf("%s: %v, %q", line, err, before)
		}
		f.notEnforced = "no right"
		after, err := printed(t, d, Beautifier{}, line)
		lines := strings.Split(before, "\n")
		last := len(lines) - 1
		lines[last] = strings.Replace(lines[last], "`-", "|-", 1)
		indent := lines[last][:strings.Index(lines[last], "|-")]
		if want := strings.Join(lines, "\n") + "\n" + indent + "`- Not enforced:\tno right"; err != nil || after != want {
			t.Errorf("%s: %v\n got %q\nwant %q", line, err, after, want)
		}
	}
	f.notEnforced = "no right"
	for _, line := range []string{"status sshd short", "stats", "status --all"} {
		if _, err := printed(t, d, Beautifier{}, line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
