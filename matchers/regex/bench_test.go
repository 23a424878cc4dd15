package regex

import (
	"strings"
	"testing"
)

// benchCase is a rule of fail2ban's and a line as it comes to it.
type benchCase struct {
	name, filter, kind, has, line string
	match                         bool
}

// benchCases are what the speed of single regexes is measured by.
var benchCases = []benchCase{
	{"sshd-prefregex", "sshd", "prefregex", "", " host sshd[12345]: Failed password for invalid user admin from 192.0.2.17 port 51234 ssh2\n", true},
	{"sshd-failed", "sshd", "failregex", "Failed ", "Failed password for invalid user admin from 192.0.2.17 port 51234 ssh2\n", true},
	{"sshd-failed-miss", "sshd", "failregex", "Failed ", "Accepted publickey for root from 192.0.2.17 port 51234 ssh2: RSA SHA256:abcdefghijk\n", false},
	{"sshd-miss-first-byte", "sshd", "failregex", "ROOT", "Connection closed by 192.0.2.17 port 51234 [preauth]\n", false},
	{"postfix-prefregex", "postfix", "prefregex", "", " mail postfix/smtpd[12345]: NOQUEUE: reject: RCPT from unknown[192.0.2.17]: 554 5.7.1 <spam@example.com>: Relay access denied; from=<a@example.org> to=<spam@example.com> proto=ESMTP helo=<x.example.net>\n", true},
	{"dovecot-prefregex", "dovecot", "prefregex", "", " mail dovecot: imap-login: Disconnected (auth failed, 3 attempts in 17 secs): user=<test>, method=PLAIN, rip=192.0.2.17, lip=198.51.100.2, TLS, session=<abc>\n", true},
}

// find returns the first pattern of the corpus that fits and does as said.
func (c benchCase) find(t testing.TB, m *Machine) *Regexp {
	t.Helper()
	for _, r := range corpus(t) {
		if r.Filter != c.filter || r.Kind != c.kind || !strings.Contains(r.Regex, c.has) {
			continue
		}
		re, err := Compile(r.Regex, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, res := re.Search(m, []byte(c.line), 0); (res == Match) == c.match {
			return re
		}
	}
	t.Fatalf("%s: no such pattern", c.name)
	return nil
}

// go test -run '^$' -bench Search ./matchers/regex
func BenchmarkSearch(b *testing.B) {
	for _, c := range benchCases {
		b.Run("rule="+c.name, func(b *testing.B) {
			var m Machine
			re := c.find(b, &m)
			text := []byte(c.line)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				re.Search(&m, text, 0)
			}
		})
	}
}
