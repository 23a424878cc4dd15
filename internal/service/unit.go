package service

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
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
		"LoadState,NoNewPrivileges,ProtectSystem,ReadWritePaths,ProtectHome,PrivateTmp,IPAddressDeny,IPAddressAllow,CapabilityBoundingSet,"+
			"SystemCallFilter,RestrictAddressFamilies,MemoryDenyWriteExecute").Output()
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

// filterOf names, for a group of system calls, one that is in it and in no other
// group of the packaged unit: systemd shows a filter as the calls that it lets through.
var filterOf = map[string]string{"@privileged": "setuid", "@resources": "setpriority"}

// permits says whether a line of a drop-in would permit nothing new.
func (u unitLimits) permits(line string) bool {
	name, value, _ := strings.Cut(line, "=")
	every := func(is func(word string) bool) bool {
		return !slices.ContainsFunc(strings.Fields(value), func(word string) bool { return !is(word) })
	}
	listed := func(word string) bool { return u[name] == "" || slices.Contains(strings.Fields(u[name]), word) }
	switch name {
	case "ReadWritePaths":
		return every(func(path string) bool {
			path, optional := strings.CutPrefix(path, "-")
			_, err := os.Stat(path)
			return optional && errors.Is(err, fs.ErrNotExist) || u.writable(path)
		})
	case "CapabilityBoundingSet":
		return every(func(c string) bool { return u.capable(strings.ToLower(c)) })
	case "IPAddressAllow":
		return u.online()
	case "SystemCallFilter":
		return every(func(group string) bool { return listed(filterOf[group]) })
	case "RestrictAddressFamilies":
		return every(listed)
	}
	return u[name] == value
}

// A need is what programs want that the packaged unit does not give. The lines
// stand in packaging/systemd/actions.conf.
type need struct {
	why      string
	programs []string
	lines    []string
	only     func() bool // whether it is one on this machine; nil: it is
}

var needs = []need{
	{
		"mail is handed in by a setgid or setuid program", []string{"sendmail", "mail", "mailx", "s-nail", "exim", "exim4", "msmtp"},
		[]string{
			"NoNewPrivileges=no", "ReadWritePaths=-/var/spool/postfix -/var/spool/exim4 -/var/spool/nullmailer -/var/log/exim4",
			"CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_SETUID CAP_SETGID CAP_FOWNER CAP_CHOWN", "SystemCallFilter=@privileged",
		},
		nil,
	},
	{
		"nginx looks at its configuration", []string{"nginx"},
		[]string{
			"ReadWritePaths=-/etc/nginx -/var/lib/nginx -/run",
			"CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_CHOWN CAP_SETUID CAP_SETGID CAP_NET_BIND_SERVICE CAP_KILL", "SystemCallFilter=@privileged @resources",
		},
		nil,
	},
	{
		"ufw writes its rules and calls iptables", []string{"ufw"},
		[]string{"ReadWritePaths=-/etc/ufw -/run", "CapabilityBoundingSet=CAP_NET_RAW", "MemoryDenyWriteExecute=no"},
		nil,
	},
	{
		"iptables is iptables-legacy: raw sockets and a lock in /run", []string{"iptables", "ip6tables"},
		[]string{"CapabilityBoundingSet=CAP_NET_RAW", "RestrictAddressFamilies=AF_PACKET", "ReadWritePaths=/run"},
		legacyTables,
	},
	{
		"it asks or tells somebody on the Internet", []string{"curl", "wget", "whois", "nsupdate"}, []string{"IPAddressAllow=any"}, nil,
	},
}

// lacking returns the lines that permit something new.
func (n *need) lacking(u unitLimits) []string {
	if n.only != nil && !n.only() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.lines), u.permits)
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
	for i := range c.LogPaths {
		list = append(list, u.ofLog(&c.LogPaths[i])...)
	}
	return list
}

// ofLog looks at where a logpath leads, by its own text and through links.
func (u unitLimits) ofLog(p *config.LogPath) (list []Forbidden) {
	paths := []string{p.Pattern.Text}
	for _, file := range p.Expand() {
		if real, err := filepath.EvalSymlinks(file); err == nil && real != file {
			paths = append(paths, real)
		}
	}
	below := func(dirs ...string) bool {
		return slices.ContainsFunc(paths, func(path string) bool {
			return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(path, dir) })
		})
	}
	what := "log " + p.Pattern.Text
	if home := u["ProtectHome"]; (home == "yes" || home == "tmpfs") && below("/home/", "/root/", "/run/user/") {
		list = append(list, Forbidden{what, "home directories are not seen", []string{"ProtectHome=read-only"}})
	}
	if u["PrivateTmp"] == "yes" && below("/tmp/", "/var/tmp/") {
		list = append(list, Forbidden{what, "temporary folders of others are not seen", []string{"PrivateTmp=no"}})
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
	for i := range needs {
		n := &needs[i]
		if !slices.ContainsFunc(n.programs, func(p string) bool { return programs[p] }) {
			continue
		}
		if lines := n.lacking(u); len(lines) > 0 {
			list = append(list, Forbidden{"action " + a.ActName, n.why, lines})
			for _, line := range lines {
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
