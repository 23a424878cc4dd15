// Package testenv finds what tests need from outside the project: the shared
// test data, Debian's python with fail2ban, a network namespace of their own.
// Where it is absent the test is skipped with the reason; where the
// environment says that it is required, the test fails.
package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// absent skips the test, or fails it where the variable is "1".
func absent(t testing.TB, variable, format string, args ...any) {
	t.Helper()
	if os.Getenv(variable) == "1" {
		t.Fatalf(format+" ("+variable+"=1)", args...)
	}
	t.Skipf(format, args...)
}

// Root returns the project's root: the folder of go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			err = os.ErrNotExist
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("find go.mod: %v", err)
	return ""
}

// Shared returns the path of the shared test data (../shared beside the
// project's root, joined with elem). F2BPIPE_REQUIRE_SHARED=1 makes its absence a failure.
func Shared(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{Root(t), "..", "shared"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		absent(t, "F2BPIPE_REQUIRE_SHARED", "shared test data is absent: %v", err)
	}
	return path
}

// Python returns Debian's python3 when its fail2ban package can be imported.
// F2BPIPE_REQUIRE_FAIL2BAN=1 makes its absence a failure.
func Python(t testing.TB) string {
	t.Helper()
	const python = "/usr/bin/python3"
	if out, err := exec.Command(python, "-c", "import fail2ban.server.filter").CombinedOutput(); err != nil {
		absent(t, "F2BPIPE_REQUIRE_FAIL2BAN", "Debian's fail2ban is absent: %v: %s", err, out)
	}
	return python
}

// Netns moves the calling goroutine, locked to its thread, into a fresh
// network namespace; the thread ends with the test.
// F2BPIPE_REQUIRE_NETNS=1 makes a refusal a failure.
func Netns(t testing.TB) {
	t.Helper()
	// The thread is never unlocked: it dies with the goroutine, and the namespace with it.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		absent(t, "F2BPIPE_REQUIRE_NETNS", "no network namespace: unshare: %v", err)
	}
}

// NeedNamespaces skips or fails where the process may not make network
// namespaces (`ip netns add` needs root). F2BPIPE_REQUIRE_NETNS=1 makes a
// refusal a failure.
func NeedNamespaces(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		absent(t, "F2BPIPE_REQUIRE_NETNS", "network namespaces need root")
	}
}

// NeedTool skips or fails where a program of a Debian package is not there.
// F2BPIPE_REQUIRE_NETNS=1 makes its absence a failure.
func NeedTool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		absent(t, "F2BPIPE_REQUIRE_NETNS", "%s is not installed", name)
	}
}

// NeedIptables skips or fails where the programs of Debian's packages iptables
// and ipset are not there. F2BPIPE_REQUIRE_IPTABLES=1 makes their absence a failure.
func NeedIptables(t testing.TB) {
	t.Helper()
	for _, name := range []string{"iptables-legacy", "ip6tables-legacy", "ipset"} {
		if _, err := exec.LookPath(name); err != nil {
			absent(t, "F2BPIPE_REQUIRE_IPTABLES", "%s is not installed", name)
		}
	}
}
