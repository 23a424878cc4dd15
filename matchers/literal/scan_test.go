package literal_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/matchers/literal"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// ruleOf returns the rule of one pattern.
func ruleOf(t testing.TB, pattern string, cut literal.Cut) literal.Rule {
	t.Helper()
	s, err := regex.Parse(pattern, 0)
	if err != nil {
		t.Fatal(err)
	}
	return literal.Rule{Needs: [][]literal.Need{literal.Needs(s)}, Cut: cut}
}

// found writes what a scanner finds in data: the candidates with their rules.
func found(s *literal.Scanner, data string) string {
	var l literal.Lines
	var out []string
	s.Scan(&l, []byte(data))
	for i := range l.Len() {
		from, to := l.Line(i)
		out = append(out, fmt.Sprintf("%s:%s", strings.TrimSuffix(data[from:to], "\n"), bitString(l.Mask(i), s.Rules())))
	}
	return strings.Join(out, " ")
}

func TestScan(t *testing.T) {
	for _, engine := range engineNames() {
		rules := []literal.Rule{
			ruleOf(t, `Failed`, literal.CutNone),
			ruleOf(t, `(?ia)failed to`, literal.CutNone),
			ruleOf(t, `\[failure`, literal.CutStart),
			ruleOf(t, `refused, banned`, literal.CutAnywhere),
		}
		s := literal.NewEngine(engine, rules, nil)
		f := func(data, want string) {
			t.Helper()
			if got := found(s, data); got != want {
				t.Errorf("engine %s: %q: %s, want %s", engine, data, got, want)
			}
		}
		f("", "")
		f("\n", "")
		f("Fail", "")
		f("Failed", "Failed:1000") // the source ended without a newline
		f("Failed\n", "Failed:1000")
		f("a\nFailed\nb\n", "Failed:1000")
		f("failed\nFAILED TO\nFailed to\n", "FAILED TO:0100 Failed to:1100")
		f("a Fai\nled\n", "")
		f("Failed Failed\nFailed", "Failed Failed:1000 Failed:1000")
		f("[date failure\n", "[date failure:0010")
		f("refused, banned\n", "refused, banned:0001")
		f("refus date ed, banned\n", "refus date ed, banned:0001")
		f("refused, b date anned\n", "refused, b date anned:0001")
		f("refused, b date unned\n", "")
		f("refused, date \nbanned\n", "")
		f("ref date used, banned Failed [failure", "ref date used, banned Failed [failure:1011")
		f(strings.Repeat("x", 20000)+"Failed\n", strings.Repeat("x", 20000)+"Failed:1000")
		// At every place around the end of a chunk, and of a vector.
		for at := 12<<10 - 80; at < 12<<10+80; at++ {
			line := strings.Repeat("y", at) + "Failed"
			f(line+"\n", line+":1000")
			f(line+strings.Repeat("z", 40)+"\n", line+strings.Repeat("z", 40)+":1000")
		}
	}
}

func TestScanWithoutTexts(t *testing.T) {
	for _, engine := range engineNames() {
		s := literal.NewEngine(engine, []literal.Rule{ruleOf(t, `\d+`, literal.CutNone), ruleOf(t, `abcdefg`, literal.CutNone)}, nil)
		if !s.Every() || s.Always()[0] != 1 {
			t.Errorf("engine %s: every %v, always %b", engine, s.Every(), s.Always())
		}
		if got := found(s, "1\nabcdefg\n"); got != "abcdefg:01" {
			t.Errorf("engine %s: %s", engine, got)
		}
		none := literal.NewEngine(engine, nil, nil)
		if got := found(none, "abc\n"); got != "" || none.Every() {
			t.Errorf("engine %s, no rules: %s", engine, got)
		}
	}
}

func TestASCII(t *testing.T) {
	for _, engine := range engineNames() {
		s := literal.NewEngine(engine, []literal.Rule{ruleOf(t, `abcdefg`, literal.CutNone)}, nil)
		var l literal.Lines
		for _, size := range []int{0, 1, 2, 3, 4, 5, 31, 32, 33, 35, 36, 63, 64, 100, 12<<10 - 1, 12 << 10, 12<<10 + 1, 12<<10 + 40} {
			data := bytes.Repeat([]byte{0x7f}, size)
			if s.Scan(&l, data); !l.ASCII() {
				t.Fatalf("engine %s: %d bytes of ASCII are not", engine, size)
			}
			for i := range data {
				if i > 130 && i < size-130 {
					continue
				}
				data[i] = 0x80
				if s.Scan(&l, data); l.ASCII() {
					t.Fatalf("engine %s: byte %d of %d was not seen", engine, i, size)
				}
				data[i] = 0x7f
			}
		}
	}
}

// contains says whether a text is in a line, searched for naively.
func contains(line, text string, fold bool) bool {
	if fold {
		return strings.Contains(lowerASCII(line), text)
	}
	return strings.Contains(line, text)
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 0x20
		}
		return r
	}, latin1(s))
}

// latin1 takes every byte as a character, so that none is replaced.
func latin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// TestHostileSample chooses by samples that an attacker wrote: the scanner
// finds the same, and is there soon.
func TestHostileSample(t *testing.T) {
	rules := filterRules(t, sixFilters...)
	line := "2026-11-22T13:00:00+00:00 mail sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2\n"
	for name, sample := range map[string]string{
		"empty lines": strings.Repeat("\n", 64<<10),
		"no newline":  strings.Repeat("Failed password for ", 3000),
		"halves":      strings.Repeat("authentication fail NOTICE Connection closed by Disconne\n", 1000),
		"one line":    strings.Repeat("authentication fail NOTICE Connection closed by Disconne", 1000) + "\n",
	} {
		for _, engine := range engineNames() {
			start := time.Now()
			s := literal.NewEngine(engine, rules, []byte(sample))
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s, engine %s: %v", name, engine, took)
			} else {
				t.Logf("%s, engine %s: %v", name, engine, took)
			}
			if got := found(s, line); got == "" {
				t.Errorf("%s, engine %s: a failure is not found", name, engine)
			}
		}
	}
}

// FuzzScan compares every engine with a search for each text in each line, and
// a block with its parts.
func FuzzScan(f *testing.F) {
	patterns := []struct {
		pattern string
		texts   []string
		fold    bool
	}{
		{`abcabcab`, []string{"abcabcab"}, false},
		{`(?ia)abcabcab`, []string{"abcabcab"}, true},
		{`aaaaaaa`, []string{"aaaaaaa"}, false},
		{`(?:Failed|failur)e`, []string{"Failede", "failure"}, false},
		{`bcabca|cabcab`, []string{"bcabca", "cabcab"}, false},
		{`\*\n?b*\*\*\*\*\*\*`, []string{"******"}, false},
		{`(?ia)failed: \[x\]`, []string{"failed: [x]"}, true},
		{`\x00\x01@{6}`, []string{"\x00\x01@@@@@@"}, false},
	}
	var rules []literal.Rule
	for _, p := range patterns {
		rules = append(rules, ruleOf(f, p.pattern, literal.CutNone))
	}
	halves := make([]literal.Rule, len(patterns))
	for i, p := range patterns {
		halves[i] = ruleOf(f, p.pattern, literal.CutAnywhere)
	}
	for _, seed := range []string{"abcabcab\n", "xAbcABCabcabcabcab\naaaaaaaaaaaaa\nFailede\n", "failure", "\n\n****** \x80\n",
		"FAILED: [X]\nfailed: {x}\n", "\x00\x01@@@@@@ `````\n", "abc date abcab\n", strings.Repeat("Failur", 9) + "e\n"} {
		f.Add([]byte(seed), uint16(7))
	}
	var scanners, halfScanners []*literal.Scanner
	for _, engine := range engineNames() {
		scanners = append(scanners, literal.NewEngine(engine, rules, nil), literal.NewEngine(engine, rules, []byte("abcabcab\n")))
		halfScanners = append(halfScanners, literal.NewEngine(engine, halves, nil))
	}
	f.Fuzz(func(t *testing.T, data []byte, parts uint16) {
		var want strings.Builder
		for start := 0; start < len(data); {
			end := start + bytes.IndexByte(data[start:], '\n') + 1
			if end == start {
				end = len(data)
			}
			mask := make([]uint64, 1)
			for i, p := range patterns {
				for _, text := range p.texts {
					if contains(string(data[start:end]), text, p.fold) {
						mask[0] |= 1 << i
					}
				}
			}
			if mask[0] != 0 {
				fmt.Fprintln(&want, start, end, bitString(mask, len(patterns)))
			}
			start = end
		}
		for i, s := range scanners {
			if got := candidates(s, data, 0); got != want.String() {
				t.Fatalf("scanner %d: %q:\n%swant\n%s", i, data, got, want.String())
			}
			if got := candidates(s, data, int(parts)); got != want.String() {
				t.Fatalf("scanner %d, parts of %d: %q:\n%swant\n%s", i, parts, data, got, want.String())
			}
		}
		for _, s := range halfScanners {
			whole := candidates(s, data, 0)
			if got := candidates(s, data, int(parts)); got != whole {
				t.Fatalf("halves of %q:\n%sin parts of %d\n%s", data, whole, parts, got)
			}
			superset(t, s, whole, want.String())
		}
	})
}

// candidates scans data at once, or in parts of whole lines and at least size
// bytes, and writes the candidates' bounds and rules.
func candidates(s *literal.Scanner, data []byte, size int) string {
	var l literal.Lines
	var out strings.Builder
	for start := 0; start < len(data); {
		end := len(data)
		if size > 0 && start+size < len(data) {
			if i := bytes.IndexByte(data[start+size:], '\n'); i >= 0 {
				end = start + size + i + 1
			}
		}
		s.Scan(&l, data[start:end:end])
		for i := range l.Len() {
			from, to := l.Line(i)
			fmt.Fprintln(&out, start+from, start+to, bitString(l.Mask(i), s.Rules()))
		}
		if l.ASCII() != !slices.ContainsFunc(data[start:end], func(c byte) bool { return c >= 0x80 }) {
			return "ASCII is wrong"
		}
		start = end
	}
	return out.String()
}

// superset fails where a line of want is not in got with all of its rules,
// but for those that always are candidates.
func superset(t *testing.T, s *literal.Scanner, got, want string) {
	t.Helper()
	have := map[string]string{}
	for line := range strings.Lines(got) {
		i := strings.LastIndexByte(line, ' ')
		have[line[:i]] = line[i:]
	}
	for line := range strings.Lines(want) {
		i := strings.LastIndexByte(line, ' ')
		mask := have[line[:i]]
		for k, c := range line[i:] {
			if c == '1' && (mask == "" || mask[k] != '1') && s.Always()[0]>>(k-1)&1 == 0 {
				t.Fatalf("halves miss a line: got\n%swant\n%s", got, want)
			}
		}
	}
}

// TestHostileLines scans lines that are made of the halves of texts: the time
// a byte takes must not grow with the line.
func TestHostileLines(t *testing.T) {
	rules := []literal.Rule{
		ruleOf(t, `authentication failure; logname`, literal.CutAnywhere),
		ruleOf(t, `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab`, literal.CutAnywhere),
	}
	lines := map[string]string{
		"first halves":                "authentication ",
		"second halves":               "failure; logname",
		"halves, the rest at the end": "authentication authentication ",
		"one letter":                  "a",
		"another":                     "aaaaaaaaaaaaaaab",
	}
	for name, text := range lines {
		for _, engine := range engineNames() {
			s := literal.NewEngine(engine, rules, nil)
			var l literal.Lines
			perByte := func(size int) float64 {
				line := append(bytes.Repeat([]byte(text), size/len(text)), "failure; lognam\n"...)
				if strings.HasSuffix(name, "at the end") {
					line = append(line[:len(line)-1], "e\n"...)
				}
				best := time.Duration(1 << 62)
				for range 5 {
					start := time.Now()
					for range (1 << 18) / size {
						s.Scan(&l, line)
					}
					best = min(best, time.Since(start))
				}
				return float64(best) / (1 << 18)
			}
			short, long := perByte(1<<10), perByte(64<<10)
			t.Logf("%s, %s: %.1f ns a byte of 1 KiB, %.1f of 64 KiB", name, engine, short, long)
			if long > 10*short+10 {
				t.Errorf("%s, engine %s: %.1f ns a byte of 1 KiB, %.1f of 64 KiB", name, engine, short, long)
			}
		}
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	data := []byte(strings.Repeat("a line\nFailed here\nrefus date ed, banned\n", 1000))
	for _, engine := range engineNames() {
		s := literal.NewEngine(engine, []literal.Rule{ruleOf(t, `Failed`, literal.CutNone), ruleOf(t, `refused, banned`, literal.CutAnywhere)}, nil)
		var l literal.Lines
		s.Scan(&l, data)
		if n := testing.AllocsPerRun(10, func() { s.Scan(&l, data) }); n != 0 || l.Len() != 2000 {
			t.Errorf("engine %s: %v allocations, %d lines", engine, n, l.Len())
		}
	}
}
