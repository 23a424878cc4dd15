package packaging

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// dovecot24 are two failed logins as Dovecot 2.4 logs them, of one address.
const dovecot24 = `%[1]s mail dovecot: auth(user1@localhost.localdomain,%[2]s,sasl:plain)<p49Tgd1ggOOsEQAD>: passdb-default: Password mismatch (SHA1 of given password: a4b48a)
%[1]s mail dovecot: imap-login: Login aborted: Logged out (auth failed, 1 attempts in 2 secs) (auth_failed): user=<user1@localhost.localdomain>, method=PLAIN, rip=%[2]s, lip=172.17.0.2, session=<p49Tgd1ggOOsEQAD>
`

// TestDMSDovecot24 feeds lines that fail2ban's own filters of before know
// nothing of: they are untouched on the disk, and the address is banned.
func TestDMSDovecot24(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	t.Parallel()
	tries(t)
	binary := program(t)
	for _, tree := range []string{treeDebian, treeMaster, treeOwn} {
		t.Run(tree, func(t *testing.T) {
			b := mailserver(t, binary, tree)
			b.sh(": >/var/log/mail/mail.log")
			b.serve()
			for family, ip := range map[string]string{"": "198.51.100.24", "6": "2001:db8:24::24"} {
				lines := fmt.Sprintf(dovecot24, time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00"), ip)
				b.write("/tmp/lines", lines)
				b.sh("cat /tmp/lines >>/var/log/mail/mail.log")
				b.until(10*time.Second, ip+" is banned", func() bool {
					out, _ := b.run("fail2ban-client", "status", "dovecot")
					return strings.Contains(out, ip)
				})
				b.says("nft", "list", "set", "inet", "f2b-table", "addr"+family+"-set-dovecot").succeeds().has("elements = { " + ip + " }")
			}
		})
	}
}

// TestDMSProcess holds the service to what supervisor, docker and the tests of
// docker-mailserver see of it: without NET_ADMIN it starts and stays, it dies of
// SIGTERM at once, comes back over what a crash leaves, and restarts in place.
func TestDMSProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	t.Parallel()
	tries(t)
	b := mailserver(t, program(t), treeDebian)
	b.says("pgrep", "--full", "--list-full", "--oldest", "fail2ban-server").exactly("")
	b.write("/supervisor", "while :; do setpriv --bounding-set -net_admin fail2ban-server -xf start >>/var/log/supervisor/fail2ban.log 2>&1; done\n")
	supervisor := b.command("sh", "/supervisor")
	if err := supervisor.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = supervisor.Process.Kill(); _ = supervisor.Wait() })
	b.answers()
	b.matures()
	pid := b.ok("pgrep", "--full", "--oldest", "fail2ban-server")

	// A ban that the kernel does not have is not reported as one: to who bans by
	// hand, and in the log.
	banned, _ := b.command("sh", "-c", "fail2ban-client set custom banip 192.0.2.1 2>/tmp/why").Output()
	if why := b.ok("cat", "/tmp/why"); !strings.Contains(why, "NET_ADMIN") {
		t.Errorf("a ban without NET_ADMIN: %q on stdout, %q on stderr", banned, why)
	}
	// In status it is a line that who parses "Jail list" skips.
	status := b.says("fail2ban-client", "status").succeeds().has("NET_ADMIN").matches("(?m)^[|`]- Jail list:\tcustom, dovecot, postfix$")
	if n := strings.Count(status.out, "Jail list"); n != 1 {
		t.Errorf("%d lines with Jail list: %s", n, status.out)
	}
	b.says("fail2ban-client", "status", "postfix").succeeds().has("NET_ADMIN").matches("(?m)^   [|`]- Banned IP list:\t$")
	// Helpers go by another name: DMS kills, and waits for, all that has this one.
	b.says("pgrep", "--full", "fail2ban-server").exactly(pid)
	b.says("sh", "-c", "cat /var/log/mail/fail2ban.log /var/log/supervisor/fail2ban.log").has("NET_ADMIN")

	second := b.says("fail2ban-server", "-xf", "start")
	if second.status != 255 {
		t.Errorf("a second instance: exit status %d", second.status)
	}
	second.has("Server already running")

	killed := b.says("pkill", "--echo", "--full", "fail2ban-server").succeeds()
	killed.has("killed (pid " + pid + ")")
	b.until(20*time.Second, "another process", func() bool {
		now, _ := b.run("pgrep", "--full", "--oldest", "fail2ban-server")
		return now != "" && strings.TrimSpace(now) != pid
	})
	b.answers()

	// A crash leaves socket and pid file.
	crashed := b.ok("pgrep", "--full", "--oldest", "fail2ban-server")
	b.ok("kill", "-9", crashed)
	b.until(20*time.Second, "a process after the crash", func() bool {
		out, status := b.run("fail2ban-client", "ping")
		now, _ := b.run("pgrep", "--full", "--oldest", "fail2ban-server")
		return status == 0 && strings.Contains(out, "pong") && strings.TrimSpace(now) != crashed
	})

	// restart keeps the process that supervisor waits for.
	before := b.ok("pgrep", "--full", "--oldest", "fail2ban-server")
	b.says("fail2ban-client", "restart").succeeds()
	b.answers()
	b.says("pgrep", "--full", "--oldest", "fail2ban-server").exactly(before)
	b.says("sh", "-c", "cat /run/fail2ban/fail2ban.pid").exactly(before)
}

// matures waits until the process is older than four seconds, as the bats test
// does; the short form takes it as it is.
func (b *box) matures() {
	b.t.Helper()
	if os.Getenv("F2BPIPE_SOAK") != "1" {
		return
	}
	b.until(30*time.Second, "a process older than 4 s", func() bool {
		_, status := b.run("pgrep", "--full", "--older", "4", "fail2ban-server")
		return status == 0
	})
}
