package stock

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// Every jail has a filter and every action that jail.conf speaks of is there.
func TestJailsHaveFiltersAndActions(t *testing.T) {
	jails := jailNames(t)
	filters := filterNames(t)
	if len(jails) < len(filters)-1 {
		t.Errorf("%d jails for %d filters", len(jails), len(filters))
	}
	for _, want := range []string{"sshd", "dovecot", "postfix", "postfix-sasl", "recidive", "nginx-http-auth", "nginx-botsearch"} {
		if !contains(jails, want) {
			t.Errorf("no jail %s", want)
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func jailNames(t *testing.T) []string {
	t.Helper()
	conf, err := fs.ReadFile(FS(), "jail.conf")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^\[([\w-]+)\]$`).FindAllStringSubmatch(string(conf), -1) {
		if m[1] != "INCLUDES" && m[1] != "DEFAULT" {
			out = append(out, m[1])
		}
	}
	return out
}

// clientDump lays the stock configuration out with a jail.local and returns what
// Debian's fail2ban-client -d prints.
func clientDump(t *testing.T, local string) string {
	t.Helper()
	python, dir := testenv.Python(t), layOut(t)
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte(local), 0o600); err != nil {
		t.Fatal(err)
	}
	const client = "import sys; from fail2ban.client.fail2bancmdline import *; from fail2ban.client.fail2banclient import exec_command_line; exec_command_line(['fail2ban-client', '-c', sys.argv[1], '-d'])"
	out, err := exec.Command(python, "-c", client, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("fail2ban-client -d: %v\n%s", err, out)
	}
	return string(out)
}

// The peer's client reads the whole tree with every jail enabled, each of them
// with its filter, and with every action_ that users put into jail.local.
func TestClientReadsTheTree(t *testing.T) {
	for _, action := range []string{"action_", "action_mw", "action_mwl"} {
		for _, banaction := range []string{"nftables", "iptables-multiport", "firewallcmd-ipset"} {
			local := "[DEFAULT]\nenabled = true\nlogpath = /dev/null\naction = %(" + action + ")s\nbanaction = " + banaction + "\n"
			for _, jail := range jailNames(t) {
				local += "[" + jail + "]\nlogpath = /dev/null\nbackend = polling\n"
			}
			dump := clientDump(t, local)
			for _, line := range strings.Split(dump, "\n") {
				if line != "" && line[0] != '[' || strings.HasPrefix(line, "['config-error'") {
					t.Errorf("%s with %s: %s", action, banaction, line)
				}
			}
			for _, jail := range jailNames(t) {
				if !strings.Contains(dump, "['start', '"+jail+"']") {
					t.Errorf("%s with %s: the jail %s is not started", action, banaction, jail)
				}
			}
			if !strings.Contains(dump, "'addaction', '"+banaction+"'") {
				t.Errorf("%s: no action %s", action, banaction)
			}
			if action == "action_mwl" && !strings.Contains(dump, "'addaction', 'sendmail-whois-lines'") {
				t.Errorf("action_mwl sends no mail")
			}
		}
	}
}

// What docker-mailserver's image build and tests look for in the tree.
func TestDockerMailserverFindsItsTexts(t *testing.T) {
	conf, _ := fs.ReadFile(FS(), "jail.conf")
	if !strings.Contains(string(conf), "ignoreip = 127.0.0.1/8") {
		t.Error("jail.conf has no ignoreip = 127.0.0.1/8")
	}
	nft, _ := fs.ReadFile(FS(), "action.d/nftables.conf")
	if !regexp.MustCompile(`(?m)^_nft_add_set = .+`).Match(nft) {
		t.Error("nftables.conf has no _nft_add_set")
	}
}

var journalField = regexp.MustCompile(`([A-Z_]+)=`)

// A journalmatch names a field that journald itself writes and that a user cannot
// choose: the unit, or that root wrote (with _COMM, a name that anybody can take).
func TestJournalmatchIsTrusted(t *testing.T) {
	for _, name := range filterNames(t) {
		text, err := fs.ReadFile(FS(), "filter.d/"+name+".conf")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut(string(text), "\njournalmatch =")
		if !ok {
			continue
		}
		for _, line := range strings.Split(rest, "\n") {
			if strings.TrimSpace(line) == "" {
				continue
			}
			trusted := false
			for _, m := range journalField.FindAllStringSubmatch(line, -1) {
				trusted = trusted || m[1] == "_SYSTEMD_UNIT" || m[1] == "_UID" && strings.Contains(line, "_UID=0")
			}
			if !trusted {
				t.Errorf("%s: journalmatch %q has no trusted field", name, line)
			}
		}
	}
}

var anchored = regexp.MustCompile(`^(?:\(\?[a-z]+\))?\^|^\{\^LN-BEG\}|^%\(|^<`)

// Dates and failures are looked for where a line begins, nowhere else.
func TestEverythingIsAnchored(t *testing.T) {
	for _, name := range filterNames(t) {
		text, err := fs.ReadFile(FS(), "filter.d/"+name+".conf")
		if err != nil {
			t.Fatal(err)
		}
		option := ""
		for _, line := range strings.Split(string(text), "\n") {
			value := strings.TrimSpace(line)
			if key, v, ok := strings.Cut(line, " ="); ok && !strings.HasPrefix(line, " ") {
				option, value = key, strings.TrimSpace(v)
			}
			if value == "" || value[0] == '#' {
				continue
			}
			if (option == "failregex" || option == "prefregex" || option == "datepattern") && !anchored.MatchString(value) {
				t.Errorf("%s: %s %q is not anchored", name, option, value)
			}
		}
	}
}

func TestSuperseded(t *testing.T) {
	f := func(name string, content string, want bool) {
		t.Helper()
		if got := Superseded(name, []byte(content)); got != want {
			t.Errorf("Superseded(%q, %d bytes) = %v, want %v", name, len(content), got, want)
		}
	}
	f("filter.d/dovecot.conf", "", false)
	f("filter.d/sshd.conf", "x", false)
	ours, err := fs.ReadFile(FS(), "filter.d/dovecot.conf")
	if err != nil {
		t.Fatal(err)
	}
	f("filter.d/dovecot.conf", string(ours), false)

	testenv.Python(t)
	debian, err := os.ReadFile("/etc/fail2ban/filter.d/dovecot.conf")
	if err != nil {
		t.Skipf("Debian's filter is absent: %v", err)
	}
	f("filter.d/dovecot.conf", string(debian), true)
	f("filter.d/other.conf", string(debian), false)
	f("filter.d/dovecot.conf", string(debian)+"\n", false)
}
