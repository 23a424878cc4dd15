package config

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// generator writes random trees in fail2ban's language: mostly right, so that
// most of them get through the client, sometimes wrong in one place.
type generator struct {
	*rand.Rand
	files map[string]*strings.Builder
	wrong float64 // how probable a mistake is at each place where one is made
}

func (g *generator) pick(list ...string) string { return list[g.IntN(len(list))] }
func (g *generator) chance(p float64) bool      { return g.Float64() < p }

// file returns what is written to a file of the tree.
func (g *generator) file(name string) *strings.Builder {
	b := g.files[name]
	if b == nil {
		b = &strings.Builder{}
		g.files[name] = b
	}
	return b
}

// option writes one option in one of the ways there are.
func (g *generator) option(b *strings.Builder, name, value string) {
	if g.chance(0.1) {
		name = strings.ToUpper(name[:1]) + name[1:]
	}
	lines := strings.Split(value, "\n")
	fmt.Fprintf(b, "%s%s%s", name, g.pick(" = ", "=", ": ", "  =  ", " =\t"), lines[0])
	for _, l := range lines[1:] {
		if g.chance(0.15) {
			b.WriteString(g.pick("\n# between", "\n  ; between", "\n\t#between"))
		}
		if g.chance(0.05) {
			b.WriteString("\n")
		}
		b.WriteString("\n" + g.pick("  ", "\t", "            ", "    ") + l)
	}
	b.WriteString(g.pick("", "", "", " ", " ; a comment", "\t;x; y") + "\n")
	if g.chance(0.1) {
		b.WriteString(g.pick("\n", "# comment = x\n", "; [comment]\n", "   \n", "   # indented\n"))
	}
}

// words that values are made of.
func (g *generator) word() string {
	return g.pick("a", "foo", "from", "x-y", "10", "Ünïcode", "100%%", "<HOST>", "<ip>", "it's", `say "no"`, "a;b", "#no", "[x]", `\d+`, "(?:a|b)", "^", "$", "é", "<not a tag>", "<", "<>")
}

func (g *generator) text(refs ...string) string {
	n := 1 + g.IntN(4)
	var words []string
	for range n {
		w := g.word()
		if len(refs) > 0 && g.chance(0.5) {
			w = g.pick(refs...)
		}
		words = append(words, w)
	}
	return strings.Join(words, g.pick(" ", "", " "))
}

func (g *generator) block(refs ...string) string {
	var lines []string
	for range g.IntN(4) {
		lines = append(lines, g.text(refs...))
	}
	return strings.Join(lines, "\n")
}

func (g *generator) reference(names ...string) string {
	name := g.pick(names...)
	if g.chance(g.wrong) {
		return g.pick("%(nowhere)s", "%(", "%x", "%", "%(known/nowhere)s", "%(DEFAULT/bantime)s", "%(alpha/port)s")
	}
	return "%(" + g.pick("", "", "", "default/", "known/") + name + ")s"
}

func (g *generator) seconds() string {
	return g.pick("600", "10m", "1d12h", "1y 6mo", "-1", "1h 30m", "2*7d", "%(base)s", "1w - 1d")
}

func (g *generator) params() string {
	if g.chance(0.3) {
		return ""
	}
	var b strings.Builder
	for i := range 1 + g.IntN(2) {
		if i > 0 && g.chance(0.5) {
			b.WriteString("[")
		} else if i == 0 {
			b.WriteString("[")
		}
		for k := range 1 + g.IntN(3) {
			if k > 0 {
				b.WriteString(g.pick(",", ", ", ",\n   "))
			}
			v := g.text()
			switch {
			case !strings.Contains(v, `"`):
				v = `"` + v + `"`
			case !strings.Contains(v, "'"):
				v = "'" + v + "'"
			default:
				v = "plain"
			}
			if g.chance(0.3) {
				v = g.pick("plain", "<other>", "1", "two words", "", "%(__name__)s", "%(port)s", "<known/opt>", "%(fail2ban_version)s")
			}
			b.WriteString(g.pick("opt", "other", "mode", "name", "port", "x.y", "maxretry", "logtype") + "=" + v)
		}
		if i == 0 && g.chance(0.3) {
			b.WriteString("]")
			continue
		}
		b.WriteString("]")
		break
	}
	if g.chance(g.wrong) {
		b.WriteString(g.pick("]", "[", "[x]", "[opt", `[opt="x"y]`, " z"))
	}
	return b.String()
}

var generatedJails = []string{"alpha", "beta", "gamma", "delta"}

func (g *generator) jailSection(b *strings.Builder, name string) {
	fmt.Fprintf(b, "[%s]\n", name)
	used := map[string]bool{}
	for range g.IntN(9) {
		opt := g.pick("enabled", "backend", "maxretry", "maxmatches", "findtime", "bantime", "bantime.increment", "bantime.multipliers",
			"ignorecommand", "ignoreself", "ignoreip", "filter", "logtimezone", "logpath", "action", "failregex", "ignoreregex",
			"prefregex", "usedns", "maxlines", "datepattern", "journalmatch", "port", "mode", "base", "base2", "enabled", "filter", "action")
		if used[opt] && !g.chance(g.wrong) {
			continue
		}
		used[opt] = true
		g.option(b, opt, g.jailValue(name, opt))
	}
}

func (g *generator) jailValue(section, opt string) string {
	switch opt {
	case "enabled", "bantime.increment", "ignoreself":
		return g.pick("true", "yes", "1", "on", "TRUE", "true", "false", "0", "no")
	case "backend":
		return g.pick("auto", "polling", "systemd", "systemd[journalflags=1]", "pyinotify")
	case "maxretry", "maxmatches", "maxlines":
		return g.pick("1", "5", " 7", "+3", "1_0", "%(base2)s")
	case "findtime", "bantime":
		return strings.ReplaceAll(g.seconds(), "-1", g.pick("1", "60"))
	case "bantime.multipliers":
		return "1 2 4 8"
	case "ignoreip":
		return g.pick("127.0.0.1/8 ::1", "10.0.0.1, 10.0.0.2", "192.0.2.0/24\nexample.com", ",, ,", "file:/etc/hosts")
	case "filter":
		if g.chance(g.wrong) {
			return "nofilter"
		}
		return g.pick("one", "two", "one", "one.more", "") + g.params()
	case "action":
		var list []string
		for i := range g.IntN(3) {
			name := g.pick("act", "deep", "act")
			if g.chance(g.wrong) {
				name = "noaction"
			}
			if g.chance(0.1) {
				name = "script.py"
			}
			list = append(list, name+g.params()+fmt.Sprintf("[actname=a%d]", i))
		}
		return strings.Join(list, g.pick("\n", " ", "\n"))
	case "logpath":
		return g.pick("/etc/hosts", "/etc/hosts tail", "/etc/host*\n/etc/passwd tail", "/nonexistent", "", "/etc/[hp]os*\n/etc/h?sts head")
	case "usedns":
		return g.pick("yes", "no", "warn", "raw")
	case "journalmatch":
		return g.pick("_SYSTEMD_UNIT=a.service + _COMM=a", "'A=b c' D=e\nF=\"g\\\"h\"", "", "A=b")
	case "base":
		return "1h"
	case "base2":
		return g.pick("5", "6")
	case "mode", "port":
		return g.text("%(__name__)s", "%(base)s", "%(default/base)s")
	}
	refs := []string{"%(base)s", "%(__name__)s", "%(default/port)s", "%(fail2ban_confpath)s", g.reference("base", "port", "mode")}
	if opt == "failregex" || opt == "ignoreregex" || opt == "datepattern" || opt == "prefregex" {
		if g.chance(0.1) {
			refs = append(refs, "%(known/"+opt+")s")
		}
	}
	return g.block(refs...)
}

// definition writes a filter or an action.
func (g *generator) definition(b *strings.Builder, options []string) {
	if g.chance(0.9) {
		b.WriteString("[DEFAULT]\n")
		g.option(b, "_pre", g.text())
		g.option(b, "mode", g.pick("normal", "strict"))
	}
	b.WriteString("[Definition]\n")
	used := map[string]bool{}
	refs := []string{"<opt>", "<mode>", "<m-<mode>>", "%(_pre)s", "<part/x>", "<part_<logtype>/x>", "<name>", "<other>", "<maxretry>", "<known/opt>",
		"<default/_pre>", "%(part/x)s", "<_pre>", g.reference("_pre", "m-normal")}
	for _, name := range append([]string{"_pre", "m-normal", "m-strict"}, options...) {
		if used[name] || g.chance(0.3) && !strings.HasPrefix(name, "m-") {
			continue
		}
		used[name] = true
		switch name {
		case "_pre":
			g.option(b, name, g.text())
		case "maxlines":
			g.option(b, name, g.pick("1", "2", "10"))
		case "norestored", "actionstart_on_demand", "actionrepair_on_unban":
			g.option(b, name, g.pick("true", "0", "<mode>", "yes"))
		case "usedns":
			g.option(b, name, "no")
		case "logtype":
			g.option(b, name, g.pick("file", "short"))
		case "m-normal", "m-strict":
			g.option(b, name, g.text("<opt>", "%(_pre)s"))
		case "journalmatch":
			g.option(b, name, g.pick("_A=b + _C=d", "_A='b c'"))
		default:
			g.option(b, name, g.block(refs...))
		}
	}
	for _, cond := range []string{"", "?family=inet6"} {
		if g.chance(0.5) {
			fmt.Fprintf(b, "[Init%s]\n", cond)
			g.option(b, "opt", g.text())
			g.option(b, "other", g.text("<opt>", "<name>", "%(opt)s"))
			if g.chance(g.wrong) {
				g.option(b, "loop", g.pick("<loop>", "<loop2>", "%(loop)s"))
				g.option(b, "loop2", "<loop>x")
			}
		}
	}
	for _, s := range []string{"part", "part_file", "part_journal"} {
		if s == "part" || g.chance(0.5) {
			fmt.Fprintf(b, "[%s]\n", s)
			g.option(b, "x", g.text("%(_pre)s"))
		}
	}
}

func (g *generator) tree() {
	main := g.file("fail2ban.conf")
	main.WriteString(g.pick("[Definition]\n[DEFAULT]\n", "[Definition]\n"))
	g.option(main, "loglevel", g.pick("INFO", "debug", "10"))
	g.option(main, "dbpurgeage", "1d")
	if g.chance(0.5) {
		g.option(main, "dbmaxmatches", "10")
		main.WriteString("[Thread]\nstacksize = 0\n")
	}
	if g.chance(0.5) {
		g.file("fail2ban.local").WriteString("[Definition]\nlogtarget = /var/log/x%%y.log\nallowipv6 = auto;\n")
	}
	jails := g.file("jail.conf")
	if g.chance(0.5) {
		jails.WriteString("[INCLUDES]\nbefore = paths.conf\nafter = paths-after.local\n")
		g.file("paths.conf").WriteString("[DEFAULT]\nbase = 2h\nport = 22\n")
		g.file(g.pick("paths.local", "paths-after.local")).WriteString("[DEFAULT]\nport = 2222\n[alpha]\nenabled = true\nmode = x\n")
	}
	jails.WriteString("[DEFAULT]\nbantime = 10m\nfindtime = 10m\nmaxretry = 5\nmode = normal\nbase = 1h\nbase2 = 6\nport = 0:65535\n")
	if g.chance(0.7) {
		jails.WriteString("filter = one[mode=%(mode)s]\naction = act[port=\"%(port)s\", chain=<known/chain>]\n")
	}
	for _, name := range []string{"jail.conf", "jail.local", "jail.d/b.conf", "jail.d/a.conf", "jail.d/z.local"} {
		for _, jail := range generatedJails {
			if g.chance(0.4) {
				g.jailSection(g.file(name), jail)
			}
		}
	}
	local := g.file(g.pick("jail.local", "jail.d/0.local"))
	for _, jail := range generatedJails[:2] {
		if !strings.Contains(local.String(), "["+jail+"]") {
			fmt.Fprintf(local, "[%s]\nenabled = true\n", jail)
		}
	}
	filter := []string{"failregex", "ignoreregex", "prefregex", "maxlines", "datepattern", "journalmatch", "usedns", "logtype", "extra"}
	action := []string{"actionstart", "actionban", "actionunban", "actionflush", "norestored", "actionstart_on_demand", "actionrepair_on_unban", "extra"}
	for _, name := range []string{"filter.d/one", "filter.d/two", "filter.d/one.more", "action.d/act", "action.d/deep"} {
		options := filter
		if strings.HasPrefix(name, "action.d/") {
			options = action
		}
		b := g.file(name + ".conf")
		if g.chance(0.3) {
			common := filepath.Dir(name) + "/common"
			fmt.Fprintf(b, "[INCLUDES]\nbefore = common.conf\nafter = %s\n", g.pick("more.local", "common.local", "one.conf", "nowhere.conf"))
			if g.files[common+".conf"] == nil {
				g.definition(g.file(common+".conf"), options)
			}
		}
		g.definition(b, options)
		if g.chance(0.3) {
			g.definition(g.file(name+g.pick(".local", ".d/x.conf", ".d/y.local")), options)
		}
	}
	if g.chance(g.wrong) {
		g.file(g.pick("jail.local", "filter.d/one.conf", "jail.conf", "action.d/act.conf")).WriteString(g.pick("no option\n", "[alpha]\n[alpha]\n", "= x\n", "[Definition]\n", "[]\n", "x = %(\n"))
	}
}

func (g *generator) write(t *testing.T, dir string) {
	for _, name := range slices.Sorted(maps.Keys(g.files)) {
		s := g.files[name].String()
		if g.chance(0.05) {
			s = strings.ReplaceAll(s, "\n", "\r\n")
		}
		writeFile(t, filepath.Join(dir, name), s)
	}
	writeFile(t, filepath.Join(dir, "action.d/script.py"), "")
}

// TestGeneratedTrees compares what the client streams for random trees.
// F2BPIPE_SOAK=1 reads 10,000 of them.
func TestGeneratedTrees(t *testing.T) {
	n := 150
	if os.Getenv("F2BPIPE_SOAK") == "1" {
		n = 10_000
	}
	o := newOracle(t)
	base := t.TempDir()
	through, refused := 0, 0
	for seed := range n {
		dir := filepath.Join(base, "tree")
		g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 1)), files: map[string]*strings.Builder{}}
		if seed%4 == 0 {
			g.wrong = 0.05
		}
		g.tree()
		g.write(t, dir)
		want, failed := o.ask(t, dir)
		c, problems := Load(Options{Dir: dir})
		switch err := problems.Err(); {
		case failed != "" && err == nil:
			t.Errorf("seed %d: the client fails, nothing is wrong here: %s", seed, failed)
		case failed != "":
			refused++
		case problems.Jail("").Err() != nil:
			t.Errorf("seed %d: the client reads it, here the whole tree is wrong: %v", seed, err)
		default:
			through++
			if d := diff(withoutReasons(dumpLines(c)), withoutReasons(want)); d != "" {
				t.Errorf("seed %d: %s(errors: %v)", seed, d, err)
			}
		}
		if t.Failed() {
			keep := filepath.Join(os.TempDir(), "f2bpipe-tree")
			_ = os.RemoveAll(keep)
			if err := os.CopyFS(keep, os.DirFS(dir)); err == nil {
				t.Logf("the tree is kept in %s", keep)
			}
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d trees: %d equal, %d refused by both", n, through, refused)
	if through < n/3 || refused < n/100 {
		t.Errorf("the generator tests too little: %d through, %d refused", through, refused)
	}
}

// withoutReasons cuts config-errors after the jail: of several errors the client
// names the one that it came upon first.
func withoutReasons(lines []string) []string {
	for i, l := range lines {
		if n := strings.Index(l, "skipped, because"); n >= 0 && strings.HasPrefix(l, "['config-error'") {
			lines[i] = strings.NewReplacer(`\`, "", `"`, "", "'", "").Replace(l[:n])
		}
	}
	return lines
}
