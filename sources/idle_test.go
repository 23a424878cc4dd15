package sources

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// cpuOf returns the time that the threads of a process have run.
func cpuOf(t testing.TB, pid string) (sum time.Duration) {
	t.Helper()
	files, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		var nanos int64
		if err == nil {
			_, err = fmt.Sscan(string(text), &nanos)
		}
		if err != nil && !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such process") {
			t.Fatal(err)
		}
		sum += time.Duration(nanos)
	}
	if len(files) == 0 {
		t.Fatalf("process %s is not there", pid)
	}
	return sum
}

// Following 100 idle files and a quiet journal takes less than 2 % of a core.
func TestIdleCost(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector everything costs more")
	}
	span := 4 * time.Second
	if testing.Short() {
		span = time.Second
	}
	dir := t.TempDir()
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d.log", i)), []byte("line\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := follow(t, filepath.Join(dir, "*.log"))
	files.wait(100)
	d := testenv.StartJournald(t, 64)
	journal := followJournal(t, "libsystemd", JournalOptions{Path: d.Dir, Matches: [][]string{{"SYSLOG_IDENTIFIER=sshd"}}}, Start{Tail: true})
	d.Send("one")
	journal.wait(1)
	reader := fmt.Sprint(readerPid(t))
	own, theirs := cpuOf(t, "self"), cpuOf(t, reader)
	<-time.After(span)
	own, theirs = cpuOf(t, "self")-own, cpuOf(t, reader)-theirs
	percent := float64(own+theirs) / float64(span) * 100
	t.Logf("%.2f %% of a core: %.2f %% here, %.2f %% the journal's reader", percent, float64(own)/float64(span)*100, float64(theirs)/float64(span)*100)
	if percent >= 2 {
		t.Errorf("%.2f %% of a core, want less than 2", percent)
	}
}
