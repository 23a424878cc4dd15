package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestKernels boots small kernels in qemu, one with nf_tables, one whose only
// way is ipset with iptables, and one with neither, and sees who comes through:
// `make soak` brings qemu and the kernel.
func TestKernels(t *testing.T) {
	if os.Getenv("F2BPIPE_SOAK") != "1" {
		t.Skip("boots kernels: F2BPIPE_SOAK is not 1")
	}
	kernel := os.Getenv("F2BPIPE_KERNEL") // where .ci/kernel has unpacked one
	images, _ := filepath.Glob(filepath.Join(kernel, "boot/vmlinuz-*"))
	if kernel == "" || len(images) == 0 {
		t.Skip("no kernel to boot: F2BPIPE_KERNEL does not name a folder that .ci/kernel made")
	}
	for _, tool := range []string{"qemu-system-x86_64", "busybox", "ip", "nft", "xtables-legacy-multi", "xtables-nft-multi"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	binary := filepath.Join(t.TempDir(), "f2bpipe")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const tables, sets = `/(nf_tables|nft_\w+)\.ko$`, `/(ip_set\w*|xt_set|ip6?_tables)\.ko$`
	for _, one := range []struct{ by, without string }{
		{"nftables", `^$`},
		{"ipset", tables},
		{"routes", tables + "|" + sets},
	} {
		t.Run(one.by, func(t *testing.T) {
			g := guest{t: t, seen: map[string]bool{}}
			g.system(kernel, regexp.MustCompile(one.without))
			g.file("bin/f2bpipe", binary)
			g.text("init", 0o755, guestInit)
			g.text("etc/f2bpipe/jail.local", 0o644, guestJail)
			g.text("etc/f2bpipe/filter.d/login.conf", 0o644, "[Definition]\nfailregex = ^ login failed from <HOST>$\n")
			said := g.boot(images[0])
			for _, want := range []string{
				"STEP before: in", "STEP banned by " + one.by + ": out", "STEP another: in", "STEP banned IPv6: out",
				"STEP unbanned: in", "STEP stopped: in", "STEP done",
			} {
				if !strings.Contains(said, want+"\r\n") {
					t.Errorf("no %q in:\n%s", want, said)
				}
			}
		})
	}
}

const guestJail = `[login]
enabled = true
filter = login
backend = polling
logpath = /tmp/login.log
maxretry = 1
bantime = 1h
banaction = nftables-allports
`

// guestInit is the first process of a guest: a client in a namespace of its own
// asks a server, before it is banned and after.
const guestInit = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/sbin:/bin
ip() { /sbin/ip "$@"; } # the shell would take its own
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /run; mount -t tmpfs tmp /tmp
echo 2 > /proc/sys/kernel/printk
modprobe veth
ip netns add client
ip link add host type veth peer name eth0 netns client
ip link set lo up; ip link set host up
ip addr add 10.0.0.1/24 dev host; ip -6 addr add 2001:db8::1/64 dev host nodad
ip -n client link set eth0 up
for n in 2 3; do ip -n client addr add 10.0.0.$n/24 dev eth0; done
ip -n client -6 addr add 2001:db8::2/64 dev eth0 nodad
mkdir /tmp/www; echo hello > /tmp/www/index.html; httpd -p '[::]:80' -h /tmp/www
: > /tmp/login.log
f2bpipe run --config /etc/f2bpipe --socket /tmp/sock 2>/tmp/service.log &
try() { # FROM TO
	case $1 in 10.*) ip -n client route replace $2/32 dev eth0 src $1;; esac
	ip netns exec client nc -w 2 $2 80 < /tmp/ask 2>/dev/null | grep -q hello && echo in || echo out
}
printf 'GET / HTTP/1.0\r\n\r\n' > /tmp/ask
n=0; until f2bpipe status --socket /tmp/sock > /tmp/status 2>&1 || [ $n = 50 ]; do n=$((n+1)); sleep 0.2; done
echo "STEP before: $(try 10.0.0.2 10.0.0.1)"
fail() { echo "$(date '+%Y-%m-%d %H:%M:%S') login failed from $1" >> /tmp/login.log; }
banned() { n=0; until f2bpipe banned --socket /tmp/sock | grep -q "$1" || [ $n = 100 ]; do n=$((n+1)); sleep 0.1; done; sleep 0.5; }
fail 10.0.0.2; fail 2001:db8::2; banned 10.0.0.2; banned 2001:db8::2
f2bpipe status --json --socket /tmp/sock > /tmp/status
by=$(grep -o '"by":"[a-z]*","layout"' /tmp/status | head -n 1 | cut -d'"' -f4)
echo "STEP banned by $by: $(try 10.0.0.2 10.0.0.1)"
echo "STEP another: $(try 10.0.0.3 10.0.0.1)"
echo "STEP banned IPv6: $(try 2001:db8::2 2001:db8::1)"
f2bpipe unban --socket /tmp/sock 10.0.0.2 > /dev/null
echo "STEP unbanned: $(try 10.0.0.2 10.0.0.1)"
f2bpipe stop --socket /tmp/sock; wait
echo "STEP stopped: $(try 2001:db8::2 2001:db8::1)"
cat /tmp/service.log; grep -o '"enforced".\{200\}' /tmp/status | head -n 1
echo "STEP done"
poweroff -f
`

// guest is what stands in a guest's memory when it boots.
type guest struct {
	t    *testing.T
	cpio bytes.Buffer
	seen map[string]bool
	made int
}

// system puts the tools and a kernel's modules in, but for those that are not to be.
func (g *guest) system(kernel string, without *regexp.Regexp) {
	g.file("bin/busybox", "busybox")
	for name, tool := range map[string]string{
		"sbin/ip": "ip", "sbin/nft": "nft", "sbin/iptables": "xtables-nft-multi", "sbin/iptables-legacy": "xtables-legacy-multi",
	} {
		g.file(name, tool)
	}
	for alias, of := range map[string]string{"sbin/ip6tables": "iptables", "sbin/ip6tables-legacy": "iptables-legacy", "sbin/modprobe": "../bin/busybox"} {
		g.entry(alias, fs.ModeSymlink|0o777, []byte(of))
	}
	extensions, _ := filepath.Glob("/usr/lib/x86_64-linux-gnu/xtables/*.so")
	for _, path := range extensions {
		g.file(path[1:], path)
	}
	for _, dir := range []string{"proc", "sys", "dev", "run", "tmp", "root", "etc/f2bpipe/filter.d", "var/lib/f2bpipe", "var/lib/fail2ban", "var/log", "var/run"} {
		g.dirs(dir + "/x")
	}
	needed := regexp.MustCompile(`/modules\.\w+$|/kernel/(net|lib|crypto)/|/arch/x86/crypto/crc|/veth\.ko$`)
	err := filepath.WalkDir(filepath.Join(kernel, "lib/modules"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && needed.MatchString(path) && !without.MatchString(path) {
			g.file(strings.TrimPrefix(path, kernel+"/"), path)
		}
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

// file puts a file in, by its path or the name of a program, and the libraries
// that it is linked with.
func (g *guest) file(name, source string) {
	path, err := exec.LookPath(source)
	if err != nil {
		path = source
	}
	data, err := os.ReadFile(path)
	if err != nil {
		g.t.Fatal(err)
	}
	g.entry(name, 0o755, data)
	if strings.HasSuffix(path, ".ko") || !bytes.HasPrefix(data, []byte("\x7fELF")) {
		return
	}
	out, _ := exec.Command("ldd", path).Output() // fails for a static one
	for _, library := range regexp.MustCompile(`/\S+\.so[.\w]*`).FindAllString(string(out), -1) {
		if !g.seen[library[1:]] {
			g.file(library[1:], library)
		}
	}
}

func (g *guest) text(name string, mode fs.FileMode, text string) { g.entry(name, mode, []byte(text)) }

// dirs makes the folders above a path.
func (g *guest) dirs(name string) {
	if dir := filepath.Dir(name); dir != "." && !g.seen[dir] {
		g.entry(dir, fs.ModeDir|0o755, nil)
	}
}

// entry writes one entry in cpio's "newc" format, which the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst).
func (g *guest) entry(name string, mode fs.FileMode, data []byte) {
	if g.seen[name] {
		return
	}
	g.dirs(name)
	g.seen[name] = true
	kind := uint32(0o100000)
	switch {
	case mode.IsDir():
		kind = 0o040000
	case mode&fs.ModeSymlink != 0:
		kind = 0o120000
	}
	g.made++
	pad := func() { g.cpio.Write(make([]byte, -g.cpio.Len()&3)) }
	fmt.Fprintf(&g.cpio, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		g.made, kind|uint32(mode.Perm()), 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	pad()
	g.cpio.Write(data)
	pad()
}

// boot runs the guest until it ends and returns what it wrote to its console.
func (g *guest) boot(image string) string {
	g.t.Helper()
	g.entry("TRAILER!!!", 0, nil)
	initrd := filepath.Join(g.t.TempDir(), "initrd")
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // the level is one that there is
	_, err := w.Write(g.cpio.Bytes())
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = os.WriteFile(initrd, packed.Bytes(), 0o600)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*time.Minute)
	defer cancel()
	began := time.Now()
	out, err := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-m", "1024", "-nographic", "-no-reboot",
		"-nodefaults", "-serial", "stdio", "-kernel", image, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1").CombinedOutput()
	if err != nil {
		g.t.Fatalf("qemu: %v: %s", err, out)
	}
	g.t.Logf("ran for %v", time.Since(began).Round(time.Second))
	return string(out)
}
