package service

import (
	"context"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/runner"
)

// UnitName is the packaged unit, and DropIn where what it forbids is permitted.
const (
	UnitName = "f2bpipe.service"
	DropIn   = "/etc/systemd/system/f2bpipe.service.d/actions.conf"
)

// Forbidden is something of a jail that the unit does not let happen, and the
// lines of a drop-in that do.
type Forbidden struct {
	What  string   `json:"what"`  // action NAME, or log PATH
	Why   string   `json:"why"`   // what it needs
	Lines []string `json:"lines"` // for [Service]
}

// unitLimits are the properties of the unit as systemd has it loaded, by name.
type unitLimits map[string]string

// loadedUnit asks systemd for the unit; nil: there is no systemd, or no unit.
func loadedUnit() unitLimits {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", "show", UnitName, "-p",
		"LoadState,NoNewPrivileges,ProtectSystem,ReadWritePaths,ProtectHome,PrivateTmp,IPAddressDeny,IPAddressAllow,CapabilityBoundingSet").Output()
	if err != nil {
		return nil
	}
	return parseUnit(string(out))
}

func parseUnit(show string) unitLimits {
	u := unitLimits{}
	for line := range strings.Lines(show) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			u[name] = value
		}
	}
	if u["LoadState"] != "loaded" {
		return nil
	}
	return u
}

// writable says whether commands may write a path.
func (u unitLimits) writable(path string) bool {
	if u["ProtectSystem"] != "strict" {
		return true
	}
	free := []string{"/dev", "/proc", "/tmp", "/var/tmp", "/run/fail2ban", "/var/run/fail2ban", "/var/lib/fail2ban", "/var/lib/f2bpipe"}
	for _, p := range append(strings.Fields(u["ReadWritePaths"]), free...) {
		if p = strings.TrimLeft(p, "-+"); p == "/" || path == p || strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}

// online says whether commands may talk to the Internet.
func (u unitLimits) online() bool {
	any := func(list string) bool {
		return slices.ContainsFunc(strings.Fields(list), func(s string) bool {
			p, err := netip.ParsePrefix(s)
			return s == "any" || err == nil && p.Bits() == 0
		})
	}
	return !any(u["IPAddressDeny"]) || any(u["IPAddressAllow"])
}

func (u unitLimits) capable(name string) bool {
	return slices.Contains(strings.Fields(u["CapabilityBoundingSet"]), name)
}

// A need is what programs want that the packaged unit does not give. The lines
// stand in packaging/systemd/actions.conf.
type need struct {
	why      string
	programs []string
	lines    []string
	met      func(unitLimits) bool
}

var needs = []need{
	{
		"mail is handed in by a setgid or setuid program", []string{"sendmail", "mail", "mailx", "s-nail", "exim", "exim4", "msmtp"},
		[]string{
			"NoNewPrivileges=no", "ReadWritePaths=-/var/spool/postfix -/var/spool/exim4 -/var/spool/nullmailer -/var/log/exim4",
			"CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_SETUID CAP_SETGID CAP_FOWNER CAP_CHOWN", "SystemCallFilter=@privileged",
		},
		func(u unitLimits) bool { return u["NoNewPrivileges"] != "yes" },
	},
	{
		"nginx looks at its configuration", []string{"nginx"},
		[]string{
			"ReadWritePaths=-/etc/nginx -/var/lib/nginx -/run",
			"CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_CHOWN CAP_SETUID CAP_SETGID CAP_NET_BIND_SERVICE CAP_KILL", "SystemCallFilter=@privileged @resources",
		},
		func(u unitLimits) bool { return u.writable("/etc/nginx") && u.capable("cap_dac_override") },
	},
	{
		"ufw writes its rules and calls iptables", []string{"ufw"},
		[]string{"ReadWritePaths=-/etc/ufw -/run", "CapabilityBoundingSet=CAP_NET_RAW", "MemoryDenyWriteExecute=no"},
		func(u unitLimits) bool { return u.writable("/etc/ufw") && u.capable("cap_net_raw") },
	},
	{
		"iptables is iptables-legacy: raw sockets and a lock in /run", []string{"iptables", "ip6tables"},
		[]string{"CapabilityBoundingSet=CAP_NET_RAW", "RestrictAddressFamilies=AF_PACKET", "ReadWritePaths=/run"},
		func(u unitLimits) bool { return u.capable("cap_net_raw") || !legacyTables() },
	},
	{
		"it asks or tells somebody on the Internet", []string{"curl", "wget", "whois", "nsupdate"}, []string{"IPAddressAllow=any"}, unitLimits.online,
	},
}

// legacyTables says whether iptables is the one of before nf_tables.
func legacyTables() bool {
	path, err := exec.LookPath("iptables")
	if err != nil {
		return false
	}
	path, err = filepath.EvalSymlinks(path)
	return err == nil && strings.Contains(path, "legacy")
}

var (
	commandWord = regexp.MustCompile("[^\\s;|&(){}$`'\"<>]+")
	// written finds paths that a shell's command writes: behind a redirection, and
	// what is given to programs that write.
	written = regexp.MustCompile(`>>?\s*["']?(/[^\s;|&"')]+)|\b(?:touch|tee|truncate|sed\s+-i\S*|mkdir|cp|mv|install|ln)\b[^;|&\n]*?\s["']?(/[^\s;|&"')]+)`)
)

// forbidden finds what the unit does not let a jail do.
func (u unitLimits) forbidden(c *config.Jail, actions []CheckedAction) []Forbidden {
	list := []Forbidden{}
	if u == nil {
		return list
	}
	for i := range c.Actions {
		a := &c.Actions[i]
		if at := slices.IndexFunc(actions, func(x CheckedAction) bool { return x.Name == a.ActName }); at >= 0 && actions[at].By == byNFTables {
			continue
		}
		list = append(list, u.ofAction(c.Name, a)...)
	}
	for _, p := range c.LogPaths {
		path := p.Pattern.Text
		home := strings.HasPrefix(path, "/home/") || strings.HasPrefix(path, "/root/") || strings.HasPrefix(path, "/run/user/")
		switch {
		case home && (u["ProtectHome"] == "yes" || u["ProtectHome"] == "tmpfs"):
			list = append(list, Forbidden{"log " + path, "home directories are not seen", []string{"ProtectHome=read-only"}})
		case u["PrivateTmp"] == "yes" && (strings.HasPrefix(path, "/tmp/") || strings.HasPrefix(path, "/var/tmp/")):
			list = append(list, Forbidden{"log " + path, "temporary folders of others are not seen", []string{"PrivateTmp=no"}})
		}
	}
	return list
}

// ofAction looks through the commands of an action.
func (u unitLimits) ofAction(jail string, a *config.Action) (list []Forbidden) {
	program, err := runner.Compile(runner.Define(jail, a))
	if err != nil {
		return nil // checked elsewhere
	}
	var text strings.Builder
	for _, phase := range []runner.Phase{runner.Start, runner.Stop, runner.Flush, runner.Check, runner.Repair, runner.Ban, runner.Unban} {
		text.WriteString(program.Text(phase, runner.Inet4) + "\n")
	}
	programs := map[string]bool{}
	for _, word := range commandWord.FindAllString(text.String(), -1) {
		programs[filepath.Base(word)] = true
	}
	var given []string // writable by the lines that are named already
	for _, n := range needs {
		if !n.met(u) && slices.ContainsFunc(n.programs, func(p string) bool { return programs[p] }) {
			list = append(list, Forbidden{"action " + a.ActName, n.why, n.lines})
			for _, line := range n.lines {
				if paths, ok := strings.CutPrefix(line, "ReadWritePaths="); ok {
					given = append(given, strings.Fields(strings.ReplaceAll(paths, "-/", "/"))...)
				}
			}
		}
	}
	seen := map[string]bool{}
	for _, m := range written.FindAllStringSubmatch(text.String(), -1) {
		path := m[1] + m[2]
		// A file is written anew beside the old one.
		dir := filepath.Dir(path)
		inGiven := slices.ContainsFunc(given, func(p string) bool { return strings.HasPrefix(path, p+"/") })
		if seen[dir] || inGiven || u.writable(path) {
			continue
		}
		seen[dir] = true
		list = append(list, Forbidden{"action " + a.ActName, "it writes " + path, []string{"ReadWritePaths=" + dir}})
	}
	return list
}
