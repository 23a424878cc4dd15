#!/bin/bash
# install.sh DIST [BASE]: the whole life of the packages in DIST (made by `make
# package`) on a Debian of its own that boots systemd: beside fail2ban's
# configuration, bans and edits, through installation, purge of the old package,
# upgrade and the way back. BASE is where the Debian root is kept for the next
# time; it is made by debootstrap. Needs root, debootstrap and systemd-container,
# takes some minutes, writes nothing outside of BASE and a temporary folder.
set -euo pipefail

dist=$(realpath "${1:?usage: install.sh DIST [BASE]}")
base=${2:-/var/tmp/f2bpipe-debian}
mirror=${MIRROR:-http://deb.debian.org/debian}
work=$(mktemp -d)
root=$work/root
nspawn=

finish() {
	status=$?
	if [ -n "$nspawn" ]; then
		kill "$nspawn" 2>/dev/null || true
		wait "$nspawn" 2>/dev/null || true
	fi
	umount -R "$root" "$work/mem" 2>/dev/null || true
	rm -rf --one-file-system "$work"
	exit $status
}
trap finish EXIT

step() { printf '\n== %s\n' "$*"; }
die() {
	echo "FAILED: $*" >&2
	inside journalctl --no-pager -n 40 -u f2bpipe -u fail2ban >&2 || true
	inside tail -n 40 /var/log/fail2ban.log >&2 || true
	exit 1
}
inside() { nsenter -t "$leader" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TZ=UTC LC_ALL=C "$@"; }
# has TEXT COMMAND…: its output has the text.
has() {
	local want=$1 said
	shift
	said=$(inside "$@" 2>&1) || true
	[[ $said == *"$want"* ]] || die "$*: no '$want' in: $said"
	echo "ok: $*: $want"
}
hasnot() {
	local unwanted=$1 said
	shift
	said=$(inside "$@" 2>&1) || true
	[[ $said != *"$unwanted"* ]] || die "$*: '$unwanted' in: $said"
	echo "ok: $*: no $unwanted"
}
# until_has waits: something else brings it about.
until_has() {
	local want=$1 said n
	shift
	for n in $(seq 100); do
		said=$(inside "$@" 2>&1) || true
		[[ $said == *"$want"* ]] && { echo "ok: $*: $want"; return; }
		read -rt 0.2 <> <(:) || true
	done
	die "$*: never '$want', but: $said"
}
apt() { inside apt-get -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" </dev/null 2>&1 | sed 's/^/    /'; }

step "a Debian with fail2ban"
if [ ! -e "$base/etc/fail2ban/jail.conf" ]; then
	debootstrap --variant=minbase --include=systemd,systemd-sysv,init-system-helpers,dbus,nftables,iproute2,netbase,fail2ban,python3-systemd,logrotate,procps bookworm "$base" "$mirror" >"$work/debootstrap.log" || {
		tail -5 "$work/debootstrap.log"
		exit 1
	}
fi
(cd "$base/var/cache/apt/archives" && ls fail2ban_*.deb >/dev/null 2>&1 || apt-get -qq download fail2ban)
# The root is the base under memory.
mkdir "$root" "$work/mem"
mount -t tmpfs tmpfs "$work/mem"
mkdir "$work/mem/up" "$work/mem/work"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/mem/up,workdir=$work/mem/work" "$root"
: >"$root/etc/machine-id"
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

SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn -D "$root" --register=no --keep-unit --boot --private-network --console=pipe --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" </dev/null >"$work/boot.log" 2>&1 &
nspawn=$!
leader=
for _ in $(seq 150); do
	leader=$(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null | tr -d ' ') || true
	[ -n "$leader" ] && inside systemctl is-active -q multi-user.target 2>/dev/null && break
	read -rt 0.2 <> <(:) || true
done
[ -n "$leader" ] || { cat "$work/boot.log"; exit 1; }

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
echo
echo "PASS"
