package packaging

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// dmsOptions is docker-mailserver's example fail2ban-fail2ban.cf: every option,
// under [DEFAULT].
const dmsOptions = `[DEFAULT]
loglevel = INFO
logtarget = /var/log/fail2ban.log
syslogsocket = auto
socket = /var/run/fail2ban/fail2ban.sock
pidfile = /var/run/fail2ban/fail2ban.pid
dbfile = /var/lib/fail2ban/fail2ban.sqlite3
dbpurgeage = 1d
dbmaxmatches = 10
[Definition]
[Thread]
`

// TestDMSDefaults is docker-mailserver as it comes, without a jail of the user's.
func TestDMSDefaults(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a service")
	}
	t.Parallel()
	tries(t)
	b := mailserver(t, program(t), treeDebian)
	b.sh("rm /etc/fail2ban/jail.d/user-jail.local; : >/var/log/mail/mail.log")
	b.write("/etc/fail2ban/fail2ban.local", dmsOptions)
	// A container that is started again has what the last run left in /run: a
	// socket that nobody listens on, and a pid that is somebody else's now.
	b.sh("mkdir /run/fail2ban; echo 1 >/run/fail2ban/fail2ban.pid")
	b.ok("/usr/bin/python3", "-c", "import socket; socket.socket(socket.AF_UNIX).bind('/run/fail2ban/fail2ban.sock')")
	b.serve()
	b.says("sh", "-c", "pgrep --full --exact 'fail2ban-server -xf start'").exactly(b.ok("cat", "/run/fail2ban/fail2ban.pid"))
	t.Run("options", b.dmsOptions)
	t.Run("texts", b.dmsTexts)
	t.Run("refusals", b.dmsRefusals)
	t.Run("copytruncate", b.dmsCopyTruncate)
	t.Run("logrotate", b.dmsLogrotate)
}

// dmsOptions is what is in force, and where it is kept.
func (b *box) dmsOptions(t *testing.T) {
	b = b.on(t)
	for _, jail := range []string{"dovecot", "postfix"} {
		b.says("fail2ban-client", "get", jail, "maxretry").succeeds().exactly("6")
		b.says("fail2ban-client", "get", jail, "findtime").succeeds().exactly("604800")
		b.says("fail2ban-client", "get", jail, "bantime").succeeds().exactly("604800")
	}
	b.says("fail2ban-client", "get", "custom", "bantime").succeeds().exactly("15552000")
	b.says("ls", "/var/mail-state/lib-fail2ban/").has("fail2ban.sqlite3")
	b.says("readlink", "/var/lib/fail2ban").exactly("/var/mail-state/lib-fail2ban")
	b.says("sh", "-c", "nft list ruleset").exactly("") // until the first ban
	if _, stderr := b.streams("fail2ban-client", "-d"); stderr != "" {
		t.Errorf("-d says on stderr %q", stderr)
	}
	b.says("fail2ban-client", "set", "custom", "banip", "192.0.2.5", "2001:db8::/48").exactly("2")
	b.says("nft", "list", "table", "inet", "f2b-table").has("meta l4proto tcp ip saddr @addr-set-custom drop").
		has("meta l4proto tcp ip6 saddr @addr6-set-custom drop").has("elements = { 192.0.2.5 }").has("elements = { 2001:db8::/48 }").hasNot("counter").hasNot("timeout")
	b.says("fail2ban-client", "unban", "--all").exactly("2")
	b.says("nft", "list", "set", "inet", "f2b-table", "addr-set-custom").hasNot("elements")
}

// streams runs a command and returns its stdout and stderr without the last line ends.
func (b *box) streams(args ...string) (stdout, stderr string) {
	b.t.Helper()
	var out, errs bytes.Buffer
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if _, ended := cmd.Run().(*exec.ExitError); cmd.ProcessState == nil && !ended {
		b.t.Fatalf("%v does not start", args)
	}
	return strings.TrimSuffix(out.String(), "\n"), strings.TrimSuffix(errs.String(), "\n")
}

// dmsTexts are the client's texts on stdout, to the byte; stderr stays silent.
func (b *box) dmsTexts(t *testing.T) {
	b = b.on(t)
	f := func(command, want string) {
		t.Helper()
		if stdout, stderr := b.streams(append([]string{"fail2ban-client"}, strings.Fields(command)...)...); stdout != want || stderr != "" {
			t.Errorf("%s: %q on stdout, %q on stderr, want %q", command, stdout, stderr, want)
		}
	}
	f("ping", "Server replied: pong")
	f("status", "Status\n|- Number of jail:\t3\n`- Jail list:\tcustom, dovecot, postfix")
	f("status custom", "Status for the jail: custom\n|- Filter\n|  |- Currently failed:\t0\n|  |- Total failed:\t0\n|  `- File list:\t\n"+
		"`- Actions\n   |- Currently banned:\t0\n   |- Total banned:\t2\n   `- Banned IP list:\t")
	f("set custom banip 10.9.3.1", "1")
	f("set custom banip 10.9.4.0/24 10.9.3.1", "1")
	f("set custom banip 10.9.3.1", "0")
	f("get custom banip", "10.9.4.0/24 10.9.3.1") // as fail2ban: the last first
	f("banned", "[{'postfix': []}, {'dovecot': []}, {'custom': ['10.9.3.1', '10.9.4.0/24']}]")
	f("set custom unbanip 10.9.3.1 10.9.4.0/24", "2")
	f("set custom unbanip 10.9.3.1", "0")
	f("get loglevel", "Current logging level is 'INFO'")
	f("get logtarget", "Current logging target is:\n`- /var/log/fail2ban.log")
	f("get postfix ignoreip", "These IP addresses/networks are ignored:\n`- 127.0.0.0/8")
	f("get postfix logpath", "Current monitored log file(s):\n`- /var/log/mail.log")
	f("get custom logpath", "No file is currently monitored")
	f("get dbpurgeage", "Current database purge age is:\n`- 86400seconds")
	f("get custom actions", "The jail custom has the following actions:\nnftables-allports")
	f("flushlogs", "logs: rolled over")
	f("reload", "OK")
	f("-t", "OK: configuration test is successful")
}

// dmsRefusals are the errors: their texts, streams and exit status.
func (b *box) dmsRefusals(t *testing.T) {
	b = b.on(t)
	f := func(command string, status int, stdout, inStderr string) {
		t.Helper()
		args := append([]string{"fail2ban-client"}, strings.Fields(command)...)
		said := b.says(args...)
		out, errs := b.streams(args...)
		if said.status != status || out != stdout || !strings.Contains(errs, inStderr) {
			t.Errorf("%s: exit status %d, %q on stdout, %q on stderr; want %d, %q, %q", command, said.status, out, errs, status, stdout, inStderr)
		}
	}
	f("status nojail", 255, "Sorry but the jail 'nojail' does not exist", "NOK: ('nojail',)")
	f("set nojail banip 10.0.0.1", 255, "Sorry but the jail 'nojail' does not exist", "NOK: ('nojail',)")
	f("foo", 255, "Invalid command", "NOK")
	f("set custom unbanip --report-absent 9.9.9.9", 255, "not banned: ['9.9.9.9']", `NOK: ("not banned: ['9.9.9.9']",)`)
	f("-s /run/nothing.sock ping", 255, "", "Failed to access socket path: /run/nothing.sock. Is fail2ban running?")
	// What is no address, fail2ban bans; here it is 0, for bash to reckon with, and why.
	for _, no := range []string{"not-an-address", "300.1.2.3", "10.0.0.0/33", "2001:db8::g"} {
		out, errs := b.streams("fail2ban-client", "set", "custom", "banip", no)
		if out != "0" || !strings.Contains(errs, no) {
			t.Errorf("banip %s: %q on stdout, %q on stderr", no, out, errs)
		}
	}
	b.says("fail2ban-client", "banned").has("{'custom': []}")
}

// dmsCopyTruncate has mail.log rotated as docker-mailserver does, under a link.
// Only mode = extra counts failed logins.
func (b *box) dmsCopyTruncate(t *testing.T) {
	b = b.on(t)
	for n, ip := range []string{"198.51.100.1", "198.51.100.2"} {
		if n > 0 {
			b.sh("cp /var/log/mail/mail.log /var/log/mail/mail.log.1; : >/var/log/mail/mail.log")
		}
		line := time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00") + " mail postfix/submissions/smtpd[1375]: warning: unknown[" + ip +
			"]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=user1@localhost.localdomain\n"
		b.write("/tmp/lines", strings.Repeat(line, 5))
		b.sh("cat /tmp/lines >>/var/log/mail/mail.log")
		b.until(10*time.Second, "five failures are counted", func() bool {
			out, _ := b.run("fail2ban-client", "status", "postfix")
			return strings.Contains(out, fmt.Sprintf("Total failed:\t%d", 5+6*n))
		})
		b.says("fail2ban-client", "status", "postfix").hasNot(ip)
		b.write("/tmp/lines", line)
		b.sh("cat /tmp/lines >>/var/log/mail/mail.log")
		b.until(10*time.Second, ip+" is banned", func() bool {
			out, _ := b.run("fail2ban-client", "status", "postfix")
			return strings.Contains(out, ip)
		})
	}
	b.says("cat", "/var/log/mail/fail2ban.log").
		matches(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} fail2ban\.filter         \[\d+\]: INFO    \[postfix\] Found 198\.51\.100\.1 - \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`).
		matches(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} fail2ban\.actions        \[\d+\]: NOTICE  \[postfix\] Ban 198\.51\.100\.2$`)
}

// dmsLogrotate has the packaged rule, edited as docker-mailserver edits it, run
// by logrotate itself.
func (b *box) dmsLogrotate(t *testing.T) {
	b = b.on(t)
	b.write("/etc/logrotate.d/fail2ban", read(t, "logrotate/fail2ban"))
	b.sh(`sed -i -e 's|^/var/log/fail2ban.log {$|/var/log/mail/fail2ban.log {|' -e 's|rotate 4$|rotate 7|' -e 's|weekly$|daily|' /etc/logrotate.d/fail2ban`)
	b.says("logrotate", "--force", "--state", "/tmp/rotated", "/etc/logrotate.d/fail2ban").succeeds().exactly("")
	b.says("cat", "/var/log/mail/fail2ban.log.1").has("[postfix] Ban 198.51.100.2")
	b.ok("fail2ban-client", "set", "custom", "banip", "192.0.2.99")
	b.says("cat", "/var/log/mail/fail2ban.log").has("[custom] Ban 192.0.2.99").hasNot("198.51.100.1 ")
	b.says("readlink", "/var/log/fail2ban.log").exactly("/var/log/mail/fail2ban.log")
}
