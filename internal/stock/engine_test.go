package stock

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// job is a filter with its parameters, and lines to run it over in order.
type job struct {
	Filter  string            `json:"filter"`
	Options map[string]string `json:"opts"`
	Fresh   bool              `json:"fresh"` // forget sessions and dates between two lines
	Lines   []string          `json:"lines"`
}

// failure is what an engine found in a line.
type failure struct {
	Host  string            `json:"host"`
	Time  float64           `json:"time"` // seconds since the epoch
	Regex int               `json:"regex"`
	Tags  map[string]string `json:"fields"`
}

// engine runs jobs over the stock configuration: for each job and each of its
// lines the failures, of every failregex that matches.
type engine func(t testing.TB, jobs []job) [][][]failure

// peer returns Debian's fail2ban as the engine, by the samples' clock.
func peer(t testing.TB) engine { return peerAt(t, samplesNow, "UTC") }

// peerAt returns Debian's fail2ban with a clock and a zone.
func peerAt(t testing.TB, now time.Time, zone string) engine {
	python, tree := testenv.Python(t), layOut(t)
	return func(t testing.TB, jobs []job) [][][]failure {
		t.Helper()
		task, err := json.Marshal(map[string]any{"config": tree, "tz": zone, "now": now.Unix(), "jobs": jobs})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(python, "testdata/oracle.py")
		cmd.Stdin = bytes.NewReader(task)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("oracle: %v\n%s", err, stderr.String())
		}
		var results []struct {
			Error string      `json:"error"`
			Lines [][]failure `json:"lines"`
		}
		if err := json.Unmarshal(out, &results); err != nil {
			t.Fatal(err)
		}
		found := make([][][]failure, len(jobs))
		for i, r := range results {
			if r.Error != "" {
				t.Errorf("%s%v: %s", jobs[i].Filter, jobs[i].Options, r.Error)
				r.Lines = make([][]failure, len(jobs[i].Lines))
			}
			found[i] = r.Lines
		}
		return found
	}
}

// layOut writes the stock configuration into a folder, as /etc/fail2ban is.
func layOut(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, FS()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// filterNames returns the filters that jails can use: all but the includes.
func filterNames(t testing.TB) []string {
	t.Helper()
	return names(t, "filter.d", func(name string) bool {
		return name == "common" || strings.HasSuffix(name, "-common")
	})
}

// names returns the names of a folder's files without .conf.
func names(t testing.TB, folder string, skip func(string) bool) []string {
	t.Helper()
	files, err := fs.Glob(FS(), path.Join(folder, "*.conf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", folder, len(files), err)
	}
	var out []string
	for _, file := range files {
		if name := strings.TrimSuffix(path.Base(file), ".conf"); !skip(name) {
			out = append(out, name)
		}
	}
	return out
}
