package dates

import (
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// benchLines are lines as logs have them, two of a kind: their dates stand at
// different offsets where they do in practice.
var benchLines = []struct {
	name     string
	patterns []string
	lines    []string
}{
	{"syslog", []string{lineBeginMark}, []string{
		"Nov 22 13:19:17 mail sshd[4711]: Failed password for root from 192.0.2.10 port 4711 ssh2",
		"Nov 22 13:19:18 mail postfix/smtpd[812]: connect from unknown[192.0.2.77]"}},
	{"iso", []string{lineBeginMark}, []string{
		"2026-11-22T13:19:17.085231+01:00 mail sshd[4711]: Failed password for root from 192.0.2.10 port 4711 ssh2",
		"2026-11-22T13:19:18.183410+01:00 mail dovecot: imap-login: Disconnected"}},
	{"error", []string{lineBeginMark}, []string{
		"2026/11/22 13:19:17 [error] 18434#0: *1 user \"x\" was not found, client: 192.0.2.10",
		"2026/11/22 13:19:18 [error] 18434#0: *2 open() failed, client: 192.0.2.10"}},
	{"access-bracket", []string{`^[^\[]*\[({DATE})`, lineBeginMark}, []string{
		`192.0.2.10 - - [22/Nov/2026:13:19:17 +0000] "GET /wp-login.php HTTP/1.1" 404 146 "-" "Mozilla/5.0"`,
		`198.51.100.107 - - [22/Nov/2026:13:19:18 +0000] "GET / HTTP/1.1" 200 612 "-" "curl/8.0"`}},
	{"access-defaults", nil, []string{
		`192.0.2.10 - - [22/Nov/2026:13:19:17 +0000] "GET /wp-login.php HTTP/1.1" 404 146 "-" "Mozilla/5.0"`,
		`198.51.100.107 - - [22/Nov/2026:13:19:18 +0000] "GET / HTTP/1.1" 200 612 "-" "curl/8.0"`}},
	{"syslog-defaults", nil, []string{
		"Nov 22 13:19:17 mail sshd[4711]: Failed password for root from 192.0.2.10 port 4711 ssh2",
		"Nov 22 13:19:18 mail postfix/smtpd[812]: connect from unknown[192.0.2.77]"}},
	{"epoch", []string{lineBeginMark + "Epoch", lineBeginMark}, []string{
		"1795353557.085    120 192.0.2.10 TCP_DENIED/403 3892 GET http://example.org/ - HIER_NONE/- text/html",
		"1795353558.190     10 192.0.2.11 TCP_MISS/200 512 GET http://example.org/a - HIER_DIRECT/- text/html"}},
	{"audit", []string{"EPOCH"}, []string{
		"type=USER_AUTH msg=audit(1795353557.085:101): pid=4711 uid=0 auid=4294967295 addr=192.0.2.10 res=failed"}},
	{"none", []string{lineBeginMark}, []string{
		"    at org.example.Main.main(Main.java:17)", "error: something went wrong, client: 192.0.2.10"}},
	{"none-defaults", nil, []string{
		"    at org.example.Main.main(Main.java:17)", "error: something went wrong, client: 192.0.2.10"}},
}

// go test -run xxx -bench Find ./matchers/dates/
func BenchmarkFind(b *testing.B) {
	for _, x := range benchLines {
		d := must(b, Setting{Patterns: x.patterns, Location: time.FixedZone("", 3600)})
		for _, by := range []struct {
			name string
			d    *Detector
		}{{"hand", d}, {"regex", d.plain()}} {
			b.Run("form="+x.name+"/by="+by.name, func(b *testing.B) {
				var m regex.Machine
				o := NewOrder(by.d)
				step := stepper(by.d, &m, o, x.lines)
				for range 200 {
					step()
				}
				b.ReportAllocs()
				for b.Loop() {
					step()
				}
			})
		}
	}
}

// stepper returns what a matcher does with a line: find the date, learn, and
// compute the time. Each call takes the next line.
func stepper(d *Detector, m *regex.Machine, o *Order, texts []string) func() {
	var lines [][]byte
	for _, text := range texts {
		lines = append(lines, []byte(text))
	}
	i := 0
	return func() {
		line := lines[i%len(lines)]
		i++
		if f, ok := d.Find(m, o, line); ok {
			o.Hit(f, line, testNow)
			d.Time(&f, line, testNow)
		}
	}
}

// BenchmarkTime measures the value half: a year-less date in a zone with
// daylight saving time.
func BenchmarkTime(b *testing.B) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Skip(err)
	}
	d := must(b, Setting{Location: zone})
	line := []byte(benchLines[0].lines[0])
	var m regex.Machine
	f, _ := d.Find(&m, NewOrder(d), line)
	b.ReportAllocs()
	for b.Loop() {
		d.Time(&f, line, testNow)
	}
}

// TestNoAllocation runs each kind of line, warm.
func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, x := range benchLines {
		d := must(t, Setting{Patterns: x.patterns})
		for _, d := range []*Detector{d, d.plain()} {
			var m regex.Machine
			step := stepper(d, &m, NewOrder(d), x.lines)
			for range 100 {
				step()
			}
			if n := testing.AllocsPerRun(100, step); n != 0 {
				t.Errorf("%s: %v allocations", x.name, n)
			}
		}
	}
}

// BenchmarkNew measures the compilation of the defaults.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		must(b, Setting{})
	}
}
