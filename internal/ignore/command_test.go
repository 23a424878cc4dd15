package ignore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

func TestScript(t *testing.T) {
	f := func(text string, values map[string]string, want string, wantEnv ...string) {
		t.Helper()
		c := parseCommand(text)
		list := make([]string, len(c.tags))
		for i, tag := range c.tags {
			list[i] = values[tag]
		}
		got, env := c.script(list)
		if got != want || !slices.Equal(env, wantEnv) {
			t.Errorf("%s: %s %q, want %s %q", text, got, env, want, wantEnv)
		}
	}
	ip := map[string]string{"ip": "192.0.2.1", "F-USER": "$(id)", "matches": "a b"}
	f("check <ip>", ip, "check 192.0.2.1")
	f("check '<ip>' \"<ip>\"", ip, "check '192.0.2.1' \"192.0.2.1\"")
	f("check <F-USER> <F-USER>", ip, `check "${f2bV_F_USER}" "${f2bV_F_USER}"`, "f2bV_F_USER=$(id)")
	f(`check "<F-USER>"`, ip, `check "${f2bV_F_USER}"`, "f2bV_F_USER=$(id)")
	f("sh -c 'check <F-USER>'", ip, "sh -c 'check ${f2bV_F_USER}'", "f2bV_F_USER=$(id)")
	f(`check \"<matches>`, ip, `check \""${f2bV_matches}"`, "f2bV_matches=a b")
	f("check <unknown> <ip", ip, "check <unknown> <ip")
	f("cat <in >out <ip>", ip, "cat <in >out 192.0.2.1")
	f("check <F-NOBODY>.", ip, "check .")
	f(`check \`, ip, `check \`)
}

func TestValues(t *testing.T) {
	j := pipeline.NewJail("sshd", pipeline.Policy{})
	f := func(id, tag, want string) {
		t.Helper()
		failure := &pipeline.Failure{Jail: j, ID: pipeline.ParseID(id), AtNanos: 1_500_000_000, Text: []byte("a line\x00"),
			Fields: []pipeline.Field{{Name: "user", Value: []byte("joe")}, {Name: "alt_user1", Value: []byte("jim")}}}
		ban := pipeline.Ban{AtNanos: 1_500_000_000, UntilNanos: 601_500_000_000, Failures: 5}
		if !isTag(tag) {
			t.Errorf("<%s> is no tag", tag)
		}
		if got := values([]string{tag}, failure, ban)[0]; got != want {
			t.Errorf("<%s> of %s: %q, want %q", tag, id, got, want)
		}
	}
	f("192.0.2.1", "ip", "192.0.2.1")
	f("joe", "fid", "joe")
	f("192.0.2.1", "family", "inet4")
	f("2001:db8::1", "family", "inet6")
	f("joe", "family", "")
	f("192.0.2.1", "ip-rev", "1.2.0.192.")
	f("2001:db8::1", "ip-rev", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.")
	f("joe", "failures", "5")
	f("joe", "time", "1.5")
	f("joe", "bantime", "600")
	f("joe", "restored", "0")
	f("joe", "matches", "a line")
	f("joe", "F-USER", "joe")
	f("joe", "F-ALT_USER1", "jim")
	f("joe", "F-NOBODY", "")
	f("joe", "br", "\n")
}

func TestRun(t *testing.T) {
	run := func(text string, timeout time.Duration, values ...string) (bool, error) {
		return parseCommand(text).run(t.Context(), values, timeout)
	}
	f := func(text string, want bool, wantErr string, values ...string) {
		t.Helper()
		got, err := run(text, time.Minute, values...)
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: %v %v, want %v %q", text, got, err, want, wantErr)
		}
	}
	f("true", true, "")
	f("false", false, "")
	f("echo what >&2; exit 2", false, "exit status 2: what")
	f("/nowhere/command", false, "exit status 127")
	f("kill -9 $$", false, "killed")
	// What a line says is never read by a shell: neither as code, nor as a
	// pattern, nor as words.
	dir := t.TempDir()
	for _, evil := range []string{"$(touch " + dir + "/a)", "`touch " + dir + "/a`", "; touch " + dir + "/a;", "' ; touch " + dir + "/a; '",
		`" ; touch ` + dir + `/a; "`, "*", "a\n\tb  c", "-n", "\\", "${IFS}", "&& touch " + dir + "/a"} {
		f(`[ $# = 0 ] && set -- <F-USER> && [ $# = 1 ] && printf %s "$1" >`+dir+"/out", true, "", evil)
		f("printf %s \"<F-USER>\" >"+dir+"/out2", true, "", evil)
		f("printf %s '<F-USER>' >"+dir+"/out3", true, "", evil)
		for _, name := range []string{"out", "out2"} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != evil {
				t.Errorf("%s: command got %q %v, want %q", name, got, err, evil)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
		t.Error("a value was run")
	}

	start := time.Now()
	_, err := run("sleep 100 & sleep 100", 50*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 20*time.Second {
		t.Errorf("timeout: %v after %s", err, time.Since(start))
	}
	// The whole group is gone: nobody holds the FIFO open, and its reader sees the end.
	fifo := filepath.Join(dir, "alive")
	if _, err := run("mkfifo "+fifo+" && exec 3<>"+fifo+" && (sleep 100 >&3 & sleep 100)", 200*time.Millisecond); err == nil {
		t.Error("no timeout")
	}
	if out, err := run("timeout 10 cat "+fifo+" & sleep 0; exec 3>"+fifo+"; exec 3>&-; wait $!", 20*time.Second); err != nil || !out {
		t.Errorf("a child of the command lives on: %v %v", out, err)
	}
}

func TestIgnorecommand(t *testing.T) {
	dir := t.TempDir()
	script := "echo <ip> <F-USER> >>" + dir + "/asked; [ <ip> = 192.0.2.1 ]"
	b := newBench(Config{Lookup: nobody{}}, Rules{Command: script})
	b.run(t)
	failure := func(id string) *pipeline.Failure {
		f := b.failure(id)
		f.Fields = []pipeline.Field{{Name: "user", Value: []byte("joe;")}}
		return f
	}
	asked := func(want string) {
		t.Helper()
		got, _ := os.ReadFile(filepath.Join(dir, "asked")) // absent: nobody was asked
		if string(got) != want {
			t.Errorf("asked %q, want %q", got, want)
		}
	}
	if b.Ignores(failure("192.0.2.1")) {
		t.Error("ignored before the count")
	}
	asked("")
	if got := <-b.judge(failure("192.0.2.1")); got != "free" {
		t.Error(got)
	}
	if got := <-b.judge(failure("192.0.2.2")); got != "ban" {
		t.Error(got)
	}
	asked("192.0.2.1 joe;\n192.0.2.2 joe;\n")
	b.seen.want(t, "[sshd] Ignore 192.0.2.1 by command")

	// With a cache each is asked once.
	rules := Rules{Command: script, Cache: &Cache{Key: "<ip>", MaxCount: 10, MaxTime: time.Minute}}
	if !rules.NeedsFields() || (&Rules{Command: "check <ip>"}).NeedsFields() {
		t.Error("fields are wanted wrongly")
	}
	b.set(rules)
	want := []string{"free", "free at once", "free at once"}
	for i := range 3 {
		if got := <-b.judge(failure("192.0.2.1")); got != want[i] {
			t.Error(got)
		}
		again := rules
		again.Cache = &Cache{Key: "<ip>", MaxCount: 10, MaxTime: time.Minute}
		b.set(again) // a reload keeps it
	}
	b.seen.want(t, "[sshd] Ignore 192.0.2.1 by command")
	if !b.Ignores(failure("192.0.2.1")) || b.Ignores(failure("192.0.2.2")) {
		t.Error("the cached decision is not used for failures")
	}
	b.seen.want(t)
	if got := <-b.judge(failure("192.0.2.2")); got != "ban" {
		t.Error(got)
	}
	if got := <-b.judge(failure("192.0.2.2")); got != "ban at once" {
		t.Error(got)
	}
	asked("192.0.2.1 joe;\n192.0.2.2 joe;\n192.0.2.1 joe;\n192.0.2.2 joe;\n")
	// Another command asks anew.
	rules.Command = "true"
	b.set(rules)
	if got := <-b.judge(failure("192.0.2.2")); got != "free" {
		t.Error(got)
	}
	// A command that fails ignores nobody.
	b.set(Rules{Command: "exit 7"})
	if got := <-b.judge(failure("192.0.2.1")); got != "ban" {
		t.Error(got)
	}
}

// Commands run at once are bounded, and so is what waits for them.
func TestCommandsAreBounded(t *testing.T) {
	b := newBench(Config{Lookup: nobody{}}, Rules{Command: "true"})
	f := b.failure("192.0.2.1")
	for range maxQueue {
		if len(b.judge(f)) > 0 {
			t.Fatal("did not wait")
		}
	}
	if got := <-b.judge(f); got != "ban at once" || b.NotJudged() != 1 {
		t.Errorf("%s, %d not judged", got, b.NotJudged())
	}
}
