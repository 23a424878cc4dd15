#!/bin/bash
# unit.sh DIST: the hardened unit of the package in DIST (made by `make package`)
# on a Debian of its own that boots systemd, without a network. Stored bans are
# in the kernel before anything brings one up; `f2bpipe check` names the actions
# and logs that the unit forbids; with the lines that it names in the packaged
# drop-in a ban sends mail by Postfix, is in hosts.deny and in nginx' map.
set -euo pipefail
dist=$(realpath "${1:?usage: unit.sh DIST}")
. "$(dirname "$0")/lib.sh"

booting
over
mkdir "$root/pkg"
cp "$dist"/f2bpipe_*.deb "$root/pkg/"
chroot "$root" useradd --create-home admin
mkdir -p "$root/etc/f2bpipe/filter.d" "$root/home/admin/logs"
cat >"$root/etc/f2bpipe/jail.local" <<'CONF'
[DEFAULT]
bantime = 1d
maxretry = 1
filter = mine
logpath = /var/log/%(__name__)s.log
[plain]
enabled = true
# Nobody answers for a name here.
ignoreip = 127.0.0.1/8 trusted.example
action = nftables[type=allports, blocktype=drop]
[entries]
enabled = true
backend = systemd
journalmatch = SYSLOG_IDENTIFIER=prove
logpath =
action = nftables[type=allports, blocktype=drop]
[mailed]
enabled = true
action = nftables[type=allports, blocktype=drop]
         sendmail[dest=admin]
[denied]
enabled = true
action = nftables[type=allports, blocktype=drop]
         hostsdeny
[mapped]
enabled = true
action = nginx-block-map
[homely]
enabled = true
logpath = /home/admin/logs/app.log
action = nftables[type=allports, blocktype=drop]
CONF
printf '[Definition]\nfailregex = bad <HOST>$\n' >"$root/etc/f2bpipe/filter.d/mine.conf"
for log in plain mailed denied mapped; do : >"$root/var/log/$log.log"; done
: >"$root/home/admin/logs/app.log"
cat >"$root/etc/postfix/main.cf" <<'CONF'
compatibility_level = 3.6
myhostname = mail.example
mydestination = mail.example localhost
inet_interfaces = loopback-only
CONF
cat >"$root/etc/nginx/nginx.conf" <<'CONF'
user www-data;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events {}
http {
	map $remote_addr $blck_lst_ses { include blacklisted-sessions.map; }
	server {
		listen 127.0.0.1:80;
		location / {
			if ($blck_lst_ses) { return 403; }
			return 204;
		}
	}
}
CONF
: >"$root/etc/nginx/blacklisted-sessions.map"
# Who looks at the ruleset when the network may come up; who brings one up for
# what sysinit.target waits for, as cloud-init does.
cat >"$root/etc/systemd/system/witness.service" <<'UNIT'
[Unit]
DefaultDependencies=no
After=network-pre.target
Before=network.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'nft list ruleset >/witness'
[Install]
WantedBy=multi-user.target
UNIT
cat >"$root/etc/systemd/system/cloud.service" <<'UNIT'
[Unit]
DefaultDependencies=no
After=network-pre.target systemd-networkd.service
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/true
[Install]
WantedBy=sysinit.target
UNIT
chroot "$root" systemctl -q enable witness cloud systemd-networkd
# There is no interface to wait for.
chroot "$root" systemctl -q mask systemd-networkd-wait-online

boot
step "installation"
# Beside fail2ban it would not be started.
apt purge -y fail2ban
apt install -y $(cd "$root" && ls pkg/*.deb | sed 's|^|/|')
until_has active systemctl is-active f2bpipe
has network-pre.target systemctl show -P Before f2bpipe
hasnot basic.target systemctl show -P After f2bpipe
inside f2bpipe ban --jail plain 192.0.2.10 2001:db8::10

step "a boot with stored bans"
halt
boot
has active systemctl is-active f2bpipe
has 192.0.2.10 cat /witness
has 2001:db8::10 cat /witness
monotonic() { inside systemctl show -P "$1" "$2"; }
ready=$(monotonic ActiveEnterTimestampMonotonic f2bpipe.service)
for later in "ActiveEnterTimestampMonotonic network-pre.target" "ExecMainStartTimestampMonotonic systemd-networkd.service" "ActiveEnterTimestampMonotonic sysinit.target"; do
	at=$(monotonic $later)
	[ "$at" -ge "$ready" ] || die "$later: $at µs, before f2bpipe was ready at $ready µs"
	echo "ok: $later: $((at - ready)) µs later"
done
hasnot cycle journalctl --no-pager -b
inside systemd-cat -t prove echo "bad 192.0.2.30"
until_has 192.0.2.30 f2bpipe banned

step "what the unit forbids"
forbidden() { inside f2bpipe check 2>/dev/null | grep ' forbids the ' || true; }
for what in 'the action sendmail:' 'the action hostsdeny:' 'the action nginx-block-map:' 'the log /home/admin/logs/app.log:'; do
	forbidden | grep -F "$what" || die "check does not name $what"
done
inside systemctl start postfix nginx
inside f2bpipe ban --jail denied 192.0.2.21
hasnot 192.0.2.21 cat /etc/hosts.deny

step "the drop-in with the lines that check names"
cp "$root/usr/share/f2bpipe/actions.conf" "$work/actions.conf"
forbidden | sed 's/.* permits it with: //; s/; /\n/g' | sort -u >"$work/lines"
while IFS= read -r line; do
	grep -qxF "#$line" "$work/actions.conf" || die "the packaged drop-in has no line $line"
	awk -v line="#$line" '$0 == line { sub(/^#/, "") } { print }' "$work/actions.conf" >"$work/next"
	mv "$work/next" "$work/actions.conf"
	echo "$line"
done <"$work/lines"
inside install -d /etc/systemd/system/f2bpipe.service.d
cp "$work/actions.conf" "$root/etc/systemd/system/f2bpipe.service.d/actions.conf"
inside systemctl daemon-reload
inside systemctl restart f2bpipe
until_has active systemctl is-active f2bpipe
[ -z "$(forbidden)" ] || die "check still names: $(forbidden)"
# What parses is locked in all the same; what runs commands is not.
has 'NoNewPrivs:	1' sh -c 'grep NoNewPrivs /proc/$(systemctl show -P MainPID f2bpipe)/status'
has 'NoNewPrivs:	0' sh -c 'for pid in $(pgrep -f "action-runner --serve"); do grep NoNewPrivs /proc/$pid/status; done'

step "a ban by each of them"
inside f2bpipe ban --jail mailed 192.0.2.22
until_has 192.0.2.22 cat /var/mail/admin
inside f2bpipe unban 192.0.2.21
inside f2bpipe ban --jail denied 192.0.2.23
until_has 'ALL: 192.0.2.23' cat /etc/hosts.deny
inside f2bpipe unban 192.0.2.23
until_has gone sh -c 'grep 192.0.2.23 /etc/hosts.deny || echo gone'
answer() { inside python3 -c 'import http.client; c = http.client.HTTPConnection("127.0.0.1", 80, source_address=("127.0.0.9", 0)); c.request("GET", "/"); print(c.getresponse().status)'; }
[ "$(answer)" = 204 ] || die "nginx does not serve"
# A jail without an action for the kernel is said to ban nobody there.
inside f2bpipe ban --force --jail mapped 127.0.0.9 || true
for n in $(seq 100); do
	[ "$(answer)" != 403 ] || break
	read -rt 0.2 <> <(:) || true
done
[ "$(answer)" = 403 ] || die "nginx serves who is banned: $(inside cat /etc/nginx/blacklisted-sessions.map)"
echo "ok: nginx refuses who is banned"
inside sh -c 'echo "bad 192.0.2.24" >>/home/admin/logs/app.log'
until_has 192.0.2.24 nft list ruleset
echo
echo "PASS"
