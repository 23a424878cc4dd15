package service

import (
	"reflect"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/ignore"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

func TestIgnoredAndReload(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("web", "ignoreip = 203.0.113.1 203.0.113.128/25")+jailText("mail"))
	tr.log("web.log", "begin")
	tr.log("mail.log", "begin")
	s := tr.start()
	tr.log("web.log", failed("203.0.113.1", "203.0.113.1", "203.0.113.200", "203.0.113.2", "203.0.113.2")...)
	tr.log("mail.log", failed("127.0.0.1", "203.0.113.1", "203.0.113.1")...)
	s.log.wait(t, 2, "INFO    [web] Ignore 203.0.113.1 by ip\n")
	s.log.wait(t, 1, "[web] Ignore 203.0.113.200 by ip\n")
	s.log.wait(t, 1, "[mail] Ignore 127.0.0.1 by ignoreself rule\n")
	s.out.wait(t, 1, `"ban"`, `"web"`, "203.0.113.2")
	s.out.wait(t, 1, `"ban"`, `"mail"`, "203.0.113.1")
	if s.out.times(`"ban"`, `"web"`, `"203.0.113.1"`) > 0 || s.log.times("[web] Found 203.0.113.1 ") > 0 {
		t.Error("who is ignored was found or banned")
	}
	web := s.jail("web").identity
	if got := s.guard.Counts(web); got != (ignore.Counts{IP: 3}) {
		t.Errorf("counts %+v", got)
	}
	// A command's attempt counts all the same, as in fail2ban.
	for _, id := range []string{"203.0.113.129", "203.0.113.9"} {
		if got, err := (verbs{s.Service}).Attempt(t.Context(), "web", id, nil); got != 1 || err != nil {
			t.Errorf("attempt of %s: %d %v", id, got, err)
		}
		if n := s.window.Count(web, pipeline.ParseID(id)); n != 1 {
			t.Errorf("%s has failed %d times, want 1", id, n)
		}
	}

	// A reload puts another list in force, and the command's answer is waited for.
	tr.write("jail.local", jailText("web", "ignoreip = 203.0.113.2", "ignorecommand = test <ip> = 203.0.113.4")+jailText("mail"))
	if got := s.reload(t, ""); !reflect.DeepEqual(got.Changed, []string{"web"}) || s.jail("web").identity != web {
		t.Errorf("got %+v", got)
	}
	tr.log("web.log", failed("203.0.113.4", "203.0.113.4", "203.0.113.1", "203.0.113.1", "203.0.113.2")...)
	s.out.wait(t, 1, `"ban"`, `"web"`, `"203.0.113.1"`)
	s.log.wait(t, 1, "[web] Ignore 203.0.113.4 by command\n")
	s.log.wait(t, 1, "[web] Ignore 203.0.113.2 by ip\n")
	if s.out.times("203.0.113.4") > 0 {
		t.Error("the command's answer was not heard")
	}
	if got := s.guard.Counts(web); got.Command != 1 {
		t.Errorf("counts %+v", got)
	}
}
