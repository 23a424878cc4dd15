package main

import (
	"bytes"
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

// host is a network namespace in which the program runs over a configuration;
// the test's thread and its children are in it.
type host struct {
	t      *testing.T
	binary string
	dir    string
	cmd    *exec.Cmd
	ended  chan error
	stderr *logged
	attr   *syscall.SysProcAttr // how the service is started; nil: plainly
}

// logged is a process's stderr.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newHost writes jail.local; LOG in it is the path of a log that is there.
func newHost(t *testing.T, jailLocal string) *host {
	t.Helper()
	testenv.NeedTool(t, "nft")
	h := &host{t: t, binary: buildBinary(t), dir: t.TempDir()}
	testenv.Netns(t)
	h.must("ip", "link", "set", "lo", "up")
	h.write("etc/jail.local", strings.ReplaceAll(jailLocal, "LOG", h.path("login.log")))
	h.write("etc/filter.d/login.conf", "[Definition]\nfailregex = ^ login failed from <HOST>$\ndatepattern = {^LN-BEG}%%Y-%%m-%%d %%H:%%M:%%S\n")
	h.write("etc/fail2ban.local", "[Definition]\ndbfile = None\n")
	h.write("login.log", "")
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(h.path(name)), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.path(name), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) must(name string, args ...string) string {
	h.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// run starts the service and returns when it answers.
func (h *host) run(args ...string) {
	h.t.Helper()
	h.start(args...)
	h.answers()
}

func (h *host) start(args ...string) {
	h.t.Helper()
	h.stderr = &logged{}
	h.cmd = exec.Command(h.binary, append([]string{"run", "--config", h.path("etc"), "--socket", h.path("sock")}, args...)...)
	h.cmd.Stderr = h.stderr
	h.cmd.Env = append(os.Environ(), "INVOCATION_ID=")
	h.cmd.SysProcAttr = h.attr
	if h.attr == nil {
		h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	cmd, ended := h.cmd, make(chan error, 1)
	h.ended = ended
	go func() { ended <- cmd.Wait() }()
	h.t.Cleanup(func() { _ = cmd.Process.Kill() })
}

func (h *host) answers() {
	h.t.Helper()
	h.until("the service answers", func() bool { return exec.Command(h.binary, "status", "--socket", h.path("sock")).Run() == nil })
}

// until waits for what a condition describes, ten seconds at most.
func (h *host) until(what string, f func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: not within 10 s; log:\n%s", what, h.stderr)
		}
	}
}

// end waits for the service's end after something caused it.
func (h *host) end() {
	h.t.Helper()
	select {
	case err := <-h.ended:
		if err != nil {
			h.t.Fatalf("service: %v: %s", err, h.stderr)
		}
	case <-time.After(10 * time.Second):
		h.t.Fatalf("service does not end: %s", h.stderr)
	}
}

// command runs one of our commands.
func (h *host) command(args ...string) string {
	h.t.Helper()
	return h.must(h.binary, append(args, "--socket", h.path("sock"))...)
}

func (h *host) ruleset() string { return h.must("nft", "list", "ruleset") }

func (h *host) status() (st service.Status) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.command("status", "--json")), &st); err != nil {
		h.t.Fatal(err)
	}
	return st
}

const plainJail = "[login]\nenabled = true\nfilter = login\nlogpath = LOG\nmaxretry = 2\n"

// TestStopOrRestart: what becomes of the bans in the kernel depends on who ends
// the service.
func TestStopOrRestart(t *testing.T) {
	for name, c := range map[string]struct {
		flags []string
		by    func(h *host)
		stays bool
	}{
		"f2bpipe stop":        {by: func(h *host) { h.command("stop") }},
		"SIGINT":              {by: func(h *host) { _ = h.cmd.Process.Signal(syscall.SIGINT) }},
		"SIGTERM":             {by: func(h *host) { _ = h.cmd.Process.Signal(syscall.SIGTERM) }, stays: true},
		"SIGTERM, fail2ban's": {flags: []string{"--expiry", "daemon"}, by: func(h *host) { _ = h.cmd.Process.Signal(syscall.SIGTERM) }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, plainJail)
			h.run(c.flags...)
			h.command("ban", "192.0.2.1")
			if text := h.ruleset(); !strings.Contains(text, "192.0.2.1") {
				t.Fatalf("not banned: %s", text)
			}
			c.by(h)
			h.end()
			text := h.ruleset()
			if stays := strings.Contains(text, "192.0.2.1"); stays != c.stays || !stays && text != "" {
				t.Errorf("after it:\n%s\nlog:\n%s", text, h.stderr)
			}
			if !c.stays {
				return
			}
			h.command("stop") // without a service
			if text := h.ruleset(); text != "" {
				t.Errorf("after f2bpipe stop:\n%s", text)
			}
		})
	}
}

// TestLayoutOfOption: expiry = daemon stands for fail2ban's layout, which comes
// with the first ban of a family and adopts what a killed process left.
func TestLayoutOfOption(t *testing.T) {
	h := newHost(t, "[DEFAULT]\nexpiry = daemon\n"+plainJail+"action = nftables[name=web, port=\"80,443\", protocol=tcp, blocktype=drop, chain_hook=forward, table=t]\n")
	h.run()
	if text := h.ruleset(); text != "" {
		t.Errorf("before the first ban: %s", text)
	}
	h.command("ban", "--jail", "login", "192.0.2.1")
	const want = `table inet t {
	set addr-set-web {
		type ipv4_addr
		flags interval
		elements = { 192.0.2.1 }
	}

	chain f2b-chain {
		type filter hook forward priority filter - 1; policy accept;
		tcp dport { 80, 443 } ip saddr @addr-set-web drop
	}
}
`
	if text := h.ruleset(); text != want {
		t.Errorf("after it:\n%s\nwant:\n%s", text, want)
	}
	_ = h.cmd.Process.Kill()
	<-h.ended
	h.run()
	h.command("ban", "--jail", "login", "192.0.2.1")
	if text := h.ruleset(); text != want {
		t.Errorf("after kill -9 and a start:\n%s\nwant:\n%s", text, want)
	}
	if by := h.status().Kernel; by.By != "nftables" || by.Layout != "fail2ban" {
		t.Errorf("status: %+v", by)
	}
	h.command("stop")
	h.end()
	if text := h.ruleset(); text != "" {
		t.Errorf("after the stop: %s", text)
	}
}

// TestPauseCommand: during a pause nothing of ours is in the kernel, and at its
// end everything.
func TestPauseCommand(t *testing.T) {
	h := newHost(t, plainJail)
	h.run()
	h.command("ban", "192.0.2.1")
	if out := h.command("pause", "10m"); !strings.Contains(out, "nothing is enforced until") {
		t.Errorf("pause: %s", out)
	}
	if text := h.ruleset(); text != "" {
		t.Errorf("paused: %s", text)
	}
	out, err := exec.Command(h.binary, "ban", "192.0.2.2", "--socket", h.path("sock")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not enforced: enforcement is paused") {
		t.Errorf("ban: %v, %s", err, out)
	}
	if st := h.status(); st.Enforced || !strings.Contains(st.Reason, "paused until") || st.Kernel.Paused == nil {
		t.Errorf("status: %v, %q, %+v", st.Enforced, st.Reason, st.Kernel)
	}
	h.command("pause", "--end")
	text := h.ruleset()
	for _, ip := range []string{"192.0.2.1", "192.0.2.2"} {
		if !strings.Contains(text, ip) {
			t.Errorf("resumed, without %s:\n%s", ip, text)
		}
	}
	h.until("the ledger knows that both are enforced", func() bool {
		st := h.status()
		return st.Enforced && st.Jails[len(st.Jails)-1].Enforced == 2
	})
	h.command("pause", "1s")
	h.until("a pause ends by itself", func() bool { return strings.Contains(h.ruleset(), "192.0.2.2") })
}

// TestKernelOptions: own options that nobody can mean are found before anything runs.
func TestKernelOptions(t *testing.T) {
	binary := buildBinary(t)
	for jail, want := range map[string]string{
		"expiry = demon":     `"demon" is none of kernel, daemon`,
		"scope = everywhere": `"everywhere" is none of local, all`,
		"kill-sockets = 7":   `"7" is none of yes`,
		"expiry = daemon\n[other]\nenabled = true\nfilter = login\nlogpath = LOG": "belongs into [DEFAULT]",
	} {
		h := &host{t: t, binary: binary, dir: t.TempDir()}
		h.write("etc/filter.d/login.conf", "[Definition]\nfailregex = ^ login failed from <HOST>$\n")
		h.write("etc/jail.local", strings.ReplaceAll(plainJail+jail+"\n", "LOG", h.path("log")))
		h.write("log", "")
		out, err := exec.Command(binary, "check", "--config", h.path("etc")).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), fmt.Sprintf("jail.local:%d", 6)) {
			t.Errorf("%s: %v: %s", jail, err, out)
		}
	}
	out, err := exec.Command(binary, "run", "--expiry", "never").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--expiry") {
		t.Errorf("run --expiry never: %v: %s", err, out)
	}
}

// TestKillSocketsOption: with kill-sockets the server's process hears of a ban
// at once, and status says what the rules have refused since.
func TestKillSocketsOption(t *testing.T) {
	h := newHost(t, plainJail+"kill-sockets = yes\nport = 2222\n")
	h.run()
	listener, err := net.Listen("tcp", "127.0.0.1:2222")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	attacker := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: 200 * time.Millisecond}
	conn, err := attacker.Dial("tcp", "127.0.0.1:2222")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	end, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	h.command("ban", "--force", "--jail", "login", "127.0.0.2")
	if err := end.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := end.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNABORTED) {
		t.Errorf("the server's end: %v", err)
	}
	if conn, err := attacker.Dial("tcp", "127.0.0.1:2222"); err == nil {
		conn.Close()
		t.Error("the banned attacker connects")
	}
	if r := h.status().Jails[0].Refused; r.Packets == 0 || r.Bytes < 40 {
		t.Errorf("refused: %+v", r)
	}
	if out := h.command("status", "login"); !strings.Contains(out, "refused: ") {
		t.Errorf("status login: %s", out)
	}
}

// TestScopeOption: scope = all looks at transit too.
func TestScopeOption(t *testing.T) {
	for scope, chain := range map[string]string{"local": "local-tcp", "all": "everywhere-tcp"} {
		h := newHost(t, plainJail+"port = ssh\nscope = "+scope+"\n")
		h.run()
		h.command("ban", "--jail", "login", "192.0.2.1")
		if text := h.must("nft", "list", "chain", "inet", "f2bpipe", chain); !strings.Contains(text, "jump jail-login") {
			t.Errorf("scope = %s:\n%s", scope, text)
		}
		h.command("stop")
		h.end()
	}
}
