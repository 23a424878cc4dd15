package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/service"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// debianTree copies Debian's /etc/fail2ban and enables every jail.
func debianTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fail2ban")
	if err := os.CopyFS(dir, os.DirFS("/etc/fail2ban")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "jail.local"), "[DEFAULT]\nenabled = true\n")
	return dir
}

// clientDump is what Debian's client prints, sorted: the order of log files is
// that of their folder.
func clientDump(t *testing.T, python, dir string) []string {
	t.Helper()
	out, err := exec.Command(python, "/usr/bin/fail2ban-client", "-d", "-c", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	return sortedLines(out)
}

func sortedLines(out []byte) []string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	return lines
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return out
}

// except returns the lines of a that b has not.
func except(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool {
		_, found := slices.BinarySearch(b, s)
		return found
	})
}

// dump prints what Debian's client prints, every jail enabled. Without
// stockfilters = disk it prints our Dovecot filter, which is the one in use.
func TestDumpIsDebians(t *testing.T) {
	python, binary := testenv.Python(t), buildBinary(t)
	dir := debianTree(t)
	want := clientDump(t, python, dir)
	if len(want) < 1000 {
		t.Fatalf("the client prints %d commands", len(want))
	}
	got := sortedLines(output(t, binary, "dump", "--config", dir))
	for _, line := range slices.Concat(except(got, want), except(want, got)) {
		if !strings.Contains(line, "set', 'dovecot', ") {
			t.Errorf("only one of both has %s", line)
		}
	}
	if len(except(got, want)) == 0 {
		t.Error("the Dovecot filter is not replaced")
	}
	writeFile(t, filepath.Join(dir, "fail2ban.local"), "[Definition]\nstockfilters = disk\n")
	if got = sortedLines(output(t, binary, "dump", "--config", dir)); !slices.Equal(got, want) {
		t.Errorf("got only %q\nwant only %q", except(got, want), except(want, got))
	}
	if err := os.Remove(filepath.Join(dir, "jail.local")); err != nil {
		t.Fatal(err)
	}
	if got = sortedLines(output(t, binary, "dump", "--all", "--config", dir)); !slices.Equal(got, want) {
		t.Errorf("--all: got only %q\nwant only %q", except(got, want), except(want, got))
	}
}

func checked(t *testing.T, args ...string) *service.Checked {
	t.Helper()
	var c service.Checked
	out := output(t, buildBinary(t), append([]string{"check", "--json"}, args...)...)
	// A severity is written as text only.
	out = regexp.MustCompile(`"severity":"warning"`).ReplaceAll(out, []byte(`"severity":1`))
	if err := json.Unmarshal(out, &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

// describes fails the test where a jail's filter, actions or logs are missing.
func describes(t *testing.T, j *service.CheckedJail) {
	t.Helper()
	if j.Disabled || j.Filter == nil || j.Filter.Regexes == 0 || j.Filter.File == "" {
		t.Errorf("%s: filter %+v, disabled %v", j.Name, j.Filter, j.Disabled)
	}
	if len(j.Logs) == 0 && j.Journal == nil {
		t.Errorf("%s: no logs and no journal", j.Name)
	}
	for _, a := range j.Actions {
		if a.File == "" || a.By == "" && a.Reason == "" {
			t.Errorf("%s: action %+v", j.Name, a)
		}
	}
	// One logs packets, too, and one lets addresses in: both stay commands.
	drops := !slices.Contains([]string{"xinetd-fail", "pass2allow-ftp"}, j.Name)
	if slices.ContainsFunc(j.Actions, func(a service.CheckedAction) bool { return a.By == "nftables" }) != drops {
		t.Errorf("%s: actions %+v", j.Name, j.Actions)
	}
}

// With every stock jail of Debian enabled check finds no error and tells each
// jail's filter, actions (as many as the client adds) and logs.
func TestCheckOfDebian(t *testing.T) {
	python := testenv.Python(t)
	dir := debianTree(t)
	c := checked(t, "--config", dir)
	if c.Errors != 0 || len(c.Jails) < 80 {
		t.Errorf("%d errors, %d jails", c.Errors, len(c.Jails))
	}
	actions := map[string][]string{}
	added := regexp.MustCompile(`^\['set', '([^']*)', 'addaction', '([^']*)'`)
	for _, line := range clientDump(t, python, dir) {
		if m := added.FindStringSubmatch(line); m != nil {
			actions[m[1]] = append(actions[m[1]], m[2])
		}
	}
	for i := range c.Jails {
		j := &c.Jails[i]
		describes(t, j)
		var names []string
		for _, a := range j.Actions {
			names = append(names, a.Name)
		}
		slices.Sort(names)
		if want := actions[j.Name]; !slices.Equal(names, want) {
			t.Errorf("%s: actions %q, want %q", j.Name, names, want)
		}
		own := !strings.HasPrefix(j.Filter.File, dir+"/filter.d/")
		if own != (j.Name == "dovecot") || own != (j.Filter.Replaces == dir+"/filter.d/dovecot.conf") {
			t.Errorf("%s: filter from %s for %q", j.Name, j.Filter.File, j.Filter.Replaces)
		}
	}
	if len(actions) != len(c.Jails) {
		t.Errorf("%d jails, the client has %d", len(c.Jails), len(actions))
	}
}

// The same for our own configuration.
func TestCheckOfStock(t *testing.T) {
	c := checked(t, "--all", "--config", t.TempDir())
	if c.Errors != 0 || len(c.Jails) < 40 {
		t.Errorf("%d errors, %d jails", c.Errors, len(c.Jails))
	}
	for i := range c.Jails {
		j := &c.Jails[i]
		describes(t, j)
		if f := j.Filter; f != nil && (!f.Stock || !strings.HasPrefix(f.File, "stock:filter.d/")) {
			t.Errorf("%s: filter %+v", j.Name, f)
		}
	}
	for _, p := range c.Problems {
		if p.Option != "logpath" {
			t.Errorf("unexpected: %v", p)
		}
	}
}

// With every jail of Debian check takes less than a second. On a machine that
// others load, the best of five gets three, with two of processor on all cores.
func TestCheckIsQuick(t *testing.T) {
	testenv.Python(t)
	dir, binary := debianTree(t), buildBinary(t)
	best, bestBusy := time.Hour, time.Hour
	for range 5 {
		cmd := exec.Command(binary, "check", "--config", dir)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		best = min(best, time.Since(start))
		bestBusy = min(bestBusy, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	}
	t.Logf("%v, %v of processor", best, bestBusy)
	if best > 3*time.Second || bestBusy > 2*time.Second {
		t.Errorf("it took %v, %v of processor", best, bestBusy)
	}
}

// Ours is read only where it holds a file of jails, and the other one is named
// only where it does.
func TestChooseDir(t *testing.T) {
	base := t.TempDir()
	ours, theirs := filepath.Join(base, "ours"), filepath.Join(base, "theirs")
	f := func(given, wantDir, wantOther string) {
		t.Helper()
		if dir, other := chooseDir(given, ours, theirs); dir != wantDir || other != wantOther {
			t.Errorf("got %q, %q, want %q, %q", dir, other, wantDir, wantOther)
		}
	}
	f("", theirs, "")
	writeFile(t, filepath.Join(ours, "fail2ban.local"), "")
	writeFile(t, filepath.Join(ours, "jail.d", "README"), "")
	f("", theirs, "")
	writeFile(t, filepath.Join(ours, "jail.d", "x.local"), "")
	f("", ours, "")
	f(theirs, theirs, ours)
	f("/elsewhere", "/elsewhere", "")
	writeFile(t, filepath.Join(theirs, "jail.conf"), "")
	f("", ours, theirs)
	f(ours, ours, theirs)
	f("/elsewhere", "/elsewhere", "")
	if got, want := readDirs(ours, &service.OtherDir{Dir: theirs, Enabled: 3}), ours+" ("+theirs+", which is not read, has 3 enabled jails)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
