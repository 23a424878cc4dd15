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
	if testing.Short() {
		t.Skip("starts two servers")
	}
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

// TestMailServerRuleset: with docker-mailserver's configuration and its patch
// of nftables.conf the ruleset is, to the byte, what its tests look for; each
// set with its rule comes at the first ban of its jail and family.
func TestMailServerRuleset(t *testing.T) {
	if _, err := os.Stat("/etc/fail2ban/action.d/nftables.conf"); err != nil {
		t.Skip(err)
	}
	h := newHost(t, "")
	if err := os.RemoveAll(h.path("etc")); err != nil {
		t.Fatal(err)
	}
	h.must("cp", "-r", "/etc/fail2ban", h.path("etc"))
	if err := os.RemoveAll(h.path("etc/jail.d")); err != nil {
		t.Fatal(err)
	}
	h.must("sed", "-i", "-r", `s/^_nft_add_set = .+/_nft_add_set = <nftables> add set <table_family> <table> <addr_set> \\{ type <addr_type>\\; flags interval\\; \\}/`,
		h.path("etc/action.d/nftables.conf"))
	h.write("etc/fail2ban.local", "[Definition]\ndbfile = None\nlogtarget = "+h.path("fail2ban.log")+"\n")
	h.write("etc/action.d/nftables-common.local", "[Init]\nblocktype = drop\n")
	h.write("etc/filter.d/custom.conf", "[Definition]\n")
	h.write("etc/jail.d/user-jail.local", "[DEFAULT]\nbantime = 1234\nbanaction = nftables-multiport\n")
	log := "\nbackend = polling\nlogpath = " + h.path("login.log") + "\n"
	h.write("etc/jail.local", "[DEFAULT]\nbantime = 1w\nbanaction = nftables-allports\n[dovecot]\nenabled = true"+log+
		"[postfix]\nenabled = true\nmode = extra"+log+
		"[custom]\nenabled = true\nbantime = 180d\nport = smtp,pop3,pop3s,imap,imaps,submission,submissions,sieve\n")
	for _, name := range []string{"fail2ban-server", "fail2ban-client"} {
		if err := os.Symlink(h.binary, h.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-c", h.path("etc"), "-s", h.path("sock"), "-p", h.path("pid")}
	server, out := exec.Command(h.path("fail2ban-server"), append(args, "-xf", "start")...), &logged{}
	server.Stdout, server.Stderr, h.stderr = out, out, out
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill() })
	h.until("the server answers", func() bool { return exec.Command(h.path("fail2ban-client"), append(args, "ping")...).Run() == nil })
	if text := h.ruleset(); text != "" {
		t.Errorf("before the first ban:\n%s", text)
	}
	ban := func(jail string, ids ...string) {
		t.Helper()
		h.must(h.path("fail2ban-client"), append(append(args, "set", jail, "banip"), ids...)...)
	}
	ban("postfix", "192.0.2.1")
	ban("custom", "192.33.44.55")
	ban("dovecot", "192.33.44.55")
	ban("custom", "2001:db8::1", "2001:db8:1::/48")
	text := h.ruleset()
	const chain = `	chain f2b-chain {
		type filter hook input priority filter - 1; policy accept;
		tcp dport { 25, 465, 587 } ip saddr @addr-set-postfix drop
		tcp dport { 25, 110, 143, 465, 587, 993, 995, 4190 } ip saddr @addr-set-custom drop
		tcp dport { 110, 143, 465, 587, 993, 995, 4190 } ip saddr @addr-set-dovecot drop
		tcp dport { 25, 110, 143, 465, 587, 993, 995, 4190 } ip6 saddr @addr6-set-custom drop
	}
}
`
	const set = `	set addr6-set-custom {
		type ipv6_addr
		flags interval
		elements = { 2001:db8::1,
			     2001:db8:1::/48 }
	}
`
	if !strings.HasPrefix(text, "table inet f2b-table {\n") || !strings.HasSuffix(text, chain) || !strings.Contains(text, set) ||
		!strings.Contains(text, "elements = { 192.33.44.55 }") {
		log, _ := os.ReadFile(h.path("fail2ban.log"))
		t.Errorf("got:\n%s\nlog:\n%s", text, log)
	}
	_ = server.Process.Signal(syscall.SIGTERM)
	if err := server.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if text := h.ruleset(); text != "" {
		t.Errorf("after the stop:\n%s", text)
	}
}
