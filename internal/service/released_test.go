package service

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/stock"
)

// dropperSpecs are all ways to ask for an action of a tree that drops packets.
func dropperSpecs(names []string) []string {
	var out []string
	for _, name := range names {
		if !config.IsDropper(name) || slices.Contains(noDroppers, name) || strings.HasSuffix(name, "-common") {
			continue
		}
		out = append(out, name)
		types := map[string][]string{"nftables": {"multiport", "allports"}, "iptables": {"oneport", "multiport", "allports"},
			"iptables-ipset": {"oneport", "multiport", "allports"}}[name]
		if name == "firewallcmd-ipset" {
			out = append(out, name+"[actiontype=<multiport>]", name+"[actiontype=<allports>]")
		}
		for _, t := range types {
			out = append(out, name+"[type="+t+"]")
		}
	}
	return out
}

// actionsOf reads actions of a tree for a jail of it.
func actionsOf(t *testing.T, o config.Options, specs []string) []config.Action {
	t.Helper()
	o.Make, o.Enable, o.Only = true, []string{"trial"}, "trial"
	o.Overrides.Jail = map[string]string{"action": strings.Join(specs, "\n"), "failregex": "^x <HOST>$", "filter": "", "backend": "polling", "logpath": ""}
	tree, problems := config.Load(o)
	j := tree.Jail("trial")
	if j == nil || len(j.Actions) != len(specs) {
		t.Fatalf("%s: %d actions of %d are read: %v", o.Dir, len(j.Actions), len(specs), problems.Errors())
	}
	return j.Actions
}

func actionNames(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "action.d", "*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".conf"))
	}
	return names
}

// The commands of our stock droppers and of the fail2ban that is installed are
// known. With F2BPIPE_RELEASES (trees, separated by colons; the last part of a
// path is the release's name) it prints the list of their hashes.
func TestReleasedActionsAreKnown(t *testing.T) {
	for _, dir := range filepath.SplitList(os.Getenv("F2BPIPE_RELEASES")) {
		specs := dropperSpecs(actionNames(t, filepath.Join(dir, "etc/fail2ban")))
		for i, a := range actionsOf(t, config.Options{Dir: filepath.Join(dir, "etc/fail2ban")}, specs) {
			fmt.Printf("HASH\t%s\t%s\t%s\n", actionHash(&a), specs[i], filepath.Base(dir))
		}
	}
	check := func(o config.Options, specs []string) {
		t.Helper()
		for i, a := range actionsOf(t, o, specs) {
			if !released(&a) {
				t.Errorf("%s: %s is not known: %q", o.Dir, specs[i], actionHash(&a))
			}
		}
	}
	entries, err := stock.FS().(interface {
		ReadDir(string) ([]os.DirEntry, error)
	}).ReadDir("action.d")
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, e := range entries {
		ours = append(ours, strings.TrimSuffix(e.Name(), ".conf"))
	}
	check(config.Options{Stock: stock.FS()}, dropperSpecs(ours))
	if _, err := os.Stat("/etc/fail2ban/action.d"); err == nil {
		check(config.Options{Dir: "/etc/fail2ban"}, dropperSpecs(actionNames(t, "/etc/fail2ban")))
	}
}

// stockNFTables is our action nftables, of every port: a site without the stock
// configuration drops by it.
func stockNFTables(t *testing.T) string {
	t.Helper()
	text, err := fs.ReadFile(stock.FS(), "action.d/nftables.conf")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(text), "port = ssh", "port = 0:65535", 1)
}
