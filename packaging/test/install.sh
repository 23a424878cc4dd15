#!/bin/bash
# install.sh DIST: the whole life of the packages in DIST (made by `make
# package`) on a Debian of its own that boots systemd: beside fail2ban's
# configuration, bans and edits, through installation, purge of the old package,
# upgrade and the way back.
set -euo pipefail

dist=$(realpath "${1:?usage: install.sh DIST}")
. "$(dirname "$0")/lib.sh"

step "a Debian with fail2ban"
booting
(cd "$base/var/cache/apt/archives" && ls fail2ban_*.deb >/dev/null 2>&1 || apt-get -qq download fail2ban)
over
mkdir "$root/pkg"
cp "$dist"/*.deb "$base"/var/cache/apt/archives/fail2ban_*.deb "$root/pkg/"
# An upgrade: the same with a later version.
for deb in "$root"/pkg/f2bpipe*.deb; do
	dpkg-deb -R "$deb" "$work/next"
	sed -i -E 's/^(Version: .*)-1$/\1-2/; s/^(Depends: f2bpipe \(= .*)-1\)/\1-2)/' "$work/next/DEBIAN/control"
	dpkg-deb -Zgzip -z1 -b "$work/next" "$root/pkg/next-$(basename "$deb")" >/dev/null
	rm -r "$work/next"
done
# What somebody has made of it: a jail, a filter of his own, and an edit of a
# file of the package.
cat >"$root/etc/fail2ban/jail.local" <<'END'
[DEFAULT]
banaction = nftables-multiport
backend = auto
[sshd]
enabled = true
logpath = /var/log/auth.log
maxretry = 2
port = 22
bantime = 1d
[mine]
enabled = true
logpath = /var/log/mine.log
maxretry = 1
END
# Not every kernel has nft_reject.
printf '[Init]\nblocktype = drop\n' >"$root/etc/fail2ban/action.d/nftables-common.local"
printf '[Definition]\nfailregex = ^bad <HOST>$\n' >"$root/etc/fail2ban/filter.d/mine.conf"
sed -i 's/^maxretry = 5/maxretry = 7/' "$root/etc/fail2ban/jail.conf"
: >"$root/var/log/auth.log"
: >"$root/var/log/mine.log"

# A drop-in for the unit by the name that it had.
mkdir -p "$root/etc/systemd/system/fail2ban.service.d"
printf '[Service]\nEnvironment=PROOF=dropin\n' >"$root/etc/systemd/system/fail2ban.service.d/own.conf"

boot

step "fail2ban bans"
inside systemctl restart fail2ban
until_has pong fail2ban-client ping
has 1 fail2ban-client set sshd banip 192.0.2.10
has 1 fail2ban-client set sshd banip 2001:db8::10
until_has 192.0.2.10 nft list ruleset

step "installation"
apt install -y $(cd "$root" && ls pkg/f2bpipe_*.deb pkg/f2bpipe-fail2ban_*.deb | sed 's|^|/|')
has 'config-files' dpkg-query -W -f '${db:Status-Status}' fail2ban
until_has active systemctl is-active f2bpipe
has active systemctl is-active fail2ban
until_has 192.0.2.10 fail2ban-client status sshd
has 2001:db8::10 fail2ban-client status sshd
until_has 192.0.2.10 nft list ruleset
has mine fail2ban-client status
has PROOF=dropin systemctl show -P Environment f2bpipe
has 'maxretry = 7' grep '^maxretry' /etc/fail2ban/jail.conf
has 2 fail2ban-client get sshd maxretry
inside sh -c 'echo "bad 192.0.2.12" >>/var/log/mine.log'
until_has 192.0.2.12 fail2ban-client status mine
hasnot sandbox f2bpipe status --json
has 'NoNewPrivs:	1' sh -c 'grep NoNewPrivs /proc/$(systemctl show -P MainPID f2bpipe)/status'
has 'Seccomp:	2' sh -c 'grep Seccomp: /proc/$(systemctl show -P MainPID f2bpipe)/status'
has '0000000000001004' sh -c 'grep CapBnd /proc/$(systemctl show -P MainPID f2bpipe)/status'

# Out of the sandbox there is no way: systemd begins the service anew.
inside fail2ban-client restart
until_has active systemctl is-active fail2ban
until_has 2001:db8::10 fail2ban-client status sshd
has 'status=75' journalctl --no-pager -u f2bpipe

step "the old package is purged"
apt purge -y fail2ban
has 'maxretry = 7' grep '^maxretry' /etc/fail2ban/jail.conf
has 'failregex' cat /etc/fail2ban/filter.d/mine.conf
has '_daemon' cat /etc/fail2ban/filter.d/sshd.conf
has 'rotate' cat /etc/logrotate.d/fail2ban
has 192.0.2.10 fail2ban-client status sshd
inside systemctl restart fail2ban
until_has 192.0.2.10 fail2ban-client status sshd
has 192.0.2.12 fail2ban-client status mine
until_has 192.0.2.10 nft list ruleset
inside fail2ban-client flushlogs
until_has 192.0.2.13 sh -c 'fail2ban-client set sshd banip 192.0.2.13; cat /var/log/fail2ban.log'

step "a boot"
halt
boot
until_has active systemctl is-active fail2ban
has 192.0.2.10 nft list ruleset
has 192.0.2.13 fail2ban-client status sshd
has PROOF=dropin sh -c 'tr "\0" "\n" </proc/$(systemctl show -P MainPID fail2ban)/environ'

step "an upgrade, nobody to answer"
inside sh -c 'echo "# edited" >>/etc/logrotate.d/fail2ban; echo "# edited" >>/etc/fail2ban/jail.conf'
apt install -y $(cd "$root" && ls pkg/next-*.deb | sed 's|^|/|')
has -2 dpkg-query -W -f '${Version}' f2bpipe-fail2ban
until_has 192.0.2.10 fail2ban-client status sshd
has '# edited' tail -1 /etc/fail2ban/jail.conf

step "back to fail2ban"
# jail.conf is edited by hand: of that dpkg asks, for whatever package.
apt -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install -y "$(cd "$root" && ls pkg/fail2ban_*.deb | sed 's|^|/|')"
has installed dpkg-query -W -f '${db:Status-Status}' fail2ban
hasnot installed dpkg-query -W -f '${db:Status-Status}' f2bpipe-fail2ban
hasnot f2bpipe dpkg-divert --list '/etc/*'
until_has pong fail2ban-client ping
has '/usr/bin/python3' sh -c 'cat /proc/$(systemctl show -P MainPID fail2ban)/cmdline | tr "\0" " "'
until_has 192.0.2.10 fail2ban-client status sshd
has 192.0.2.12 fail2ban-client status mine
has 2001:db8::10 fail2ban-client status sshd
has '# edited' tail -1 /etc/fail2ban/jail.conf
hasnot active sh -c 'systemctl is-enabled f2bpipe; systemctl is-active f2bpipe | sed s/inactive/off/'

step "and away"
apt purge -y f2bpipe-fail2ban f2bpipe
hasnot f2bpipe sh -c 'ls /usr/bin /etc/systemd/system /var/lib /lib/systemd/system'
has pong fail2ban-client ping

step "whoever has switched fail2ban off gets a service that is off"
inside systemctl disable --now fail2ban
apt install -y $(cd "$root" && ls pkg/f2bpipe_*.deb pkg/f2bpipe-fail2ban_*.deb | sed 's|^|/|')
has inactive systemctl is-active f2bpipe
has disabled systemctl is-enabled f2bpipe
has mine cat /etc/fail2ban/jail.local
echo
echo "PASS"
