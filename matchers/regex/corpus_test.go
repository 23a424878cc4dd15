package regex

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// corpusRegex is a line of regexes.jsonl.
type corpusRegex struct {
	Filter    string
	Kind      string
	Index     int
	Regex     string
	Multiline bool
}

// corpus returns the distinct patterns of fail2ban's filters.
func corpus(t testing.TB) []corpusRegex {
	t.Helper()
	data, err := os.ReadFile(testenv.Shared(t, "fail2ban", "regexes.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	type key struct {
		regex     string
		multiline bool
	}
	seen := map[key]bool{}
	var out []corpusRegex
	for line := range bytes.Lines(data) {
		var r corpusRegex
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if k := (key{r.Regex, r.Multiline}); !seen[k] {
			seen[k] = true
			out = append(out, r)
		}
	}
	return out
}

// corpusLines returns the log lines of fail2ban's samples, each ended by a newline, by filter.
func corpusLines(t testing.TB) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Shared(t, "fail2ban", "logs"), "*"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		s := bufio.NewScanner(f)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			if line := strings.ToValidUTF8(s.Text(), "\ufffd"); line != "" && line[0] != '#' {
				out[filepath.Base(name)] = append(out[filepath.Base(name)], line+"\n")
			}
		}
		f.Close()
	}
	return out
}

// mutate changes text in a few places.
func mutate(rng *rand.Rand, text string) string {
	r := []rune(text)
	for range 1 + rng.IntN(3) {
		if len(r) == 0 {
			return string(r)
		}
		i := rng.IntN(len(r))
		switch rng.IntN(5) {
		case 0:
			r = append(r[:i], r[i+1:]...)
		case 1:
			r = append(r[:i], append([]rune{r[i]}, r[i:]...)...)
		case 2:
			strange := []rune("aZ09 .:-_[](\"'\t\n\u0085\u00e9\u0131\u0130\u212a\u017f\u0663\u4e2d\U0001f600\ufffd\x1c")
			r[i] = strange[rng.IntN(len(strange))]
		case 3:
			j := rng.IntN(len(r))
			r[i], r[j] = r[j], r[i]
		case 4:
			j := i + rng.IntN(len(r)-i)
			r = append(r[:i], r[j:]...)
		}
	}
	return string(r)
}

func TestCorpusAgainstPython(t *testing.T) {
	o := newOracle(t)
	rng := newRand(1)
	lines := corpusLines(t)
	var all []string
	for _, name := range sortedKeys(lines) {
		all = append(all, lines[name]...)
	}
	var m Machine
	var count tally
	step := 1
	if !soak() {
		step = 8
	}
	for n, r := range corpus(t) {
		if n%step != 0 {
			continue
		}
		flags := ""
		if r.Multiline {
			flags = "m"
		}
		var texts []string
		own := lines[r.Filter]
		for k := range 40 {
			line := all[rng.IntN(len(all))]
			if len(own) > 0 && k < 30 {
				line = own[rng.IntN(len(own))]
			}
			cut := line[rng.IntN(min(40, len(line))):]
			texts = append(texts, line, strings.ToValidUTF8(cut, ""), mutate(rng, line))
		}
		for _, d := range o.compare(t, &m, r.Regex, flags, texts, &count) {
			t.Errorf("%s %s %d: %s", r.Filter, r.Kind, r.Index, d)
		}
	}
	t.Logf("%+v", count)
	if count.matches == 0 || count.complex > 0 {
		t.Errorf("counted %+v", count)
	}
}
