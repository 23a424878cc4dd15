package stock

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// actionStep is a method of an action and what it is told.
type actionStep [2]any

// actionJob is an action with its parameters and what is done with it.
type actionJob struct {
	Action string            `json:"action"`
	Params map[string]string `json:"params"`
	Steps  []actionStep      `json:"steps"`
}

// actionResult is what became of a step.
type actionResult struct {
	OK       bool     `json:"ok"`
	Commands []string `json:"commands"`
	Log      []string `json:"log"`
}

// runActions runs actions of ours with Debian's fail2ban in a network namespace
// of its own. Programs that change what no namespace holds, or that may be absent,
// are replaced by ones that write down how they were called, into the file that
// is returned.
func runActions(t *testing.T, jobs []actionJob) ([][]actionResult, string) {
	t.Helper()
	python, dir := testenv.Python(t), t.TempDir()
	testenv.Netns(t)
	called := filepath.Join(dir, "called")
	for _, name := range []string{"iptables", "ip6tables", "ipset", "firewall-cmd", "ufw", "curl", "mail", "sendmail", "whois", "nginx", "ss", "conntrack"} {
		script := "#!/bin/sh\n{ printf '%s' " + name + "; printf ' <%s>' \"$@\"; echo; } >> '" + called + "'\n"
		if name == "mail" || name == "sendmail" {
			script += "cat >> '" + called + "'\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	task, err := json.Marshal(map[string]any{"config": layOut(t), "jobs": jobs})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/actions.py")
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	cmd.Stdin = bytes.NewReader(task)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("actions: %v\n%s", err, stderr.String())
	}
	var results []struct {
		Error string
		Steps []actionResult
	}
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatal(err)
	}
	var steps [][]actionResult
	for i, r := range results {
		if r.Error != "" {
			t.Fatalf("%s: %s", jobs[i].Action, r.Error)
		}
		steps = append(steps, r.Steps)
	}
	log, _ := os.ReadFile(called)
	return steps, string(log)
}

// ban returns the step of banning an address, with lines of a log that no shell
// may take for more than text.
func ban(address string) actionStep { return actionStep{"ban", actionInfo(address)} }

func unban(address string) actionStep { return actionStep{"unban", actionInfo(address)} }

func actionInfo(address string) map[string]any {
	hostile := "a 'b' \"c\" $(touch pwned) `touch pwned`; touch pwned\n| x"
	return map[string]any{
		"ip": address, "fid": address, "failures": 5, "time": 1795168800, "bantime": 600, "bancount": 1, "restored": 0,
		"matches": hostile, "ipmatches": hostile, "ipjailmatches": hostile,
		"fq-hostname": "host.example.org", "sh-hostname": "host", "jail.name": "sshd",
	}
}

// Every action starts, bans, unbans and stops for both families, and says which
// address it is about.
func TestActionsRun(t *testing.T) {
	work := t.TempDir()
	var jobs []actionJob
	for _, name := range names(t, "action.d", func(name string) bool { return strings.HasSuffix(name, "-common") }) {
		params := map[string]string{
			"name": "sshd", "actname": name, "port": "ssh,8000:8010", "protocol": "tcp", "dest": "root", "sender": "f2b@example.org",
			"file": filepath.Join(work, "hosts.deny"), "target": filepath.Join(work, "dummy"), "tmpfile": filepath.Join(work, name),
			"srv_cfg_path": work, "lines": "1",
		}
		if strings.HasPrefix(name, "sendmail") {
			params["mailcmd"] = "sendmail root"
		}
		jobs = append(jobs, actionJob{name, params, []actionStep{
			{"start", map[string]any{}}, ban("192.0.2.1"), ban("2001:db8::1"), unban("192.0.2.1"), unban("2001:db8::1"),
			{"flush", map[string]any{}}, {"stop", map[string]any{}},
		}})
	}
	results, called := runActions(t, jobs)
	for i, steps := range results {
		name := jobs[i].Action
		if name == "iptables-xt_recent-echo" {
			continue // needs a module of the kernel's; its commands are still parsed below
		}
		for k, step := range steps {
			if !step.OK {
				t.Errorf("%s %v: %q\n%s", name, jobs[i].Steps[k][0], step.Commands, strings.Join(step.Log, "\n"))
			}
		}
		for k, address := range map[int]string{1: "192.0.2.1", 2: "2001:db8::1"} {
			if all := strings.Join(steps[k].Commands, "\n"); !strings.Contains(all, address) && !strings.Contains(called, address) {
				t.Errorf("%s: the ban of %s does not name it: %q", name, address, all)
			}
		}
	}
	checkShell(t, jobs, results)
	if _, err := os.Stat("pwned"); err == nil {
		os.Remove("pwned")
		t.Error("a command took a line of the log for a command")
	}
	for _, want := range []string{
		"iptables <-w> <-I> <f2b-sshd> <1> <-s> <192.0.2.1> <-j> <REJECT> <--reject-with> <icmp-port-unreachable>",
		"ip6tables <-w> <-I> <f2b-sshd> <1> <-s> <2001:db8::1> <-j> <REJECT> <--reject-with> <icmp6-port-unreachable>",
		"ipset <-exist> <add> <f2b-sshd> <192.0.2.1> <timeout> <0>",
		"firewall-cmd <--direct> <--add-rule> <ipv6> <filter> <f2b-sshd> <0> <-s> <2001:db8::1>",
		"firewall-cmd <--add-rich-rule=rule family='ipv4' source address='192.0.2.1' port port='8000-8010' protocol='tcp' reject type='icmp-port-unreachable'>",
		"ufw <prepend> <reject> <from> <192.0.2.1> <to> <any> <comment> <f2bpipe: sshd, 5 failures>",
		"Subject: [Fail2Ban] sshd: banned 192.0.2.1 from ",
		"a 'b' \"c\" $(touch pwned) `touch pwned`; touch pwned",
		"--data-urlencode> <ip=2001:db8::1>",
	} {
		if !strings.Contains(called, want) {
			t.Errorf("no action called %q", want)
		}
	}
}

// checkShell lets the shell parse every command.
func checkShell(t *testing.T, jobs []actionJob, results [][]actionResult) {
	t.Helper()
	seen := map[string]bool{}
	for i, steps := range results {
		for _, step := range steps {
			for _, command := range step.Commands {
				if seen[command] {
					continue
				}
				seen[command] = true
				if out, err := exec.Command("sh", "-n", "-c", command).CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s\n%s", jobs[i].Action, err, out, command)
				}
			}
		}
	}
}

// The commands of our nftables actions build fail2ban's layout.
func TestNftablesCommandsBuildFail2bansLayout(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	params := map[string]string{"name": "dovecot", "port": "pop3,imap,8000:8010", "protocol": "tcp", "blocktype": "drop"}
	all := map[string]string{"name": "custom", "protocol": "tcp"}
	runActions(t, []actionJob{
		{"nftables-multiport", params, []actionStep{{"start", map[string]any{}}, ban("192.0.2.1"), ban("2001:db8::1"), ban("192.0.2.128/25")}},
		{"nftables-allports", all, []actionStep{{"start", map[string]any{}}, ban("192.0.2.2"), ban("192.0.2.3"), unban("192.0.2.3")}},
	})
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	for _, want := range []string{
		"table inet f2b-table {",
		"type filter hook input priority filter - 1; policy accept;",
		"tcp dport { 110, 143, 8000-8010 } ip saddr @addr-set-dovecot drop",
		"tcp dport { 110, 143, 8000-8010 } ip6 saddr @addr6-set-dovecot drop",
		"elements = { 192.0.2.1, 192.0.2.128/25 }",
		"elements = { 2001:db8::1 }",
		"meta l4proto tcp ip saddr @addr-set-custom reject",
		"elements = { 192.0.2.2 }",
		"flags interval",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the ruleset has no %q:\n%s", want, out)
		}
	}
}
