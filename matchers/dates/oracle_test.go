package dates

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// An oracle is Debian's fail2ban in a child process.
type oracle struct {
	t      testing.TB
	zone   *time.Location
	in     *json.Encoder
	out    *bufio.Scanner
	asked  int // lines
	dated  int // of them those with a valid date
	failed int
}

// An oracleDate is what it finds in a line.
type oracleDate struct {
	Name       string
	Start, End int
	State      string
	Time       float64
}

// newOracle starts the child in a time zone; the test ends it.
func newOracle(t testing.TB, zone string) *oracle {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(testenv.Python(t), filepath.Join("testdata", "oracle.py"))
	command.Env = append(os.Environ(), "TZ="+zone, "LC_ALL=C.UTF-8")
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	return &oracle{t: t, zone: location, in: json.NewEncoder(in), out: lines}
}

// A dated line is one with the time at which it is read, in whole seconds.
type datedLine struct {
	line string
	now  int64
}

func (l datedLine) MarshalJSON() ([]byte, error) { return json.Marshal([]any{l.line, l.now}) }

// compare runs the lines, in their order, through a detector here and there.
func (o *oracle) compare(name string, s Setting, lines []datedLine) {
	o.t.Helper()
	s.Location = o.zone
	request := map[string]any{"defaults": defaultPatterns, "patterns": s.Patterns, "zone": s.Zone, "lines": lines}
	if err := o.in.Encode(request); err != nil {
		o.t.Fatal(err)
	}
	if !o.out.Scan() {
		o.t.Fatal("the oracle ended: ", o.out.Err())
	}
	var answer struct {
		Error string
		Found []*oracleDate
	}
	if err := json.Unmarshal(o.out.Bytes(), &answer); err != nil {
		o.t.Fatal(err)
	}
	d, err := New(s, time.Now().UnixNano())
	if (err != nil) != (answer.Error != "") {
		o.t.Errorf("%s: error %v, want %q", name, err, answer.Error)
	}
	if err != nil || answer.Error != "" {
		return
	}
	order := NewOrder(d)
	var m regex.Machine
	for i, l := range lines {
		o.asked++
		if want := answer.Found[i]; want != nil && want.State == "valid" {
			o.dated++
		}
		if got, want := describe(d, order, &m, l), describeOracle(answer.Found[i]); got != want {
			if o.failed++; o.failed <= 5 {
				o.t.Errorf("%s, line %d at %s: %q\n got %s\nwant %s", name, i,
					time.Unix(l.now, 0).In(o.zone).Format(time.DateTime), l.line, got, want)
			}
		}
	}
}

// describe finds, learns and tells in one text what a line's date is.
func describe(d *Detector, order *Order, m *regex.Machine, l datedLine) string {
	line, now := []byte(l.line), l.now*1e9
	f, ok := d.Find(m, order, line)
	if !ok {
		return "no date"
	}
	order.Hit(f, line, now)
	text := fmt.Sprintf("%q %d-%d", d.templates[f.Template].name, f.Start, f.End)
	at, ok := d.Time(&f, line, now)
	switch {
	case ok && d.templates[f.Template].kind == fieldsKind:
		return fmt.Sprint(text, " ", floorDiv(at, 1e9))
	case ok && d.templates[f.Template].kind == tai64nKind:
		return fmt.Sprint(text, " ", at/1e9)
	case ok:
		return fmt.Sprintf("%s %.5f", text, float64(at/1000)/1e6)
	case d.Fatal(&f, now):
		return text + " fatal"
	}
	return text + " invalid"
}

// describeOracle is describe for the oracle's answer.
func describeOracle(f *oracleDate) string {
	if f == nil {
		return "no date"
	}
	text := fmt.Sprintf("%q %d-%d", f.Name, f.Start, f.End)
	if f.State != "valid" {
		return text + " " + f.State
	}
	at := max(-maxSecond, min(f.Time, maxSecond))
	if strings.Contains(strings.ToLower(f.Name), "epoch") {
		return fmt.Sprintf("%s %.5f", text, at)
	}
	return fmt.Sprint(text, " ", int64(math.Floor(at)))
}

// sampleLines returns the lines of fail2ban's sample logs, by file.
func sampleLines(t testing.TB) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Shared(t, "fail2ban", "logs"), "*"))
	if err != nil || len(files) < 90 {
		t.Fatal(len(files), err)
	}
	logs := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a folder
		}
		for line := range bytes.Lines(text) {
			line = bytes.TrimRight(line, "\r\n")
			if len(line) > 0 && line[0] != '#' {
				logs[filepath.Base(file)] = append(logs[filepath.Base(file)], strings.ToValidUTF8(string(line), "?"))
			}
		}
	}
	return logs
}

// samplesNow is when fail2ban's own tests take the samples to be read.
const samplesNow = 1124013600

// TestOracleSamples runs the sample logs through the defaults, anchored and
// not, and through the pattern of their filter; every file and, as one input
// whose format changes all the time, all of them.
func TestOracleSamples(t *testing.T) {
	o := newOracle(t, "Europe/Berlin")
	logs := sampleLines(t)
	byFilter := filterPatterns(t)
	var all []datedLine
	for file, lines := range logs {
		lines = lines[:min(len(lines), 20*effort)]
		var dated []datedLine
		for i, line := range lines {
			dated = append(dated, datedLine{line, samplesNow + int64(i)*40})
		}
		o.compare(file, Setting{}, dated)
		o.compare(file+" anchored", Setting{Patterns: []string{lineBeginMark}}, dated)
		for _, patterns := range byFilter[file] {
			o.compare(file+" by its filter", Setting{Patterns: patterns}, dated)
		}
		all = append(all, dated...)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, patterns := range [][]string{nil, {lineBeginMark}, {`^[^\[]*\[({DATE})`, lineBeginMark}, {"^{DATE}"}, {"{DATE}"}} {
		o.compare("all files", Setting{Patterns: patterns}, all)
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		o.compare("all files shuffled", Setting{Patterns: patterns, Zone: "UTC-0430"}, all)
	}
	t.Logf("%d lines, %d with a valid date", o.asked, o.dated)
	if o.dated < 600*effort {
		t.Error("too few dates were compared")
	}
}
