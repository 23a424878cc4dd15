package sources

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// A file's lag is what stands in it and was not read.
func TestLagOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := newWriter(t, path)
	w.write(1)
	s := follow(t, path)
	s.wait(1)
	s.pause(true)
	w.write(60_000)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	lag := &s.input(path).Lag
	waitFor(t, "a lag of some blocks", func() bool {
		s.pass() // a batch, which tells it
		n := lag.Load()
		return n > info.Size()/2 && n < info.Size()
	})
	s.pause(false)
	s.wait(60_001)
	waitFor(t, "no lag", func() bool { return lag.Load() == 0 })
}

// A journal's lag is estimated from its files: it grows with what is not read,
// is no more than they hold, and ends with it.
func TestLagOfAJournal(t *testing.T) {
	d := testenv.StartJournald(t, 200)
	for _, backend := range []string{"libsystemd", "journalctl"} {
		t.Run(backend, func(t *testing.T) {
			s := followJournal(t, backend, JournalOptions{Path: d.Dir, Matches: [][]string{{"SYSLOG_IDENTIFIER=sshd"}}}, Start{Tail: true})
			d.Send("the first")
			s.wait(1)
			lag := &s.input("systemd-journal").Lag
			s.pause(true)
			const n = 12_000
			for i := range n {
				d.Send(fmt.Sprintf("%s %06d %s", backend, i, strings.Repeat("x", 200)))
			}
			waitFor(t, "a lag", func() bool {
				s.pass() // a batch, which tells it
				return lag.Load() > 0
			})
			if got, most := lag.Load(), int64(64<<20); got > most {
				t.Errorf("%d bytes behind", got)
			}
			s.pause(false)
			s.wait(n + 1)
			waitFor(t, "no lag", func() bool { return lag.Load() == 0 })
		})
	}
}
