package seen

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

const jail = `[bench]
enabled = true
filter = bench
backend = %s
logpath = %s
maxretry = 1000000
action =
`

// watcher is a program that follows a log and says what it finds.
type watcher struct {
	found chan found
}

type found struct {
	addr string
	at   time.Time
}

// hear reads the program's log.
func (w *watcher) hear(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		at := time.Now()
		if _, rest, ok := strings.Cut(lines.Text(), "] Found "); ok {
			addr, _, _ := strings.Cut(rest, " ")
			w.found <- found{addr, at}
		}
	}
}

// start runs a program over a configuration of one jail, where the journald is.
func start(b *testing.B, d *testenv.Journald, program, backend string) (w *watcher, log string) {
	b.Helper()
	dir := b.TempDir()
	log = filepath.Join(dir, "bench.log")
	files := map[string]string{
		"fail2ban.local":      "[Definition]\nlogtarget = STDOUT\ndbfile = None\n",
		"jail.local":          fmt.Sprintf(jail, backend, log),
		"filter.d/bench.conf": "[Definition]\nfailregex = ^(?:\\S+ \\S+:)? login failed from <HOST>$\njournalmatch = SYSLOG_IDENTIFIER=sshd\n",
		"bench.log":           "",
	}
	args := []string{program, "run", "--dry-run", "--config", dir, "--socket", dir + "/sock"}
	if program == "fail2ban-server" {
		conf, err := os.ReadFile("/etc/fail2ban/fail2ban.conf")
		if err != nil {
			b.Skip(err)
		}
		files["fail2ban.conf"] = string(conf)
		args = []string{program, "-f", "-c", dir, "-s", dir + "/sock", "-p", dir + "/pid", "start"}
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	r, out, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd := d.As(0, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	_ = out.Close()
	w = &watcher{found: make(chan found, 1024)}
	heard := make(chan struct{})
	go func() { defer close(heard); w.hear(r) }()
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		<-heard
	})
	return w, log
}

// measure writes a line at a time and reports when it was found.
func measure(b *testing.B, w *watcher, write func(message string)) {
	b.Helper()
	n := int(time.Now().UnixNano() / 1e6 % (1 << 24)) // the journal holds those of the runs before
	one := func(patience time.Duration) (time.Duration, bool) {
		n++
		addr := fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)
		began := time.Now()
		write("login failed from " + addr)
		late := time.After(patience)
		for {
			select {
			case f := <-w.found:
				if f.addr == addr {
					return f.at.Sub(began), true
				}
			case <-late:
				return 0, false
			}
		}
	}
	ready := false
	for range 20 {
		if _, ready = one(time.Second); ready {
			break
		}
	}
	if !ready {
		b.Fatal("nothing is found")
	}
	var all []time.Duration
	pace := time.NewTicker(13 * time.Millisecond) // in step with nobody's polling
	defer pace.Stop()
	for b.Loop() {
		<-pace.C
		took, ok := one(20 * time.Second)
		if !ok {
			b.Fatal("a line was not found")
		}
		all = append(all, took)
	}
	slices.Sort(all)
	ms := func(q float64) float64 {
		return float64(all[min(len(all)-1, int(q*float64(len(all))))].Microseconds()) / 1000
	}
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkSeen(b *testing.B) {
	d := testenv.StartJournald(b, 64)
	ours := filepath.Join(b.TempDir(), "f2bpipe")
	if out, err := exec.Command("go", "build", "-o", ours, "github.com/f2bpipe/f2bpipe/cmd/f2bpipe").CombinedOutput(); err != nil {
		b.Fatalf("build: %v: %s", err, out)
	}
	const theirs = "fail2ban-server"
	has := func(module string) bool { return exec.Command("/usr/bin/python3", "-c", "import "+module).Run() == nil }
	for _, program := range []string{ours, theirs} {
		name := filepath.Base(program)
		b.Run("log=file/by="+name, func(b *testing.B) {
			w, log := start(b, d, program, "auto")
			f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			measure(b, w, func(message string) {
				if _, err := fmt.Fprintf(f, "%s %s\n", time.Now().Format(time.DateTime), message); err != nil {
					b.Fatal(err)
				}
			})
			if program == theirs && !has("pyinotify") {
				b.Log("without python3-pyinotify: fail2ban polls")
			}
		})
		b.Run("log=journal/by="+name, func(b *testing.B) {
			if program == theirs && !has("systemd.journal") {
				b.Skip("python3-systemd is not installed: fail2ban reads no journal")
			}
			w, _ := start(b, d, program, "systemd")
			measure(b, w, d.Send)
		})
	}
}
