package service

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/sources"
)

// TestMain lets the test binary be the reader process of a journal.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "journal-reader" {
		err := sources.RunJournalReader(os.Stdin, os.Stdout)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(sources.JournalReaderStatus(err))
	}
	os.Exit(m.Run())
}

// journalSite is a site whose jails read a journald of the test's own.
type journalSite struct {
	*site
	journald *testenv.Journald
}

func newJournalSite(t *testing.T) journalSite {
	tr := journalSite{newSite(t), testenv.StartJournald(t, 200)}
	tr.write("filter.d/entry.conf", "[Definition]\nfailregex = ^\\S+ \\S+: login failed from <HOST>( .*)?$\n")
	return tr
}

// jail is the text of a jail that reads the journal by a match.
func (tr journalSite) jail(name, match string, options ...string) string {
	return jailText(name, append([]string{"filter = entry", "backend = systemd[journalpath=" + tr.journald.Dir + "]", "journalmatch = " + match, "logpath ="}, options...)...)
}

func (tr journalSite) send(ident string, messages ...string) {
	for _, m := range messages {
		tr.journald.Native("SYSLOG_IDENTIFIER=" + ident + "\nMESSAGE=" + m + "\n")
	}
}

// matched returns how many lines of its log a jail took.
func (r *running) matched(t *testing.T, jail string) int {
	t.Helper()
	return int(r.status(t, jail).Lines.Matched)
}

// waitMatched waits until a jail took n lines at least.
func (r *running) waitMatched(t *testing.T, jail string, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%s takes %d lines", jail, n), func() bool { return r.matched(t, jail) >= n })
}

// until waits until something is so.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not after 20 s: %s", what)
		}
	}
}

func TestJournalGivesJailsTheirEntries(t *testing.T) {
	tr := newJournalSite(t)
	tr.send("one", failed("203.0.113.1")...) // before the start, within findtime
	tr.write("jail.local", tr.jail("one", "SYSLOG_IDENTIFIER=one")+tr.jail("two", "SYSLOG_IDENTIFIER=two + SYSLOG_IDENTIFIER=both")+
		tr.jail("three", "SYSLOG_IDENTIFIER=both"))
	s := tr.start()
	tr.send("one", failed("203.0.113.1")...)
	s.out.wait(t, 1, `"ban"`, `"one"`, "203.0.113.1", `"failures":2`)
	tr.send("two", failed("203.0.113.2", "203.0.113.2")...)
	tr.send("other", failed("203.0.113.3", "203.0.113.3")...)
	tr.send("both", failed("203.0.113.4", "203.0.113.4")...)
	s.out.wait(t, 1, `"ban"`, `"two"`, "203.0.113.2")
	s.out.wait(t, 1, `"ban"`, `"two"`, "203.0.113.4")
	s.out.wait(t, 1, `"ban"`, `"three"`, "203.0.113.4")
	for jail, want := range map[string]int{"one": 2, "two": 4, "three": 2} {
		if got := s.matched(t, jail); got != want {
			t.Errorf("jail %s found %d failures, want %d", jail, got, want)
		}
	}
	st, err := verbs{s.Service}.status(StatusArgs{})
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Sources) != 1 || st.Sources[0].Lines != 6 || st.Sources[0].LagBytes != 0 || st.Sources[0].Problem != "" {
		t.Errorf("sources %+v", st.Sources)
	}
	js, err := verbs{s.Service}.JailStatus(t.Context(), "two", 0)
	if err != nil || !js.Journal || js.Backend != "systemd" || fmt.Sprint(js.JournalMatch) != "[[SYSLOG_IDENTIFIER=two] [SYSLOG_IDENTIFIER=both]]" || js.Files != nil {
		t.Errorf("%+v, %v", js, err)
	}
}

// What a reload adds catches up from findtime ago, and nobody misses an entry
// or sees one twice, however much is written meanwhile.
func TestJournalReloadWhileItFlows(t *testing.T) {
	tr := newJournalSite(t)
	options := "maxretry = 1000000"
	old := tr.jail("old", "SYSLOG_IDENTIFIER=old", options)
	fresh := tr.jail("fresh", "SYSLOG_IDENTIFIER=fresh + SYSLOG_IDENTIFIER=old", options)
	tr.write("jail.local", old)
	s := tr.start()
	sent := 0
	send := func(n int) {
		for range n {
			tr.send("old", "login failed from 203.0.113.1")
			tr.send("fresh", "login failed from 203.0.113.2")
		}
		sent += n
	}
	if testing.Short() {
		send(300)
	} else {
		send(2000)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				send(10)
			}
		}
	}()
	for range 3 {
		tr.write("jail.local", old+fresh)
		s.reload(t, "")
		tr.write("jail.local", old+fresh+tr.jail("more", "SYSLOG_IDENTIFIER=old", options))
		s.reload(t, "more")
		s.waitMatched(t, "more", 1)
		tr.write("jail.local", old)
		s.reload(t, "")
	}
	tr.write("jail.local", old+fresh)
	s.reload(t, "")
	close(stop)
	<-done
	tr.send("old", "login failed from 203.0.113.9")
	s.waitMatched(t, "old", sent+1)
	s.waitMatched(t, "fresh", 2*sent+1)
	s.joined(t)
	if got := s.matched(t, "old"); got != sent+1 {
		t.Errorf("old found %d, want %d", got, sent+1)
	}
	if got := s.matched(t, "fresh"); got != 2*sent+1 {
		t.Errorf("fresh found %d, want %d", got, 2*sent+1)
	}
}

// joined waits until one reader serves every journal.
func (r *running) joined(t *testing.T) {
	t.Helper()
	until(t, "what caught up has joined", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, jn := range r.journals {
			if len(jn.lates) > 0 {
				return false
			}
		}
		return true
	})
}

// journalline = message: the line is MESSAGE alone, as a container wrote it, and
// still one line whatever is in it.
func TestJournalLineIsTheMessage(t *testing.T) {
	tr := newJournalSite(t)
	tr.write("filter.d/entry.conf", "[Definition]\nfailregex = ^login failed from <HOST>$\n")
	tr.write("jail.local", tr.jail("one", "SYSLOG_IDENTIFIER=one", "journalline = message", "maxretry = 1")+
		tr.jail("full", "SYSLOG_IDENTIFIER=one", "maxretry = 1"))
	s := tr.start()
	tr.send("one", "login failed from 203.0.113.1\r")
	s.out.wait(t, 1, `"ban"`, `"one"`, "203.0.113.1")
	var forged bytes.Buffer // a field with a line feed in it
	forged.WriteString("SYSLOG_IDENTIFIER=one\nMESSAGE\n")
	text := "nothing\nlogin failed from 203.0.113.2"
	_ = binary.Write(&forged, binary.LittleEndian, uint64(len(text)))
	tr.journald.Native(forged.String() + text + "\n")
	tr.send("one", "login failed from 203.0.113.3")
	s.out.wait(t, 1, `"ban"`, `"one"`, "203.0.113.3")
	if n := s.matched(t, "one"); n != 2 {
		t.Errorf("%d lines matched, want 2", n)
	}
	if n := s.matched(t, "full"); n != 0 {
		t.Errorf("%d lines matched with the host and the program before them", n)
	}
}

// Of the jails of one journal those are blind whose own entries nobody takes.
func TestJournalBlindJail(t *testing.T) {
	tr := newJournalSite(t)
	tr.write("jail.local", tr.jail("blind", "SYSLOG_IDENTIFIER=one")+tr.jail("sighted", "SYSLOG_IDENTIFIER=two"))
	s := tr.start()
	for range 4 {
		tr.send("one", "authentication failure from 203.0.113.1")
	}
	tr.send("two", failed("203.0.113.2", "203.0.113.2")...)
	s.out.wait(t, 1, `"ban"`, "203.0.113.2")
	until(t, "one is blind", func() bool {
		tr.send("one", "authentication failure from 203.0.113.1")
		s.checkBlind(s.clock.Now())
		return s.status(t, "blind").Blind != ""
	})
	if st := s.status(t, "blind"); !strings.Contains(st.Blind, "systemd-journal") {
		t.Errorf("%q", st.Blind)
	}
	if st := s.status(t, "sighted"); st.Blind != "" {
		t.Errorf("the other is blind: %s", st.Blind)
	}
}

// A reader that dies of SIGBUS (a journal file cut short under it) takes nothing
// with it, loses nothing and repeats nothing.
func TestJournalReaderCrash(t *testing.T) {
	tr := newJournalSite(t)
	tr.write("jail.local", tr.jail("one", "SYSLOG_IDENTIFIER=one", "maxretry = 1000000"))
	s := tr.start()
	total, crashes := 0, 3
	if testing.Short() {
		crashes = 1
	}
	for range crashes {
		for range 500 {
			tr.send("one", "login failed from 203.0.113.1")
		}
		total += 500
		s.waitMatched(t, "one", total-250)
		killReader(t, syscall.SIGBUS)
	}
	tr.send("one", "login failed from 203.0.113.2")
	s.waitMatched(t, "one", total+1)
	if got := s.matched(t, "one"); got != total+1 {
		t.Errorf("found %d, want %d", got, total+1)
	}
	s.log.wait(t, crashes, "journal reader ended, it is started again", "bus error")
}

// killReader ends the journal reader of this process.
func killReader(t *testing.T, sig syscall.Signal) {
	t.Helper()
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, word := range strings.Fields(string(text)) {
			args, _ := os.ReadFile("/proc/" + word + "/cmdline")
			if !strings.HasSuffix(string(args), "\x00journal-reader\x00") {
				continue
			}
			var pid int
			if _, err := fmt.Sscan(word, &pid); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, sig); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("no journal reader to kill")
}

// A journal that cannot be read is said, its jail is shown degraded, others run,
// and it is read when it can be.
func TestJournalThatCannotBeRead(t *testing.T) {
	tr := newSite(t)
	dir := tr.path("journal")
	tr.write("jail.local", jailText("files")+jailText("entries", "backend = systemd[journalpath="+dir+"]", "journalmatch = _UID=0", "logpath ="))
	tr.log("files.log", "begin")
	s := tr.start()
	s.log.wait(t, 1, "journal reader ended", "no such file or directory")
	tr.log("files.log", failed("203.0.113.1", "203.0.113.1")...)
	s.out.wait(t, 1, `"ban"`, "203.0.113.1")
	if st := s.status(t, "entries"); !strings.Contains(st.Degraded, "no such file or directory") {
		t.Errorf("degraded: %q", st.Degraded)
	}
	if st := s.status(t, "files"); st.Degraded != "" {
		t.Errorf("files is degraded: %q", st.Degraded)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.log.wait(t, 1, "journal is read again")
	if st := s.status(t, "entries"); st.Degraded != "" {
		t.Errorf("degraded: %q", st.Degraded)
	}
	if n := s.log.times("journal reader ended"); n != 1 {
		t.Errorf("said %d times that it cannot be read", n)
	}
}

func TestJournalOptions(t *testing.T) {
	f := func(backend, want string) {
		t.Helper()
		tr := newSite(t)
		tr.write("jail.local", jailText("x", "backend = "+backend, "journalmatch = _UID=0", "logpath ="))
		tree, problems := config.Load(config.Options{Dir: tr.dir})
		jails, more := compileAll(tree)
		got := ""
		if len(jails) == 1 && jails[0].journal != nil {
			got = journalName(jails[0].journal.options)
		} else if errs := append(problems.Errors(), more.Errors()...); len(errs) > 0 {
			got = errs[0].Message
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", backend, got, want)
		}
	}
	f("systemd", "systemd-journal")
	f("systemd[journalpath=/x]", "systemd-journal[journalpath=/x]")
	f(`systemd[journalfiles="/a/*.journal, /b"]`, "systemd-journal[journalfiles=/a/*.journal,/b]")
	f("systemd[namespace=mail, rotated=0]", "systemd-journal[namespace=mail, rotated=0]")
	f("systemd[journalflags=1]", "systemd-journal[journalflags=1]")
	f("systemd[journalflags=x]", "expected a number")
	f("systemd[rotated=maybe]", "expected 0 or 1")
	f("polling", "")
	t.Setenv("F2B_SYSTEMD_DEFAULT_FLAGS", "1")
	f("systemd", "systemd-journal[journalflags=1]")
}
