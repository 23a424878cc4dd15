package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// Killed by signal 9 again and again while a log file and the journal flow, the
// service counts every line exactly once: the ban comes with the very last one.
func TestKilledWhileLogsFlow(t *testing.T) {
	testenv.NeedTool(t, "nft")
	d, within := journalHost(t)
	lives, perLife := 4, 3000
	if testing.Short() {
		lives, perLife = 2, 900 // thirds of it are sent
	}
	total := lives * perLife
	dir := t.TempDir()
	log := filepath.Join(dir, "app.log")
	for name, text := range map[string]string{
		"fail2ban.local":      "[Definition]\ndbfile = " + dir + "/db.sqlite3\n",
		"filter.d/entry.conf": "[Definition]\nfailregex = ^(?:\\S+ \\S+:)? login failed from <HOST>( .*)?$\n",
		"jail.local": fmt.Sprintf(`[DEFAULT]
enabled = true
filter = entry
maxretry = %d
findtime = 1h
[entries]
backend = systemd
journalmatch = SYSLOG_IDENTIFIER=app
[lines]
logpath = %s
`, total+1, log),
		"app.log": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fail := func(addr string, n int) {
		t.Helper()
		for range n {
			d.Native("SYSLOG_IDENTIFIER=app\nMESSAGE=login failed from " + addr + "\n")
			if _, err := fmt.Fprintf(f, "%s login failed from %s\n", stampNow(), addr); err != nil {
				t.Fatal(err)
			}
		}
	}
	var out *spoken
	for life := range lives {
		var pid int
		pid, out = runIn(t, within, "--config", dir)
		fail("203.0.113.5", perLife*2/3)
		seen := func(jail string) int { return strings.Count(out.String(), "["+jail+"] Found ") }
		eventually(t, "half of it is counted", func() bool { return seen("entries") > perLife/3 && seen("lines") > perLife/3 })
		if life == lives-1 {
			fail("203.0.113.5", perLife/3)
			break
		}
		if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		fail("203.0.113.5", perLife/3) // while nobody reads
	}
	fail("203.0.113.99", 1)
	for _, jail := range []string{"entries", "lines"} {
		out.wait(t, "["+jail+"] Found 203.0.113.99")
	}
	for _, jail := range []string{"entries", "lines"} {
		if strings.Contains(out.String(), "["+jail+"] Ban ") {
			t.Errorf("%s: banned before %d failures: lines were counted twice", jail, total+1)
		}
	}
	fail("203.0.113.5", 1)
	for _, jail := range []string{"entries", "lines"} {
		out.wait(t, "["+jail+"] Ban 203.0.113.5")
	}
}

func stampNow() string { return time.Now().Format("2006-01-02 15:04:05") }
