package service

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// shownUnit is what systemctl show says of the packaged unit.
const shownUnit = `LoadState=loaded
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/var/log
ProtectHome=yes
PrivateTmp=yes
IPAddressDeny=::/0 0.0.0.0/0
IPAddressAllow=127.0.0.0/8 10.0.0.0/8 ::1/128
CapabilityBoundingSet=cap_dac_read_search cap_net_admin
SystemCallFilter=accept bind connect
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
MemoryDenyWriteExecute=yes
`

// TestUnitForbids names what a jail's actions and logs need, and the lines that
// the packaged drop-in has for it.
func TestUnitForbids(t *testing.T) {
	drop, err := os.ReadFile(filepath.Join(testenv.Root(t), "packaging", "systemd", "actions.conf"))
	if err != nil {
		t.Fatal(err)
	}
	f := func(unit, jail string, want ...string) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte("[x]\nenabled = true\nfilter = sshd\n"+jail), 0o600); err != nil {
			t.Fatal(err)
		}
		tree, problems := config.Load(config.Options{Dir: dir, Stock: stock.FS(), Superseded: stock.Superseded})
		if errs := problems.Errors(); len(errs) > 0 {
			t.Fatal(errs)
		}
		c := &tree.Jails[0]
		for i := range tree.Jails {
			if tree.Jails[i].Name == "x" {
				c = &tree.Jails[i]
			}
		}
		var got []string
		for _, x := range parseUnit(unit).forbidden(c, nil) {
			got = append(got, x.What+": "+strings.Join(x.Lines, " | "))
			for _, line := range x.Lines {
				if !strings.Contains(string(drop), "\n#"+line+"\n") && !strings.HasPrefix(line, "ReadWritePaths=/") {
					t.Errorf("%s is not in the packaged drop-in", line)
				}
			}
		}
		for _, w := range want {
			if !strings.Contains(strings.Join(got, "\n")+"\n", w) {
				t.Errorf("%q: %q, want %q", jail, got, w)
			}
		}
		if len(want) == 0 && len(got) > 0 {
			t.Errorf("%q: %q is forbidden", jail, got)
		}
	}
	f(shownUnit, "logpath = /var/log/auth.log\naction = nftables\n")
	f(shownUnit, "logpath = /home/*/logs/auth.log\naction = nftables\n", "log /home/*/logs/auth.log: ProtectHome=read-only\n")
	f(shownUnit, "logpath = /tmp/auth.log\naction = nftables\n", "log /tmp/auth.log: PrivateTmp=no\n")
	f(shownUnit, "logpath = /var/log/auth.log\naction = sendmail\n", "action sendmail: NoNewPrivileges=no | ", " | CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_SETUID CAP_SETGID CAP_FOWNER CAP_CHOWN | SystemCallFilter=@privileged\n")
	f(shownUnit, "logpath = /var/log/auth.log\naction = hostsdeny\n", "action hostsdeny: ReadWritePaths=/etc\n")
	f(shownUnit, "logpath = /var/log/auth.log\naction = nginx-block-map\n", "action nginx-block-map: ReadWritePaths=-/etc/nginx -/var/lib/nginx -/run | ")
	f(shownUnit, "logpath = /var/log/auth.log\naction = ufw\n", "action ufw: ReadWritePaths=-/etc/ufw -/run | ")
	f(shownUnit, "logpath = /var/log/auth.log\naction = abuseipdb[abuseipdb_apikey=k]\n", "action abuseipdb: IPAddressAllow=any\n")
	// A log is where its link leads.
	elsewhere, err := os.MkdirTemp("/dev/shm", "f2bpipe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(elsewhere) })
	link, real := filepath.Join(elsewhere, "app.log"), filepath.Join(t.TempDir(), "real.log")
	if err := errors.Join(os.WriteFile(real, nil, 0o600), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(real, "/tmp/") {
		f(shownUnit, "logpath = "+link+"\naction = nftables\n", "log "+link+": PrivateTmp=no\n")
	}
	// What a drop-in permits is not named, what it forgets is.
	half := strings.Replace(shownUnit, "NoNewPrivileges=yes", "NoNewPrivileges=no", 1)
	f(half, "logpath = /var/log/auth.log\naction = sendmail\n", "CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_SETUID CAP_SETGID CAP_FOWNER CAP_CHOWN | SystemCallFilter=@privileged\n")
	open := strings.NewReplacer("NoNewPrivileges=yes", "NoNewPrivileges=no", "ReadWritePaths=/var/log", "ReadWritePaths=/var/log /etc /var/spool", "ProtectHome=yes", "ProtectHome=read-only",
		"IPAddressAllow=", "IPAddressAllow=0.0.0.0/0 ::/0 ", "CapabilityBoundingSet=", "CapabilityBoundingSet=cap_dac_override cap_setuid cap_setgid cap_fowner cap_chown ",
		"SystemCallFilter=", "SystemCallFilter=setuid ").Replace(half)
	f(open, "logpath = /home/*/logs/auth.log\naction = sendmail\n         hostsdeny\n         abuseipdb[abuseipdb_apikey=k]\n")
	f("LoadState=not-found\n", "logpath = /home/x/auth.log\naction = sendmail\n")
}
