package sinks

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// classicCases are jails with fail2ban's action and parameters, and the Action
// that says the same.
var classicCases = []struct {
	Action string            `json:"action"`
	Jail   string            `json:"jail"`
	Params map[string]string `json:"params"`
	IPs    []string          `json:"ips"`

	ports, protocols string
	same             Action
}{
	{"nftables-multiport", "sshd", map[string]string{"port": "25,465,2000:3000", "protocol": "tcp,udp"},
		[]string{"192.0.2.1", "2001:db8::1", "192.0.2.9"}, "25,465,2000:3000", "tcp,udp", Action{Block: "reject"}},
	{"nftables-multiport", "one", map[string]string{"port": "ssh", "blocktype": "drop"},
		[]string{"192.0.2.1"}, "ssh", "tcp", Action{Block: "drop"}},
	{"nftables-multiport", "range", map[string]string{"port": "1000:2000", "blocktype": "counter drop"},
		[]string{"192.0.2.1"}, "1000:2000", "tcp", Action{Block: "counter drop"}},
	{"nftables-allports", "x", map[string]string{"protocol": "tcp,udp", "blocktype": "drop"},
		[]string{"192.0.2.1", "2001:db8::2"}, "", "tcp,udp", Action{Block: "drop"}},
	{"nftables-allports", "y", map[string]string{"blocktype": "reject with tcp reset"},
		[]string{"192.0.2.1"}, "", "tcp", Action{Block: "reject with tcp reset"}},
	{"nftables", "z", map[string]string{"port": "smtp,465,submission,imaps,imap2", "blocktype": "reject with icmpx type admin-prohibited"},
		[]string{"2001:db8::7"}, "smtp,465,submission,imaps,imap2", "tcp", Action{Block: "reject with icmpx type admin-prohibited"}},
	{"nftables", "v", map[string]string{"port": "22,23", "table_family": "ip", "table": "tt", "chain": "cc",
		"chain_hook": "forward", "chain_priority": "-150", "addr_set": "abusers", "blocktype": "reject with icmp type host-prohibited"},
		[]string{"192.0.2.1"}, "22,23", "tcp", Action{Block: "reject with icmp type host-prohibited",
			Classic: Classic{Table: "tt", Family: "ip", Chain: "cc", Hook: "forward", Priority: "-150", Set4: "abusers"}}},
}

// oracle runs Debian's fail2ban over the cases: its own reader, its own action.
const oracle = `
import json, sys
from fail2ban.client.actionreader import ActionReader
from fail2ban.server.action import CommandAction
from fail2ban.server.ipdns import IPAddr
for case in json.load(sys.stdin):
    reader = ActionReader(case["action"], case["jail"], dict(case["params"], name=case["jail"]),
                          share_config=None, basedir="/etc/fail2ban")
    reader.read()
    reader.getOptions({})
    action = CommandAction(None, case["action"])
    for command in reader.convert():
        if command[0] == "multi-set":
            for option, value in command[4]:
                setattr(action, option, value)
    action.start()
    for ip in map(IPAddr, case["ips"]):
        action.ban({"ip": ip, "family": ip.familyStr})
`

// TestClassicEqualsFail2ban: nft lists fail2ban's own tables and ours alike.
// Debian's release makes sets that hold addresses only; later ones, and we, sets of intervals.
func TestClassicEqualsFail2ban(t *testing.T) {
	python := testenv.Python(t)
	k := newKernel(t, Config{Layout: LayoutClassic})
	for _, c := range classicCases {
		a := c.same
		a.Classic.AllPorts = c.ports == ""
		a.Protocols = strings.Split(c.protocols, ",")
		var err error
		if a.Ports, err = ParsePorts(c.ports); err != nil {
			t.Fatal(err)
		}
		k.set(c.Jail, a)
	}
	for _, c := range classicCases {
		k.ban(c.Jail, c.IPs...)
	}
	got := strings.ReplaceAll(k.nft("list", "ruleset"), "\t\tflags interval\n", "")
	if err := k.Close(true); err != nil {
		t.Fatal(err)
	}
	if left := strings.TrimSpace(k.nft("list", "ruleset")); left != "" {
		t.Fatalf("after Close: %s", left)
	}
	cases, err := json.Marshal(classicCases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", oracle)
	cmd.Stdin = bytes.NewReader(cases)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("fail2ban: %v: %s", err, out)
	}
	if want := k.nft("list", "ruleset"); got != want {
		t.Errorf("ours:\n%s\nfail2ban's:\n%s", got, want)
	}
}

// TestClassicText: the table that docker-mailserver's tests expect, literally.
func TestClassicText(t *testing.T) {
	k := newKernel(t, Config{Layout: LayoutClassic})
	mail := []PortRange{{25, 25}, {465, 465}}
	k.set("custom", Action{Ports: mail})
	k.set("dovecot", Action{Protocols: []string{"tcp"}, Classic: Classic{AllPorts: true}})
	k.unban("custom", "192.33.44.55")
	if got := k.nft("list", "ruleset"); got != "" {
		t.Fatalf("before the first ban: %s", got)
	}
	k.ban("custom", "192.33.44.55", "2001:db8::1", "2001:db8:1::/48")
	k.ban("dovecot", "192.0.66.7")
	k.unban("dovecot", "192.0.66.7")
	const want = `table inet f2b-table {
	set addr-set-custom {
		type ipv4_addr
		flags interval
		elements = { 192.33.44.55 }
	}

	set addr6-set-custom {
		type ipv6_addr
		flags interval
		elements = { 2001:db8::1,
			     2001:db8:1::/48 }
	}

	set addr-set-dovecot {
		type ipv4_addr
		flags interval
	}

	chain f2b-chain {
		type filter hook input priority filter - 1; policy accept;
		tcp dport { 25, 465 } ip saddr @addr-set-custom drop
		tcp dport { 25, 465 } ip6 saddr @addr6-set-custom drop
		meta l4proto tcp ip saddr @addr-set-dovecot drop
	}
}
`
	if got := k.nft("list", "ruleset"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if err := k.RemoveJail("custom"); err != nil {
		t.Fatal(err)
	}
	if got := k.nft("list", "ruleset"); strings.Contains(got, "custom") || !strings.Contains(got, "dovecot") {
		t.Errorf("after RemoveJail: %s", got)
	}
	if err := k.RemoveJail("dovecot"); err != nil {
		t.Fatal(err)
	}
	if got := k.nft("list", "ruleset"); got != "" {
		t.Errorf("after the last RemoveJail: %s", got)
	}
}

// TestClassicOverlap: where fail2ban is refused an address inside a banned
// network, and frees it with the network, we keep it.
func TestClassicOverlap(t *testing.T) {
	k := newKernel(t, Config{Layout: LayoutClassic})
	k.set("sshd", Action{})
	k.ban("sshd", "198.51.100.0/24", "198.51.100.7", "198.51.100.8")
	k.wantSet("addr-set-sshd", "198.51.100.0/24")
	k.unban("sshd", "198.51.100.0/24")
	k.wantSet("addr-set-sshd", "198.51.100.7", "198.51.100.8")
	k.ban("sshd", "198.51.0.0/16")
	k.unban("sshd", "198.51.100.7")
	k.wantSet("addr-set-sshd", "198.51.0.0/16")
	k.unban("sshd", "198.51.0.0/16")
	k.wantSet("addr-set-sshd", "198.51.100.8")
}

// TestClassicAdopts: what a killed process, or fail2ban itself, left is used
// and not doubled.
func TestClassicAdopts(t *testing.T) {
	k := newKernel(t, Config{Layout: LayoutClassic})
	k.set("sshd", Action{Ports: []PortRange{{22, 22}}})
	k.ban("sshd", "192.0.2.1", "2001:db8::1")
	want := k.nft("list", "ruleset")
	k.reopen(Config{Layout: LayoutClassic})
	k.set("sshd", Action{Ports: []PortRange{{22, 22}}})
	k.ban("sshd", "2001:db8::1", "192.0.2.1")
	if got := k.nft("list", "ruleset"); got != want {
		t.Errorf("after a kill:\n%s\nwant:\n%s", got, want)
	}
	k.nft("flush", "ruleset")
	k.nft("add", "table", "inet", "f2b-table")
	k.nft("add", "chain", "inet", "f2b-table", "f2b-chain", "{ type filter hook input priority -1; }")
	k.nft("add", "set", "inet", "f2b-table", "addr-set-sshd", "{ type ipv4_addr; }")
	k.nft("add", "rule", "inet", "f2b-table", "f2b-chain", "tcp dport 22 ip saddr @addr-set-sshd drop")
	k.nft("add", "element", "inet", "f2b-table", "addr-set-sshd", "{ 192.0.2.77 }")
	k.reopen(Config{Layout: LayoutClassic})
	k.set("sshd", Action{Ports: []PortRange{{22, 22}}})
	k.ban("sshd", "192.0.2.1")
	k.ban("sshd", "2001:db8::1")
	if got := k.nft("list", "ruleset"); got != want {
		t.Errorf("after fail2ban 1.0:\n%s\nwant:\n%s", got, want)
	}
}

func TestBlocktypes(t *testing.T) {
	f := func(in string, want block) {
		t.Helper()
		if got, err := parseBlock(in); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", in, got, err, want)
		}
	}
	unreachable := rejectCode{3, 4}
	f("", block{})
	f("drop", block{})
	f("DROP", block{})
	f("counter drop", block{counter: true})
	f("reject", block{kind: blockReject, code: unreachable})
	f("REJECT --reject-with icmp-port-unreachable", block{kind: blockReject, code: unreachable})
	f("reject with tcp reset", block{kind: blockTCPReset, code: unreachable})
	f("reject with icmp type host-unreachable", block{kind: blockReject, code: rejectCode{1, 3}})
	f("reject with icmpx type admin-prohibited", block{kind: blockReject, code: rejectCode{13, 1}, abstract: 4})
	for _, bad := range []string{"accept", "reject with icmp type nonsense", "redirect to 2222"} {
		if got, err := parseBlock(bad); err == nil {
			t.Errorf("%q: got %+v", bad, got)
		}
	}
}

func TestProtocols(t *testing.T) {
	f := func(a Action, want ...byte) {
		t.Helper()
		m, err := a.parseMatch()
		if err != nil || !bytes.Equal(m.protocols, want) {
			t.Errorf("%+v: got %v, %v, want %v", a, m.protocols, err, want)
		}
	}
	ssh := []PortRange{{22, 22}}
	f(Action{})
	f(Action{Protocols: []string{"all"}})
	f(Action{Ports: ssh}, unix.IPPROTO_TCP)
	f(Action{Ports: ssh, Protocols: []string{"udp", " TCP"}}, unix.IPPROTO_UDP, unix.IPPROTO_TCP)
	f(Action{Protocols: []string{"icmp"}}, unix.IPPROTO_ICMP)
	for _, a := range []Action{{Protocols: []string{"nonsense"}}, {Ports: ssh, Protocols: []string{"icmp"}}} {
		if m, err := a.parseMatch(); err == nil {
			t.Errorf("%+v: got %v", a, m)
		}
	}
}

// TestClassicRefusals: what cannot be expressed is refused when the jail is declared.
func TestClassicRefusals(t *testing.T) {
	k := newKernel(t, Config{Layout: LayoutClassic})
	for _, c := range []Classic{
		{Family: "bridge"}, {Hook: "ingress"}, {ChainType: "x"}, {Priority: "high"}, {Table: strings.Repeat("x", 300)},
	} {
		if err := k.SetJail("sshd", Action{Classic: c}); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	k.Apply(t.Context(), k.now, []pipeline.Order{})
}
