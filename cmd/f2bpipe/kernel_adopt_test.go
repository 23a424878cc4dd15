package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// TestAdoptsFail2ban: what Debian's fail2ban left when it was killed is taken
// up by ours under its name: the same bans, no set or rule twice; and at the
// stop nothing is left.
func TestAdoptsFail2ban(t *testing.T) {
	testenv.Python(t)
	const theirs, client = "/usr/bin/fail2ban-server", "/usr/bin/fail2ban-client"
	for _, path := range []string{theirs, client} {
		if _, err := os.Stat(path); err != nil {
			t.Skip(err)
		}
	}
	h := newHost(t, "")
	if err := os.RemoveAll(h.path("etc")); err != nil {
		t.Fatal(err)
	}
	h.must("cp", "-r", "/etc/fail2ban", h.path("etc"))
	if err := os.RemoveAll(h.path("etc/jail.d")); err != nil {
		t.Fatal(err)
	}
	h.write("etc/fail2ban.local", "[Definition]\ndbfile = "+h.path("db.sqlite3")+"\nlogtarget = "+h.path("fail2ban.log")+"\n")
	h.write("etc/filter.d/login.conf", "[Definition]\nfailregex = ^ login failed from <HOST>$\n")
	h.write("etc/jail.local", strings.ReplaceAll(plainJail, "LOG", h.path("login.log"))+
		"backend = polling\nport = 25,465\nbanaction = nftables-multiport\nbantime = 1h\n")
	args := []string{"-c", h.path("etc"), "-s", h.path("sock"), "-p", h.path("pid")}
	serve := func(program string) (*exec.Cmd, *logged) {
		cmd, out := exec.Command(program, append(args, "-xf", "start")...), &logged{}
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		h.stderr = out
		h.until(program+" answers", func() bool { return exec.Command(client, append(args, "ping")...).Run() == nil })
		return cmd, out
	}
	before, _ := serve(theirs)
	h.must(client, append(args, "set", "login", "banip", "192.0.2.1", "2001:db8::1")...)
	h.until("fail2ban has banned", func() bool { return strings.Contains(h.ruleset(), "2001:db8::1") })
	_ = before.Process.Kill()
	_ = before.Wait()
	_ = os.Remove(h.path("sock"))
	_ = os.Remove(h.path("pid"))

	ours := h.path("fail2ban-server")
	if err := os.Symlink(h.binary, ours); err != nil {
		t.Fatal(err)
	}
	server, out := serve(ours)
	h.must(client, append(args, "set", "login", "banip", "192.0.2.2")...)
	var text string
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(h.path("fail2ban.log"))
			t.Logf("log:\n%s\nruleset:\n%s", log, text)
		}
	})
	h.until("all three are banned", func() bool {
		text = h.ruleset()
		return strings.Contains(text, "192.0.2.1") && strings.Contains(text, "192.0.2.2") && strings.Contains(text, "2001:db8::1")
	})
	for _, once := range []string{"table inet f2b-table ", "chain f2b-chain ", "set addr-set-login ", "set addr6-set-login ", "@addr-set-login reject", "@addr6-set-login reject"} {
		if n := strings.Count(text, once); n != 1 {
			t.Errorf("%q %d times in:\n%s", once, n, text)
		}
	}
	_ = server.Process.Signal(syscall.SIGTERM)
	if err := server.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if text := h.ruleset(); text != "" {
		t.Errorf("after the stop:\n%s", text)
	}
}
