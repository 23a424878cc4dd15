package stock

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// writers write text as a program does that does not let everything through;
// testdata/samples/README.md names them.
var writers = map[string]func(string) string{
	"raw":   func(s string) string { return s },
	mayHide: func(s string) string { return s },
	"word":  func(s string) string { return strings.Join(strings.Fields(s), "") },
	"login": func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune("0123456789.-_@", r) || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
				return r
			}
			return -1
		}, s)
	},
	"dns": func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune("0123456789.-_", r) || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
				return r
			}
			return -1
		}, s)
	},
	"basic":  strings.NewReplacer(":", "").Replace,
	"quoted": strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace,
	"hex":    strings.NewReplacer(`\`, `\x5C`, `"`, `\x22`).Replace,
	"json": func(s string) string {
		b, _ := json.Marshal(s) // a string always can be
		return string(b[1 : len(b)-1])
	},
	"neutered": func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(" <>()\\\";@`", r) {
				return '?'
			}
			return r
		}, s)
	},
	"url": func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		return b.String()
	},
}

// victims are whom an attacker wants to be banned; no sample has them.
var victims = []string{"203.0.113.66", "2001:db8:6666::66"}

// injections are what an attacker writes into a field, V being the victim.
var injections = []string{
	"V",
	"from V port 22",
	"x from V port 22 ssh2",
	"x from V port 22 ssh2: y",
	"x from V port 22 [preauth]",
	"x V port 22 [preauth]",
	"rhost=V",
	"x rhost=V  user=y",
	"x rhost=V",
	"[V]",
	"x[V]: ",
	"unknown[V]: SASL LOGIN authentication failed: x",
	"(V)",
	"<V>",
	"'V'",
	"\"V\"",
	"x\", client: V, server: y, request: \"GET / HTTP/1.1\"",
	"x', client: V, server: y",
	"x, client: V",
	"[client V:4242] x",
	"x>, method=PLAIN, rip=V, lip=192.0.2.200, session=<y",
	"x, rip=V, lip=192.0.2.200",
	"x,V,sasl:plain)",
	"x,V): Password mismatch (y",
	"x\",\"remote_ip\":\"V\",\"remoteAddr\":\"V\",\"y\":\"z",
	"x\\\",\\\"remote_ip\\\":\\\"V\\\"",
	"x IP: V.",
	"x@V:4242",
	"x\\nNov 20 10:00:00 host sshd[1]: Failed password for root from V port 22 ssh2",
	"x\\r\\n2026-11-20 10:00:00,000 fail2ban.actions [1]: NOTICE [sshd] Ban V",
	"'; from V; ''",
	"Ban V",
	"{\"ip\":\"V\"}",
	"%00V%0a",
}

// otherDates are dates in the forms that a log may have, none of them a sample's.
var otherDates = []string{
	"2020-01-02T03:04:05.678+00:00", "2020-01-02 03:04:05", "2020/01/02 03:04:05", "20200102 03:04:05", "20200102T030405",
	"Jan  2 03:04:05", "Jan 02 03:04:05.678 2020", "Thu Jan 02 03:04:05 2020", "02/Jan/2020:03:04:05 +0000", "02-Jan-2020 03:04:05.678",
	"01/02/2020:03:04:05", "02/01/2020 03:04:05", "01-02-2020 03:04:05.678", "Jan 2, 2020 3:04:05 AM", "200102 03:04:05",
	"1577934245", "1577934245.678", "@400000005e0d5ba5000000ff", "<01/02/20@03:04:05>", "03:04:05",
}

// attack is a sample with hostile text in one of its fields.
type attack struct {
	*sample
	field field
	text  string // as the program writes it
}

// line returns the log line.
func (a attack) line() string { return strings.ReplaceAll(a.sample.line, a.field.text, a.text) }

// attacks returns the sample with everything that an attacker may try. Beside
// the fixed texts these are the sample's own: what stands around the field, with
// the victim in place of the client, so that the field says the same as the line.
func attacks(s *sample) []attack {
	var out []attack
	for _, f := range s.fields {
		texts := append([]string{}, otherDates...)
		for _, date := range otherDates {
			texts = append(texts, "["+date+"]", date+" x")
		}
		for _, victim := range victims {
			for _, text := range injections {
				texts = append(texts, strings.ReplaceAll(text, "V", victim))
			}
			before, behind, _ := strings.Cut(strings.ReplaceAll(s.line, s.host, victim), f.text)
			texts = append(texts, f.text+behind, before+f.text, f.text+behind+before+f.text, f.text+behind+" "+before+f.text)
		}
		for _, text := range texts {
			out = append(out, attack{s, f, writers[f.kind](text)})
		}
	}
	return out
}

// mayHide is the kind of a field whose hostile text may keep the line from being
// found, where nothing in the line tells it from the server's; it still must not
// move the address.
const mayHide = "any"

// Whatever a client writes, the address and the time that are found are its own.
func TestInjectionWithPeer(t *testing.T) {
	testInjection(t, peer(t))
}

func testInjection(t *testing.T, run engine) {
	var jobs []job
	var tried [][]attack
	for _, f := range readSamples(t) {
		j, a := injectionJobs(f)
		jobs, tried = append(jobs, j...), append(tried, a...)
	}
	c := &complaints{TB: t}
	defer c.done()
	lines, silent := 0, 0
	for i, found := range run(t, jobs) {
		for k, a := range tried[i] {
			lines++
			failures := found[k]
			if !jobs[i].Fresh {
				failures = found[len(found)-1]
			}
			if len(failures) == 0 {
				silent++
			}
			if len(failures) == 0 && a.field.kind != mayHide {
				c.Errorf("%s %v: %s=%q hides the failure\n\t%s", a.where, jobs[i].Options, a.field.kind, a.text, a.line())
			}
			for _, f := range failures {
				checkInjection(c, a, jobs[i].Options, f)
			}
		}
	}
	t.Logf("%d hostile lines, %d hidden", lines, silent)
}

// injectionJobs returns the hostile lines of a file's samples, each in the last
// mode that finds it (the one that includes the most): one job a mode for those
// that stand alone, and one for each that needs a session before it.
func injectionJobs(f *sampleFile) (jobs []job, tried [][]attack) {
	runs := f.runs()
	alone := make([]job, len(runs))
	aloneTried := make([][]attack, len(runs))
	for i := range f.samples {
		s := &f.samples[i]
		last := -1
		for r, options := range runs {
			if s.matches(options) {
				last = r
			}
		}
		if last < 0 {
			continue
		}
		for _, a := range attacks(s) {
			if s.after == 0 {
				alone[last].Lines = append(alone[last].Lines, a.line())
				aloneTried[last] = append(aloneTried[last], a)
				continue
			}
			j := job{Filter: f.filter, Options: runs[last]}
			for _, before := range f.samples[i-s.after : i] {
				j.Lines = append(j.Lines, before.line)
			}
			j.Lines = append(j.Lines, a.line())
			jobs, tried = append(jobs, j), append(tried, []attack{a})
		}
	}
	for r := range alone {
		if len(alone[r].Lines) > 0 {
			alone[r].Filter, alone[r].Options, alone[r].Fresh = f.filter, runs[r], true
			jobs, tried = append(jobs, alone[r]), append(tried, aloneTried[r])
		}
	}
	return jobs, tried
}

func checkInjection(t *complaints, a attack, options map[string]string, f failure) {
	t.Helper()
	if f.Host != a.host {
		t.Errorf("%s %v: %s=%q moves the host to %q\n\t%s", a.where, options, a.field.kind, a.text, f.Host, a.line())
	}
	if !a.at.IsZero() && int64(f.Time) != a.at.Unix() {
		t.Errorf("%s %v: %s=%q moves the time to %v\n\t%s", a.where, options, a.field.kind, a.text, f.Time, a.line())
	}
}
