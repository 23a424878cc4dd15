package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// tree writes the files into a fresh directory: name, content, name, content, ….
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "etc")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		writeFile(t, filepath.Join(dir, files[i]), files[i+1])
	}
	return dir
}

func stock() Options { return Options{Stock: os.DirFS("testdata/stock")} }

// load reads a tree over the stock one and fails on errors.
func load(t *testing.T, o Options) *Config {
	t.Helper()
	c, problems := Load(o)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

// places returns "file:line text" of values, files within dir.
func places(dir string, values []Value) []string {
	var out []string
	for _, v := range values {
		out = append(out, strings.TrimPrefix(v.Place(), dir+"/")+" "+v.Text)
	}
	return out
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %#v\nwant %#v", what, got, want)
	}
}

// Each regular expression stands where it was written, whatever it came through.
func TestPlaces(t *testing.T) {
	o := stock()
	o.Dir = tree(t,
		"filter.d/mine.conf", "[INCLUDES]\nbefore = base.conf\n[Definition]\nmode = b\n\nfailregex = ^one %(_word)s <HOST>\n            # comment\n            %(more)s\n\n            <re-<mode>>\n            ^last <HOST>\nre-b = ^five <HOST>\n       ^six <HOST>\n",
		"filter.d/base.conf", "[DEFAULT]\n_word = word\n[Definition]\nmore = ^two <HOST>\n       ^three <_word> <HOST>\n",
		"filter.d/mine.local", "[Definition]\nfailregex = %(known/failregex)s\n   ^local <HOST>\n",
		"jail.local", "[web]\nenabled = true\nfilter = mine\nfailregex = ^mine <HOST>\n   %(known/failregex)s\nport = 80\n",
	)
	c := load(t, o)
	j := c.Jail("web")
	expect(t, "failregex", places(o.Dir, j.Failregex), []string{
		"jail.local:4 ^mine <HOST>",
		"filter.d/mine.conf:6 ^one word <HOST>",
		"filter.d/base.conf:4 ^two <HOST>",
		"filter.d/base.conf:5 ^three word <HOST>",
		"filter.d/mine.conf:12 ^five <HOST>",
		"filter.d/mine.conf:13 ^six <HOST>",
		"filter.d/mine.conf:11 ^last <HOST>",
		"filter.d/mine.local:3 ^local <HOST>",
	})
	expect(t, "port", places(o.Dir, []Value{j.Options["port"], j.Options["maxretry"], j.Options["ignoreself"]}), []string{
		"jail.local:6 80", "stock:jail.conf:4 5", "default true"})
	a := j.Actions[0]
	expect(t, "action", places(o.Dir, []Value{a.At, a.Ban, a.Params[0].Value, a.Init[0].Value}), []string{
		`stock:jail.conf:11 drop[port="80"]`, "stock:action.d/drop.conf:2 drop <ip> 80 all", "stock:jail.conf:11 80", "stock:jail.conf:11 80"})
	expect(t, "files", c.Files, []string{
		"stock:fail2ban.conf", "stock:jail.conf", o.Dir + "/jail.local",
		o.Dir + "/filter.d/base.conf", o.Dir + "/filter.d/mine.conf", o.Dir + "/filter.d/mine.local", "stock:action.d/drop.conf"})
}

func TestFileOrder(t *testing.T) {
	o := stock()
	files := []string{}
	for i, name := range []string{"jail.conf", "jail.d/1.conf", "jail.d/2.conf", "jail.local", "jail.d/1.local", "jail.d/2.local"} {
		content := "[DEFAULT]\nbantime = " + fmt.Sprint(i) + "\n"
		for k := i; k < 6; k++ {
			content += fmt.Sprintf("x%d = %d\n", k, i)
		}
		files = append(files, name, content+"[web]\nenabled = true\nfilter = web\naction = drop\nlogpath = /etc/hosts\n")
	}
	files = append(files, "jail.d/.hidden.conf", "[DEFAULT]\nbantime = 99\n", "jail.d/readme.txt", "[DEFAULT]\nbantime = 99\n")
	o.Dir = tree(t, files...)
	c := load(t, o)
	j := c.Jail("web")
	expect(t, "bantime", j.BanTime, 5*time.Second)
	for k := range 6 {
		expect(t, "who sets x", j.Options[fmt.Sprintf("x%d", k)].Text, fmt.Sprint(k))
	}
	if c.Jail("app") != nil {
		t.Error("jail.conf on disk did not take the place of the stock one")
	}
}

func TestLayers(t *testing.T) {
	o := stock()
	o.Dir = tree(t,
		"jail.local", "[web]\nenabled = true\n[app]\nenabled = true\n",
		"filter.d/app.local", "[Definition]\n_daemon = mine\n",
		"filter.d/web.conf", "[Definition]\nfailregex = ^old <HOST>$\n",
		"action.d/drop.local", "[Init]\nblocktype = reject\n",
	)
	c := load(t, o)
	web, app := c.Jail("web"), c.Jail("app")
	expect(t, "replaced", places(o.Dir, web.Failregex), []string{"filter.d/web.conf:2 ^old <HOST>$"})
	expect(t, "overlaid", places(o.Dir, app.Failregex), []string{"stock:filter.d/app.conf:8 ^(?:login failed) from <HOST>$"})
	expect(t, "init", app.Actions[0].Ban.Text, "drop <ip> 8080 reject")
	expect(t, "stock", []bool{web.Filter.Stock, app.Filter.Stock, app.Actions[0].Stock}, []bool{false, true, true})
	expect(t, "logtype", []string{web.Logtype.Text, app.Logtype.Text}, []string{"file", "journal"})

	// A superseded filter gives way, unless a jail keeps it.
	o.Superseded = func(name string, content []byte) bool {
		return name == "filter.d/web.conf" && strings.Contains(string(content), "^old")
	}
	c = load(t, o)
	expect(t, "superseded", c.Jail("web").Failregex[0].Text, `^<HOST> "POST /login`)
	expect(t, "which", c.Replaced, []Replaced{{o.Dir + "/filter.d/web.conf", "stock:filter.d/web.conf"}})
	for name, content := range map[string]string{
		"jail.d/x.local":     "[web]\nstockfilters = disk\n",
		"fail2ban.d/x.local": "[Definition]\nstockfilters = disk\n",
	} {
		path := filepath.Join(o.Dir, name)
		writeFile(t, path, content)
		c = load(t, o)
		expect(t, name, c.Jail("web").Failregex[0].Text, "^old <HOST>$")
		expect(t, name, len(c.Replaced), 0)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// Without anything on disk the stock configuration is read; without that too,
// there is nothing, and that is an error.
// TestParameterInCapitals: %(x)s and <x> find a parameter whatever its case, as
// fail2ban's do; an option of [Init] is another one.
func TestParameterInCapitals(t *testing.T) {
	o := stock()
	o.Dir = tree(t,
		"jail.local", "[web]\nenabled = true\nfilter = web[WORD=x, Other=y]\n",
		"filter.d/web.conf", "[Definition]\nword = a\nfailregex = ^<word> %(word)s <other> <HOST>$\n[Init]\nother = b\n",
	)
	j := load(t, o).Jail("web")
	expect(t, "failregex", places(o.Dir, j.Failregex), []string{"filter.d/web.conf:3 ^x x b <HOST>$"})
}

func TestNothingToRead(t *testing.T) {
	o := stock()
	o.Dir = "/nonexistent"
	o.Enable = []string{"app"}
	c := load(t, o)
	expect(t, "enabled", []bool{c.Jail("app").Enabled, c.Jail("web").Enabled}, []bool{true, false})
	_, problems := Load(o)
	expect(t, "warnings", problems.Warnings()[0].Error(), "/nonexistent: stat: no such file or directory: the built-in configuration stands alone")
	o.Dir = tree(t, "filter.d/x.conf", "")
	if err := os.Symlink("jail.local", o.Dir+"/jail.local"); err != nil {
		t.Fatal(err)
	}
	_, problems = Load(o)
	expect(t, "warnings", problems.Warnings()[0].Error(), o.Dir+"/jail.local: jail.local: the link leads to no file, and is skipped")
	for dir, want := range map[string]string{
		"/nonexistent":       "/nonexistent: stat: no such file or directory",
		"testdata/stock/web": "testdata/stock/web: stat: no such file or directory",
		"load_test.go":       "load_test.go: not a directory",
		"formula":            "formula/jail.conf: no jail.conf, jail.local or jail.d/*.conf to read",
	} {
		c, problems := Load(Options{Dir: dir})
		expect(t, dir, problems.Error(), want)
		if c == nil || len(c.Jails) != 0 || c.Main.DBFile.Text != "/var/lib/fail2ban/fail2ban.sqlite3" {
			t.Errorf("%s: %+v", dir, c)
		}
	}
}

func TestOverridesAndOnly(t *testing.T) {
	o := stock()
	o.Dir = tree(t, "jail.local", "[app]\nenabled = true\nfindtime = x\n[web]\nenabled = true\nbantime = 7\n[other]\nmaxretry = y\nenabled = 1\n")
	o.Overrides.Jail = map[string]string{"BanTime": "%(findtime)s", "maxretry": "1"}
	o.Overrides.Main = map[string]string{"dbfile": ":memory:"}
	o.Only = "web"
	c := load(t, o)
	if len(c.Jails) != 1 {
		t.Errorf("%d jails were read", len(c.Jails))
	}
	j := c.Jail("web")
	expect(t, "bantime", j.BanTime, 10*time.Minute)
	expect(t, "maxretry", j.MaxRetry, 1)
	expect(t, "place", j.Options["maxretry"].Place(), CommandLine)
	expect(t, "dbfile", c.Main.DBFile, Value{Text: ":memory:", File: CommandLine})

	o.Only = "wbe"
	_, problems := Load(o)
	expect(t, "unknown jail", problems.Err().Error(), "[wbe] no such jail; did you mean web?")
}

func TestJailValues(t *testing.T) {
	o := stock()
	o.Dir = tree(t, "jail.local", `[app]
enabled = true
backend = systemd[journalpath="/var/log/journal", journalflags=1]
maxretry = 3
findtime = 1d12h
bantime = -1
bantime.increment = yes
bantime.factor = 2.0 / 2.885385
bantime.formula = ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)
bantime.multipliers = 1 5 30
bantime.maxtime = 5w
bantime.rndtime = 30m
bantime.overalljails = true
ignoreself = false
ignoreip = 127.0.0.1/8 ::1, host.example
           file:/etc/hosts 10.0.0.0/255.255.0.0
ignorecommand = /usr/bin/check <ip>
ignorecache = key="<ip>", max-count=10, max-time=2m
logtimezone = UTC+0200
logencoding = utf-8
usedns = no
maxmatches = 0
counter = exact
journalmatch = _SYSTEMD_UNIT=app.service + _COMM=app _UID=0
action = drop[name=two, port="1,2", timeout=2m, norestored=1]
         drop
[web]
enabled = true
maxlines = 10
datepattern = {^LN-BEG}%%Y
              Epoch
logpath = /etc/hosts tail
          /etc/host?
skip_if_nologs = true
systemd_if_nologs = false
`)
	c := load(t, o)
	j := c.Jail("app")
	v := func(s string, line int) Value { return Value{Text: s, File: o.Dir + "/jail.local", Line: line} }
	expect(t, "backend", j.Backend, Backend{Name: "systemd", Value: v(`systemd[journalpath="/var/log/journal", journalflags=1]`, 3),
		Params: []Param{{"journalpath", v("/var/log/journal", 3)}, {"journalflags", v("1", 3)}}})
	expect(t, "numbers", []any{j.MaxRetry, j.FindTime, j.BanTime, j.MaxMatches}, []any{3, 36 * time.Hour, time.Duration(-1), 0})
	expect(t, "increment", j.Increment, Increment{Enabled: true, Factor: v("2.0 / 2.885385", 8),
		Formula:     v("ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)", 9),
		Multipliers: []int64{1, 5, 30}, MaxTime: 5 * 7 * 24 * time.Hour, RndTime: 30 * time.Minute, OverallJails: true})
	expect(t, "ignore", j.Ignore, Ignore{Self: false, List: []IgnoreItem{
		{IgnoreNetwork, v("127.0.0.1/8", 15)}, {IgnoreAddress, v("::1", 15)}, {IgnoreName, v("host.example", 15)},
		{IgnoreFile, v("/etc/hosts", 16)}, {IgnoreNetwork, v("10.0.0.0/255.255.0.0", 16)},
	}, Command: v("/usr/bin/check <ip>", 17), Cache: &IgnoreCache{Key: v("<ip>", 18), MaxCount: 10, MaxTime: 2 * time.Minute}})
	expect(t, "log", []string{j.Logtimezone.Text, j.Logencoding.Text, j.Usedns.Text, j.Logtype.Text}, []string{"UTC+0200", "utf-8", "no", "journal"})
	expect(t, "journalmatch", j.Journalmatch, [][]Value{{v("_SYSTEMD_UNIT=app.service", 24), v("+", 24), v("_COMM=app", 24), v("_UID=0", 24)}})
	expect(t, "counter", j.Counter, CounterExact)
	two, one := j.Actions[0], j.Actions[1]
	expect(t, "actions", []any{two.ActName, two.Timeout, two.NoRestored, two.Ban.Text, two.Unban.Text, one.ActName, one.Timeout, one.NoRestored, one.Ban.Text},
		[]any{"drop-two", 2 * time.Minute, true, "drop <ip> 1,2 all", "undrop <ip>", "drop", time.Minute, false, "drop <ip> 22 all"})
	var init []string
	for _, p := range two.Init {
		init = append(init, p.Name+"="+p.Value.Text)
	}
	expect(t, "init", init, []string{"name=two", "port=1,2", "timeout=2m", "actname=drop-two", "blocktype=all"})

	j = c.Jail("web")
	expect(t, "maxlines", j.Maxlines, 10)
	expect(t, "datepattern", j.Datepattern, []Value{v("{^LN-BEG}%Y", 30), v("Epoch", 31)})
	expect(t, "logpath", j.LogPaths, []LogPath{{Pattern: v("/etc/hosts", 32), Tail: true, Word: v("tail", 32)}, {Pattern: v("/etc/host?", 33)}})
	expect(t, "patterns", []bool{j.LogPaths[0].IsPattern(), j.LogPaths[1].IsPattern()}, []bool{false, true})
	expect(t, "nologs", []bool{j.SkipIfNoLogs, j.SystemdIfNoLogs}, []bool{true, false})
	expect(t, "defaults", []any{j.Ignore.Self, j.Counter, j.Increment, j.MaxMatches}, []any{true, CounterFail2ban, Increment{}, 5})
}

func TestMainOptions(t *testing.T) {
	o := stock()
	o.Dir = tree(t, "fail2ban.local", "[DEFAULT]\nloglevel = DEBUG\nrun = /run/x\n[Definition]\nsocket = %(run)s/f.sock\ndbpurgeage = 2d\ndbmaxmatches = 3\nallowipv6 = auto;\n[Thread]\nstacksize = 32\n")
	c := load(t, o)
	m := c.Main
	expect(t, "values", []any{m.LogLevel.Text, m.LogTarget.Text, m.Socket.Place(), m.Socket.Text, m.DBPurgeAge, m.DBMaxMatches, m.StackSize.Text},
		[]any{"DEBUG", "/var/log/fail2ban.log", o.Dir + "/fail2ban.local:5", "/run/x/f.sock", 48 * time.Hour, 3, "32"})
	allowed, auto := m.IPv6()
	expect(t, "IPv6", []bool{allowed, auto}, []bool{false, true})
	var lines []string
	for _, cmd := range c.Dump() {
		lines = append(lines, Repr(cmd))
	}
	expect(t, "dump", lines, []string{"['set', 'thread', {'stacksize': 32}]", "['set', 'syslogsocket', 'auto']", "['set', 'loglevel', 'DEBUG']",
		"['set', 'logtarget', '/var/log/fail2ban.log']", "['set', 'allowipv6', 'auto;']", "['set', 'dbfile', '/var/lib/fail2ban/fail2ban.sqlite3']",
		"['set', 'dbmaxmatches', 3]", "['set', 'dbpurgeage', '2d']"})
}

func TestLoadFilter(t *testing.T) {
	o := stock()
	o.Dir = tree(t, "filter.d/app.local", "[Definition]\nmaxlines = 2\n", "own.conf", "[INCLUDES]\nbefore = more.conf\n[Definition]\nfailregex = %(word)s\n", "more.conf", "[DEFAULT]\nword = ^x <HOST>\n")
	text := func(spec string) string {
		t.Helper()
		f, problems := LoadFilter(o, spec)
		if f == nil {
			return problems.Error()
		}
		return fmt.Sprint(f.Name, " ", places(o.Dir, f.Failregex), " ", f.Maxlines, " ", f.Logtype.Text, " ", len(f.Params), " ", len(f.Journalmatch))
	}
	expect(t, "name", text("app"), `app [stock:filter.d/app.conf:8 ^\S+ app:(?:<re-<mode>>) from <HOST>$] 2 file 0 1`)
	expect(t, "mode", text("app[mode=strict, logtype=journal]"), `app [stock:filter.d/app.conf:8 ^(?:login failed|probe) from <HOST>$] 2 journal 2 1`)
	expect(t, "path", text(o.Dir+"/own.conf"), o.Dir+"/own.conf [more.conf:2 ^x <HOST>] 0 file 0 0")
	expect(t, "path with parameters", text(o.Dir+"/own.conf[word=^y]"), o.Dir+"/own.conf [own.conf:4 ^y] 0 file 1 0")
	expect(t, "local file", text(o.Dir+"/filter.d/app.local[_daemon=d, mode=normal]"), o.Dir+`/filter.d/app.local [stock:filter.d/app.conf:8 ^\S+ d:(?:login failed) from <HOST>$] 2 file 2 1`)
	expect(t, "absent", text("apq"), "apq: Unable to read the filter 'apq'; did you mean app?")
	expect(t, "absent file", text("/nonexistent/x.conf"), "/nonexistent/x.conf: no such filter file")
	expect(t, "bad parameters", text("app[x"), "app[x: unexpected option syntax; expected NAME, NAME[option=value, …] or the path of a file")
	expect(t, "bad filter", text("app[maxlines=x]"), "maxlines = x: expected a whole number of lines, at least 1")
	o.Backend = "systemd"
	expect(t, "journal", text("app[mode=normal]"), `app [stock:filter.d/app.conf:8 ^(?:login failed) from <HOST>$] 2 journal 1 1`)
}

// What the parameters of a filter and a jail set at once, the server hears in
// the client's order.
func TestWhoWins(t *testing.T) {
	o := stock()
	o.Dir = tree(t, "jail.local", "[web]\nenabled = true\nfilter = web[usedns=no, datepattern=param, failregex=\"^param <HOST>\"]\nusedns = yes\ndatepattern = jail\nfailregex = ^jail <HOST>\n")
	j := load(t, o).Jail("web")
	expect(t, "failregex", []string{j.Failregex[0].Text, j.Failregex[1].Text}, []string{"^param <HOST>", "^jail <HOST>"})
	expect(t, "usedns, datepattern", []string{j.Usedns.Text, j.Datepattern[0].Text}, []string{"no", "jail"})
}

func TestBoundedWork(t *testing.T) {
	var chain strings.Builder
	for i := range 9 {
		fmt.Fprintf(&chain, "a%d = %s\n", i, strings.Repeat(fmt.Sprintf("%%(a%d)s", i+1), 50))
	}
	var tags strings.Builder
	for i := range 30 {
		fmt.Fprintf(&tags, "t%d = %s\n", i, strings.Repeat(fmt.Sprintf("<t%d>", i+1), 50))
	}
	o := stock()
	o.Dir = tree(t, "jail.local", "[app]\nenabled = true\nbantime = %(a0)s\n"+chain.String()+"a9 =\n[web]\nenabled = true\n",
		"filter.d/web.local", "[Definition]\nfailregex = <t0>\n"+tags.String()+"t30 =\n")
	start := time.Now()
	_, problems := Load(o)
	if d := time.Since(start); d > slowdown*time.Second {
		t.Errorf("it took %v", d)
	}
	if got := problems.Errors(); len(got) != 2 || !strings.Contains(got[0].Message, "too many") || !strings.Contains(got[1].Message, "grows beyond") {
		t.Errorf("problems: %v", problems)
	}
}

func TestProblems(t *testing.T) {
	a := Problem{Severity: Error, File: "f", Line: 3, Jail: "j", Option: "o", Text: "x", Message: "m"}
	b := a
	b.Line = 9
	if a.Key() != b.Key() {
		t.Error("another line makes another problem")
	}
	b.Text = "y"
	if a.Key() == b.Key() {
		t.Error("another text makes the same problem")
	}
	ps := Problems{a, {Severity: Warning, Message: "w"}}
	expect(t, "errors", ps.Err().Error(), "f:3: [j] o = x: m")
	expect(t, "warnings", ps.Warnings(), ps[1:])
	expect(t, "of the tree", ps.Jail(""), ps[1:])
	expect(t, "none", Problems(nil).Err(), nil)
	expect(t, "clipped", clip("a\nb"), "a …")
	expect(t, "clipped", len([]rune(clip(strings.Repeat("ä", 100)))), 80)
}

// A file that cannot be read is an error, a FIFO does not make reading hang.
func TestUnreadable(t *testing.T) {
	o := stock()
	o.Dir = tree(t, "jail.local", "[web]\nenabled = true\n", "filter.d/web.local/x", "")
	c, problems := Load(o)
	expect(t, "a folder", problems.Err().Error(), o.Dir+"/filter.d/web.local: [web] not a regular file")
	if c.Jail("web").Err() == nil {
		t.Error("the jail runs")
	}
	o.Stock = fstest.MapFS{"jail.conf": {Data: []byte("[x]\nenabled = true\nfilter =\naction =\n")}}
	o.Dir = "/nonexistent"
	if c = load(t, o); !slices.Equal(c.Files, []string{"stock:jail.conf"}) {
		t.Errorf("files: %v", c.Files)
	}
}

// With every jail of Debian's the best of three readings takes under a second.
func TestDebianIsReadInTime(t *testing.T) {
	dir := debianTree(t, "")
	best := time.Duration(1<<63 - 1)
	for range 3 {
		start := time.Now()
		Load(Options{Dir: dir, Enable: []string{AllJails}})
		best = min(best, time.Since(start))
	}
	if best > slowdown*time.Second {
		t.Errorf("it took %v", best)
	}
}

func BenchmarkLoad(b *testing.B) {
	if _, err := os.Stat("/etc/fail2ban/jail.conf"); err != nil {
		b.Skip(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Load(Options{Dir: "/etc/fail2ban", Enable: []string{AllJails}})
	}
}
