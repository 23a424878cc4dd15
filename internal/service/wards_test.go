package service

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// wired makes a service ban in the cable's namespace.
func (c *cable) wired(cfg *Config) { cfg.DryRun, cfg.NetNS = nil, c.netns }

// dropping writes a drop action.
func (tr *site) dropping() {
	tr.write("action.d/nftables.conf", stockNFTables(tr.t))
}

// TestGuardPackets: whoever is ourselves, a gateway or logged in by ssh stays
// in whatever a log says; who merely logged in once does not.
func TestGuardPackets(t *testing.T) {
	c := newCable(t)
	tr := newSite(t)
	tr.dropping()
	tr.write("filter.d/sshd-test.conf", "[Definition]\nfailregex = ^ \\S+ sshd\\[\\d+\\]: Failed from <HOST>$\ndatepattern = {^LN-BEG}%%Y-%%m-%%d %%H:%%M:%%S\n")
	tr.write("jail.local", jailText("ssh", "filter = sshd-test", `action = nftables[port="2222"]`, "ignoreself = false")+
		jailText("bold", `action = nftables[port="80"]`, "guard = no"))
	tr.log("ssh.log")
	tr.log("bold.log")
	s := tr.start(c.wired)
	ssh, err := c.dial("10.0.0.2", "10.0.0.1:2222")
	if err != nil {
		t.Fatal(err)
	}
	defer ssh.Close()
	accepted := func(from string) string {
		return "box sshd[12]: Accepted publickey for bob from " + from + " port 4711 ssh2: ED25519 SHA256:x"
	}
	tr.log("ssh.log", accepted("10.0.0.2"), accepted("10.0.0.4"),
		// Not logins: a name that an attacker chose, and another program's line.
		"box sshd[13]: Invalid user sshd[1]: Accepted password for root from 10.0.0.3 port 1 ssh2 from 10.0.0.3 port 9",
		"box cron[1]: Accepted password for root from 10.0.0.3 port 1 ssh2")
	for _, from := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.9"} {
		tr.log("ssh.log", "box sshd[14]: Failed from "+from, "box sshd[15]: Failed from "+from)
	}
	for id, why := range map[string]string{
		"10.0.0.1": "an address of this host", "10.0.0.2": "somebody who has logged in and is connected by ssh", "10.0.0.9": "the default gateway",
	} {
		s.log.wait(t, 1, "WARNING [ssh] Spared "+id+": it is "+why, "guard = no")
	}
	s.log.wait(t, 1, "NOTICE  [ssh] Ban 10.0.0.3\n")
	s.log.wait(t, 1, "NOTICE  [ssh] Ban 10.0.0.4\n")
	tr.log("bold.log", failed("10.0.0.9", "10.0.0.9")...)
	s.log.wait(t, 1, "NOTICE  [bold] Ban 10.0.0.9\n")
	enforced(t, s, "ssh", 2)
	enforced(t, s, "bold", 1)
	c.passes("10.0.0.1:2222", "10.0.0.2", "10.0.0.9", "10.0.0.5")
	c.fails("10.0.0.1:2222", "10.0.0.3", "10.0.0.4")
	c.fails("10.0.0.1:80", "10.0.0.9")
	if g := s.status(t, "ssh").Guard; g != (GuardStatus{Own: 1, Gateway: 1, SSH: 1}) {
		t.Errorf("guard kept %+v", g)
	}

	// By command all of them ask for --force, and so does one's own connection.
	v := verbs{s.Service}
	done, err := v.ban(t.Context(), BanArgs{Jail: "ssh", IDs: []string{"10.0.0.1", "10.0.0.2", "10.0.0.9", "10.1.0.5", "10.0.0.0/24", "10.1.0.6"}, Peer: "10.1.0.5"})
	if err != nil || done.Changed != 1 || len(done.Refused) != 5 {
		t.Errorf("%+v, %v", done, err)
	}
	for _, r := range done.Refused {
		if !strings.Contains(r.Problem, "--force bans it all the same") {
			t.Errorf("%+v", r)
		}
	}
	c.passes("10.0.0.1:2222", "10.0.0.2", "10.0.0.9", "10.1.0.5")
	c.fails("10.0.0.1:2222", "10.1.0.6")
	if done, err = v.ban(t.Context(), BanArgs{Jail: "ssh", IDs: []string{"10.1.0.5"}, Peer: "10.1.0.5", Force: true}); err != nil || done.Changed != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	c.fails("10.0.0.1:2222", "10.1.0.5")
	// fail2ban's command obeys.
	if n, err := v.Ban(t.Context(), "ssh", []string{"10.0.0.9"}); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	c.fails("10.0.0.1:2222", "10.0.0.9")
}

// enforced waits until a jail has n bans in the kernel.
func enforced(t *testing.T, s *running, jail string, n int) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for s.status(t, jail).Enforced != n {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: %d bans in the kernel, want %d", jail, s.status(t, jail).Enforced, n)
		}
	}
}

// TestPrefixPackets: an attacker with a new address for each try loses his /64,
// his neighbours do not; a member answers for it.
func TestPrefixPackets(t *testing.T) {
	c := newCable(t)
	tr := newSite(t)
	tr.dropping()
	tr.write("jail.local", jailText("web", `action = nftables[port="80"]`, "maxretry = 4", "ignoreself = false")+
		jailText("own", `action = nftables[port="2222"]`, "maxretry = 4", "ipv6-prefix = 128"))
	tr.log("web.log")
	tr.log("own.log")
	s := tr.start(c.wired)
	// fd00::1, our own, is in their /64: nobody bans that one.
	tr.log("web.log", failed("fd00::2", "fd00::3", "fd00::4", "fd00::5", "fd00::6", "fd00::7")...)
	s.log.wait(t, 1, "Found fd00::7 ")
	c.passes("[fd00::1]:80", "fd00::2", "fd00::7")
	tr.log("web.log", failed("fd00:0:0:1::3", "fd00:0:0:1::4", "fd00:0:0:1::5", "fd00:0:0:1::6")...)
	s.log.wait(t, 1, "NOTICE  [web] Ban fd00:0:0:1::/64\n")
	enforced(t, s, "web", 1)
	c.fails("[fd00::1]:80", "fd00:0:0:1::2")
	c.passes("[fd00::1]:80", "fd00::2")
	v := verbs{s.Service}
	if is, err := v.IsBanned(t.Context(), "web", "fd00:0:0:1::2"); !is || err != nil {
		t.Errorf("a member is banned: %v, %v", is, err)
	}
	if n, _, err := v.Unban(t.Context(), "web", []string{"fd00:0:0:1::2"}); n != 1 || err != nil {
		t.Errorf("%d freed, %v", n, err)
	}
	c.passes("[fd00::1]:80", "fd00:0:0:1::2")
	// With ipv6-prefix = 128 each is its own.
	tr.log("own.log", failed("fd00:0:0:1::3", "fd00:0:0:1::4", "fd00:0:0:1::5", "fd00:0:0:1::2", "fd00:0:0:1::2", "fd00:0:0:1::2", "fd00:0:0:1::2")...)
	s.log.wait(t, 1, "NOTICE  [own] Ban fd00:0:0:1::2\n")
}

// TestFail2banLayoutBansSingly: under fail2ban's names every address is its own.
func TestFail2banLayoutBansSingly(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", jailText("web", "maxretry = 3", "subnet-ban = yes[members=2]"))
	tr.log("web.log")
	s := tr.start(func(c *Config) { c.Fail2ban = true })
	var lines []string
	for range 3 {
		lines = append(lines, failed("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4")...)
	}
	tr.log("web.log", lines...)
	for i := 1; i <= 4; i++ {
		s.log.wait(t, 1, fmt.Sprintf("NOTICE  [web] Ban 2001:db8::%d\n", i))
	}
	v := verbs{s.Service}
	if _, err := v.Ban(t.Context(), "web", []string{"2001:db8:1::/64"}); err != nil {
		t.Fatal(err)
	}
	if is, err := v.IsBanned(t.Context(), "web", "2001:db8:1::1"); is || err != nil {
		t.Errorf("a member of a network that was banned by command is banned: %v, %v", is, err)
	}
	s.log.wait(t, 1, "NOTICE  [web] Ban 2001:db8:1::/64\n")
	if n := s.log.times("/64\n"); n != 1 {
		t.Errorf("%d networks banned", n)
	}
}

// TestSubnetBanPackets: the network of three who were banned is banned whole,
// but not one that somebody ignored is in.
func TestSubnetBanPackets(t *testing.T) {
	c := newCable(t)
	tr := newSite(t)
	tr.dropping()
	tr.write("jail.local", "[DEFAULT]\nsubnet-ban = yes[members=3, window=1h]\n"+
		jailText("web", `action = nftables[port="80"]`)+jailText("kind", `action = nftables[port="2222"]`, "ignoreip = 10.1.0.9"))
	tr.log("web.log")
	tr.log("kind.log")
	s := tr.start(c.wired)
	for _, log := range []string{"web.log", "kind.log"} {
		for _, from := range []string{"10.1.0.2", "10.1.0.3", "10.1.0.4"} {
			tr.log(log, failed(from, from)...)
		}
	}
	s.log.wait(t, 1, "NOTICE  [web] Ban 10.1.0.0/24\n")
	s.log.wait(t, 1, "NOTICE  [kind] Ban 10.1.0.4\n")
	enforced(t, s, "web", 3)
	enforced(t, s, "kind", 3)
	c.fails("10.0.0.1:80", "10.1.0.2", "10.1.0.4", "10.1.0.8")
	c.passes("10.0.0.1:80", "10.0.0.2")
	c.fails("10.0.0.1:2222", "10.1.0.4")
	c.passes("10.0.0.1:2222", "10.1.0.8", "10.1.0.9")
}

func TestNetOptions(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		tr := newSite(t)
		tr.write("jail.local", jailText("web", options))
		err := read(config.Options{Dir: tr.dir}).problems.Err()
		if want == "" && err != nil || want != "" && !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", options, err, want)
		}
	}
	f("ipv6-prefix = 64", "")
	f("ipv6-prefix = 56", `jail.local:6: [web] ipv6-prefix = 56: "56" is none of auto, 128, 64`)
	f("subnet-ban = no", "")
	f("subnet-ban = yes[members=5, window=2h, ipv4=20, ipv6=64, most=7]", "")
	f("subnet-ban = yes[ipv4=8]", "ipv4=8: expected a number from 16 to 30")
	f("subnet-ban = yes[nets=8]", "nets is not known")
	f("subnet-ban = perhaps", `"perhaps" is none of yes, no`)
	f("guard = perhaps", `guard = perhaps: "perhaps" is none of yes, no`)
	s, err := parseSubnet("yes[members=5, window=2h, ipv4=20, ipv6=64, most=7]")
	if want := (pipeline.Subnet{Members: 5, Window: 2 * time.Hour, Bits4: 20, Bits6: 64, Most: 7}); err != nil || s != want {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestLoginRecords reads wtmp as login(1) writes it, and logind's sessions.
func TestLoginRecords(t *testing.T) {
	tr := newSite(t)
	record := func(kind uint16, addr string, at time.Time) []byte {
		b := make([]byte, 384)
		binary.NativeEndian.PutUint16(b, kind)
		binary.NativeEndian.PutUint32(b[340:], uint32(at.Unix()))
		a := netip.MustParseAddr(addr)
		copy(b[348:], a.AsSlice())
		return b
	}
	now := time.Now()
	data := bytes.Join([][]byte{
		record(7, "192.0.2.1", now.Add(-time.Hour)), record(7, "2001:db8::1", now.Add(-29*24*time.Hour)), record(7, "192.0.2.3", now.Add(-31*24*time.Hour)),
		record(8, "192.0.2.4", now), record(7, "0.0.0.0", now), {1, 2, 3},
	}, nil)
	if err := os.WriteFile(tr.path("wtmp"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	tr.write("sessions/12", "# text\nUID=0\nREMOTE=1\nREMOTE_HOST=192.0.2.7\n")
	tr.write("sessions/13", "REMOTE_HOST=host.example\n")
	w := newWards(0, slog.New(slog.DiscardHandler), banLog{}, func() []uint16 { return nil })
	w.wtmp, w.sessions = tr.path("wtmp"), tr.path("sessions")
	w.start(now.UnixNano())
	var got []string
	for a := range w.logins {
		got = append(got, a.String())
	}
	slices.Sort(got)
	if want := []string{"192.0.2.1", "192.0.2.7", "2001:db8::1"}; !slices.Equal(got, want) {
		t.Errorf("logins from %q, want %q", got, want)
	}
	for i := range maxLogins + 10 {
		w.loggedIn(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now.UnixNano()+int64(i))
	}
	if len(w.logins) != maxLogins {
		t.Errorf("%d are remembered", len(w.logins))
	}
}
