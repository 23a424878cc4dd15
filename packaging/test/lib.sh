#!/bin/bash
# lib.sh: Debian roots of their own for the tests beside it, which source it.
# Needs root, debootstrap and, to boot one, systemd-container. A base root is
# made once and kept in $BASES; what a test does to it is in a layer over it that
# ends with the test, as all that it mounts and starts.

BASES=${BASES:-/var/tmp/f2bpipe-roots}
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Beside the bases: an overlay's upper layer cannot be on every file system.
mkdir -p "$BASES"
work=$(mktemp -d "$BASES/test.XXXXXX")
root=$work/root
nspawn=
leader=

finish() {
	status=$?
	trap - EXIT INT TERM
	if [ -n "$nspawn" ]; then
		kill "$nspawn" 2>/dev/null || true
		wait "$nspawn" 2>/dev/null || true
	fi
	# The deepest first, and only what is below.
	awk -v at="$work/" 'index($5, at) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r at; do
		umount "$at" || umount --lazy "$at" || true
	done
	rm -rf --one-file-system "$work"
	exit $status
}
trap finish EXIT
trap 'exit 1' INT TERM

step() { printf '\n== %s\n' "$*"; }

# sources prints the Debian archives of this machine, for sources.list.
sources() {
	local found=
	found=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm*' 2>/dev/null | sort -u) || true
	[ -n "$found" ] || found="deb http://deb.debian.org/debian bookworm main"
	echo "$found"
}

# base NAME PACKAGE…: makes $BASES/NAME where it is not there: Debian 12's
# minimum and the packages.
base() {
	base=$BASES/$1
	shift
	# Another test may make it at the same time.
	exec 8>"$base.lock"
	flock 8
	if [ ! -e "$base" ]; then
		rm -rf --one-file-system "$base.new"
		debootstrap --variant=minbase ${1:+--include="$(IFS=,; echo "$*")"} bookworm "$base.new" "${MIRROR:-$(sources | awk '$3 == "bookworm" { print $2; exit }')}" >"$work/debootstrap.log" 2>&1 || {
			tail -5 "$work/debootstrap.log" >&2
			exit 1
		}
		sources >"$base.new/etc/apt/sources.list"
		apt-config dump 2>/dev/null | grep -E '^Acquire::https?::' >"$base.new/etc/apt/apt.conf.d/10machine" || true
		mv "$base.new" "$base"
	fi
	exec 8>&-
}

# booting makes the base that boots systemd, with fail2ban and what its actions
# are tried with.
booting() {
	base systemd systemd systemd-sysv init-system-helpers dbus nftables iproute2 netbase fail2ban \
		python3-systemd logrotate procps postfix nginx-light
}

# over mounts the root: the base under a layer of the test's own.
over() {
	mkdir "$root" "$work/up" "$work/work"
	mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/up,workdir=$work/work" "$root"
}

# boot boots systemd in the root, without a network, and waits until it is up.
boot() {
	: >"$root/etc/machine-id"
	SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn -D "$root" --register=no --keep-unit --boot --private-network --console=pipe --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" </dev/null >"$work/boot.log" 2>&1 &
	nspawn=$!
	leader=
	local n
	for n in $(seq 300); do
		leader=$(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null | tr -d ' ') || true
		[ -n "$leader" ] && inside systemctl is-active -q multi-user.target 2>/dev/null && return
		read -rt 0.2 <> <(:) || true
	done
	cat "$work/boot.log"
	exit 1
}

# halt ends what boot has begun, in order.
halt() {
	inside systemctl poweroff || true
	wait "$nspawn" || true
	nspawn=
	leader=
}

# inside runs a command in the root that boots. It is never this machine's: a
# process of nspawn that is not in its own namespaces yet is none to go to.
inside() {
	[ -n "$leader" ] && [ "$(readlink "/proc/$leader/ns/pid")" != "$(readlink /proc/self/ns/pid)" ] || return 125
	nsenter -t "$leader" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TZ=UTC LC_ALL=C "$@"
}

die() {
	echo "FAILED: $*" >&2
	if [ -n "$leader" ]; then
		inside journalctl --no-pager -n 40 -u f2bpipe -u fail2ban >&2 || true
		inside tail -n 40 /var/log/fail2ban.log >&2 || true
	fi
	exit 1
}

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
	for n in $(seq 150); do
		said=$(inside "$@" 2>&1) || true
		[[ $said == *"$want"* ]] && { echo "ok: $*: $want"; return; }
		read -rt 0.2 <> <(:) || true
	done
	die "$*: never '$want', but: $said"
}
apt() { inside apt-get -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" </dev/null 2>&1 | sed 's/^/    /'; }
