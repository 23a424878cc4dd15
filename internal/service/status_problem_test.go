package service

import (
	"os"
	"strings"
	"testing"
)

// TestStatusOfALogThatCannotBeRead: a jail whose log is there and cannot be read
// is shown degraded, with the reason, until it can be.
func TestStatusOfALogThatCannotBeRead(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("good")+jailText("bad"))
	tr.log("good.log", "begin")
	if err := os.Mkdir(tr.path("bad.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := tr.start()
	s.log.wait(t, 1, "file cannot be read", "bad.log")
	if st := s.status(t, "bad"); !strings.Contains(st.Degraded, "not a regular file") {
		t.Errorf("bad is degraded: %q", st.Degraded)
	}
	if st := s.status(t, "good"); st.Degraded != "" {
		t.Errorf("good is degraded: %q", st.Degraded)
	}
	st, err := verbs{s.Service}.status(StatusArgs{})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range st.Sources {
		if bad := strings.HasSuffix(in.Name, "bad.log"); (in.Problem != "") != bad {
			t.Errorf("%s: problem %q", in.Name, in.Problem)
		}
	}
	if err := os.Remove(tr.path("bad.log")); err != nil {
		t.Fatal(err)
	}
	tr.log("bad.log", failed("203.0.113.1", "203.0.113.1")...)
	s.out.wait(t, 1, `"ban"`, `"bad"`, "203.0.113.1")
	if st := s.status(t, "bad"); st.Degraded != "" {
		t.Errorf("bad is degraded still: %q", st.Degraded)
	}
}
