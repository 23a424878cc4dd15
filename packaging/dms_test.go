package packaging

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// mailserver makes a box that is docker-mailserver as fail2ban sees it, with
// f2bpipe put in by the two lines of user-patches.sh.
func mailserver(t *testing.T, binary, tree string) *box {
	t.Helper()
	b := newBox(t)
	b.sh(`rm -rf /var/log/* /var/lib/fail2ban /var/mail; mkdir -p /var/log/mail /var/log/supervisor /var/mail-state/lib-fail2ban /var/mail
		ln -s /var/mail-state/lib-fail2ban /var/lib/fail2ban
		ln -s /var/log/mail/mail.log /var/log/mail.log; ln -s /var/log/mail/fail2ban.log /var/log/fail2ban.log`)
	plant(t, b, tree)
	b.copyIn(binary, "/tmp/docker-mailserver/f2bpipe")
	b.copyIn("docker/user-patches.sh", "/tmp/docker-mailserver/user-patches.sh")
	b.ok("/tmp/docker-mailserver/user-patches.sh")
	return b
}

// serve starts the service as supervisor does, and waits until it answers.
func (b *box) serve() {
	b.t.Helper()
	b.write("/supervisor", "while :; do fail2ban-server -xf start >>/var/log/supervisor/fail2ban.log 2>&1; done\n")
	supervisor := b.command("sh", "/supervisor")
	if err := supervisor.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = supervisor.Process.Kill(); _ = supervisor.Wait() })
	b.answers()
}

func (b *box) answers() {
	b.t.Helper()
	b.until(20*time.Second, "fail2ban-client ping", func() bool { _, status := b.run("fail2ban-client", "ping"); return status == 0 })
}

// mail starts rsyslog, Dovecot and Postfix, and waits for their ports.
func (b *box) mail() {
	b.t.Helper()
	for path, text := range mailFiles {
		b.write(path, text)
	}
	b.sh("mkdir -p /var/spool/postfix/private; { rsyslogd; dovecot; postfix start; } >/tmp/started 2>&1")
	b.until(20*time.Second, "the ports 465 and 143", func() bool {
		out, _ := b.run("ss", "-Hltn")
		return strings.Contains(out, "0.0.0.0:465") && strings.Contains(out, "0.0.0.0:143")
	})
	b.t.Cleanup(func() {
		if b.t.Failed() {
			log, _ := b.run("cat", "/var/log/mail/mail.log", "/var/log/supervisor/fail2ban.log")
			b.t.Logf("the logs:\n%s", log)
		}
	})
}

// A said is the output of a command and its exit status, asserted as bats does.
type said struct {
	t      *testing.T
	what   string
	out    string
	status int
}

func (b *box) says(args ...string) said {
	b.t.Helper()
	out, status := b.run(args...)
	return said{b.t, strings.Join(args, " "), strings.TrimRight(out, "\n"), status}
}

func (s said) succeeds() said {
	s.t.Helper()
	if s.status != 0 {
		s.t.Errorf("%s: exit status %d: %s", s.what, s.status, s.out)
	}
	return s
}

func (s said) exactly(want string) said {
	s.t.Helper()
	if s.out != want {
		s.t.Errorf("%s: said %q, want %q", s.what, s.out, want)
	}
	return s
}

func (s said) has(want string) said {
	s.t.Helper()
	if !strings.Contains(s.out, want) {
		s.t.Errorf("%s: said %q, want %q in it", s.what, s.out, want)
	}
	return s
}

func (s said) hasNot(unwanted string) said {
	s.t.Helper()
	if strings.Contains(s.out, unwanted) {
		s.t.Errorf("%s: said %q, with %q in it", s.what, s.out, unwanted)
	}
	return s
}

func (s said) matches(want string) said {
	s.t.Helper()
	if !regexp.MustCompile(want).MatchString(s.out) {
		s.t.Errorf("%s: said %q, want %s", s.what, s.out, want)
	}
	return s
}

// tries are the programs that a test with the real mail server needs.
func tries(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"postfix", "dovecot", "rsyslogd", "swaks", "nft"} {
		testenv.NeedTool(t, tool)
	}
}

// TestDMS makes every assertion of docker-mailserver's own fail2ban test, on the
// real Postfix and Dovecot, with the attacker in another network namespace.
func TestDMS(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a mail server")
	}
	t.Parallel()
	tries(t)
	server, attacker := mailserver(t, program(t), treeDebian), newBox(t)
	link(server, attacker)
	server.mail()
	server.serve()

	t.Run("config", server.dmsConfig)
	t.Run("login", func(t *testing.T) { dmsLogin(t, server, attacker, "172.30.77.2", "172.30.77.3", "addr-set-postfix") })
	if t.Failed() {
		return
	}
	t.Run("setup", server.dmsSetup)
	t.Run("login by IPv6", func(t *testing.T) { dmsLogin(t, server, attacker, "fd00:77::2", "fd00:77::3", "addr6-set-postfix") })
	t.Run("IMAP", func(t *testing.T) { dmsIMAP(t, server, attacker) })
}

// on is the box in a subtest.
func (b *box) on(t *testing.T) *box { return &box{t, b.pid} }

// dmsConfig is what is there before any ban.
func (b *box) dmsConfig(t *testing.T) {
	b = b.on(t)
	postfix := b.says("fail2ban-client", "status", "postfix").succeeds()
	if regexp.MustCompile(`.*IP list:.*127\.0\.0\.1.*`).MatchString(postfix.out) {
		t.Errorf("localhost is banned: %s", postfix.out)
	}
	b.ok("grep", "ignoreip = 127.0.0.1/8", "/etc/fail2ban/jail.conf")
	b.says("fail2ban-client", "get", "loglevel").succeeds().has("DEBUG")
	for _, jail := range []string{"dovecot", "postfix"} {
		b.says("fail2ban-client", "get", jail, "bantime").exactly("1234")
		b.says("fail2ban-client", "get", jail, "findtime").exactly("321")
		b.says("fail2ban-client", "get", jail, "maxretry").exactly("2")
		b.says("fail2ban-client", "-d").has("['set', '" + jail + "', 'addaction', 'nftables-multiport']")
	}
	b.says("fail2ban-client", "get", "custom", "bantime").exactly("15552000")
	b.ok("grep", "-F", "Server ready", "/var/log/supervisor/fail2ban.log")
}

// dmsLogin fails twice at SMTP AUTH: both times the client is told so, and then
// it is banned.
func dmsLogin(t *testing.T, server, attacker *box, to, from, set string) {
	server, attacker = server.on(t), attacker.on(t)
	for range 2 {
		try := attacker.says("swaks", "--server", to, "--port", "465", "--helo", "attacker.example", "--auth", "PLAIN", "--timeout", "3",
			"--auth-user", "user1@localhost.localdomain", "--auth-password", "wrongpassword", "--quit-after", "AUTH")
		if try.status == 0 {
			t.Error("swaks got in")
		}
		try.has("authentication failed").has("No authentication type succeeded")
	}
	server.until(10*time.Second, from+" is banned in postfix", func() bool {
		out, _ := server.run("sh", "-c", "fail2ban-client status postfix | grep -F '"+from+"'")
		return strings.Contains(out, "Banned IP list:")
	})
	server.says("nft", "list", "set", "inet", "f2b-table", set).succeeds().has("elements = { " + from + " }")
	if try := attacker.says("swaks", "--server", to, "--port", "465", "--timeout", "2", "--quit-after", "CONNECT"); try.status == 0 {
		t.Errorf("the banned address gets in: %s", try.out)
	}
	server.ok("fail2ban-client", "set", "postfix", "unbanip", from)
	server.says("fail2ban-client", "status", "postfix").hasNot(from)
	// A login failure is the dovecot jail's too.
	server.ok("fail2ban-client", "unban", from)
}

// dmsIMAP fails twice at IMAP.
func dmsIMAP(t *testing.T, server, attacker *box) {
	server, attacker = server.on(t), attacker.on(t)
	login := `exec 3<>/dev/tcp/172.30.77.2/143; read -t 3 -u 3 hello; printf 'a login user1@localhost.localdomain wrong\r\n' >&3; read -t 3 -u 3 answer; echo "$answer"; printf 'b logout\r\n' >&3; cat <&3`
	for n := range 2 {
		out, _ := attacker.run("timeout", "4", "bash", "-c", login)
		if n == 0 && !strings.Contains(out, "AUTHENTICATIONFAILED") {
			t.Errorf("IMAP said %q", out)
		}
	}
	server.until(10*time.Second, "banned in dovecot", func() bool {
		out, _ := server.run("sh", "-c", "fail2ban-client status dovecot | grep -F 172.30.77.3")
		return strings.Contains(out, "Banned IP list:")
	})
	server.says("nft", "list", "set", "inet", "f2b-table", "addr-set-dovecot").succeeds().has("elements = { 172.30.77.3 }")
}

// setupScript is what `setup fail2ban` asks of the client, written from what
// reference says about it; messages as there.
const setupScript = `#!/bin/bash
fail2ban-client ping &>/dev/null || { echo "Fail2ban not running" >&2; exit 1; }
jails=$(fail2ban-client status | grep "Jail list" | cut -f2- | sed 's/,/ /g')
case $1 in
"") none=1
	for jail in $jails; do
		ips=$(fail2ban-client status "$jail" | grep -oP '(?<=Banned IP list:\s).+')
		[[ -n $ips ]] && { none=; echo "Banned in $jail: $ips"; }
	done
	[[ -n $none ]] && echo "No IPs have been banned" >&2; exit 0 ;;
ban) shift
	result=$(fail2ban-client set custom banip "$@")
	if [[ $result -gt 0 ]]; then echo "Banned custom IP: $result"; else echo "Banning '$*' failed. Already banned?" >&2; fi ;;
unban) shift
	[[ -n $1 ]] || { echo "You need to specify an IP address: Run" >&2; exit 1; }
	for jail in $jails; do
		result=$(fail2ban-client set "$jail" unbanip "$@" 2>&1)
		[[ $result == *"is not banned"* || $result == *NOK* ]] || echo "Unbanned IP from $jail: $result"
	done ;;
esac
`

// dmsSetup is what people do by hand.
func (b *box) dmsSetup(t *testing.T) {
	b = b.on(t)
	b.write("/usr/local/bin/fail2ban", setupScript)
	b.ok("chmod", "755", "/usr/local/bin/fail2ban")
	for _, target := range []string{"192.0.66.7", "192.0.66.0/24"} {
		b.says("fail2ban", "ban", target).succeeds().exactly("Banned custom IP: 1")
		b.says("fail2ban").succeeds().matches(`Banned in custom:.*` + regexp.QuoteMeta(target))
		b.says("nft", "list", "set", "inet", "f2b-table", "addr-set-custom").succeeds().has(fmt.Sprintf("elements = { %s }", target))
		b.says("fail2ban", "unban", target).succeeds().has("Unbanned IP from custom: 1")
		b.says("nft", "list", "set", "inet", "f2b-table", "addr-set-custom").hasNot("192.0.66")
	}
	for _, jail := range []string{"dovecot", "custom"} {
		b.ok("fail2ban-client", "set", jail, "banip", "192.33.44.55")
	}
	table := b.says("nft", "list", "table", "inet", "f2b-table").succeeds()
	table.has("tcp dport { 110, 143, 465, 587, 993, 995, 4190 } ip saddr @addr-set-dovecot drop")
	table.has("tcp dport { 25, 110, 143, 465, 587, 993, 995, 4190 } ip saddr @addr-set-custom drop")
	for _, jail := range []string{"dovecot", "custom"} {
		b.ok("fail2ban-client", "set", jail, "unbanip", "192.33.44.55")
	}
	b.ok("fail2ban-client", "set", "dovecot", "banip", "192.0.66.4")
	b.ok("fail2ban-client", "set", "dovecot", "banip", "192.0.66.5")
	b.says("fail2ban").succeeds().matches(`^Banned in dovecot:.*192\.0\.66\.4`).matches(`^Banned in dovecot:.*192\.0\.66\.5`)
	b.says("fail2ban", "unban", "192.0.66.4").succeeds().has("Unbanned IP from dovecot: 1")
	b.says("fail2ban").succeeds().matches(`^Banned in dovecot:.*192\.0\.66\.5`)
	b.says("fail2ban", "unban", "192.0.66.5").succeeds().has("Unbanned IP from dovecot: 1")
	b.says("fail2ban", "unban").has("You need to specify an IP address: Run")
	for _, target := range []string{"2001:db8::1", "2001:db8:1::/48"} {
		b.says("fail2ban", "ban", target).succeeds().exactly("Banned custom IP: 1")
		b.says("fail2ban", "unban", target).succeeds().has("Unbanned IP from custom: 1")
	}
	b.says("fail2ban", "ban", "not-an-address").has("Banning 'not-an-address' failed.")
}
