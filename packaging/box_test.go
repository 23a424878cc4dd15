package packaging

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// A box is a machine of its own as far as a test goes: this machine's files,
// over which it writes to memory, in mount, network, host name and process
// namespaces of its own. All of it ends with the test.
type box struct {
	t   *testing.T
	pid string // of its first process
}

// boxSetup makes the box's root and stays. $1 is an empty folder.
const boxSetup = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t tmpfs tmpfs dev
for d in null zero full random urandom tty; do : >dev/$d; mount --bind /dev/$d dev/$d; done
ln -s /proc/self/fd dev/fd; ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
chmod 1777 tmp
hostname mail
ip link set lo up
: >run/ready
exec chroot . sleep 3600
`

func newBox(t *testing.T) *box {
	t.Helper()
	testenv.NeedNamespaces(t)
	dir := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c", boxSetup, "box", dir)
	// A file, not a buffer: it is read while the process may still write.
	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	b := &box{t: t}
	var stderr string
	b.until(10*time.Second, "the box is there", func() bool {
		stderr = read(t, said.Name())
		children, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/" + strconv.Itoa(cmd.Process.Pid) + "/children")
		b.pid = strings.TrimSpace(string(children))
		_, err := os.Stat("/proc/" + b.pid + "/root/run/ready")
		return b.pid != "" && err == nil || stderr != ""
	})
	if stderr != "" {
		t.Fatalf("box: %s", stderr)
	}
	return b
}

// until waits for a condition that other processes bring about.
func (b *box) until(limit time.Duration, what string, is func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("not after %s: %s", limit, what)
		}
	}
}

// command is a command inside.
func (b *box) command(args ...string) *exec.Cmd {
	args = append([]string{"-t", b.pid, "-m", "-n", "-u", "-p", "-r", "-w", "env", "-i",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TZ=UTC", "HOME=/root"}, args...)
	return exec.Command("nsenter", args...)
}

// run runs a command inside; out is stdout and stderr as they come.
func (b *box) run(args ...string) (out string, status int) {
	b.t.Helper()
	text, err := b.command(args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(text), exit.ExitCode()
	} else if err != nil {
		b.t.Fatal(err)
	}
	return string(text), 0
}

// ok runs a command that must succeed, and returns its output without the last line end.
func (b *box) ok(args ...string) string {
	b.t.Helper()
	out, status := b.run(args...)
	if status != 0 {
		b.t.Errorf("%s: exit status %d: %s", strings.Join(args, " "), status, out)
	}
	return strings.TrimSuffix(out, "\n")
}

// sh runs a script inside that must succeed.
func (b *box) sh(script string) string {
	b.t.Helper()
	return b.ok("sh", "-ec", script)
}

// write writes a file inside.
func (b *box) write(path, text string) {
	b.t.Helper()
	path = filepath.Join("/proc", b.pid, "root", path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// copyIn copies a program from outside.
func (b *box) copyIn(from, to string) {
	b.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(to, string(text))
	b.ok("chmod", "755", to)
}

// copyTree copies what is in a directory outside, which the box need not have: its
// /tmp is its own.
func (b *box) copyTree(from, to string) {
	b.t.Helper()
	if err := os.CopyFS(filepath.Join("/proc", b.pid, "root", to), os.DirFS(from)); err != nil {
		b.t.Fatal(err)
	}
}

// link connects two boxes by a cable: 172.30.77.2 and .3, fd00:77::2 and ::3.
func link(a, b *box) {
	a.t.Helper()
	host := func(args ...string) {
		a.t.Helper()
		if out, err := exec.Command("nsenter", append([]string{"-t", a.pid, "-n"}, args...)...).CombinedOutput(); err != nil {
			a.t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	host("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b.pid)
	for i, side := range []*box{a, b} {
		n := strconv.Itoa(i + 2)
		side.sh("ip addr add 172.30.77." + n + "/24 dev eth0; ip -6 addr add fd00:77::" + n + "/64 dev eth0 nodad; ip link set eth0 up")
	}
}

// scratch is a folder for what all tests use. It goes with the last of them.
var scratch = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "f2bpipe-packaging")
	if err == nil {
		made.Store(&dir)
	}
	return dir, err
})

var made atomic.Pointer[string]

// built is the program, built once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "f2bpipe")
	cmd := exec.Command("go", "build", "-o", path, "../cmd/f2bpipe")
	if out, err := cmd.CombinedOutput(); err != nil {
		return path, fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if dir := made.Load(); dir != nil {
		_ = os.RemoveAll(*dir)
	}
	os.Exit(status)
}

// program builds f2bpipe.
func program(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
