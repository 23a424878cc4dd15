package packaging

import (
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// TestRemoval runs what dpkg runs when the package that stands in fail2ban's
// place goes: nothing of it is left in the way of fail2ban, which has come back,
// and nothing of fail2ban's goes along.
func TestRemoval(t *testing.T) {
	t.Parallel()
	testenv.Python(t)
	b := newBox(t)
	const theirs, ours, changed = "/etc/fail2ban/jail.conf", "/etc/fail2ban/filter.d/ours.conf", "/etc/fail2ban/filter.d/changed.conf"
	b.copyIn("deb/fail2ban.postrm", "/postrm")
	b.write(ours, "[Definition]\n")
	b.write(changed, "[Definition]\nfailregex = x\n")
	b.sh("mkdir -p /var/lib/f2bpipe; sha256sum " + ours + " >/var/lib/f2bpipe/stock.sha256; sed -i 's/  / /' /var/lib/f2bpipe/stock.sha256")
	b.sh("for file in " + theirs + " " + changed + "; do echo 0123 $file; done >>/var/lib/f2bpipe/stock.sha256")
	b.ok("dpkg-divert", "--quiet", "--package", "f2bpipe-fail2ban", "--no-rename", "--divert", theirs+".from-fail2ban", "--add", theirs)

	b.ok("env", "LC_ALL=C.UTF-8", "LANGUAGE=de", "/postrm", "remove")
	b.says("dpkg-divert", "--list", "/etc/*").hasNot("f2bpipe-fail2ban")
	b.says("ls", theirs, changed).succeeds()
	if _, status := b.run("ls", ours); status == 0 {
		t.Error("a stock file that nobody has changed is left behind")
	}

	b.ok("/postrm", "purge")
	b.says("ls", theirs).succeeds()
	for _, path := range []string{changed, "/var/lib/f2bpipe/stock.sha256"} {
		if _, status := b.run("ls", path); status == 0 {
			t.Errorf("%s is left behind", path)
		}
	}
}
