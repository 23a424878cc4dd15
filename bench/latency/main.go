// Command latency measures how long it takes from a log line's write to its
// address in the kernel, through the whole program that follows the file, and
// Debian's fail2ban, nft beside it on the same machine in the same run.
//
//	go build -o f2bpipe ./cmd/f2bpipe && go run ./bench/latency --f2bpipe ./f2bpipe
//
// It needs root: everything happens in a network namespace of its own. The
// kernel's notification of a new element is the clock's end; it is heard by
// who listens before the program's next step. The configuration is a copy of
// /etc/fail2ban where there is one.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// options are the command line's.
type options struct {
	f2bpipe  string
	config   string
	paced    int
	gap      time.Duration
	burst    int
	many     int
	rounds   int
	fail2ban bool
}

// lab is what all measurements share.
type lab struct {
	options
	ears *ears
	used int // addresses, so that no two are the same
}

func main() {
	var o options
	flag.StringVar(&o.f2bpipe, "f2bpipe", "./f2bpipe", "the program")
	flag.StringVar(&o.config, "config", "/etc/fail2ban", "configuration to copy; one of our own where it is not there")
	flag.IntVar(&o.paced, "paced", 1000, "addresses, one at a time")
	flag.DurationVar(&o.gap, "gap", 5*time.Millisecond, "between two of them")
	flag.IntVar(&o.burst, "burst", 1000, "addresses in one write")
	flag.IntVar(&o.many, "many", 100_000, "addresses in one write, and with nft -f")
	flag.IntVar(&o.rounds, "rounds", 3, "how often a burst is measured; the median counts")
	flag.BoolVar(&o.fail2ban, "fail2ban", true, "measure Debian's fail2ban too")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	// The thread is never unlocked: children and sockets are in its namespace.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("a network namespace needs root: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	heading(o)
	heard, err := listen()
	if err != nil {
		return err
	}
	l := &lab{options: o, ears: heard}
	for _, action := range []string{"nftables-multiport", "iptables-multiport"} {
		if err := l.measureOurs(action); err != nil {
			return fmt.Errorf("f2bpipe with %s: %w", action, err)
		}
	}
	if err := measureSink(o); err != nil {
		return fmt.Errorf("the sink alone: %w", err)
	}
	if err := measureNft(o); err != nil {
		return fmt.Errorf("nft -f: %w", err)
	}
	if _, err := exec.LookPath("fail2ban-server"); err == nil && o.fail2ban {
		return l.measureFail2ban()
	}
	return nil
}

// heading says on what it was measured.
func heading(o options) {
	var u unix.Utsname
	_ = unix.Uname(&u)
	cpu := "unknown"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("command: bench/latency --paced %d --gap %v --burst %d --many %d --rounds %d\n", o.paced, o.gap, o.burst, o.many, o.rounds)
	fmt.Printf("cpu %s (%d), kernel %s, %s, load before: %s\n", cpu, runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]), runtime.Version(), load)
	fmt.Println("| what | by | figure |")
	fmt.Println("|---|---|---:|")
}

func row(what, by, format string, args ...any) {
	fmt.Printf("| %s | %s | %s |\n", what, by, fmt.Sprintf(format, args...))
}

// ms writes a time in milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d.Microseconds())/1000) }

// quantile of sorted times.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// measureOurs measures f2bpipe with an action: our layout in each case.
func (l *lab) measureOurs(action string) error {
	by := "f2bpipe, " + action
	s, err := l.startService("f2bpipe", action)
	if err != nil {
		return err
	}
	defer s.kill()
	if action == "nftables-multiport" {
		if err := s.paced(by, l.paced, l.gap); err != nil {
			return err
		}
	}
	if err := s.bursts(by, l.burst, l.rounds); err != nil {
		return err
	}
	s.usage(by, "after the bursts")
	if action == "nftables-multiport" {
		if err := s.bursts(by, l.many, 1); err != nil {
			return err
		}
		s.usage(by, "with all of them banned")
	}
	return s.stop()
}

// measureFail2ban measures Debian's fail2ban; its bursts are small.
func (l *lab) measureFail2ban() error {
	s, err := l.startService("fail2ban", "nftables-multiport")
	if err != nil {
		return err
	}
	defer s.kill()
	// More than one a second's poll: each address waits for its own.
	if err := s.paced("fail2ban", min(l.options.paced, 50), 100*time.Millisecond); err != nil {
		return err
	}
	if err := s.bursts("fail2ban", l.burst, 1); err != nil {
		return err
	}
	s.usage("fail2ban", "after the bursts")
	return s.stop()
}

// measureNft is what nft itself needs for many elements in one file.
func measureNft(o options) error {
	file, err := os.CreateTemp("", "latency")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	var b strings.Builder
	b.WriteString("add table inet peer\nadd set inet peer s { type ipv4_addr; flags timeout; }\nadd element inet peer s {\n")
	for i := range o.many {
		fmt.Fprintf(&b, "%s timeout 1h,\n", address(i))
	}
	b.WriteString("}\n")
	if _, err := file.WriteString(b.String()); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	var times []time.Duration
	for range o.rounds {
		began := time.Now()
		out, err := exec.Command("nft", "-f", file.Name()).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		times = append(times, time.Since(began))
		if out, err := exec.Command("nft", "delete", "table", "inet", "peer").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	row(fmt.Sprintf("%d in one file", o.many), "nft -f", "%s", ms(median(times)))
	return nil
}
