package sinks

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

func TestAppendSeconds(t *testing.T) {
	f := func(nanos int64, want string) {
		t.Helper()
		if got := string(AppendSeconds(nil, nanos)); got != want {
			t.Errorf("%d: got %s, want %s", nanos, got, want)
		}
	}
	f(0, "0")
	f(1_754_042_400e9, "1754042400")
	f(1_754_042_400_500_000_000, "1754042400.5")
	f(1_754_042_400_123_456_789, "1754042400.123456")
	f(1_754_042_400_000_001_000, "1754042400.000001")
	f(1_754_042_400_000_000_999, "1754042400")
	f(-1_500_000_000, "-1.5")
	f(-1, "-0.000001")
	f(pipeline.Permanent, "null")
}

func TestDryRun(t *testing.T) {
	t.Setenv("TZ", "UTC")
	jail := pipeline.NewJail("sshd", pipeline.Policy{})
	ban := pipeline.Ban{
		Jail: jail, ID: pipeline.ParseID("192.0.2.1"), AtNanos: 1_754_042_400_250_000_000,
		UntilNanos: 1_754_043_000_250_000_000, Failures: 5,
	}
	network, text, forever := ban, ban, ban
	network.ID = pipeline.ParseID("2001:db8::/64")
	text.ID = pipeline.TextID("a\"b\x1b[2J\xff\n")
	forever.UntilNanos, forever.Failures = pipeline.Permanent, 0
	orders := []pipeline.Order{
		{Verb: pipeline.VerbBan, Ban: ban}, {Verb: pipeline.VerbProlong, Ban: network},
		{Verb: pipeline.VerbUnban, Ban: text}, {Verb: pipeline.VerbBan, Ban: forever},
	}
	var out bytes.Buffer
	(&DryRun{W: &out, JSON: true}).Apply(t.Context(), 0, orders)
	const want = `{"action":"ban","jail":"sshd","ip":"192.0.2.1","time":1754042400.25,"until":1754043000.25,"failures":5}
{"action":"ban","jail":"sshd","ip":"2001:db8::/64","time":1754042400.25,"until":1754043000.25,"failures":5}
{"action":"unban","jail":"sshd","ip":"a\"b\u001b[2J\ufffd\n","time":1754042400.25,"until":1754043000.25,"failures":5}
{"action":"ban","jail":"sshd","ip":"192.0.2.1","time":1754042400.25,"until":null,"failures":0}
`
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", &out, want)
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	out.Reset()
	(&DryRun{W: &out}).Apply(t.Context(), 0, orders)
	for i, want := range []string{
		"[sshd] ban 192.0.2.1 until ", "[sshd] prolong 2001:db8::/64 until ",
		`[sshd] unban "a\"b\x1b[2J\xff\n"`, "[sshd] ban 192.0.2.1 for ever",
	} {
		if line := strings.Split(out.String(), "\n")[i]; !strings.Contains(line, want) {
			t.Errorf("line %d: %q has no %q", i, line, want)
		}
	}
	if !strings.Contains(out.String(), "after 5 failures\n") {
		t.Errorf("got %s", &out)
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestDryRunBrokenWriter(t *testing.T) {
	orders := []pipeline.Order{{Verb: pipeline.VerbBan}, {Verb: pipeline.VerbUnban}}
	d := &DryRun{W: brokenWriter{}, JSON: true}
	for range 2 {
		d.Apply(t.Context(), 0, orders)
		for _, o := range orders {
			if !errors.Is(o.Err, errBroken) {
				t.Errorf("got %v", o.Err)
			}
		}
	}
}

func TestParsePorts(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		ranges, err := ParsePorts(in)
		var words []string
		for _, r := range ranges {
			words = append(words, r.String())
		}
		if got := strings.Join(words, ","); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", in, got, err, want)
		}
	}
	f("ssh", "22")
	f("ssh,465,1000:2000", "22,465,1000-2000")
	f("http,https", "80,443")
	f("smtp, 465 ,submission\timaps", "25,465,587,993")
	f("pop3,pop3s,imap,imap2,sieve", "110,143,995,4190")
	f("pop3,pop3s,imap,imap2,sieve,993", "110,143,993,995,4190")
	f("2000-2010,2005:2020,2030", "2000-2020,2030")
	f("1:10,2,3:4", "1-10")
	f(":1023", "0-1023")
	f("ms-sql-s", "1433")
	f("ssh:smtp", "22-25")
	f("all", "")
	f("", "")
	f("0:65535", "")
	f("1:65535", "")
	for _, bad := range []string{"nonsense", "65536", "-1", "20:10", "22;reboot", "1:2:3"} {
		if ranges, err := ParsePorts(bad); err == nil {
			t.Errorf("%q: got %v", bad, ranges)
		}
	}
}
