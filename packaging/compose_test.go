package packaging

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// A composeFile is what a compose file says, as far as it is asked about here.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Environment []string
		NetworkMode string   `json:"network_mode"`
		CapAdd      []string `json:"cap_add"`
		CapDrop     []string `json:"cap_drop"`
		ReadOnly    bool     `json:"read_only"`
		Tmpfs       []string
		Volumes     []string
		Command     []string
		DependsOn   []string `json:"depends_on"`
	}
}

// compose reads a compose file; Debian's python3-yaml makes JSON of it.
func compose(t *testing.T, path string) (c composeFile) {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "-c", "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)")
	cmd.Stdin = strings.NewReader(read(t, path))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", path, err, out)
	}
	if err := json.Unmarshal(out, &c); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return c
}

// TestCompose holds the examples to what each of them is for.
func TestCompose(t *testing.T) {
	if err := exec.Command("/usr/bin/python3", "-c", "import yaml").Run(); err != nil {
		t.Skipf("python3-yaml is absent: %v", err)
	}
	inside := compose(t, "docker/compose.inside.yaml").Services
	if dms := inside["mailserver"]; len(inside) != 1 || !slices.Equal(dms.CapAdd, []string{"NET_ADMIN"}) || !slices.Contains(dms.Environment, "ENABLE_FAIL2BAN=1") ||
		!slices.ContainsFunc(dms.Volumes, func(v string) bool { return strings.HasSuffix(v, ":/tmp/docker-mailserver/") }) {
		t.Errorf("inside: %+v", inside)
	}
	beside := compose(t, "docker/compose.beside.yaml").Services
	if dms := beside["mailserver"]; len(dms.CapAdd) > 0 || !slices.Contains(dms.Environment, "ENABLE_FAIL2BAN=0") {
		t.Errorf("beside: docker-mailserver has what it does not need: %+v", dms)
	}
	host := compose(t, "docker/compose.host.yaml").Services
	for file, mode := range map[string]string{"beside": "service:mailserver", "host": "host"} {
		c := map[string]composeFile{"beside": {beside}, "host": {host}}[file].Services["f2bpipe"]
		if c.NetworkMode != mode || c.Image != "f2bpipe" || !c.ReadOnly || !slices.Equal(c.CapDrop, []string{"ALL"}) || !slices.Equal(c.CapAdd, []string{"NET_ADMIN", "DAC_READ_SEARCH"}) {
			t.Errorf("%s: %+v", file, c)
		}
		for _, v := range c.Volumes {
			from, to, _ := strings.Cut(v, ":")
			switch {
			case strings.HasPrefix(to, "/var/log/"):
				if !strings.HasSuffix(to, ":ro") {
					t.Errorf("%s: %s: the log can be written", file, v)
				}
			case strings.HasSuffix(from, ".local"):
				if _, err := os.Stat(filepath.Join("docker", from)); err != nil {
					t.Errorf("%s: %s: %v", file, v, err)
				}
			}
		}
	}
}

// TestComposeBinary has Docker's own program read the examples.
func TestComposeBinary(t *testing.T) {
	if os.Getenv("F2BPIPE_SOAK") != "1" {
		t.Skip("needs docker-compose: F2BPIPE_SOAK=1")
	}
	testenv.NeedTool(t, "docker-compose")
	for _, path := range []string{"docker/compose.inside.yaml", "docker/compose.beside.yaml", "docker/compose.host.yaml"} {
		if out, err := exec.Command("docker-compose", "-f", path, "config", "--quiet").CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", path, err, out)
		}
	}
}

// TestComposeJails has the program read the configuration that the examples
// mount: every jail runs, and on the host each drops in prerouting.
func TestComposeJails(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"docker/jail.local": "jail.local", "docker/host.local": "jail.d/host.local"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, to)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), []byte(read(t, from)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(program(t), "check", "--config", dir, "--json").Output()
	if err != nil {
		t.Fatalf("check: %v: %s", err, out)
	}
	var found struct {
		Errors int
		Jails  []struct {
			Name     string
			Disabled bool
		}
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, j := range found.Jails {
		if j.Disabled {
			t.Errorf("%s is disabled", j.Name)
		}
		names = append(names, j.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"custom", "dovecot", "postfix"}) || found.Errors > 0 {
		t.Errorf("jails %v: %s", names, out)
	}
	for _, jail := range names {
		if out, err := exec.Command(program(t), "config", "--config", dir, jail).CombinedOutput(); err != nil || !strings.Contains(string(out), "scope = all") {
			t.Errorf("config %s: %v: %s", jail, err, out)
		}
	}
}
