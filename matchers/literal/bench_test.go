package literal_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/matchers/literal"
)

// sixFilters are those that a mail and web server has.
var sixFilters = []string{"sshd[mode=aggressive]", "postfix[mode=extra]", "dovecot", "nginx-http-auth", "nginx-botsearch", "recidive"}

// filterRules returns the rules of filters in fail2ban's configuration.
func filterRules(t testing.TB, specs ...string) (rules []literal.Rule) {
	t.Helper()
	dir := testenv.Shared(t, "fail2ban", "config")
	for _, spec := range specs {
		c, problems := config.LoadFilter(config.Options{Dir: dir}, spec)
		if c == nil {
			t.Fatalf("%s: %v", spec, problems)
		}
		fc := matchers.FilterConfig{Name: spec, Prefregex: matchers.Regex{Text: c.Prefregex.Text}}
		for _, v := range c.Failregex {
			fc.Failregex = append(fc.Failregex, matchers.Regex{Text: v.Text})
		}
		f, err := matchers.CompileFilter(fc)
		if err != nil {
			t.Fatal(err)
		}
		cut := literal.CutStart
		for _, v := range c.Datepattern {
			if !strings.HasPrefix(v.Text, "{^LN-BEG}") && v.Text != "^{DATE}" || strings.Contains(v.Text, "({DATE})") {
				cut = literal.CutAnywhere
			}
		}
		if len(c.Datepattern) == 0 {
			cut = literal.CutAnywhere
		}
		var pref []literal.Need
		if re := f.Prefregex(); re != nil {
			pref = literal.Needs(re.Syntax())
		}
		for _, re := range f.Failregex() {
			rules = append(rules, literal.Rule{Needs: [][]literal.Need{literal.Needs(re.Syntax()), pref}, Cut: cut})
		}
	}
	return rules
}

// allFilters names every filter of fail2ban's configuration.
func allFilters(t testing.TB) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Shared(t, "fail2ban", "config"), "filter.d", "*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".conf")
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("failregex")) && !strings.HasSuffix(name, "common") && name != "exim-common" {
			names = append(names, name)
		}
	}
	return names
}

// log returns a log of the project's generator, or that in the file that
// LITERAL_LOG names where kind is "file".
func log(t testing.TB, kind string, lines int) []byte {
	t.Helper()
	if kind == "file" {
		data, err := os.ReadFile(os.Getenv("LITERAL_LOG"))
		if err != nil {
			t.Skip(err)
		}
		return data
	}
	cmd := exec.Command("go", "run", "./bench/gen", "-kind", kind, "-lines", strconv.Itoa(lines))
	cmd.Dir = testenv.Root(t)
	data, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return data
}

// BenchmarkScan scans logs for the rules of the six filters, block by block,
// what is looked for chosen from the first 64 KiB:
//
//	go test -bench Scan -run '^$' ./matchers/literal
//	LITERAL_LOG=any.log go test -bench Scan/log=file -run '^$' ./matchers/literal
func BenchmarkScan(b *testing.B) {
	for _, kind := range []string{"mixed", "clean", "attack", "file"} {
		for _, name := range engineNames() {
			b.Run("log="+kind+"/engine="+name, func(b *testing.B) {
				data := log(b, kind, 60_000)
				blocks := split(data, 256<<10)
				s := literal.NewEngine(name, filterRules(b, sixFilters...), sample(data))
				benchScan(b, s, data, blocks)
			})
		}
	}
}

// BenchmarkScanAll is BenchmarkScan with every filter there is.
func BenchmarkScanAll(b *testing.B) {
	for _, name := range engineNames() {
		b.Run("log=mixed/engine="+name, func(b *testing.B) {
			data := log(b, "mixed", 60_000)
			s := literal.NewEngine(name, filterRules(b, allFilters(b)...), sample(data))
			benchScan(b, s, data, split(data, 256<<10))
		})
	}
}

func benchScan(b *testing.B, s *literal.Scanner, data []byte, blocks [][]byte) {
	var l literal.Lines
	lines, candidates := bytes.Count(data, []byte("\n")), 0
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		candidates = 0
		for _, block := range blocks {
			s.Scan(&l, block)
			candidates += l.Len()
		}
	}
	perLine := float64(b.N) * float64(lines)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/perLine, "ns/line")
	b.ReportMetric(float64(cpuTime(b)-before)/perLine, "cpu-ns/line")
	b.ReportMetric(100*float64(candidates)/float64(lines), "%candidates")
}

// cpuTime returns the nanoseconds that the process has had a processor for: on
// a machine with other work they say more than the clock.
func cpuTime(b *testing.B) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkNew measures what choosing costs, once a set of jails.
func BenchmarkNew(b *testing.B) {
	data := sample(log(b, "mixed", 2000))
	for _, c := range []struct {
		name    string
		filters []string
	}{{"six", sixFilters}, {"all", allFilters(b)}} {
		rules := filterRules(b, c.filters...)
		for _, name := range engineNames() {
			b.Run("filters="+c.name+"/engine="+name, func(b *testing.B) {
				for b.Loop() {
					literal.NewEngine(name, rules, data)
				}
				b.ReportMetric(float64(len(rules)), "rules")
			})
		}
	}
}

func engineNames() []string {
	if literal.HasVectors {
		return []string{"go", "avx2"}
	}
	return []string{"go"}
}

// sample is the first 64 KiB of a log, in whole lines.
func sample(data []byte) []byte {
	data = data[:min(len(data), 64<<10)]
	return data[:bytes.LastIndexByte(data, '\n')+1]
}

// split cuts a log into blocks of whole lines.
func split(data []byte, size int) (blocks [][]byte) {
	for len(data) > size {
		end := bytes.LastIndexByte(data[:size], '\n') + 1
		blocks, data = append(blocks, data[:end:end]), data[end:]
	}
	return append(blocks, data)
}
