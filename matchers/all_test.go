package matchers_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// allFail2ban names every filter of fail2ban's configuration.
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
		if bytes.Contains(text, []byte("failregex")) && !strings.HasSuffix(name, "common") {
			names = append(names, name)
		}
	}
	return names
}
