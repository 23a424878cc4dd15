package matchers_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// oracle is Debian's fail2ban in a child process.
type oracle struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func startOracle(t *testing.T, now int64) *oracle {
	cmd := exec.Command(testenv.Python(t), "testdata/oracle.py")
	cmd.Env = append(os.Environ(), "TZ=Europe/Berlin")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	o := &oracle{t: t, in: in, out: bufio.NewReaderSize(out, 1<<20)}
	o.ask(map[string]any{"now": now / int64(time.Second)}, nil)
	return o
}

func (o *oracle) ask(request any, answer any) error {
	o.t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := o.in.Write(append(text, '\n')); err != nil {
		o.t.Fatal("the oracle died:", err)
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		o.t.Fatal("the oracle died:", err)
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(line, &failed); err != nil {
		o.t.Fatal(err)
	}
	if failed.Error != "" {
		return fmt.Errorf("%s", failed.Error)
	}
	if answer != nil {
		return json.Unmarshal(line, answer)
	}
	return nil
}

// A finding is one failure, as either side reports it.
type finding struct {
	regex  int
	id     string
	at     float64 // NaN: none
	fields map[string]string
}

func (f finding) String() string {
	return fmt.Sprintf("regex %d, id %q, time %.3f, %v", f.regex, f.id, f.at, f.fields)
}

// same compares what was found; the oracle has whole seconds.
func (f finding) same(o finding) bool {
	if f.regex != o.regex || f.id != o.id || math.IsNaN(f.at) != math.IsNaN(o.at) {
		return false
	}
	if !math.IsNaN(f.at) && math.Abs(f.at-o.at) >= 1 {
		return false
	}
	return maps.Equal(f.fields, o.fields)
}

func (o *oracle) run(id int, lines []string, journal bool) [][]finding {
	var answer struct{ Out [][][4]any }
	if err := o.ask(map[string]any{"run": id, "lines": lines, "journal": journal}, &answer); err != nil {
		o.t.Fatal(err)
	}
	out := make([][]finding, len(answer.Out))
	for i, found := range answer.Out {
		for _, f := range found {
			x := finding{regex: int(f[0].(float64)), id: f[1].(string), at: math.NaN(), fields: map[string]string{}}
			if at, ok := f[2].(float64); ok {
				x.at = at
			}
			for k, v := range f[3].(map[string]any) {
				x.fields[k] = v.(string)
			}
			out[i] = append(out[i], x)
		}
	}
	return out
}

// ours runs the lines through a set, one batch each, and reports what the oracle would.
func ours(set *matchers.Set, lines []string, now int64, journal bool) [][]finding {
	out := make([][]finding, len(lines))
	for i, line := range lines {
		b := &pipeline.Batch{First: int64(i + 1), Lines: 1, Data: append([]byte(line), '\n')}
		if journal {
			b.Stamps = []int64{now}
		}
		for _, f := range set.Match(nil, b) {
			x := finding{regex: f.Regex, id: f.ID.String(), at: math.NaN(), fields: map[string]string{}}
			if f.AtNanos != matchers.NoTime {
				x.at = float64(f.AtNanos) / 1e9
			}
			for _, field := range f.Fields {
				x.fields[field.Name] = string(field.Value)
			}
			out[i] = append(out[i], x)
		}
	}
	return out
}

// oracleFilter is a filter with options on both sides.
type oracleFilter struct {
	name    string
	opts    map[string]string
	id      int
	set     *matchers.Set
	journal bool
}

func (o *oracle) load(dir, name string, opts map[string]string) (*oracleFilter, error) {
	var answer struct{ ID int }
	if opts == nil {
		opts = map[string]string{}
	}
	if err := o.ask(map[string]any{"load": []any{dir, name, opts}}, &answer); err != nil {
		return nil, err
	}
	s := loadSampleFilter(o.t, dir, name, opts, false)
	return &oracleFilter{name: name, opts: opts, id: answer.ID, set: s.set, journal: s.journal}, nil
}

// modes are the parameters that change what stock filters match.
var modes = map[string][]map[string]string{
	"sshd": {{"mode": "normal"}, {"mode": "ddos"}, {"mode": "extra"}, {"mode": "aggressive"}, {"logtype": "journal"}, {"publickey": "any"}, {"publickey": "invalid"}},
	"postfix": {{"mode": "normal"}, {"mode": "auth"}, {"mode": "rbl"}, {"mode": "more"}, {"mode": "extra"}, {"mode": "errors"}, {"mode": "ddos"},
		{"mode": "aggressive"}},
	"dovecot": {{}, {"mode": "aggressive"}, {"logtype": "journal"}}, "exim": {{}, {"mode": "more"}, {"mode": "aggressive"}},
	"apache-auth": {{}, {"mode": "aggressive"}, {"logging": "syslog"}}, "nginx-http-auth": {{}, {"mode": "fallback"}, {"mode": "aggressive"}},
	"freeswitch": {{}, {"mode": "ddos"}, {"mode": "normal"}}, "sendmail-reject": {{}, {"mode": "extra"}, {"mode": "aggressive"}},
	"traefik-auth": {{}, {"mode": "ddos"}, {"mode": "aggressive"}},
}

// sampleLines returns every sample line of fail2ban's suite, without annotations.
func sampleLines(t *testing.T) []string {
	root := testenv.Shared(t, "fail2ban", "logs")
	files, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(root, f.Name()))
		if err != nil {
			continue // a folder
		}
		for line := range bytes.Lines(data) {
			line = bytes.TrimRight(line, "\r\n")
			if len(line) > 0 && line[0] != '#' {
				out = append(out, strings.ToValidUTF8(string(line), "\uFFFD"))
			}
		}
	}
	return out
}

// realLines returns the lines of both mail logs of docker-mailserver, and some
// of the shared generator of a mixed log.
func realLines(t *testing.T) []string {
	logs, err := filepath.Glob(filepath.Join(testenv.Shared(t, "dms-samples"), "*.log"))
	if err != nil || len(logs) != 2 {
		t.Fatalf("%d logs of docker-mailserver: %v", len(logs), err)
	}
	var out []string
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Split(strings.TrimRight(string(text), "\n"), "\n")...)
	}
	mixed, err := exec.Command(testenv.Python(t), testenv.Shared(t, "tools", "gen_mixed_log.py"), "-n", "2000", "-f", "0.3").Output()
	if err != nil {
		t.Fatal("generate a mixed log:", err)
	}
	return append(out, strings.Split(strings.TrimRight(string(mixed), "\n"), "\n")...)
}

// mutate changes a line a little, as an attacker or another version would.
func mutate(r *rand.Rand, line string, others []string) string {
	b := []rune(line)
	for range 1 + r.IntN(3) {
		if len(b) == 0 {
			break
		}
		i := r.IntN(len(b))
		switch r.IntN(6) {
		case 0:
			b = slices.Delete(b, i, min(len(b), i+1+r.IntN(6)))
		case 1:
			b = slices.Insert(b, i, []rune(` from 192.0.2.7 port 22 [::1] "'=<é`)[r.IntN(30):]...)
		case 2:
			b[i] = []rune("0aA :.[]()<>'\"-_/\t\u00a0é٣")[r.IntN(21)]
		case 3:
			o := []rune(others[r.IntN(len(others))])
			b = append(b[:i:i], o[min(len(o), r.IntN(len(o)+1)):]...)
		case 4:
			j := i + r.IntN(len(b)-i)
			b = append(b, b[i:j]...)
		case 5:
			b = slices.Concat(b[:i], []rune("2001:db8::7"), b[i:])
		}
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, string(b))
}

// TestOracle runs every stock filter in every mode over the sample lines of
// all filters and mutated ones, and compares every failure with fail2ban's own.
// In a short run each filter sees a part of the lines.
func TestOracle(t *testing.T) {
	dir := testenv.Shared(t, "fail2ban", "config")
	o := startOracle(t, samplesNow)
	lines := append(sampleLines(t), realLines(t)...)
	rng := rand.New(rand.NewPCG(1, 2))
	every := 40
	switch {
	case os.Getenv("F2BPIPE_SOAK") == "1":
		every = 1
	case testing.Short():
		every = 400
	}
	filters, err := filepath.Glob(filepath.Join(dir, "filter.d", "*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	compared, found := 0, 0
	for _, file := range filters {
		name := strings.TrimSuffix(filepath.Base(file), ".conf")
		if strings.HasSuffix(name, "common") {
			continue
		}
		variants := modes[name]
		if variants == nil {
			variants = []map[string]string{{}}
		}
		own, err := os.ReadFile(testenv.Shared(t, "fail2ban", "logs", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, opts := range variants {
			f, err := o.load(dir, name, opts)
			if err != nil {
				t.Errorf("%s %v: %v", name, opts, err)
				continue
			}
			var in []string
			for _, line := range strings.Split(string(own), "\n") {
				if line = strings.TrimRight(line, "\r"); line != "" && line[0] != '#' {
					in = append(in, strings.ToValidUTF8(line, "\uFFFD"), mutate(rng, strings.ToValidUTF8(line, "\uFFFD"), lines))
				}
			}
			for i := rng.IntN(every); i < len(lines); i += every {
				in = append(in, lines[i], mutate(rng, lines[i], lines))
			}
			n, m := compareFindings(t, o, f, in)
			compared, found = compared+n, found+m
		}
	}
	t.Logf("%d lines compared, %d failures found by both", compared, found)
	if found < compared/200 {
		t.Errorf("only %d of %d lines were failures: the test proves little", found, compared)
	}
}

func compareFindings(t *testing.T, o *oracle, f *oracleFilter, lines []string) (compared, found int) {
	t.Helper()
	want, got := o.run(f.id, lines, f.journal), ours(f.set, lines, samplesNow, f.journal)
	for i := range lines {
		if len(want[i]) == 1 && want[i][0].regex < 0 {
			continue // fail2ban itself loses the line
		}
		found += len(want[i])
		if len(got[i]) != len(want[i]) || !slices.EqualFunc(got[i], want[i], finding.same) {
			t.Errorf("%s %v: line %d %q\n got %v\nwant %v", f.name, f.opts, i, lines[i], got[i], want[i])
			return len(lines), found // the states differ from here on
		}
	}
	return len(lines), found
}
