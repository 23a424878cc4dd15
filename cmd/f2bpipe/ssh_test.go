package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// lab is a host between an attacker and a third party, each in a network
// namespace of its own.
type lab struct {
	t                     *testing.T
	dir                   string
	host, attacker, third string // names of the namespaces
}

const (
	hostToAttacker, attackerAddr = "192.0.2.1", "192.0.2.66"
	hostToThird, thirdAddr       = "198.51.100.1", "198.51.100.7"
)

func newLab(t *testing.T) *lab {
	testenv.NeedNamespaces(t)
	for _, tool := range []string{"ip", "sshd", "ssh", "sshpass", "ssh-keygen"} {
		testenv.NeedTool(t, tool)
	}
	id := fmt.Sprintf("f2bpipe-%d-", os.Getpid())
	l := &lab{t: t, dir: t.TempDir(), host: id + "host", attacker: id + "bad", third: id + "good"}
	for _, ns := range []string{l.host, l.attacker, l.third} {
		l.must("ip", "netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		l.must("ip", "-n", ns, "link", "set", "lo", "up")
	}
	l.link(l.attacker, "bad", attackerAddr, hostToAttacker)
	l.link(l.third, "good", thirdAddr, hostToThird)
	return l
}

// link joins a namespace with the host's by a pair of interfaces.
func (l *lab) link(ns, name, addr, hostAddr string) {
	l.must("ip", "-n", l.host, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", ns)
	l.must("ip", "-n", l.host, "addr", "add", hostAddr+"/24", "dev", name)
	l.must("ip", "-n", ns, "addr", "add", addr+"/24", "dev", "eth0")
	l.must("ip", "-n", l.host, "link", "set", name, "up")
	l.must("ip", "-n", ns, "link", "set", "eth0", "up")
}

func (l *lab) must(name string, args ...string) {
	l.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// start runs a command in the background until the test ends.
func (l *lab) start(stderr *bytes.Buffer, name string, args ...string) *exec.Cmd {
	l.t.Helper()
	cmd := exec.Command(name, args...)
	if stderr != nil {
		cmd.Stderr = stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
	})
	return cmd
}

// syslog writes what arrives on the socket to the log, as a syslog daemon does.
func (l *lab) syslog(socket, log string) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		l.t.Fatal(err)
	}
	f, err := os.Create(log)
	if err != nil {
		l.t.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		buf := make([]byte, 8192)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			// "<38>Nov 22 13:00:00 sshd[7]: text"
			_, text, _ := bytes.Cut(buf[:n], []byte(">"))
			if len(text) > 16 {
				fmt.Fprintf(f, "%s lab %s\n", time.Now().Format("2006-01-02T15:04:05.000000-07:00"), bytes.TrimRight(text[16:], "\n"))
			}
		}
	})
	l.t.Cleanup(func() {
		conn.Close()
		writing.Wait()
		f.Close()
	})
}

// sshd starts a real sshd in the host's namespace. It sees a /dev of its own,
// whose log is ours.
func (l *lab) sshd(log string) {
	dev := filepath.Join(l.dir, "dev")
	key := filepath.Join(l.dir, "key")
	if err := os.Mkdir(dev, 0o755); err != nil {
		l.t.Fatal(err)
	}
	l.syslog(filepath.Join(dev, "log"), log)
	l.must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	config := filepath.Join(l.dir, "sshd_config")
	text := fmt.Sprintf("HostKey %s\nPidFile none\nUsePAM no\nPasswordAuthentication yes\nPort 22\nMaxStartups 100\n", key)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	script := `set -e
for f in null zero random urandom tty full; do touch "$1/$f"; mount --bind "/dev/$f" "$1/$f"; done
mount --bind "$1" /dev
mkdir -p /run/sshd
exec "$(command -v sshd)" -D -f "$2"`
	l.start(nil, "ip", "netns", "exec", l.host, "unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", dev, config)
	l.eventually("sshd listens", func() bool { return l.connects(l.third, hostToThird) })
}

// connects says whether a TCP connection to the host's port 22 comes about and
// sshd greets. It gives up after a second.
func (l *lab) connects(ns, addr string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "ip", "netns", "exec", ns, "ssh-keyscan", "-T", "1", addr).CombinedOutput()
	return bytes.Contains(out, []byte("ed25519")) && !bytes.Contains(out, []byte("timed out"))
}

// wrongPassword tries to log in with a wrong password.
func (l *lab) wrongPassword(ns, addr string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", ns, "sshpass", "-p", "wrong", "ssh", "-F", "none", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1", "-o", "ConnectTimeout=2",
		"nobody-"+ns[:3]+"@"+addr, "true")
	if err := cmd.Run(); err == nil {
		l.t.Fatal("a wrong password was taken")
	}
}

// eventually waits until f holds, at most ten seconds.
func (l *lab) eventually(what string, f func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// TestSSHAttackerIsBanned is the main job: a real sshd writes its log, f2bpipe
// follows it, and who fails to log in is kept out, until they are unbanned.
func TestSSHAttackerIsBanned(t *testing.T) {
	l := newLab(t)
	binary := buildBinary(t)
	log, config, socket := filepath.Join(l.dir, "auth.log"), filepath.Join(l.dir, "etc"), filepath.Join(l.dir, "run", "f2b.sock")
	if err := os.Mkdir(config, 0o755); err != nil {
		t.Fatal(err)
	}
	jail := "[sshd]\nenabled = true\nbackend = auto\nlogpath = " + log + "\nmaxretry = 5\n"
	if err := os.WriteFile(filepath.Join(config, "jail.local"), []byte(jail), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(config, "fail2ban.local"), []byte("[Definition]\ndbfile = None\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l.sshd(log)
	var stderr bytes.Buffer
	f2bpipe := l.start(&stderr, "ip", "netns", "exec", l.host, binary, "run", "--config", config, "--socket", socket)
	command := func(args ...string) (string, error) {
		cmd := exec.Command(binary, append(args, "--socket", socket)...)
		var out, errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errOut
		err := cmd.Run()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, errOut.String())
		}
		return out.String(), err
	}
	l.eventually("f2bpipe answers", func() bool {
		_, err := command("status")
		return err == nil
	})
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("control socket: %v, mode %v, want 0600", err, info.Mode())
	}
	if !l.connects(l.attacker, hostToAttacker) {
		t.Fatal("the attacker cannot connect before anything happened")
	}
	for range 6 {
		l.wrongPassword(l.attacker, hostToAttacker)
	}
	l.wrongPassword(l.third, hostToThird) // once is no attack
	var st service.Status
	l.eventually("sshd has a ban", func() bool {
		out, err := command("status", "sshd", "--json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(out), &st); err != nil {
			t.Fatal(err)
		}
		return st.Jails[0].Banned.Current == 1
	})
	if got := st.Jails[0].Banned.List; len(got) != 1 || got[0] != attackerAddr {
		t.Errorf("banned: %v, want %s", got, attackerAddr)
	}
	if !st.Enforced {
		t.Errorf("not enforced: %s", st.Reason)
	}
	if st.Jails[0].Failed.Total < 6 {
		t.Errorf("%d failures counted, want at least 6", st.Jails[0].Failed.Total)
	}
	if l.connects(l.attacker, hostToAttacker) {
		t.Error("the banned attacker can connect")
	}
	if !l.connects(l.third, hostToThird) {
		t.Error("the third party cannot connect any more")
	}
	out, err := command("status", "sshd")
	if err != nil || !strings.Contains(out, attackerAddr) {
		t.Errorf("status sshd: %v: %s", err, out)
	}
	if out, err := command("unban", attackerAddr); err != nil || strings.TrimSpace(out) != "1" {
		t.Errorf("unban: %q, %v", out, err)
	}
	if !l.connects(l.attacker, hostToAttacker) {
		t.Error("the attacker cannot connect after the unban")
	}
	if _, err := command("stop"); err != nil {
		t.Error(err)
	}
	if err := f2bpipe.Wait(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Errorf("f2bpipe ended with %v:\n%s", err, stderr.String())
		}
	}
}
