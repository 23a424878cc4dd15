package packaging

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// otherSpec describes a package that is to rpm what Fedora's fail2ban is: files
// that are configuration, and a program.
const otherSpec = `Name: fail2ban
Version: 1.0.2
Release: 1
Summary: x
License: x
BuildArch: noarch
%description
x
%install
mkdir -p %{buildroot}/etc/fail2ban/filter.d %{buildroot}/usr/bin %{buildroot}/var/lib/fail2ban
echo "[DEFAULT]" >%{buildroot}/etc/fail2ban/jail.conf
echo "[Definition]" >%{buildroot}/etc/fail2ban/filter.d/sshd.conf
echo "true" >%{buildroot}/usr/bin/fail2ban-client
%files
%config(noreplace) /etc/fail2ban/jail.conf
%config(noreplace) /etc/fail2ban/filter.d/sshd.conf
/usr/bin/fail2ban-client
%dir /var/lib/fail2ban
`

// TestRPM has rpm put the package in fail2ban's place, upgrade it and take it
// away: rpm erases fail2ban after ours is installed, with its configuration.
func TestRPM(t *testing.T) {
	needLife(t, "rpm", "rpmbuild")
	testenv.NeedTool(t, "rpmbuild")
	b := newBox(t)
	rpms, err := filepath.Glob(filepath.Join(packages(t), "*.rpm"))
	if err != nil || len(rpms) != 2 {
		t.Fatalf("%d rpms: %v", len(rpms), err)
	}
	for _, path := range rpms {
		b.copyIn(path, "/pkg/"+filepath.Base(path))
	}
	b.write("/pkg/other.spec", otherSpec)
	b.sh("rm -rf /etc/fail2ban /var/lib/fail2ban /etc/logrotate.d/fail2ban /usr/bin/fail2ban-*; rpmbuild --quiet --define '_topdir /pkg' -bb /pkg/other.spec")
	rpm := func(args string) {
		t.Helper()
		if out, status := b.run("sh", "-c", "rpm --force-debian --nodeps "+args); status != 0 || strings.Contains(out, "scriptlet failed") {
			t.Fatalf("rpm %s: exit status %d: %s", args, status, out)
		}
	}
	rpm("-i /pkg/RPMS/noarch/fail2ban-*.rpm")
	b.sh("echo 'maxretry = 7' >>/etc/fail2ban/jail.conf; echo mine >/etc/fail2ban/jail.local; echo bans >/var/lib/fail2ban/fail2ban.sqlite3")

	rpm("-U /pkg/f2bpipe-*.rpm")
	b.says("sh", "-c", "rpm -qa").has("f2bpipe-fail2ban").hasNot("fail2ban-1.0.2")
	taken := func() {
		t.Helper()
		b.says("cat", "/etc/fail2ban/jail.conf").exactly("[DEFAULT]\nmaxretry = 7")
		b.says("cat", "/etc/fail2ban/filter.d/sshd.conf").exactly("[Definition]")
		b.says("cat", "/etc/fail2ban/jail.local").exactly("mine")
		b.says("readlink", "/var/lib/fail2ban/fail2ban.sqlite3").exactly("../f2bpipe/fail2ban.sqlite3")
		b.says("cat", "/var/lib/fail2ban/fail2ban.sqlite3").exactly("bans")
		b.says("readlink", "/usr/bin/fail2ban-client").exactly("f2bpipe")
	}
	taken()
	rpm("-U --force /pkg/f2bpipe-*.rpm") // as an upgrade runs the scripts
	taken()

	rpm("-e f2bpipe-fail2ban f2bpipe")
	b.says("cat", "/etc/fail2ban/jail.conf").exactly("[DEFAULT]\nmaxretry = 7")
	b.says("sh", "-c", "test ! -L /var/lib/fail2ban/fail2ban.sqlite3 && cat /var/lib/fail2ban/fail2ban.sqlite3").exactly("bans")
	b.says("sh", "-c", "ls /usr/bin").hasNot("f2bpipe")
}
