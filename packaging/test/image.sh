#!/bin/bash
# image.sh: builds packaging/docker/Dockerfile by buildah, without a daemon, and
# runs the image as compose.beside.yaml does: NET_ADMIN and DAC_READ_SEARCH and
# nothing else, a root that cannot be written, in a network namespace of its own.
# The images that it begins with are stand-ins: Debian 12's minimum by
# debootstrap, and the same with this machine's Go.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

base bare make
storage() { buildah --root "$work/storage" --runroot "$work/runroot" --storage-driver vfs "$@"; }

step "the images that it begins with"
storage from --name minimum scratch >/dev/null
storage add -q minimum "$base" / >/dev/null
storage commit -q minimum docker.io/library/debian:bookworm-slim >/dev/null
(cd "$source" && go mod download)
modules=$(go env GOMODCACHE)/cache/download
# The tools that the image has besides Go are not needed.
storage config --env PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	--env GOPROXY="file:///modules,$(go env GOPROXY)" --env GOSUMDB="$(go env GOSUMDB)" --env GOTOOLCHAIN=local minimum
storage commit -q minimum "docker.io/library/$(sed -n 's/^FROM \(golang:[^ ]*\) AS build$/\1/p' "$source/packaging/docker/Dockerfile")" >/dev/null

step "docker build"
storage bud -q --format docker --isolation chroot --pull-never --ignorefile "$source/packaging/docker/Dockerfile.dockerignore" \
	--volume "$(go env GOROOT):/usr/local/go:ro" --volume "$modules:/modules:ro" \
	--build-arg VERSION=1.2.3 -f "$source/packaging/docker/Dockerfile" -t f2bpipe "$source"
storage inspect --type image f2bpipe >"$work/image.json"
for want in '"fail2ban-client",' '"ping"' '"SIGTERM"' '"/var/lib/fail2ban": {}'; do
	grep -qF "$want" "$work/image.json" || die "the image says nothing of $want"
done
storage from --name runs --pull-never f2bpipe >/dev/null
image=$(storage mount runs)
du -sh "$image"
for name in fail2ban-client fail2ban-server fail2ban-regex; do
	chroot "$image" "$name" --version >/dev/null || die "$name does not run"
done
[[ $(chroot "$image" f2bpipe version) == *1.2.3* ]] || die "f2bpipe version: $(chroot "$image" f2bpipe version)"

# up CMD…: the container, as the compose files have it; "$work/jail.d" is mounted.
mkdir -p "$work/state" "$work/logs" "$work/jail.d"
: >"$work/logs/mail.log"
cat >"$work/container.sh" <<'INSIDE'
set -e
image=$1 work=$2 configuration=$3
shift 3
mount --make-rprivate /
mount --bind "$image" "$image"
cd "$image"
mount -t proc proc proc
for d in null zero full random urandom; do : >dev/$d; mount --bind /dev/$d dev/$d; done
mkdir -p var/log/mail
mount --bind "$work/state" var/lib/fail2ban
mount --bind -o ro "$work/logs" var/log/mail
mount --bind -o ro "$work/jail.d" etc/fail2ban/jail.d
: >etc/fail2ban/jail.local
mount --bind -o ro "$configuration/jail.local" etc/fail2ban/jail.local
mount -o remount,bind,ro .
mount -t tmpfs tmpfs run/fail2ban
mount -t tmpfs tmpfs tmp
ip link set lo up
exec chroot . setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+net_admin,+dac_read_search "$@"
INSIDE
container=
up() {
	unshare --mount --net --uts --ipc --pid --fork --kill-child sh "$work/container.sh" "$image" "$work" "$source/packaging/docker" "$@" >"$work/out" 2>&1 &
	container=$!
	until_run pong fail2ban-client ping
}
down() {
	kill -TERM "$(first)"
	wait "$container" || true
	container=
}
trap '[ -z "$container" ] || kill "$container" 2>/dev/null || true; finish' EXIT
first() { tr -d ' ' <"/proc/$container/task/$container/children"; }
run() { nsenter -t "$(first)" -m -n -p -r -w env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
# until_run TEXT CMD…: waits until the output of a command in it has the text.
until_run() {
	local want=$1 said n
	shift
	for n in $(seq 150); do
		said=$(run "$@" 2>&1) || true
		[[ $said == *"$want"* ]] && { echo "ok: $*: $want"; return; }
		read -rt 0.2 <> <(:) || true
	done
	cat "$work/out" >&2
	die "$*: never '$want', but: $said"
}
fails() {
	local n
	for n in 1 2 3 4 5 6; do
		echo "$(date -u +%Y-%m-%dT%H:%M:%S.000000+00:00) mail postfix/submissions/smtpd[1]: warning: unknown[$1]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=a@b.test" >>"$work/logs/mail.log"
	done
}

step "beside docker-mailserver"
up fail2ban-server -xf --logtarget=STDOUT start
until_run "custom, dovecot, postfix" fail2ban-client status
[ "$(run fail2ban-client set custom banip 192.0.2.7 2001:db8::/48)" = 2 ] || die "no ban by hand: $(cat "$work/out")"
until_run 192.0.2.7 nft list set inet f2b-table addr-set-custom
fails 192.0.2.8
until_run 192.0.2.8 nft list set inet f2b-table addr-set-postfix
[ -e "$work/state/fail2ban.sqlite3" ] || die "the state is not in its volume"
down
grep -qF 192.0.2.8 "$work/out" || die "the log is not on stdout"

step "on the host"
cp "$source/packaging/docker/host.local" "$work/jail.d/"
up f2bpipe run
until_run 192.0.2.7 f2bpipe banned
fails 192.0.2.9
until_run 192.0.2.9 nft list ruleset
until_run "hook prerouting" nft list ruleset
down
storage umount runs >/dev/null
echo
echo "PASS"
