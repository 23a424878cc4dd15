package matchers_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// The clock of fail2ban's own test suite: 2005-08-14 12:00 CEST.
const samplesNow = int64(1124013600) * int64(time.Second)

func berlin(t testing.TB) *time.Location {
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// filterConfig is what a filter that was read is compiled from.
func filterConfig(f *config.Filter) matchers.FilterConfig {
	c := matchers.FilterConfig{Name: f.Name, MaxLines: f.Maxlines, Prefregex: regexOf(f.Prefregex)}
	for _, v := range f.Failregex {
		c.Failregex = append(c.Failregex, regexOf(v))
	}
	for _, v := range f.Ignoreregex {
		c.Ignoreregex = append(c.Ignoreregex, regexOf(v))
	}
	return c
}

func regexOf(v config.Value) matchers.Regex { return matchers.Regex{Text: v.Text, Where: v.Place()} }

func texts(vs []config.Value) []string {
	var out []string
	for _, v := range vs {
		out = append(out, v.Text)
	}
	return out
}

// sampleFilter is a filter with one set of options, and the state that the
// lines of a sample file leave in it.
type sampleFilter struct {
	set     *matchers.Set
	journal bool
	prefix  string // put before each line of a journal
}

func loadSampleFilter(t *testing.T, dir, name string, opts map[string]string, all bool) *sampleFilter {
	t.Helper()
	spec, journal := name, opts["logtype"] == "journal"
	for _, k := range slices.Sorted(maps.Keys(opts)) {
		if !strings.HasPrefix(k, "test.") {
			spec += fmt.Sprintf("[%s=%q]", k, opts[k])
		}
	}
	f, problems := config.LoadFilter(config.Options{Dir: dir}, spec)
	if f == nil {
		t.Fatalf("%s: %v", spec, problems)
	}
	filter, err := matchers.CompileFilter(filterConfig(f))
	if err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	set, err := matchers.NewSet(matchers.Options{
		Now: func() int64 { return samplesNow }, Clock: matchers.Undated, All: all, Fields: true, RawHost: true, Exhaustive: true, Location: berlin(t),
	}, []matchers.JailFilter{{Jail: pipeline.NewJail("jail", pipeline.Policy{}), Filter: filter, Dates: texts(f.Datepattern)}}, nil)
	if err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	return &sampleFilter{set: set, journal: journal, prefix: opts["test.prefix-line"]}
}

func (f *sampleFilter) match(line []byte) []pipeline.Failure {
	b := &pipeline.Batch{First: 1, Lines: 1}
	if f.journal {
		b.Stamps = []int64{samplesNow}
		line = append([]byte(f.prefix), line...)
	}
	b.Data = append(bytes.TrimRight(line, "\r\n"), '\n')
	return f.set.Match(nil, b)
}

var directiveRE = regexp.MustCompile(`^#+ ?(failJSON|(?:file|filter)Options|addFILE):(.+)$`)

// sampleTest runs the annotated sample files of one filter.
type sampleTest struct {
	*testing.T
	dir, logs, name string
	files           []string
	filters         map[string]*sampleFilter // by options
	lines           int
	failures        int
}

// A variant is a filter with options that the following lines are run through.
type variant struct {
	opts   map[string]string
	filter *sampleFilter
}

func (s *sampleTest) run() {
	s.files = []string{s.name}
	for i := 0; i < len(s.files); i++ {
		s.runFile(s.files[i])
	}
}

func (s *sampleTest) runFile(file string) {
	data, err := os.ReadFile(filepath.Join(s.logs, file))
	if err != nil {
		s.Fatal(err)
	}
	var common map[string]string
	var variants []variant
	skip := false
	in := bufio.NewScanner(bytes.NewReader(data))
	in.Buffer(nil, 1<<20)
	for no := 1; in.Scan(); no++ {
		line := in.Bytes()
		var want map[string]any
		if m := directiveRE.FindSubmatch(line); m != nil {
			switch string(m[1]) {
			case "fileOptions":
				s.decode(m[2], &common)
				continue
			case "addFILE":
				var more string
				s.decode(m[2], &more)
				s.files = append(s.files, more)
				continue
			case "filterOptions":
				variants, skip = s.variants(m[2], common)
				continue
			}
			s.decode(m[2], &want)
			if !in.Scan() {
				s.Fatalf("%s:%d: annotation without a line", file, no)
			}
			no, line = no+1, in.Bytes()
		} else if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
			continue
		}
		if skip {
			continue
		}
		if variants == nil {
			variants = []variant{{filter: s.filter(common)}}
		}
		for _, v := range variants {
			if c, ok := want["constraint"].(string); ok && !s.holds(c, v.opts) {
				continue
			}
			s.check(fmt.Sprintf("%s:%d %v", file, no, v.opts), v.filter.match(line), want, line)
		}
	}
}

func (s *sampleTest) decode(text []byte, v any) {
	if err := json.Unmarshal(text, v); err != nil {
		s.Fatalf("%s: %v", text, err)
	}
}

func (s *sampleTest) variants(text []byte, common map[string]string) (out []variant, skip bool) {
	var list []map[string]string
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		s.decode(text, &list)
	} else {
		list = make([]map[string]string, 1)
		s.decode(text, &list[0])
	}
	for _, own := range list {
		opts := maps.Clone(common)
		if opts == nil {
			opts = map[string]string{}
		}
		maps.Copy(opts, own)
		if c := opts["test.condition"]; c != "" {
			skip = !s.holds(c, opts)
		}
		if !skip {
			out = append(out, variant{opts, s.filter(opts)})
		}
	}
	return out, skip
}

func (s *sampleTest) filter(opts map[string]string) *sampleFilter {
	key := fmt.Sprint(opts)
	if s.filters[key] == nil {
		s.filters[key] = loadSampleFilter(s.T, s.dir, s.name, opts, true)
	}
	return s.filters[key]
}

// holds evaluates the conditions that the sample files use.
func (s *sampleTest) holds(cond string, opts map[string]string) bool {
	switch strings.ReplaceAll(cond, " ", "") {
	case "name=='sshd'":
		return s.name == "sshd"
	case "opts.get('mode')!='aggressive'":
		return opts["mode"] != "aggressive"
	case "opts.get('mode')=='aggressive'":
		return opts["mode"] == "aggressive"
	}
	s.Fatalf("condition %q is not known", cond)
	return false
}

func (s *sampleTest) check(at string, got []pipeline.Failure, want map[string]any, line []byte) {
	s.lines++
	if match, _ := want["match"].(bool); !match {
		if len(got) > 0 {
			s.Errorf("%s: matched by regex %d, want none: %s", at, got[0].Regex, line)
		}
		return
	}
	if len(got) != 1 {
		s.Errorf("%s: %d failures, want 1: %s", at, len(got), line)
		return
	}
	s.failures++
	f := got[0]
	fields := map[string]string{}
	for _, x := range f.Fields {
		fields[x.Name] = string(x.Value)
	}
	for k, v := range want {
		switch k {
		case "time":
			if text, ok := v.(string); ok {
				s.checkTime(at, f.AtNanos, text)
			}
		case "match", "desc", "constraint", "users":
		case "host":
			if host, ok := fields["host"]; ok && host == v {
				continue
			}
			if f.ID.String() != v && f.ID != pipeline.ParseID(v.(string)) {
				s.Errorf("%s: host %s, want %v: %s", at, f.ID, v, line)
			}
		case "attempts":
			if n := int(v.(float64)); f.Attempts != n {
				s.Errorf("%s: made of %d lines, want %d: %s", at, f.Attempts, n, line)
			}
		default:
			if text, ok := fields[k]; (!ok && v != nil) || (ok && text != v) {
				s.Errorf("%s: %s = %q, want %v: %s", at, k, text, v, line)
			}
		}
	}
}

func (s *sampleTest) checkTime(at string, got int64, want string) {
	t, err := time.ParseInLocation("2006-01-2T15:04:05", want, berlin(s.T))
	if err != nil {
		s.Fatal(err)
	}
	// The suite's times are whole seconds but for the templates that keep the fraction.
	if t.UnixNano() != got && (t.Nanosecond() != 0 || t.Unix() != got/int64(time.Second)) {
		s.Errorf("%s: time %v, want %v", at, time.Unix(0, got).In(berlin(s.T)), t)
	}
}

// TestSamples runs fail2ban's annotated sample lines through its own filters in
// every option set, scored as its own suite does.
func TestSamples(t *testing.T) {
	root := testenv.Shared(t, "fail2ban")
	lines, failures := 0, 0
	one := func(dir, name string) {
		t.Run(name, func(t *testing.T) {
			s := &sampleTest{T: t, dir: dir, logs: filepath.Join(root, "logs"), name: name, filters: map[string]*sampleFilter{}}
			s.run()
			lines, failures = lines+s.lines, failures+s.failures
		})
	}
	filters, err := filepath.Glob(filepath.Join(root, "config", "filter.d", "*.conf"))
	if err != nil || len(filters) == 0 {
		t.Fatal("no filters:", err)
	}
	for _, f := range filters {
		if name := strings.TrimSuffix(filepath.Base(f), ".conf"); !strings.HasSuffix(name, "common") {
			one(filepath.Join(root, "config"), name)
		}
	}
	// The two filters of fail2ban's own tests include those of its
	// configuration, by the way from the one folder to the other in its tree.
	tree := t.TempDir()
	tests := filepath.Join(tree, "fail2ban", "tests", "config")
	for to, from := range map[string]string{filepath.Join(tree, "config"): filepath.Join(root, "config"), filepath.Join(tests, "filter.d"): filepath.Join(root, "tests-filter.d")} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	one(tests, "zzz-generic-example")
	one(tests, "zzz-sshd-obsolete-multiline")
	t.Logf("%d evaluations, %d failures as annotated", lines, failures)
	const wantLines, wantFailures = 1821, 1485
	if lines != wantLines || failures != wantFailures {
		t.Errorf("%d evaluations with %d failures, want %d with %d", lines, failures, wantLines, wantFailures)
	}
}
