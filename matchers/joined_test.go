package matchers_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// joiners are fail2ban's filters whose rules span several lines.
var joiners = []string{"slapd", "mongodb-auth", "ejabberd-auth", "guacamole"}

// TestJoinedLinesAgree proves that rules over several lines find the same
// where only lines that hold one of their texts make them search: their samples,
// whole and cut off, among ordinary lines, in batches of any size.
func TestJoinedLinesAgree(t *testing.T) {
	var samples [][]string
	for _, name := range joiners {
		text, err := os.ReadFile(testenv.Shared(t, "fail2ban", "logs", name))
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
				lines = append(lines, line)
			}
		}
		samples = append(samples, lines)
	}
	ordinary := strings.SplitAfter(string(generated(t, "mixed", 2000)), "\n")
	rounds := 40
	if testing.Short() {
		rounds = 4
	}
	jails := fail2banJails(t, append([]string{"sshd", "postfix"}, joiners...)...)
	found := 0
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		text := joinedLog(rng, samples, ordinary)
		size := []int{1, 300, 5000, 64 << 10, len(text)}[seed%5]
		o := matchers.Options{Clock: matchers.ByLog, Fields: true}
		filtered := setOf(t, o, jails)
		o.Exhaustive = true
		all := setOf(t, o, jails)
		var want, got []string
		for _, b := range blocks(text, size) {
			want = describe(want, all.Match(nil, b))
			got = describe(got, filtered.Match(nil, b))
		}
		if w, g := strings.Join(want, "\n"), strings.Join(got, "\n"); w != g {
			t.Fatalf("seed %d, batches of %d bytes:\n got %s\nwant %s", seed, size, g, w)
		}
		for _, line := range want {
			if name, _, _ := strings.Cut(line, " "); name != "sshd" && name != "postfix" {
				found++
			}
		}
	}
	if found < 10*rounds {
		t.Errorf("only %d failures of several lines in %d logs", found, rounds)
	}
	t.Logf("%d failures of several lines in %d logs", found, rounds)
}

// joinedLog strews runs of the samples' lines over ordinary ones.
func joinedLog(rng *rand.Rand, samples [][]string, ordinary []string) []byte {
	var text bytes.Buffer
	plain := func(most int) {
		for range rng.IntN(most + 1) {
			text.WriteString(ordinary[rng.IntN(len(ordinary))])
		}
	}
	for range 60 {
		plain(60)
		lines := samples[rng.IntN(len(samples))]
		from := rng.IntN(len(lines))
		for _, line := range lines[from:min(len(lines), from+1+rng.IntN(25))] {
			text.WriteString(line)
			if rng.IntN(3) == 0 {
				plain(4) // within what a rule skips, or beyond its maxlines
			}
		}
	}
	return text.Bytes()
}

// TestJoinedLinesWait: a jail that joins lines joins none where no line has its
// texts, and knows those before a line that has all the same.
func TestJoinedLinesWait(t *testing.T) {
	jails := fail2banJails(t, joiners...)
	s := setOf(t, matchers.Options{Clock: matchers.ByLog}, jails)
	data := generated(t, "mixed", 5000)
	for _, b := range blocks(data, 64<<10) {
		if got := s.Match(nil, b); len(got) != 0 {
			t.Fatal(describe(nil, got))
		}
	}
	for _, j := range jails {
		if n := s.Counters(j.Jail).Candidates.Load(); n > 100 {
			t.Errorf("%s: %d of 5000 lines were joined", j.Jail.Name, n)
		}
	}
	first := "Jul  8 01:47:19 ldap slapd[1183]: conn=1022 fd=21 ACCEPT from IP=192.0.2.8:45011 (IP=0.0.0.0:636)\n"
	last := "Jul  8 01:47:19 ldap slapd[1183]: conn=1022 op=1 RESULT tag=97 err=49 text=\n"
	between := strings.Repeat("Jul  8 01:47:19 ldap cron[1]: nothing\n", 18)
	var got []string
	for i, text := range []string{first, between[:len(between)/2], between[len(between)/2:], last} {
		got = describe(got, s.Match(nil, &pipeline.Batch{Data: []byte(text), First: int64(10_000 + 100*i)}))
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "slapd ") || !strings.Contains(got[0], "192.0.2.8") {
		t.Errorf("%q", got)
	}
}
