package config

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func quoted(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseSeconds(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		n, err := ParseSeconds(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if n.String() != want {
			t.Errorf("%s = %v, want %s", in, n, want)
		}
	}
	f("600", "600")
	f("1d12h", "129600")
	f("1y 6mo", "47336400.0")
	f("1year-6mo", "15778800.0")
	f("1month", "2629800.0")
	f("-1", "-1")
	f("2*7d", "1209600")
	f("1.5h", "5400.0")
	f("10 m", "600")
	f("1h30min 5sec", "5405")
	o := newOracle(t)
	for _, in := range []string{"1w2d3h4m5s", "1YEAR", "3mon", "1 2 3", "1  2", "0", "00", "1m1m1m1m", "1mm 2hh 3dd 4ww 5yy", "7da", "1we", "1 wee", "1se", "5 mi", "1ho 1hou", "1h-1", "60/2", "7d//2", "1e3", " 5m", "5m ", "\t5m\n", "1d+12h", "0x10"} {
		want, failed := o.ask(t, "~"+quoted(t, in))
		n, err := ParseSeconds(in)
		if (failed != "") != (err != nil) || err == nil && n.String() != want[0] {
			t.Errorf("%q = %v, %v; fail2ban: %v %s", in, n, err, want, failed)
		}
	}
}

// TestRandomSeconds compares random times with fail2ban's own reading of them.
func TestRandomSeconds(t *testing.T) {
	o := newOracle(t)
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	right := 0
	for range 3000 {
		var b strings.Builder
		for range 1 + r.IntN(5) {
			b.WriteString(pick("1", "12", "0", "7", "1.5", "5m", "2 hours", "3d", "1y", "6mo", "10sec", "w", "x", "09") + pick("", "", " ", " ", "+", "-", "*", " + ", "  ", "s", "Min", "H"))
		}
		in := b.String()
		want, failed := o.ask(t, "~"+quoted(t, in))
		n, err := ParseSeconds(in)
		switch {
		case failed != "" && err == nil, failed == "" && err != nil, err == nil && n.String() != want[0]:
			t.Fatalf("%q = %v, %v; fail2ban: %v %s", in, n, err, want, failed)
		case err == nil:
			right++
		}
	}
	if right < 500 {
		t.Errorf("only %d times were right", right)
	}
}

func TestParseDuration(t *testing.T) {
	f := func(in string, want time.Duration) {
		t.Helper()
		if d, err := ParseDuration(in); err != nil || d != want {
			t.Errorf("%s = %v, %v, want %v", in, d, err, want)
		}
	}
	f("10m", 10*time.Minute)
	f("1.5", 1500*time.Millisecond)
	f("1y 6mo", 47336400*time.Second)
	f("-1", -time.Second)
	f("1000y", math.MaxInt64)
	f("-1000y", math.MinInt64)
	f("99999999999", math.MaxInt64)
	for _, in := range []string{"", "x", "1 x", "math.inf - math.inf", strings.Repeat("1+", 3000) + "1", "9**9**9"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("%.20q = %v, want an error", in, d)
		}
	}
}

// TestSplitOptions compares with fail2ban's own reading, in every quoting.
func TestSplitOptions(t *testing.T) {
	o := newOracle(t)
	r := rand.New(rand.NewPCG(5, 6))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	inputs := []string{
		"sshd", "sshd[]", "sshd[mode=aggressive]", `a[a=1, b="x,y", c='z'][d=2]`, `a[b="x]y"]`, "a[b=1,]", "a[b=1,,c=2]", "a[b='\"']", "a[b=\"1\n2\"]",
		"a[b=x y]", "a[b= x ]", "a [b=1]", "a[b=1] ", "a[b=1]]", "a[b=1]x", "[b=1]", "", " ", "a[b", "a]b[c=1]", "a[b=c[d]", "a[b=1 , c=2]", "a[b=1, b=2]", "a[x.y-z_1=2]",
	}
	for range 3000 {
		var b strings.Builder
		b.WriteString(pick("act", "act", "a.b", "x-y") + pick("[", "[", "[", " [", ""))
		for range r.IntN(6) {
			b.WriteString(pick("a=", "b=", "c.d=", `"x"`, "'y z'", `"a,b"`, "plain", ",", ", ", "][", "] [", "]", "=", " ", "\n", `"`, "'", "1"))
		}
		b.WriteString(pick("]", "]", "]", ""))
		inputs = append(inputs, b.String())
	}
	right := 0
	for _, in := range inputs {
		want, failed := o.ask(t, "["+quoted(t, in))
		name, params, err := SplitOptions(in)
		if (failed != "") != (err != nil) {
			t.Fatalf("%q: %v; fail2ban: %v %s", in, err, want, failed)
		}
		if err == nil {
			list := []any{name}
			for _, p := range params {
				list = append(list, []any{p.Name, p.Value.Text})
			}
			if got := Repr(list); got != want[0] {
				t.Fatalf("%q = %s; fail2ban: %s", in, got, want[0])
			}
			right++
		} else if got := "FAIL " + Repr(err.Error()); got != failed && !strings.Contains(in, "'") {
			t.Errorf("%q: %s; fail2ban: %s", in, got, failed)
		}
		wantList, failed := o.ask(t, "|"+quoted(t, in))
		if failed != "" {
			t.Fatal(failed)
		}
		list := []any{}
		for _, s := range splitSpecs(text{s: in}) {
			list = append(list, s.s)
		}
		if got := Repr(list); got != wantList[0] {
			t.Fatalf("the actions in %q = %s; fail2ban: %s", in, got, wantList[0])
		}
	}
	if right < 500 {
		t.Errorf("only %d were right", right)
	}
	// A condition in the name of a parameter is of a later release.
	if _, params, err := SplitOptions(`a[blocktype?family=inet6="drop x", b=1]`); err != nil || len(params) != 2 || params[0].Name != "blocktype?family=inet6" || params[0].Value.Text != "drop x" {
		t.Errorf("a conditional parameter: %+v, %v", params, err)
	}
}

// TestGlob compares with Python's glob over a folder of odd names.
func TestGlob(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.log", "b.log", ".hidden.log", "a.log.1", "[x].log", "ä.log", "sub/a.log", "sub/.h/a.log", "sub2/b.log", "!.log", "-.log", "]", "a b.log"} {
		writeFile(t, filepath.Join(dir, name), "")
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling.log")); err != nil {
		t.Fatal(err)
	}
	o := newOracle(t)
	for _, pattern := range []string{
		"*.log", "?.log", "*", ".*", "[ab].log", "[!a].log", "[a-b]*", "[]]", "[[]x].log", "[!]a].log", "*/*.log", "sub/*", "sub/.*/*", "**/a.log",
		"**", "sub*/?.log", "a.log", "missing", "[", "[a", "a*g*1", "*.l[o]g*", "/a.log", "sub/", "*/", "[a-]*", "[--a].log", "a b*", "[z-a]*", "\\*.log", "*.*.*",
	} {
		full := dir + "/" + pattern
		want, failed := o.ask(t, "*"+quoted(t, full))
		if failed != "" {
			t.Fatal(failed)
		}
		list := []any{}
		p := LogPath{Pattern: Value{Text: full}}
		for _, path := range p.Expand() {
			list = append(list, path)
			if !strings.HasSuffix(path, "/") && !p.Match(path) {
				t.Errorf("%s expands to %s and does not match it", pattern, path)
			}
		}
		got := Repr(list)
		want[0] = strings.ReplaceAll(want[0], "'"+dir+"/dangling.log', ", "") // the client drops them
		if got != want[0] {
			t.Errorf("%s = %s, Python: %s", pattern, got, want[0])
		}
	}
	p := LogPath{Pattern: Value{Text: "/var/log/*/x?.log"}}
	for path, want := range map[string]bool{"/var/log/a/x1.log": true, "/var/log/.a/x1.log": false, "/var/log/a/b/x1.log": false, "/var/log/x1.log": false} {
		if p.Match(path) != want {
			t.Errorf("%s matches %s: %v", p.Pattern.Text, path, !want)
		}
	}
	start := time.Now()
	if matchName(strings.Repeat("*a", 50)+"b", strings.Repeat("a", 5000)) {
		t.Error("a name without b matches")
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("a pattern of stars took %v", d)
	}
}

func TestRepr(t *testing.T) {
	f := func(in any, want string) {
		t.Helper()
		if got := Repr(in); got != want {
			t.Errorf("%#v = %s, want %s", in, got, want)
		}
	}
	f("it's", `"it's"`)
	f(`it's "x"`, `'it\'s "x"'`)
	f("a\\b\n\t\r\x00\x7f", `'a\\b\n\t\r\x00\x7f'`)
	f("é\u00a0\u2028\U000e0001", `'é\xa0\u2028\U000e0001'`)
	f([]any{"a", 1, true, nil, []string{"b"}, map[string]any{"b": 1, "a": false}}, `['a', 1, True, None, ['b'], {'a': False, 'b': 1}]`)
	f(Command{}, "[]")
}

func TestPythonJSON(t *testing.T) {
	s := newSection()
	s.set("a", text{s: "x\"<é😀\n\u2028"})
	s.set("b", text{})
	if got, want := pythonJSON(s), `{"a": "x\"<\u00e9\ud83d\ude00\n\u2028", "b": ""}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSplitShell(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		words, err := splitShell(text{s: in})
		if err != nil {
			t.Errorf("%s: %v", in, err)
		}
		var got []string
		for _, w := range words {
			got = append(got, w.s)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s = %q, want %q", in, got, want)
		}
	}
	f("")
	f("a  b\tc", "a", "b", "c")
	f(`'a b'c "d \" \x" e\ f ''`, "a bc", `d " \x`, "e f", "")
	for _, in := range []string{"'a", `"a`, `a\`} {
		if words, err := splitShell(text{s: in}); err == nil {
			t.Errorf("%s = %v, want an error", in, words)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if want != "" {
			want = "did you mean " + want + "?"
		}
		if got := didYouMean(in, jailOptions); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	f("maxretries", "maxretry")
	f("bantmie", "bantime")
	f("log_path", "logpath")
	f("ignore-ip", "ignoreip")
	f("maxretry", "")
	f("something", "")
	f("", "")
	f(strings.Repeat("x", 1000), "")
}

// FuzzParse reads one file as every file of a tree: no panic, no value without
// a place, and the time of a tree of this size.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"[a]\nb = c\n d\n\n e ; x\n", "[DEFAULT]\na = %(b)s\nb=%(a)s", "[INCLUDES]\nbefore = jail.conf\n", "[a]\n: x", "[Init?family=inet6]\nx=<x>",
		"[a]\nenabled=1\nfilter=a[x='%(x)s']\naction=a[b=\"<c>\"]\n[Definition]\nfailregex=<a-<b>>\n a=<b>\nb=<a>", "\xff[a]", "\ufeff[a]\nx=%%", "[a\nb", "]", "a\r[b]\rc=d",
	} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, s string) {
		p := parseFile("x", []byte(s))
		for name, sec := range p.sections {
			for k, v := range sec.opts {
				if at := v.at(0); at.file != "x" || at.line < 1 || at.line > 1+strings.Count(s, "\n")+strings.Count(s, "\r") {
					t.Errorf("[%s] %s stands at %v", name, k, at)
				}
			}
		}
		for _, name := range []string{"jail.conf", "fail2ban.conf", "filter.d/a.conf", "action.d/a.conf"} {
			writeFile(t, filepath.Join(dir, name), s)
		}
		c, problems := Load(Options{Dir: dir, Enable: []string{AllJails}})
		_ = fmt.Sprint(problems.Error(), c.Dump())
		_, problems = LoadFilter(Options{Dir: dir}, "a")
		_ = problems.Error()
	})
}
