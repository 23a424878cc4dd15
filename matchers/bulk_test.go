package matchers_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// stockSet returns a set of stock filters.
func stockSet(t testing.TB, o matchers.Options, names ...string) *matchers.Set {
	t.Helper()
	return setOf(t, o, stockJails(t, names...))
}

// setOf returns a set of jails, as it is before the first line.
func setOf(t testing.TB, o matchers.Options, jails []matchers.JailFilter) *matchers.Set {
	t.Helper()
	o.Now, o.Location = func() int64 { return samplesNow }, berlin(t)
	set, err := matchers.NewSet(o, jails, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// stockJails returns jails of stock filters.
func stockJails(t testing.TB, names ...string) []matchers.JailFilter {
	t.Helper()
	var jails []matchers.JailFilter
	for _, name := range names {
		f, problems := config.LoadFilter(config.Options{Stock: stock.FS()}, name)
		if f == nil {
			t.Fatalf("%s: %v", name, problems)
		}
		filter, err := matchers.CompileFilter(filterConfig(f))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		jails = append(jails, matchers.JailFilter{Jail: pipeline.NewJail(name, pipeline.Policy{}), Filter: filter, Dates: texts(f.Datepattern)})
	}
	return jails
}

// allStock are the stock filters that match single lines.
func allStock(t testing.TB) []string {
	entries, err := os.ReadDir(filepath.Join(testenv.Root(t), "internal", "stock", "config", "filter.d"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".conf"); !strings.HasSuffix(name, "common") && name != "mongodb-auth" {
			out = append(out, name)
		}
	}
	return out
}

// blocks cuts a text into batches of whole lines of about the given size.
func blocks(text []byte, size int) []*pipeline.Batch {
	in := pipeline.NewInput("test", nil)
	var out []*pipeline.Batch
	first := int64(1)
	for len(text) > 0 {
		end := min(size, len(text))
		if i := bytes.IndexByte(text[end-1:], '\n'); i >= 0 {
			end += i
		} else {
			end = len(text)
		}
		b := &pipeline.Batch{Input: in, Data: text[:end], First: first, Lines: bytes.Count(text[:end], []byte("\n"))}
		first += int64(b.Lines)
		out = append(out, b)
		text = text[end:]
	}
	return out
}

func describe(dst []string, failures []pipeline.Failure) []string {
	for _, f := range failures {
		fields := ""
		for _, x := range f.Fields {
			fields += fmt.Sprintf(" %s=%q", x.Name, x.Value)
		}
		dst = append(dst, fmt.Sprintf("%s line %d regex %d %s at %d:%s", f.Jail.Name, f.Line, f.Regex, f.ID, f.AtNanos, fields))
	}
	return dst
}

// split runs batches through a set as a pipeline with so many workers does,
// whose scans end in any order.
func split(t testing.TB, s *matchers.Set, batches []*pipeline.Batch, workers int) (out []string) {
	if workers == 1 {
		for _, b := range batches {
			if !s.Prepare(b, true) {
				t.Fatal("Prepare refuses a batch although all before are settled")
			}
			out = describe(out, s.MatchBulk(nil, b))
		}
		return out
	}
	type scan struct {
		b     *pipeline.Batch
		found pipeline.Found
	}
	for i := 0; i < len(batches); {
		var standing []*scan
		for ; i < len(batches) && len(standing) < workers && s.Prepare(batches[i], len(standing) == 0); i++ {
			standing = append(standing, &scan{b: batches[i]})
		}
		if len(standing) == 0 {
			t.Fatal("Prepare refuses a batch although all before are settled")
		}
		var scanning sync.WaitGroup
		for worker, j := range standing {
			scanning.Go(func() { j.found = s.Scan(worker, j.b) })
		}
		scanning.Wait()
		for _, j := range standing {
			out = describe(out, s.Settle(nil, j.b, j.found))
		}
	}
	return out
}

// corpora are logs of one form each, and every sample line there is.
func corpora(t testing.TB) map[string][]byte {
	out := map[string][]byte{}
	for _, name := range []string{"auth.log", "mail.log"} {
		text, err := os.ReadFile(filepath.Join(testenv.Root(t), "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = text
	}
	logs, err := filepath.Glob(filepath.Join(testenv.Shared(t, "dms-samples"), "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal("no logs:", err)
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = bytes.Repeat(text, 12)
	}
	for _, kind := range []string{"mixed", "clean", "attack"} {
		out["generated "+kind] = generated(t, kind, 900)
	}
	return out
}

// TestHalvesAgree proves that nothing is lost for speed: the failures are the
// same with every line looked at one after the other, with the prefilter, and
// with the stateless half on 1, 2 and 7 workers.
func TestHalvesAgree(t *testing.T) {
	names := allStock(t)
	for name, text := range corpora(t) {
		if testing.Short() {
			text = text[:bytes.LastIndexByte(text[:min(len(text), 136<<10)], '\n')+1]
		}
		t.Run(name, func(t *testing.T) {
			batches := blocks(text, 64<<10)
			var want, got []string
			all := stockSet(t, matchers.Options{Clock: matchers.ByLog, Fields: true, Exhaustive: true}, names...)
			filtered := stockSet(t, matchers.Options{Clock: matchers.ByLog, Fields: true}, names...)
			for _, b := range batches {
				want = describe(want, all.Match(nil, b))
				got = describe(got, filtered.Match(nil, b))
			}
			if len(want) == 0 {
				t.Fatal("no failures: the test proves nothing")
			}
			same := func(what string, got []string) {
				t.Helper()
				for i := range max(len(got), len(want)) {
					if i >= len(got) || i >= len(want) || got[i] != want[i] {
						t.Errorf("%s: %d failures, want %d; the %d. differs:\n got %v\nwant %v", what, len(got), len(want), i, at(got, i), at(want, i))
						return
					}
				}
			}
			same("prefilter", got)
			for _, workers := range []int{1, 2, 7} {
				s := stockSet(t, matchers.Options{Clock: matchers.ByLog, Fields: true}, names...)
				same(fmt.Sprintf("%d workers", workers), split(t, s, batches, workers))
			}
			t.Logf("%d failures in %d batches", len(want), len(batches))
		})
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "nothing"
}

// TestPrefilterKeepsSamples runs every sample line of every filter through the
// set of all stock filters, with the prefilter trained on other lines and
// without: each match must be a candidate, whatever the line's form.
func TestPrefilterKeepsSamples(t *testing.T) {
	names := allStock(t)
	all := stockSet(t, matchers.Options{Clock: matchers.Undated, Fields: true, RawHost: true, Exhaustive: true}, names...)
	filtered := stockSet(t, matchers.Options{Clock: matchers.Undated, Fields: true, RawHost: true}, names...)
	warm, err := os.ReadFile(filepath.Join(testenv.Root(t), "testdata", "mail.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks(warm, 64<<10) {
		all.Match(nil, b)
		filtered.Match(nil, b)
	}
	found, every := 0, 1
	if testing.Short() {
		every = 10
	}
	for i, line := range sampleLines(t) {
		if i%every != 0 {
			continue
		}
		b := &pipeline.Batch{Data: append([]byte(line), '\n'), First: int64(i), Lines: 1}
		want, got := describe(nil, all.Match(nil, b)), describe(nil, filtered.Match(nil, b))
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s\n got %v\nwant %v", line, got, want)
		}
		found += len(want)
	}
	if found < 500/every {
		t.Errorf("only %d failures", found)
	}
}

// TestPrefilterKeepsFail2banSamples is the same with all of fail2ban's filters at
// once, those that hold no long text among them, and a log of all samples.
func TestPrefilterKeepsFail2banSamples(t *testing.T) {
	jails := fail2banJails(t, allFail2ban(t)...)
	lines, least := sampleLines(t), 1000
	if testing.Short() {
		lines, least = lines[:len(lines)/4], 100
	}
	for i, line := range lines {
		if at := strings.LastIndexAny(line, "0123456789"); at >= 0 && i%3 == 0 {
			// \d takes digits of other scripts, too.
			lines = append(lines, line[:at]+string('\u0660'+rune(line[at]-'0'))+line[at+1:])
		}
	}
	text := []byte(strings.Join(lines, "\n") + "\n")
	o := matchers.Options{Clock: matchers.ByLog, Fields: true}
	filtered := setOf(t, o, jails)
	o.Exhaustive = true
	all := setOf(t, o, jails)
	var want, got []string
	for _, b := range blocks(text, 16<<10) {
		want = describe(want, all.Match(nil, b))
		got = describe(got, filtered.Match(nil, b))
	}
	byRule := func(list []string) []string {
		var out []string
		for _, s := range list {
			// Which template reads an ambiguous date depends on the lines looked at.
			before, _, _ := strings.Cut(s, " at ")
			out = append(out, before)
		}
		return out
	}
	want, got = byRule(want), byRule(got)
	for i := range max(len(want), len(got)) {
		if at(want, i) != at(got, i) {
			t.Fatalf("%d failures, want %d; the %d. differs:\n got %s\nwant %s", len(got), len(want), i, at(got, i), at(want, i))
		}
	}
	if len(want) < least {
		t.Errorf("only %d failures", len(want))
	}
}

// TestLastDate gives lines without a date that of the last line with one, also of
// lines that are no candidates and stand in batches before.
func TestLastDate(t *testing.T) {
	const failure = "sshd[7]: Failed password for root from 192.0.2.%d port 4 ssh2\n"
	for _, between := range []int{0, 1, 300, 60 << 10} {
		var log bytes.Buffer
		for n := range 12 {
			fmt.Fprintf(&log, "2026-11-22 13:%02d:00 some line\n", n)
			for stop := log.Len() + between; log.Len() < stop; {
				log.WriteString("another one without a date\n")
			}
			fmt.Fprintf(&log, failure, n)
		}
		for _, size := range []int{1, 50, 500, 100 << 10} {
			var want, got []string
			all := stockSet(t, matchers.Options{Clock: matchers.ByLog, Exhaustive: true}, "sshd")
			filtered := stockSet(t, matchers.Options{Clock: matchers.ByLog}, "sshd")
			for _, b := range blocks(log.Bytes(), size) {
				want = describe(want, all.Match(nil, b))
				got = describe(got, filtered.Match(nil, b))
			}
			if fmt.Sprint(want) != fmt.Sprint(got) || len(want) != 12 || strings.Contains(fmt.Sprint(want), fmt.Sprint(samplesNow)) {
				t.Errorf("%d bytes between, batches of %d: got\n%s\nwant\n%s", between, size, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}
