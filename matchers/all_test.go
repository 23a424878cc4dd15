package matchers_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// allFail2ban names every filter of fail2ban's configuration that matches
// single lines, but for the two that every line is tried on: 3proxy's rule needs
// no text at all, openhab's one that a date could divide into two too short ones.
func allFail2ban(t testing.TB) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Shared(t, "fail2ban", "config"), "filter.d", "*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".conf")
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("failregex")) && !bytes.Contains(text, []byte("\nmaxlines")) && !strings.HasSuffix(name, "common") && name != "3proxy" && name != "openhab" {
			names = append(names, name)
		}
	}
	return names
}
