package store

import (
	"os"
	"runtime"
	"testing"
)

// lockThread binds the test to its thread, which ends with it: what the thread
// unshared must not be another test's.
func lockThread(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
}

// needNamespace skips, or fails where namespaces are required.
func needNamespace(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("F2BPIPE_REQUIRE_NETNS") == "1" {
		t.Fatalf("no mount namespace: %v (F2BPIPE_REQUIRE_NETNS=1)", err)
	}
	t.Skipf("no mount namespace: %v", err)
}
