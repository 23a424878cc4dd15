package literal_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/matchers/dates"
	"github.com/f2bpipe/f2bpipe/matchers/literal"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// corpusRegex is a line of regexes.jsonl.
type corpusRegex struct {
	Filter    string
	Kind      string
	Regex     string
	Multiline bool
}

// corpus returns the distinct failregexes and prefregexes of fail2ban's filters.
func corpus(t *testing.T) (out []corpusRegex) {
	t.Helper()
	data, err := os.ReadFile(testenv.Shared(t, "fail2ban", "regexes.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range bytes.Lines(data) {
		var r corpusRegex
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.Kind != "datepattern" && !seen[r.Regex] {
			seen[r.Regex] = true
			out = append(out, r)
		}
	}
	return out
}

// sampleLines returns the lines of fail2ban's sample logs by filter, their
// dates cut out where the default patterns find any.
func sampleLines(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Shared(t, "fail2ban", "logs"), "*"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := dates.New(dates.Setting{Location: time.UTC}, time.Now().UnixNano())
	if err != nil {
		t.Fatal(err)
	}
	var m regex.Machine
	out := map[string][]string{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // a folder
		}
		name = filepath.Base(name)
		for raw := range strings.Lines(string(data)) {
			line := strings.ToValidUTF8(strings.TrimRight(raw, "\r\n"), "\ufffd")
			if line == "" || line[0] == '#' {
				continue
			}
			out[name] = append(out[name], line)
			if f, ok := d.Find(&m, dates.NewOrder(d), []byte(line)); ok {
				out[name] = append(out[name], line[:f.Start]+line[f.End:])
			}
		}
	}
	return out
}

// contents returns the lines and what the filter's prefregexes take out of them.
func contents(lines []string, prefs []*regex.Regexp) []string {
	var m regex.Machine
	seen := map[string]bool{}
	var out []string
	add := func(s string) {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for _, line := range lines {
		add(line)
		for _, re := range prefs {
			g := re.Group("content")
			if caps, result := re.Search(&m, []byte(line+"\n"), 0); result == regex.Match && g > 0 && caps[2*g] >= 0 {
				add((line + "\n")[caps[2*g]:caps[2*g+1]])
			}
		}
	}
	return out
}

// withDates returns the lines that content can be left over of by a cut, and
// content itself.
func withDates(content string, cut literal.Cut, wordEnd bool) []byte {
	var b bytes.Buffer
	const date = "2026-11-22T13:00:00.000001+00:00"
	b.WriteString(content + "\n")
	for i := 0; i <= len(content) && cut != literal.CutNone; i++ {
		if cut == literal.CutStart && (utf8.RuneCountInString(content[:i]) > 2 || strings.ContainsFunc(content[:i], isWord)) {
			break
		}
		if next, _ := utf8.DecodeRuneInString(content[i:]); wordEnd && i < len(content) && isWord(next) {
			continue
		}
		b.WriteString(content[:i] + date + content[i:] + "\n")
	}
	return b.Bytes()
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

// cuts are where dates may have stood.
var cuts = [...]struct {
	cut     literal.Cut
	wordEnd bool
}{{literal.CutNone, false}, {literal.CutStart, false}, {literal.CutAnywhere, false}, {literal.CutAnywhere, true}}

// TestEveryMatchIsACandidate takes all of fail2ban's regular expressions and
// the sample lines that they match, puts dates wherever they may have been cut
// out, and asks every option of every engine for every line.
func TestEveryMatchIsACandidate(t *testing.T) {
	lines := sampleLines(t)
	prefs := map[string][]*regex.Regexp{}
	all := corpus(t)
	compiled := make([]*regex.Regexp, len(all))
	for i, r := range all {
		var flags regex.Flags
		if r.Multiline {
			flags = regex.Multiline
		}
		re, err := regex.Compile(r.Regex, flags)
		if err != nil {
			t.Fatal(err)
		}
		if compiled[i] = re; r.Kind == "prefregex" {
			prefs[r.Filter] = append(prefs[r.Filter], re)
		}
	}
	var m regex.Machine
	var l literal.Lines
	matches, looked := 0, 0
	texts := map[string][]string{}
	for i, r := range all {
		re := compiled[i]
		if texts[r.Filter] == nil {
			texts[r.Filter] = contents(lines[r.Filter], prefs[r.Filter])
		}
		var scanners [len(cuts)][]*literal.Scanner
		for c, at := range cuts {
			rule := literal.Rule{Needs: [][]literal.Need{literal.Needs(re.Syntax())}, Cut: at.cut, WordEnd: at.wordEnd}
			scanners[c] = literal.OptionScanners(rule)
			if testing.Short() && i%4 != 0 {
				continue
			}
			rule.Needs, rule.First = nil, "2"
			rule.Wide = func() []literal.Need { return literal.WideNeeds(re.Syntax()) }
			scanners[c] = append(scanners[c], literal.OptionScanners(rule)...)
		}
		for _, text := range foreignDigits(texts[r.Filter]) {
			if _, result := re.Search(&m, []byte(text+"\n"), 0); result != regex.Match {
				continue
			}
			matches++
			for c, scanners := range scanners {
				block := withDates(text, cuts[c].cut, cuts[c].wordEnd)
				for n, s := range scanners {
					looked++
					if missed := missedLine(s, &l, block); missed != "" {
						t.Fatalf("cut %+v, engine %d: no candidate for some option: %q\nof %s", cuts[c], n, missed, r.Regex)
					}
				}
			}
		}
	}
	if t.Logf("%d regexes, %d matches, %d blocks", len(all), matches, looked); matches < 4000 || looked < 3*matches {
		t.Error("too few to say anything")
	}
}

// foreignDigits adds every fourth text with a digit of another script, which \d
// takes, too.
func foreignDigits(texts []string) []string {
	out := slices.Clip(texts)
	for i := 0; i < len(texts); i += 4 {
		text := texts[i]
		at := strings.LastIndexAny(text, "0123456789")
		if i%8 == 4 {
			at = strings.IndexAny(text, "0123456789")
		}
		if at >= 0 {
			out = append(out, text[:at]+string('\u0660'+rune(text[at]-'0'))+text[at+1:])
		}
	}
	return out
}

// missedLine returns the first line of a block that is no candidate for some
// rule of the scanner.
func missedLine(s *literal.Scanner, l *literal.Lines, block []byte) string {
	s.Scan(l, block)
	all := strings.Repeat("1", s.Rules())
	for i, start := 0, 0; start < len(block); i++ {
		end := start + bytes.IndexByte(block[start:], '\n') + 1
		if i >= l.Len() {
			return string(block[start:end])
		}
		if from, to := l.Line(i); from != start || to != end || bitString(l.Mask(i), s.Rules()) != all {
			return string(block[start:end])
		}
		start = end
	}
	return ""
}

// bitString writes the first n bits of a mask.
func bitString(mask []uint64, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(mask[i/64]>>(i%64)&1)
	}
	return string(b)
}
