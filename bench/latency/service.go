package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// service is f2bpipe or fail2ban that follows a log.
type service struct {
	*lab
	dir  string
	cmd  *exec.Cmd
	log  *os.File
	bans int
	err  bytes.Buffer
}

const jail = `[DEFAULT]
ignoreself = false
ignoreip =
[bench]
enabled = true
filter = bench
backend = %s
logpath = %s
maxretry = 1
findtime = 1h
bantime = 1h
port = ssh
banaction = %s
action = %%(action_)s
`

// address is the i'th address, no two the same.
func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(11 + i>>24), byte(i >> 16), byte(i >> 8), byte(i)})
}

// startService starts name (f2bpipe or fail2ban) over a copy of the
// configuration with one jail, and returns when it follows its log.
func (l *lab) startService(name, action string) (*service, error) {
	dir, err := os.MkdirTemp("", "latency")
	if err != nil {
		return nil, err
	}
	s := &service{lab: l, dir: dir}
	etc, log := filepath.Join(dir, "etc"), filepath.Join(dir, "bench.log")
	if _, err := os.Stat(l.config); err == nil {
		if out, err := exec.Command("cp", "-r", l.config, etc).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("copy %s: %w: %s", l.config, err, out)
		}
	}
	_ = os.RemoveAll(filepath.Join(etc, "jail.d")) // the distribution's own jails
	backend := "auto"
	if name == "fail2ban" {
		if _, err := exec.Command("/usr/bin/python3", "-c", "import pyinotify").CombinedOutput(); err != nil {
			backend = "polling"
		}
	}
	files := map[string]string{
		filepath.Join(etc, "jail.local"):             fmt.Sprintf(jail, backend, log, action),
		filepath.Join(etc, "filter.d", "bench.conf"): "[Definition]\nfailregex = ^ login failed from <HOST>$\n",
		log: "",
	}
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if s.log, err = os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0); err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "sock")
	// Debian 12 has no iptables either: nothing may depend on it.
	args := []string{l.f2bpipe, "run", "--config", etc, "--socket", socket}
	if name == "fail2ban" {
		args = []string{"fail2ban-server", "-xf", "-c", etc, "-s", socket, "-p", filepath.Join(dir, "pid"), "--logtarget", filepath.Join(dir, "fail2ban.log"), "start"}
		if err := os.WriteFile(filepath.Join(etc, "fail2ban.local"), []byte("[Definition]\ndbfile = :memory:\n"), 0o644); err != nil {
			return nil, err
		}
	} else if err := os.WriteFile(filepath.Join(etc, "fail2ban.local"), []byte("[Definition]\ndbfile = "+filepath.Join(dir, "db")+"\nlogtarget = "+filepath.Join(dir, "f2bpipe.log")+"\n"), 0o644); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Stderr, s.cmd.Stdout = &s.err, &s.err
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	return s, s.warm()
}

// warm writes addresses until one comes through.
func (s *service) warm() error {
	for began := time.Now(); ; {
		want, text := s.next(1)
		if _, err := s.log.WriteString(text); err != nil {
			return err
		}
		_, err := s.ears.wait(want, time.Second)
		if err == nil {
			return nil
		}
		if time.Since(began) > 20*time.Second {
			return fmt.Errorf("%w: %s", err, s.err.Bytes())
		}
	}
}

// next returns n new addresses and a log's lines of them.
func (s *service) next(n int) (want map[netip.Addr]bool, text string) {
	want = make(map[netip.Addr]bool, n)
	var b strings.Builder
	now := time.Now().Format(time.DateTime)
	for range n {
		s.used++
		s.bans++
		a := address(s.used)
		want[a] = true
		b.WriteString(now + " login failed from " + a.String() + "\n")
	}
	return want, b.String()
}

// paced bans one address at a time.
func (s *service) paced(by string, n int, gap time.Duration) error {
	var times []time.Duration
	next := time.Now()
	for range n {
		next = next.Add(gap)
		for time.Now().Before(next) { // nothing is asleep when the time comes
			time.Sleep(time.Until(next))
		}
		want, text := s.next(1)
		began := time.Now()
		if _, err := s.log.WriteString(text); err != nil {
			return err
		}
		last, err := s.ears.wait(want, 20*time.Second)
		if err != nil {
			return err
		}
		times = append(times, last.Sub(began))
		next = time.Now()
	}
	slices.Sort(times)
	row(fmt.Sprintf("%d, one every %v: p50 / p99 / max", n, gap), by, "%s / %s / %s",
		ms(quantile(times, 0.5)), ms(quantile(times, 0.99)), ms(times[len(times)-1]))
	return nil
}

// bursts bans n addresses that are written at once.
func (s *service) bursts(by string, n, rounds int) error {
	var times []time.Duration
	for range rounds {
		want, text := s.next(n)
		began := time.Now()
		if _, err := s.log.WriteString(text); err != nil {
			return err
		}
		last, err := s.ears.wait(want, 2*time.Minute)
		if err != nil {
			return err
		}
		times = append(times, last.Sub(began))
	}
	row(fmt.Sprintf("%d in one write, all in the kernel", n), by, "%s", ms(median(times)))
	return nil
}

// usage says what processor time and memory the service has taken.
func (s *service) usage(by, when string) {
	pid := strconv.Itoa(s.cmd.Process.Pid)
	stat, _ := os.ReadFile("/proc/" + pid + "/stat")
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	memory := map[string]string{}
	for line := range strings.Lines(string(status)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			memory[key] = strings.TrimSpace(value)
		}
	}
	row(fmt.Sprintf("%s: user / system time, memory now / at most (%d bans)", when, s.bans), by, "%v / %v, %s / %s",
		time.Duration(user)*tick, time.Duration(system)*tick, memory["VmRSS"], memory["VmHWM"])
}

// stop ends the service and takes its bans away.
func (s *service) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		return fmt.Errorf("%s does not end", s.cmd.Path)
	}
	out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("nft: %w: %s", err, out)
	}
	return err
}

func (s *service) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.log.Close()
	_ = os.RemoveAll(s.dir)
}
