package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestUnitIsHardened has systemd rate the unit: below 2.0, with no capability
// but the two that it cannot do without.
func TestUnitIsHardened(t *testing.T) {
	testenv.NeedTool(t, "systemd-analyze")
	unit := filepath.Join("systemd", "f2bpipe.service")
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", unit).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze: %v: %s", err, out)
	}
	found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze rates nothing:\n%s", out)
	}
	if level, err := strconv.ParseFloat(string(found[1]), 64); err != nil || level >= 2.0 {
		t.Errorf("exposure level %s, want below 2.0:\n%s", found[1], out)
	}
	if !strings.Contains(read(t, unit), "\nCapabilityBoundingSet=CAP_NET_ADMIN CAP_DAC_READ_SEARCH\n") {
		t.Error("the unit has other capabilities")
	}
}

// TestUnitsAreValid has systemd read the unit with every line of the packaged
// drop-ins in force: an option that it does not know would be ignored silently.
func TestUnitsAreValid(t *testing.T) {
	testenv.NeedTool(t, "systemd-analyze")
	dir := t.TempDir()
	program := filepath.Join(dir, "f2bpipe")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile(`/usr/bin/(f2bpipe|fail2ban-\w+|systemd-tmpfiles)`).ReplaceAllString(text, program)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("f2bpipe.service", regexp.MustCompile(`(?m)^Documentation=.*`).ReplaceAllString(read(t, "systemd/f2bpipe.service"), ""))
	write("f2bpipe.service.d/early.conf", read(t, "systemd/early.conf"))
	write("f2bpipe.service.d/fail2ban.conf", read(t, "systemd/fail2ban.conf"))
	options := regexp.MustCompile(`(?m)^#([A-Z]\w+=)`).ReplaceAllString(read(t, "systemd/actions.conf"), "$1")
	if !strings.Contains(options, "\nNoNewPrivileges=no\n") {
		t.Fatal("no line of actions.conf was taken")
	}
	write("f2bpipe.service.d/actions.conf", options)
	out, err := exec.Command("systemd-analyze", "verify", "--recursive-errors=no", filepath.Join(dir, "f2bpipe.service")).CombinedOutput()
	if err != nil || strings.Contains(string(out), dir) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestScriptsParse has the shell read every script.
func TestScriptsParse(t *testing.T) {
	scripts := []string{"build", "docker/user-patches.sh"}
	for _, pattern := range []string{"deb/*", "rpm/*", "test/*.sh"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, found...)
	}
	if len(scripts) < 15 {
		t.Errorf("only %d scripts", len(scripts))
	}
	for _, script := range scripts {
		shell := "sh"
		if strings.HasPrefix(read(t, script), "#!/bin/bash") {
			shell = "bash"
		}
		if out, err := exec.Command(shell, "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", script, err, out)
		}
	}
}

// TestDMSBuilds makes docker-mailserver's edits of its image's build on the
// files that the package installs: an edit that changes nothing fails the build.
func TestDMSBuilds(t *testing.T) {
	dir := t.TempDir()
	stock := filepath.Join(testenv.Root(t), "internal", "stock", "config")
	edit := func(from string, args ...string) {
		t.Helper()
		before := read(t, from)
		path := filepath.Join(dir, filepath.Base(from))
		if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("sed", append(args, path)...).CombinedOutput(); err != nil {
			t.Fatalf("sed: %v: %s", err, out)
		}
		if read(t, path) == before {
			t.Errorf("sed %q changes nothing in %s", args, from)
		}
	}
	edit(filepath.Join(stock, "action.d", "nftables.conf"), "-i", "-r",
		`s/^_nft_add_set = .+/_nft_add_set = <nftables> add set <table_family> <table> <addr_set> \\{ type <addr_type>\\; flags interval\\; \\}/`)
	edit("logrotate/fail2ban", "-i", `s|^/var/log/fail2ban.log {$|/var/log/mail/fail2ban.log {|`)
	edit("logrotate/fail2ban", "-i", `s|rotate 4$|rotate 7|`)
	edit("logrotate/fail2ban", "-i", `s|weekly$|daily|`)
	if !strings.Contains(read(t, filepath.Join(stock, "jail.conf")), "ignoreip = 127.0.0.1/8") {
		t.Error("jail.conf lacks what docker-mailserver's test greps for")
	}
}

// TestPackage builds everything and has Debian's and rpm's own programs look at
// the result. It compiles the program twice.
func TestPackage(t *testing.T) {
	if os.Getenv("F2BPIPE_SOAK") != "1" {
		t.Skip("compiles the program twice and a packager: F2BPIPE_SOAK=1")
	}
	testenv.NeedTool(t, "lintian")
	testenv.NeedTool(t, "rpm")
	out := packages(t)
	debs, _ := filepath.Glob(filepath.Join(out, "*.deb"))
	rpms, _ := filepath.Glob(filepath.Join(out, "*.rpm"))
	if len(debs) != 2 || len(rpms) != 2 {
		t.Fatalf("%d Debian packages, %d rpms", len(debs), len(rpms))
	}
	text, err := exec.Command("lintian", append([]string{"--fail-on", "error"}, debs...)...).CombinedOutput()
	if err != nil {
		t.Errorf("lintian: %v\n%s", err, text)
	}
	for _, path := range rpms {
		if text, err := exec.Command("rpm", "-qp", "--requires", "--provides", "--list", path).CombinedOutput(); err != nil {
			t.Errorf("rpm: %v\n%s", err, text)
		}
	}
	archive := filepath.Join(out, "f2bpipe-1.2.3-linux-amd64.tar.gz")
	if text, err := exec.Command("tar", "-C", out, "-xzf", archive).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, text)
	}
	binary := filepath.Join(out, "f2bpipe-1.2.3-linux-amd64", "f2bpipe")
	if text, err := exec.Command("ldd", binary).CombinedOutput(); err == nil {
		t.Errorf("the archive's binary is not static: %s", text)
	}
	if text, err := exec.Command(binary, "version").CombinedOutput(); err != nil || !strings.Contains(string(text), "1.2.3") {
		t.Errorf("version: %v: %s", err, text)
	}
}
