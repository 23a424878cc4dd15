package sinks

import (
	"strings"
	"testing"
)

func TestOwnLayoutText(t *testing.T) {
	k := newKernel(t, Config{})
	k.set("sshd", Action{Ports: []PortRange{{22, 22}}, Protocols: []string{"tcp"}})
	k.set("mail x", Action{Ports: []PortRange{{25, 25}, {465, 470}}, Block: "reject with tcp reset"})
	k.set("all", Action{Scope: ScopeAll, Block: "reject"})
	if got := k.nft("list", "ruleset"); got != "" {
		t.Fatalf("before the first ban: %s", got)
	}
	k.ban("sshd", "192.0.2.1")
	k.ban("sshd", "2001:db8::1", "2001:db8:1::/64", "198.51.100.0/24", "2001:db8:2::/48")
	k.ban("mail x", "192.0.2.2")
	k.ban("all", "192.0.2.3")
	t.Log(k.nft("list", "ruleset"))
	k.wantSet("addr4-sshd", "192.0.2.1")
	k.wantSet("addr6-sshd", "2001:db8::1")
	k.wantSet("pfx6-sshd", "2001:db8:1::")
	k.wantSet("net4-sshd", "198.51.100.0/24")
	k.wantSet("net6-sshd", "2001:db8:2::/48")
	k.wantSet("addr4-mail_20x", "192.0.2.2")
	k.unban("sshd", "192.0.2.1", "198.51.100.0/24", "192.0.2.99")
	k.wantSet("addr4-sshd")
	k.wantSet("net4-sshd")
	if err := k.Close(true); err != nil {
		t.Fatal(err)
	}
	if got := k.nft("list", "ruleset"); strings.TrimSpace(got) != "" {
		t.Fatalf("after Close: %s", got)
	}
}
