package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// A decision is a line of `pipe --json --failures`, or of the oracle.
type decision struct {
	Action   string   `json:"action"`
	Jail     string   `json:"jail"`
	IP       string   `json:"ip"`
	Time     float64  `json:"time"`
	Until    *float64 `json:"until"`
	Failures int      `json:"failures"`
	Line     int      `json:"line"`
}

// decisions runs a command and reads what it decided, unbans left out.
func decisions(t *testing.T, stdin []byte, name string, args ...string) []decision {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	var list []decision
	for line := range bytes.Lines(out) {
		var d decision
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if d.Action != "unban" {
			list = append(list, d)
		}
	}
	return list
}

// of returns the decisions of an action as "ip second", in order.
func of(list []decision, action string) []string {
	var out []string
	for _, d := range list {
		if d.Action == action {
			out = append(out, fmt.Sprintf("%s %.0f", d.IP, math.Floor(d.Time)))
		}
	}
	return out
}

var fraction = regexp.MustCompile(`(?m)^(\S+T\d\d:\d\d:\d\d)\.\d+`)

// TestPipeDecidesAsDebian compares failures and bans with those that Debian's
// own Filter and FailManager come to over the same log: the filters are
// Debian's, the times whole seconds as fail2ban has them.
func TestPipeDecidesAsDebian(t *testing.T) {
	python, binary := testenv.Python(t), buildBinary(t)
	const config = "/etc/fail2ban"
	text, err := os.ReadFile("../../testdata/auth.log")
	if err != nil {
		t.Fatal(err)
	}
	text = fraction.ReplaceAll(text, []byte("$1"))
	log := filepath.Join(t.TempDir(), "auth.log")
	if err := os.WriteFile(log, text, 0o644); err != nil {
		t.Fatal(err)
	}
	pairs := [][2]int{{5, 600}, {3, 60}, {2, 3600}, {10, 86400}}
	if testing.Short() {
		pairs = pairs[:1]
	}
	for _, limits := range pairs {
		maxretry, findtime := fmt.Sprint(limits[0]), fmt.Sprint(limits[1])
		want := decisions(t, nil, python, "testdata/failmanager.py", config, "sshd", maxretry, findtime, log)
		got := decisions(t, text, binary, "pipe", "sshd", "--dry-run", "--json", "--failures", "--config", config,
			"--maxretry", maxretry, "--findtime", findtime, "--bantime", "600")
		for _, action := range []string{"failure", "ban"} {
			g, w := of(got, action), of(want, action)
			if len(w) == 0 {
				t.Fatalf("%v: the oracle found no %s", limits, action)
			}
			if strings.Join(g, "\n") != strings.Join(w, "\n") {
				t.Errorf("%v: %d %ss, want %d; first difference: %s", limits, len(g), action, len(w), firstDifference(g, w))
			}
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return fmt.Sprintf("%d: got %s, want %s", i, g, w)
		}
	}
	return "none"
}

// TestPipeCountsExactly compares counter = exact with a plain window over the
// failures: those of an address within findtime of the newest.
func TestPipeCountsExactly(t *testing.T) {
	binary := buildBinary(t)
	dir := t.TempDir()
	jail := "[DEFAULT]\ncounter = exact\nmaxretry = 4\nfindtime = 120\nbantime = 300\n[sshd]\nenabled = true\n"
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte(jail), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../testdata/auth.log")
	if err != nil {
		t.Fatal(err)
	}
	got := decisions(t, text, binary, "pipe", "sshd", "--dry-run", "--json", "--failures", "--config", dir)
	times := map[string][]float64{}
	var want []string
	for _, d := range got {
		if d.Action != "failure" {
			continue
		}
		seen, newest := times[d.IP], d.Time
		for _, t := range seen {
			newest = max(newest, t)
		}
		var kept []float64
		for _, t := range append(seen, d.Time) {
			if t >= newest-120 {
				kept = append(kept, t)
			}
		}
		times[d.IP] = kept
		if len(kept) >= 4 {
			want = append(want, fmt.Sprintf("%s %.0f", d.IP, math.Floor(newest)))
			delete(times, d.IP)
		}
	}
	if g := of(got, "ban"); len(want) == 0 || strings.Join(g, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d bans, want %d; first difference: %s", len(g), len(want), firstDifference(g, want))
	}
}
