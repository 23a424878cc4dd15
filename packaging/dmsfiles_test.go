package packaging

import (
	"path/filepath"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// dmsFiles are what docker-mailserver puts over fail2ban's configuration: its
// image, its start (FAIL2BAN_BLOCKTYPE=drop) and the config volume of its test.
var dmsFiles = map[string]string{
	"/etc/fail2ban/jail.local": `[DEFAULT]
bantime = 1w
findtime = 1w
maxretry = 6
ignoreip = 127.0.0.1/8
banaction = nftables-allports
[dovecot]
enabled = true
[postfix]
enabled = true
mode = extra
[custom]
enabled = true
bantime = 180d
port = smtp,pop3,pop3s,imap,imaps,submission,submissions,sieve
`,
	"/etc/fail2ban/fail2ban.d/fixes.local":         "[Definition]\nallowipv6 = auto;\n",
	"/etc/fail2ban/filter.d/custom.conf":           "[Definition]\n",
	"/etc/fail2ban/action.d/nftables-common.local": "[Init]\nblocktype = drop\n",
	"/etc/fail2ban/jail.d/user-jail.local":         "[DEFAULT]\nbantime = 1234\nfindtime = 321\nmaxretry = 2\nbanaction = nftables-multiport\n",
	"/etc/fail2ban/fail2ban.local":                 "[Definition]\nloglevel = DEBUG\n",
}

// mailFiles make Debian's Postfix, Dovecot and rsyslog log as docker-mailserver's
// do, without the waits by which they slow down who guesses.
var mailFiles = map[string]string{
	"/etc/rsyslog.conf": `module(load="imuxsock")
global(workDirectory="/tmp")
mail.* action(type="omfile" file="/var/log/mail/mail.log" template="RSYSLOG_FileFormat" fileCreateMode="0644")
`,
	"/etc/postfix/main.cf": `compatibility_level = 3.6
myhostname = mail.localdomain
mydestination = localhost.localdomain
inet_interfaces = all
inet_protocols = all
mynetworks = 127.0.0.0/8
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sasl_auth_enable = yes
smtpd_tls_auth_only = no
smtpd_error_sleep_time = 0
`,
	"/etc/postfix/master.cf": `smtp      inet  n - n - - smtpd
submissions inet n - n - - smtpd
  -o syslog_name=postfix/submissions
anvil     unix  - - n - 1 anvil
cleanup   unix  n - n - 0 cleanup
rewrite   unix  - - n - - trivial-rewrite
proxymap  unix  - - n - - proxymap
tlsmgr    unix  - - n 1000? 1 tlsmgr
`,
	"/etc/dovecot/dovecot.conf": `protocols = imap
listen = *, ::
ssl = no
disable_plaintext_auth = no
auth_verbose = yes
auth_verbose_passwords = sha1:6
auth_failure_delay = 0
mail_location = maildir:/var/mail/%u
passdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
userdb {
  driver = static
  args = uid=8 gid=8 home=/var/mail/%u
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0666
  }
}
`,
	"/etc/dovecot/users": "user1@localhost.localdomain:{PLAIN}mypassword\n",
}

// The configuration trees that docker-mailserver's files go over.
const (
	treeDebian = "Debian's fail2ban" // its conffiles, untouched
	treeMaster = "fail2ban's newest" // of the shared data
	treeOwn    = "our own"           // as the package has it
)

// plant puts a tree and docker-mailserver's files into the box.
func plant(t *testing.T, b *box, tree string) {
	t.Helper()
	switch tree {
	case treeDebian:
		testenv.Python(t)
		b.sh("rm -f /etc/fail2ban/jail.d/* /etc/fail2ban/*.local /etc/fail2ban/*.d/*.local")
	case treeMaster:
		b.sh("cp -R /etc/fail2ban/action.d /tmp/; rm -rf /etc/fail2ban; mkdir /etc/fail2ban; mv /tmp/action.d /etc/fail2ban/")
		b.copyTree(testenv.Shared(t, "fail2ban", "config"), "/etc/fail2ban")
	case treeOwn:
		b.sh("rm -rf /etc/fail2ban; mkdir /etc/fail2ban")
		b.copyTree(filepath.Join(testenv.Root(t), "internal", "stock", "config"), "/etc/fail2ban")
	}
	for path, text := range dmsFiles {
		b.write(path, text)
	}
}
