package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// peerJails are the jails that both sides run, with their bantime in seconds.
var peerJails = []struct {
	name      string
	bantime   int64
	increment bool
}{{"plain", 864_000, false}, {"perm", -1, false}, {"incr", 86_400, true}}

// peerBan is a ban that fail2ban's own code writes.
type peerBan struct {
	Jail    string `json:"jail"`
	IP      string `json:"ip"`
	Time    int64  `json:"time"`
	Bantime int64  `json:"bantime"`
	Count   int    `json:"count"`
}

// peerBans are n bans of every kind: IPv4, IPv6, networks and IDs that are no
// address; for a time, for ever, and incremented.
func peerBans(n int) (list []peerBan) {
	begin := time.Now().Unix() - 3600
	for i := range n {
		j := peerJails[i%3]
		b := peerBan{Jail: j.name, Time: begin - int64(i), Bantime: j.bantime, Count: 1}
		switch i % 7 {
		case 3:
			b.IP = fmt.Sprintf("2001:db8::%x:0:1", i)
		case 4:
			b.IP = fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)
		case 5:
			b.IP = fmt.Sprintf("2001:db8:%x::/48", i)
		case 6:
			b.IP = fmt.Sprintf("user-%d", i)
		default:
			b.IP = fmt.Sprintf("198.18.%d.%d", i/250, i%250)
		}
		if j.increment {
			b.Count = 1 + i%5
			b.Bantime <<= b.Count - 1
		}
		list = append(list, b)
	}
	return list
}

// writeBans is fail2ban's own code that writes bans into its database.
const writeBans = `
import json, sys
from fail2ban.server.database import Fail2BanDb
from fail2ban.server.ticket import FailTicket
class Actions:
    def getBanTime(self): return 1
class Jail:
    def __init__(self, name): self.name = name; self.actions = Actions()
db, jails = Fail2BanDb(sys.argv[1]), {}
for b in json.load(sys.stdin):
    if b["jail"] not in jails:
        jails[b["jail"]] = Jail(b["jail"]); db.addJail(jails[b["jail"]])
    t = FailTicket(b["ip"], b["time"], ["a line"], {"failures": 5})
    t.setBanTime(b["bantime"]); t.setBanCount(b["count"])
    db.addBan(jails[b["jail"]], t)
db.close()
`

// fail2ban is Debian's, over the directory "peer" of a host: its jails have an
// action that does nothing.
type fail2ban struct {
	*host
	python string
}

func newFail2ban(h *host, db string) fail2ban {
	f := fail2ban{h, testenv.Python(h.t)}
	jails := ""
	for _, j := range peerJails {
		jails += fmt.Sprintf("[%s]\nenabled = true\nfilter = login\nlogpath = %s\nbantime = %d\nbantime.increment = %v\n", j.name, h.path("login.log"), j.bantime, j.increment)
	}
	h.write("peer/jail.conf", "[DEFAULT]\nbackend = polling\nusedns = no\naction = dummy\n"+jails)
	h.write("etc/jail.local", "[DEFAULT]\nbackend = polling\naction = nftables[type=allports]\n"+jails)
	h.write("peer/action.d/dummy.conf", "[Definition]\nactionstart =\nactionstop =\nactioncheck =\nactionban =\nactionunban =\n")
	h.write("peer/filter.d/login.conf", "[Definition]\nfailregex = ^ login failed from <HOST>$\ndatepattern = {^LN-BEG}%%Y-%%m-%%d %%H:%%M:%%S\n")
	h.write("peer/fail2ban.conf", "[Definition]\nloglevel = INFO\nlogtarget = "+h.path("f2b.log")+"\nsyslogsocket = auto\nsocket = "+h.path("psock")+
		"\npidfile = "+h.path("pid")+"\ndbfile = "+db+"\ndbpurgeage = 30d\ndbmaxmatches = 10\n")
	return f
}

// client runs Debian's fail2ban-client on a socket.
func (f fail2ban) client(socket string, args ...string) (string, error) {
	cmd := exec.Command(f.python, append([]string{"/usr/bin/fail2ban-client", "-c", f.path("peer"), "-s", f.path(socket), "-p", f.path("pid")}, args...)...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// serve starts the server and returns what stops it.
func (f fail2ban) serve() (stop func()) {
	f.t.Helper()
	cmd := exec.Command(f.python, "/usr/bin/fail2ban-server", "-xf", "-c", f.path("peer"), "-s", f.path("psock"), "-p", f.path("pid"), "start")
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.stderr = &logged{}
	f.until("fail2ban answers", func() bool { out, err := f.client("psock", "ping"); return err == nil && strings.Contains(out, "pong") })
	return func() {
		if out, err := f.client("psock", "stop"); err != nil {
			f.t.Fatalf("stop: %v: %s", err, out)
		}
		_ = cmd.Wait()
	}
}

// bans returns what Debian's client prints for `get JAIL banip --with-time` over
// all jails, sorted, as soon as there are want of them.
func (f fail2ban) bans(socket string, want int) (list []string) {
	f.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); len(list) != want; {
		if time.Now().After(deadline) {
			f.t.Fatalf("%d bans, want %d: %.500q", len(list), want, list)
		}
		list = nil
		for _, j := range peerJails {
			out, err := f.client(socket, "get", j.name, "banip", "--with-time")
			if err != nil {
				f.t.Fatalf("get %s banip: %v: %s", j.name, err, out)
			}
			for line := range strings.Lines(out) {
				if line = strings.Join(strings.Fields(line), " "); line != "" {
					list = append(list, j.name+" "+line)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

// TestBackAndForth: a machine changes from Debian's fail2ban to f2bpipe and back
// with its bans. None is lost either way, nor its end, nor how often it was.
func TestBackAndForth(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Debian's fail2ban several times, and runs in the full suite")
	}
	n := 70
	if os.Getenv("F2BPIPE_SOAK") == "1" {
		n = 1000
	}
	h := newHost(t, "")
	t.Setenv("TZ", "UTC")
	db := h.keeps()
	f := newFail2ban(h, db)
	list := peerBans(n)
	in, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(f.python, "-c", writeBans, db)
	cmd.Stdin = strings.NewReader(string(in))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("fail2ban's database: %v: %s", err, out)
	}
	stop := f.serve()
	want := f.bans("psock", n)
	out, err := exec.Command(h.binary, "run", "--config", h.path("etc"), "--socket", h.path("sock")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "systemctl disable --now fail2ban") {
		t.Errorf("beside fail2ban: %v: %s", err, out)
	}
	stop()

	h.run()
	if got := f.bans("sock", n); !slices.Equal(got, want) {
		t.Errorf("f2bpipe has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	texts := 0
	for _, b := range list {
		if strings.HasPrefix(b.IP, "user-") {
			texts++
		}
	}
	h.until("all that are addresses or networks are in the kernel", func() bool {
		banned := 0
		for _, j := range h.status().Jails {
			banned += j.Enforced
		}
		return banned == n-texts
	})
	if ids := h.through(list); len(ids) > 0 {
		t.Errorf("packets of %v are let through", ids)
	}
	// One of f2bpipe's own goes back with them, and one that it has freed does not.
	h.command("ban", "--jail", "plain", "203.0.113.77")
	if out, err := f.client("sock", "set", "plain", "unbanip", list[0].IP); err != nil || out != "1" {
		t.Errorf("unbanip: %q, %v", out, err)
	}
	ours := f.bans("sock", n)
	// The database has whole seconds, rounded, as fail2ban's.
	isNew := func(line string) bool { return strings.HasPrefix(line, "plain 203.0.113.77 ") }
	if !slices.ContainsFunc(ours, isNew) {
		t.Error("f2bpipe's own ban is not among its own")
	}
	h.command("stop")
	h.end()
	if behind, _ := filepath.Glob(db + "*"); len(behind) != 1 {
		t.Errorf("behind stay %v", behind)
	}

	stop = f.serve()
	got := f.bans("psock", n)
	if !slices.ContainsFunc(got, isNew) {
		t.Error("f2bpipe's own ban is lost")
	}
	got, ours = slices.DeleteFunc(got, isNew), slices.DeleteFunc(ours, isNew)
	if !slices.Equal(got, ours) {
		t.Errorf("fail2ban has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(ours, "\n"))
	}
	stop()
}

// through returns those of the bans whose packets are let through: of each kind
// of address or network the first. An address that is not banned must be.
func (h *host) through(list []peerBan) (ids []string) {
	h.t.Helper()
	for _, net := range []string{"198.18.0.0/15", "10.0.0.0/8", "203.0.113.0/24", "2001:db8::/32"} {
		// Not an address of an interface: those are never banned.
		h.must("ip", "route", "add", "local", net, "dev", "lo")
	}
	for i, ending := range map[int]string{0: "", 3: "", 4: "9", 5: "9"} {
		addr, _, network := strings.Cut(list[i].IP, "/")
		if network {
			addr = strings.TrimSuffix(addr, "0") + ending
		}
		if h.connects(addr) {
			ids = append(ids, list[i].IP)
		}
	}
	if !h.connects("203.0.113.200") || !h.connects("2001:db8:ffff::1") {
		ids = append(ids, "nobody, while one who is not banned is refused")
	}
	return ids
}

// connects says whether an address can open a TCP connection to this host.
func (h *host) connects(from string) bool {
	h.t.Helper()
	ip, on := net.ParseIP(from), "127.0.0.1:0"
	if ip == nil {
		h.t.Fatal("no address: ", from)
	}
	if ip.To4() == nil {
		on = "[::1]:0"
	}
	l, err := net.Listen("tcp", on)
	if err != nil {
		h.t.Fatal(err)
	}
	defer l.Close()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}, Timeout: 200 * time.Millisecond}
	if ip.To4() == nil {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1) })
		}
	}
	conn, err := d.Dial("tcp", l.Addr().String())
	if err == nil {
		conn.Close()
	}
	return err == nil
}
