package service

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// samples returns the lines of every stock filter that are failures, as the
// journal has them: who says it, and what.
func samples(t *testing.T) (out [][2]string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Root(t), "internal/stock/testdata/samples/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		match := false
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(line, "#") || line == "" {
				match = strings.HasPrefix(line, "# match")
				continue
			}
			if match && !strings.ContainsRune(line, 0) {
				ident, message := "sshd", line
				if head, tail, ok := strings.Cut(line, "]: "); ok {
					words := strings.Fields(head)
					ident, _, _ = strings.Cut(words[len(words)-1], "[")
					message = tail
				}
				out = append(out, [2]string{ident, message})
			}
			match = false
		}
	}
	return out
}

// A user without privileges writes to the journal what every stock filter
// looks for, under any name, by a program of any name: nobody is banned, not
// even found, also where users' journals are read. The same line by sshd's own
// unit is a failure.
func TestJournalUserCannotForge(t *testing.T) {
	d := testenv.StartJournald(t, 64)
	tr := newSite(t)
	options := config.Options{Dir: tr.dir, Stock: stock.FS(), Enable: []string{config.AllJails}}
	options.Overrides.Jail = map[string]string{"backend": "systemd[journalpath=" + d.Dir + "]", "maxretry": "1"}
	tree, _ := config.Load(options)
	options.Enable = nil
	for _, c := range tree.Jails {
		if len(c.Journalmatch) > 0 {
			options.Enable = append(options.Enable, c.Name)
		}
	}
	if len(options.Enable) < 25 {
		t.Fatalf("only %d stock jails have a journalmatch", len(options.Enable))
	}
	list := samples(t)
	if len(list) < 300 {
		t.Fatalf("only %d samples", len(list))
	}
	s := tr.start(func(c *Config) { c.Options = options })
	forged := "login from 203.0.113.66"
	for _, name := range []string{"sshd", "postfix"} {
		user := d.Program(name, 4321, "")
		for _, x := range list {
			user.Log("SYSLOG_IDENTIFIER="+x[0], "SYSLOG_FACILITY=10", "_SYSTEMD_UNIT=sshd.service", "_UID=0", "_COMM=sshd", "MESSAGE="+x[1])
		}
		user.Log("SYSLOG_IDENTIFIER=sshd", "MESSAGE="+forged)
	}
	until(t, "the forged entries are in the journal", func() bool { return strings.Count(d.Journalctl("MESSAGE="+forged), forged) == 2 })
	host := d.Program("sshd", 0, "ssh.service")
	host.Log("SYSLOG_IDENTIFIER=sshd", "MESSAGE=Failed password for root from 203.0.113.7 port 22 ssh2")
	s.out.wait(t, 1, `"ban"`, `"sshd"`, "203.0.113.7")
	for _, name := range options.Enable {
		want := 0
		if name == "sshd" {
			want = 1
		}
		st := s.status(t, name)
		if st.Failed.Total != want || st.Banned.Total != want {
			t.Errorf("%s: %d failures, %d bans, want %d: %s", name, st.Failed.Total, st.Banned.Total, want, fmt.Sprint(st.Banned.List))
		}
	}
}
