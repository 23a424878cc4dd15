package service

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A jail that a reload adds on a file that others watch sees every line of it
// from findtime ago, each once, however much is written and rotated meanwhile;
// those that watched it before miss and repeat nothing.
func TestReloadAddsAJailToAFollowedFile(t *testing.T) {
	tr := newSite(t)
	jail := func(name string) string {
		return jailText(name, "logpath = DIR/shared.log", "maxretry = 1000000", "ignoreip =")
	}
	tr.write("jail.local", jail("old"))
	old := time.Now().Add(-time.Hour).Format(time.DateTime)
	if err := os.WriteFile(tr.path("shared.log"), []byte(old+" login failed from 203.0.113.8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := tr.start()
	var sent atomic.Int64
	send := func(n int) {
		var lines []string
		for i := range n {
			lines = append(lines, failed(fmt.Sprintf("203.0.113.%d", i%3+1))...)
		}
		tr.log("shared.log", lines...)
		sent.Add(int64(n))
	}
	first := 30_000
	if testing.Short() {
		first = 6000
	}
	send(first)
	s.waitMatched(t, "old", first)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				send(200)
			}
		}
	}()
	for round := range 3 {
		// One that goes again before it has caught up, perhaps, and one that stays.
		tr.write("jail.local", jail("old")+jail("brief"))
		s.reload(t, "")
		text := jail("old")
		for i := range round + 1 {
			text += jail(fmt.Sprintf("new%d", i))
		}
		tr.write("jail.local", text)
		s.reload(t, "")
	}
	close(stop)
	<-done
	until(t, "all have joined", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.lates) == 0
	})
	tr.log("shared.log", failed("203.0.113.9")...)
	for _, name := range []string{"old", "new0", "new1", "new2"} {
		want := int(sent.Load()) + 1
		s.waitMatched(t, name, want)
		// The line of an hour ago is matched and too old, or was not even read.
		st := s.status(t, name)
		if got := st.Lines.Matched - st.Lines.TooOld; got != int64(want) {
			t.Errorf("%s took %d lines, want %d", name, got, want)
		}
		until(t, fmt.Sprintf("%s has counted %d failures", name, want), func() bool { return s.status(t, name).Failed.Total >= want })
		if got := s.status(t, name).Failed.Total; got != want {
			t.Errorf("%s counted %d failures, want %d", name, got, want)
		}
	}
	st, err := verbs{s.Service}.status(StatusArgs{})
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Sources) != 1 || !strings.HasSuffix(st.Sources[0].Name, "shared.log") {
		t.Errorf("sources %+v", st.Sources)
	}
}
