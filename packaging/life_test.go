package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// life runs a script of packaging/test, which makes Debian roots of its own; the
// last line that it prints is PASS.
func life(t *testing.T, script string, args ...string) {
	t.Helper()
	out, err := exec.Command(filepath.Join("test", script), args...).CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "\nPASS\n") {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	t.Logf("%s", out)
}

// needLife skips where Debian roots cannot be made, or nobody waits for them.
func needLife(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getenv("F2BPIPE_SOAK") != "1" {
		t.Skip("makes a Debian root, some minutes: F2BPIPE_SOAK=1")
	}
	testenv.NeedNamespaces(t)
	for _, tool := range append(tools, "debootstrap") {
		testenv.NeedTool(t, tool)
	}
}

// TestBareRoot: Go and make are all that `make run` and `make test` need.
func TestBareRoot(t *testing.T) {
	needLife(t)
	life(t, "bare.sh", "run", "test")
}

// TestLife takes fail2ban's place, is upgraded, and gives it back.
func TestLife(t *testing.T) {
	needLife(t, "systemd-nspawn")
	life(t, "install.sh", packages(t))
}

// TestUnitRuns runs the hardened unit where systemd boots.
func TestUnitRuns(t *testing.T) {
	needLife(t, "systemd-nspawn")
	life(t, "unit.sh", packages(t))
}

// TestImage builds the Dockerfile and runs the image.
func TestImage(t *testing.T) {
	needLife(t, "buildah")
	life(t, "image.sh")
}

// dist is what `make package` makes, version 1.2.3, built once for all tests.
var dist = sync.OnceValues(func() (string, error) {
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "dist")
	build := exec.Command("./build")
	build.Env = append(os.Environ(), "OUT="+dir, "VERSION=1.2.3")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, text)
	}
	return dir, nil
})

// packages returns the folder with the packages.
func packages(t *testing.T) string {
	t.Helper()
	dir, err := dist()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
