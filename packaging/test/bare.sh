#!/bin/bash
# bare.sh TARGET…: makes the targets (run, test) in a bare Debian 12 that has
# nothing but Go and make; the tree as it stands here, without its .git. The Go
# tree and the modules are this machine's, as are its archives of Debian.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: bare.sh TARGET…" >&2; exit 2; }
. "$(dirname "$0")/lib.sh"

base bare make
over
mkdir -p "$root/usr/local/go" "$root/modules" "$root/home/f2bpipe"
mount --bind -o ro "$(go env GOROOT)" "$root/usr/local/go"
proxy=$(go env GOPROXY)
if [ -d "$(go env GOMODCACHE)/cache/download" ]; then
	mount --bind -o ro "$(go env GOMODCACHE)/cache/download" "$root/modules"
	proxy=file:///modules,$proxy
fi
if [ -d "$source/.git" ] || [ -f "$source/.git" ]; then
	(cd "$source" && git -c safe.directory="$source" ls-files --cached --others --exclude-standard -z | while IFS= read -rd '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done | tar --null -T - -c)
else
	tar -C "$source" -c .
fi | tar -C "$root/home/f2bpipe" --no-same-owner -x
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"

# Processes, mounts and host name are its own; the network is this machine's,
# for its packages. What tests do to a network they do in one of their own.
cat >"$work/inside.sh" <<'INSIDE'
set -e
mount --make-rprivate /
cd "$1"
shift
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
# Without its cgroups no journald starts, and the tests of one are skipped.
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t tmpfs tmpfs dev
for d in null zero full random urandom tty; do : >dev/$d; mount --bind /dev/$d dev/$d; done
ln -s /proc/self/fd dev/fd; ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs tmpfs run
hostname bare
# Not chroot: in it nobody may make a user namespace, and tests do.
mkdir -p .machine
pivot_root . .machine
cd /
umount --lazy /.machine
exec env -i PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
INSIDE
pass=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY GOFLAGS GONOSUMDB GOSUMDB GOPRIVATE; do
	[ -z "${!name:-}" ] || pass+=("$name=${!name}")
done
in_root() { unshare --mount --uts --ipc --pid --fork --kill-child sh "$work/inside.sh" "$root" "${pass[@]}" GOPROXY="$proxy" GOTOOLCHAIN=local "$@"; }

for tool in gcc git python3 nft ip pgrep; do
	if in_root sh -c "command -v $tool" >/dev/null; then
		echo "FAILED: $tool is there before anything was installed" >&2
		exit 1
	fi
done
for target; do
	step "make $target"
	in_root make -C /home/f2bpipe "$target" 2>&1 | tee "$work/$target.log"
	case $target in
	run)
		for address in "ADDRESS " 203.0.113. sshd postfix dovecot; do
			grep -qF "$address" "$work/run.log" || { echo "FAILED: make run shows no $address" >&2; exit 1; }
		done
		in_root /home/f2bpipe/f2bpipe version | tee "$work/version"
		grep -qF 'journal by libsystemd' "$work/version" || { echo "FAILED: it was built without libsystemd" >&2; exit 1; }
		;;
	esac
done
echo
echo "PASS"
