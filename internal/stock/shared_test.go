package stock

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// The peer's test suite runs in this zone, at 2005-08-14 12:00 there.
const (
	suiteZone = "CET-01CEST-02,M3.5.0,M10.5.0"
	suiteNow  = 1124013600
)

// suiteLocation is suiteZone as Go knows it; nil where the machine has no zones,
// and times are not compared.
var suiteLocation, _ = time.LoadLocation("Europe/Zurich")

// suiteLine is a line of the peer's annotated logs.
type suiteLine struct {
	text  string
	match bool
	host  string // "": not said
	at    int64  // seconds since the epoch; 0: not said
}

// suiteRun is a set of options and the lines that are tried with it, in order.
type suiteRun struct {
	options map[string]string
	lines   []suiteLine
}

var suiteDirective = regexp.MustCompile(`^#+ ?(failJSON|filterOptions|fileOptions|addFILE):(.+)$`)

// readSuite reads one of the peer's annotated logs (reference: section 4).
func readSuite(t *testing.T, filter, path string, runs []*suiteRun) []*suiteRun {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	options := []map[string]string{{}}
	fileOptions := map[string]string{}
	var note map[string]any
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		text := scan.Text()
		m := suiteDirective.FindStringSubmatch(text)
		switch {
		case m == nil && (text == "" || text[0] == '#'):
		case m == nil:
			for _, o := range options {
				runs = addSuiteLine(filter, runs, fileOptions, o, note, text)
			}
			note = nil
		case m[1] == "failJSON":
			note = map[string]any{}
			decode(t, m[2], &note)
		case m[1] == "filterOptions":
			if strings.HasPrefix(strings.TrimSpace(m[2]), "{") {
				m[2] = "[" + m[2] + "]"
			}
			options = nil
			decode(t, m[2], &options)
		case m[1] == "fileOptions":
			decode(t, m[2], &fileOptions)
		case m[1] == "addFILE":
			var name string
			decode(t, m[2], &name)
			runs = readSuite(t, filter, filepath.Join(filepath.Dir(path), name), runs)
		}
	}
	return runs
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

func addSuiteLine(filter string, runs []*suiteRun, fileOptions, o map[string]string, note map[string]any, text string) []*suiteRun {
	options, prefix := map[string]string{}, ""
	for _, from := range []map[string]string{fileOptions, o} {
		for k, v := range from {
			switch {
			case k == "test.condition" && !holds(v, filter, o):
				return runs
			case k == "test.prefix-line":
				prefix = v
			case k == "test.filter-name":
				return runs // another filter's
			case !strings.HasPrefix(k, "test."):
				options[k] = v
			}
		}
	}
	if constraint, ok := note["constraint"].(string); ok && !holds(constraint, filter, options) {
		return runs
	}
	line := suiteLine{text: prefix + text}
	line.match, _ = note["match"].(bool)
	line.host, _ = note["host"].(string)
	if text, _ := note["time"].(string); text != "" && suiteLocation != nil {
		if at, err := time.ParseInLocation("2006-01-02T15:04:05", text, suiteLocation); err == nil {
			line.at = at.Unix()
		}
	}
	for _, r := range runs {
		if equalOptions(r.options, options) {
			r.lines = append(r.lines, line)
			return runs
		}
	}
	return append(runs, &suiteRun{options, []suiteLine{line}})
}

var suiteCondition = regexp.MustCompile(`^(name|opts\.get\('mode'\)) ?(==|!=) ?'([^']*)'$`)

// holds evaluates the few forms of Python conditions that the logs use.
func holds(condition, filter string, options map[string]string) bool {
	m := suiteCondition.FindStringSubmatch(condition)
	if m == nil {
		return false
	}
	value := options["mode"]
	if m[1] == "name" {
		value = filter
	}
	return (value == m[3]) == (m[2] == "==")
}

func equalOptions(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// differing is what we decide otherwise than the peer on purpose: the number of
// lines, and why.
var differing = map[string]struct {
	lines int
	why   string
}{
	"sshd":                 {4, "with a password nothing stands behind ssh2, so that a name with an address and ssh2: in it must not be believed"},
	"nginx-http-auth":      {2, "a user's name holds no colon (RFC 7617), so that the first client: is nginx' own"},
	"roundcube-auth":       {5, "a name of several words cannot be told from what the IMAP server says of it"},
	"sogo-auth":            {1, "the first address of a list is the client's word"},
	"apache-fakegooglebot": {1, "a log format of one site's own"},
	"vsftpd":               {3, "lines of the journal that begin with a date do not exist"},
}

// Our filters find what the peer's annotated logs say, for the filters that have
// a log there.
func TestSharedLogsWithPeer(t *testing.T) {
	dir := testenv.Shared(t, "fail2ban", "logs")
	run := peerAt(t, time.Unix(suiteNow, 0), suiteZone)
	var equal, total, found, matching int
	for _, name := range filterNames(t) {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		runs := readSuite(t, name, path, nil)
		var jobs []job
		for _, r := range runs {
			j := job{Filter: name, Options: r.options}
			for _, l := range r.lines {
				j.Lines = append(j.Lines, l.text)
			}
			jobs = append(jobs, j)
		}
		var e, n, f, m int
		var wrong []string
		for i, results := range run(t, jobs) {
			for k, l := range runs[i].lines {
				same := sameAsSuite(l, results[k])
				n++
				e += count(same)
				m += count(l.match)
				f += count(l.match && same)
				if !same {
					wrong = append(wrong, l.text)
				}
			}
		}
		t.Logf("%-20s %4d of %4d lines alike, %4d of %4d failures", name, e, n, f, m)
		if allowed := differing[name].lines; n-e != allowed {
			t.Errorf("%s: %d lines differ, want %d (%s)\n%s", name, n-e, allowed, differing[name].why, strings.Join(wrong, "\n"))
		}
		equal, total, found, matching = equal+e, total+n, found+f, matching+m
	}
	t.Logf("%-20s %4d of %4d lines alike, %4d of %4d failures", "all", equal, total, found, matching)
	if total < 1000 {
		t.Errorf("%d lines read, want 1000 at least", total)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sameAsSuite(l suiteLine, found []failure) bool {
	if !l.match {
		return len(found) == 0
	}
	for _, f := range found {
		if l.host != "" && f.Host != l.host || l.at != 0 && int64(f.Time) != l.at {
			return false
		}
	}
	return len(found) > 0
}

// Our dovecot and postfix find in docker-mailserver's logs what fail2ban's newest
// filters find there.
func TestDockerMailserverLogsWithPeer(t *testing.T) {
	logs, err := filepath.Glob(testenv.Shared(t, "dms-samples") + "/*.log")
	if err != nil || len(logs) != 2 {
		t.Fatalf("logs %q, %v", logs, err)
	}
	run := peer(t)
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		expected, err := os.ReadFile(strings.TrimSuffix(path, ".log") + ".expected-matches.txt")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range strings.Split(strings.TrimSpace(string(expected)), "\n") {
			name, numbers, _ := strings.Cut(entry, ":")
			peerAndFilter := strings.Split(name, ".")
			if peerAndFilter[0] != "f2bmaster" {
				continue
			}
			j := job{Filter: peerAndFilter[1], Options: map[string]string{"mode": peerAndFilter[2]}, Lines: lines}
			var got []string
			for i, found := range run(t, []job{j})[0] {
				if len(found) > 0 {
					got = append(got, strconv.Itoa(i+1))
				}
			}
			if want := strings.Fields(numbers); !slices.Equal(got, want) {
				t.Errorf("%s %s: lines %v, want %v", filepath.Base(path), name, got, want)
			} else {
				t.Logf("%s %s: %d lines", filepath.Base(path), name, len(got))
			}
		}
	}
}
