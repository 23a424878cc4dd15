package stock

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The clock of the samples: what "this year" is for a date without one.
var samplesNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// sample is one annotated line.
type sample struct {
	where  string // file:line
	line   string
	match  bool
	host   string
	at     time.Time // zero: the journal has it
	modes  []string  // in which it matches; empty: in all
	after  int       // lines of the same session that stand before it
	fields []field
}

// field is text in a sample that its client chose.
type field struct {
	kind string // what the program lets through, see testdata/samples/README.md
	text string
}

// sampleFile is a file of samples for one filter.
type sampleFile struct {
	filter  string
	modes   []string          // empty: the default
	options map[string]string // further parameters
	samples []sample
}

// runs returns the parameters of the filter, once a mode.
func (f *sampleFile) runs() []map[string]string {
	if len(f.modes) == 0 {
		return []map[string]string{f.options}
	}
	var out []map[string]string
	for _, mode := range f.modes {
		options := map[string]string{"mode": mode}
		maps.Copy(options, f.options)
		out = append(out, options)
	}
	return out
}

// matches says whether the sample is a failure in a run with these parameters.
func (s *sample) matches(options map[string]string) bool {
	return s.match && (len(s.modes) == 0 || slices.Contains(s.modes, options["mode"]))
}

func readSamples(t testing.TB) []*sampleFile {
	t.Helper()
	paths, err := filepath.Glob("testdata/samples/*")
	if err != nil {
		t.Fatal(err)
	}
	var files []*sampleFile
	for _, path := range paths {
		if strings.HasSuffix(path, ".md") {
			continue
		}
		f, err := readSampleFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func readSampleFile(path string) (*sampleFile, error) {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	out := &sampleFile{filter: name, options: map[string]string{}}
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var next *sample
	scan := bufio.NewScanner(in)
	for n := 1; scan.Scan(); n++ {
		text, where := scan.Text(), fmt.Sprintf("%s:%d", path, n)
		directive, isDirective := strings.CutPrefix(text, "# ")
		switch {
		case isDirective && next == nil:
			if next, err = out.directive(directive); err != nil {
				return nil, fmt.Errorf("%s: %w", where, err)
			}
		case next != nil:
			next.where, next.line = where, text
			if err := next.check(); err != nil {
				return nil, fmt.Errorf("%s: %w", where, err)
			}
			out.samples = append(out.samples, *next)
			next = nil
		case text != "":
			return nil, fmt.Errorf("%s: a line without annotation", where)
		}
	}
	return out, scan.Err()
}

// directive reads one; it returns the sample that the next line is, if any.
func (f *sampleFile) directive(text string) (*sample, error) {
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case "modes":
		f.modes = strings.Fields(rest)
		return nil, nil
	case "options":
		for _, option := range strings.Fields(rest) {
			k, v, _ := strings.Cut(option, "=")
			f.options[k] = v
		}
		return nil, nil
	case "nomatch":
		return &sample{}, nil
	case "match":
		s := &sample{match: true}
		return s, s.annotate(rest)
	}
	return nil, fmt.Errorf("directive %q", word)
}

// annotate reads KEY=VALUE …, where a value may be a Go string.
func (s *sample) annotate(text string) error {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		key, rest, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("no = in %q", text)
		}
		var value string
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(quoted)
			text = rest[len(quoted):]
		} else {
			value, text, _ = strings.Cut(rest, " ")
		}
		if err := s.set(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *sample) set(key, value string) (err error) {
	switch key {
	case "host":
		s.host = value
	case "time":
		s.at, err = time.Parse(time.RFC3339, value)
	case "mode":
		s.modes = strings.Split(value, ",")
	case "after":
		s.after, err = strconv.Atoi(value)
	default:
		if _, ok := writers[key]; !ok {
			return fmt.Errorf("key %q", key)
		}
		s.fields = append(s.fields, field{key, value})
	}
	return err
}

func (s *sample) check() error {
	for _, f := range s.fields {
		if f.text == "" || !strings.Contains(s.line, f.text) {
			return fmt.Errorf("the line does not hold %q", f.text)
		}
	}
	if s.match && s.host == "" {
		return fmt.Errorf("a match without host")
	}
	return nil
}

// Every filter of ours finds what the samples say, in the engine of the peer.
func TestSamplesWithPeer(t *testing.T) {
	testSamples(t, peer(t))
}

func testSamples(t *testing.T, run engine) {
	files := readSamples(t)
	var jobs []job
	for _, f := range files {
		for _, options := range f.runs() {
			j := job{Filter: f.filter, Options: options}
			for _, s := range f.samples {
				j.Lines = append(j.Lines, s.line)
			}
			jobs = append(jobs, j)
		}
	}
	results := run(t, jobs)
	i, lines := 0, 0
	c := &complaints{TB: t}
	defer c.done()
	for _, f := range files {
		for _, options := range f.runs() {
			for k, found := range results[i] {
				checkSample(c, &f.samples[k], options, found)
				lines++
			}
			i++
		}
	}
	t.Logf("%d filters, %d lines in their modes", len(files), lines)
}

// complaints report the first errors of many and count the others.
type complaints struct {
	testing.TB
	n int
}

const maxComplaints = 20

func (c *complaints) Errorf(format string, args ...any) {
	c.Helper()
	if c.n++; c.n <= maxComplaints {
		c.TB.Errorf(format, args...)
	}
}

func (c *complaints) done() {
	if c.n > maxComplaints {
		c.TB.Errorf("and %d more", c.n-maxComplaints)
	}
}

func checkSample(t *complaints, s *sample, options map[string]string, found []failure) {
	t.Helper()
	if !s.matches(options) {
		if len(found) > 0 {
			t.Errorf("%s %v: found %v, want nothing\n\t%s", s.where, options, found, s.line)
		}
		return
	}
	if len(found) == 0 {
		t.Errorf("%s %v: found nothing, want %s\n\t%s", s.where, options, s.host, s.line)
	}
	for _, f := range found {
		if f.Host != s.host {
			t.Errorf("%s %v: regex %d found host %q, want %q\n\t%s", s.where, options, f.Regex, f.Host, s.host, s.line)
		}
		if !s.at.IsZero() && int64(f.Time) != s.at.Unix() {
			t.Errorf("%s %v: time %s, want %s\n\t%s", s.where, options, time.Unix(int64(f.Time), 0).UTC(), s.at, s.line)
		}
	}
}

// Each filter has its own samples, enough of them, with IPv6 and text that
// clients chose.
func TestSamplesAreEnough(t *testing.T) {
	type count struct {
		match, nomatch, v6 int
		hostile            bool
	}
	counts := map[string]*count{}
	for _, f := range readSamples(t) {
		c := counts[f.filter]
		if c == nil {
			c = &count{}
			counts[f.filter] = c
		}
		for _, s := range f.samples {
			switch {
			case !s.match:
				c.nomatch++
				continue
			case strings.Contains(s.host, ":"):
				c.v6++
			}
			c.match++
			c.hostile = c.hostile || len(s.fields) > 0
		}
	}
	var positive, negative int
	for _, name := range filterNames(t) {
		c := counts[name]
		if c == nil {
			t.Errorf("%s has no samples", name)
			continue
		}
		if c.match < 10 || c.nomatch < 5 || c.v6 == 0 {
			t.Errorf("%s: %d match, %d do not, %d are IPv6; want 10, 5 and 1", name, c.match, c.nomatch, c.v6)
		}
		if !c.hostile && !slices.Contains(fieldless, name) {
			t.Errorf("%s: no sample names text that the client chose", name)
		}
		positive += c.match
		negative += c.nomatch
	}
	t.Logf("%d filters, %d samples that match, %d that do not", len(counts), positive, negative)
}

// fieldless are filters in whose lines nothing comes from a client.
var fieldless = []string{"recidive", "rspamd"}
