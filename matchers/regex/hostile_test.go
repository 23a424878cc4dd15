package regex

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hostileSize is the length of a hostile line: the longest that a source lets through.
const hostileSize = 64 << 10

// hostile is a text made against a pattern, and what it cost.
type hostile struct {
	pattern          string
	head, unit, tail string
	perByte          float64 // ns, the best of the rounds
	slow             bool    // the fast machine gave up
}

// text returns a text of n bytes.
func (h hostile) text(n int) []byte {
	n -= len(h.head) + len(h.tail)
	return []byte(h.head + strings.Repeat(h.unit, max(n, 0)/len(h.unit)) + h.tail)
}

func (h hostile) String() string {
	return fmt.Sprintf("%6.1f ns/byte, slow %-5v %.40q + %.40q… + %.20q: %.150q", h.perByte, h.slow, h.head, h.unit, h.tail, h.pattern)
}

// commonUnits are repeated against every pattern.
var commonUnits = []string{"a", "1", " ", "[", `"`, ": ", "a.", "a ", "1.", "::", "a:", `="a`, `x="y" `, "192.0.2.1 ", "<a> ", "a b: ", "\\", "é", "\x80", "(", ", "}

// attacks derives texts from the pattern: each loop's body repeated after a
// text that leads up to it, and the text up to and through the loop repeated.
func attacks(rng *rand.Rand, syn *Syntax) (out []hostile) {
	tails := []string{"\n", "\x00\n", "!\"]\n"}
	add := func(head, unit string) {
		if unit != "" && len(unit) < 2000 && len(head) < 4000 {
			out = append(out, hostile{pattern: syn.Pattern, head: head, unit: unit, tail: tails[len(out)%len(tails)]})
		}
	}
	for _, u := range commonUnits {
		add("", u)
	}
	var walk func(n *Node, before string)
	walk = func(n *Node, before string) {
		switch {
		case n.Kind == KindConcat:
			for _, s := range n.Subs {
				walk(s, before)
				before += sampled(rng, s)
			}
			return
		case n.Kind == KindLook && n.Behind:
			return
		case n.Kind == KindRepeat && (n.Max < 0 || n.Max-n.Min > 1):
			body := sampled(rng, n.Subs[0])
			add(before, body)
			add(before, sampled(rng, n.Subs[0])+body)
			add("", before+body)
		}
		for _, s := range n.Subs {
			walk(s, before)
		}
	}
	walk(syn.Root, "")
	add("", sampled(rng, syn.Root))
	return out
}

// sampled returns a text that n is likely to match.
func sampled(rng *rand.Rand, n *Node) string {
	var b strings.Builder
	sample(rng, n, map[int]string{}, &b)
	return b.String()
}

// measure takes the processor time of a search, the least of some rounds. The
// caller has locked its thread.
func (h *hostile) measure(t testing.TB, re *Regexp, m *Machine, size, rounds int) Result {
	t.Helper()
	text := h.text(size)
	least, res := time.Duration(1<<62), NoMatch
	for range rounds {
		from := threadTime(t)
		_, res = re.Search(m, text, 0)
		least = min(least, threadTime(t)-from)
	}
	h.perByte = float64(least.Nanoseconds()) / float64(len(text))
	h.slow = m.fuel < 0
	return res
}

// threadTime is the processor time that the thread has had.
func threadTime(t testing.TB) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// maxHostile is what a line of hostileSize may cost. A quiet machine stays
// below 10 ms; tests run beside others.
const maxHostile = 30 * time.Millisecond

// TestHostile looks for the text that costs most, over all rules of fail2ban's
// and the classic patterns: every one with F2BPIPE_SOAK=1, else one in eight.
func TestHostile(t *testing.T) {
	HoldsOut(t, hostilePatterns(t), len(linearCases))
}

// HoldsOut attacks patterns: the first so many and, unless it is a soak, one in
// eight of the others. A byte of a long line must cost no more than one of a
// shorter line, no line more than maxHostile, and none is too complex. A rule
// with a backreference is bound by its steps, not by time.
func HoldsOut(t *testing.T, patterns []*Regexp, first int) {
	t.Helper()
	if raceEnabled {
		t.Skip("time under the race detector says nothing")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rng := newRand(11)
	var m Machine
	var all []hostile
	tried, bound := 0, 0
	for n, re := range patterns {
		if !soak() && n%8 != 0 && n >= first {
			continue
		}
		own := attacked(t, rng, re, &m)
		tried += len(own)
		if re.slow().noMemo {
			bound++
			continue
		}
		slices.SortFunc(own, byCost)
		for _, h := range own[:min(3, len(own))] {
			short, both := h.perByte, h.slow
			if res := h.measure(t, re, &m, hostileSize, 3); res == TooComplex {
				t.Errorf("too complex: %v", h)
			}
			// Where the shorter one was too short for the fast machine to give up, there
			// is nothing to compare. A machine with other work may take twice as long.
			if both && h.perByte > 3*short+20 {
				t.Errorf("not linear, %.1f ns/byte at a quarter of the length: %v", short, h)
			}
			all = append(all, h)
		}
		// What this pattern's views hold is no use to the next.
		m.views, m.viewBytes = nil, 0
	}
	slices.SortFunc(all, byCost)
	t.Logf("%d texts, %d patterns bound by steps; the worst:", tried, bound)
	for _, h := range all[:min(10, len(all))] {
		t.Log(h)
	}
	if cost := time.Duration(all[0].perByte * hostileSize); cost > maxHostile {
		t.Errorf("%v for a line of %d bytes: %v", cost, hostileSize, all[0])
	}
}

// attacked runs what was derived from a pattern against it, at a quarter of the
// size; where it is bound by steps, it must keep to them.
func attacked(t *testing.T, rng *rand.Rand, re *Regexp, m *Machine) (own []hostile) {
	t.Helper()
	for _, h := range attacks(rng, re.Syntax()) {
		res := h.measure(t, re, m, hostileSize/4, 1)
		switch bound := re.slow().noMemo; {
		case !bound && res == TooComplex:
			t.Errorf("too complex: %v", h)
		case bound && h.slow && m.steps > budgetNoMemo+hostileSize: // the last step may be a whole loop
			t.Errorf("%d steps: %v", m.steps, h)
		}
		own = append(own, h)
	}
	return own
}

// byCost puts what costs most first.
func byCost(a, b hostile) int { return cmp.Compare(b.perByte, a.perByte) }

// hostilePatterns returns the patterns of linearCases and those of the corpus.
func hostilePatterns(t *testing.T) (out []*Regexp) {
	t.Helper()
	for _, c := range linearCases {
		out = append(out, mustCompile(t, c.pattern, 0))
	}
	for _, r := range corpus(t) {
		out = append(out, mustCompile(t, r.Regex, pick(r.Multiline, Multiline, 0)))
	}
	return out
}

// TestViewOfEarlierText: a lookbehind looks at the text before the start of the
// search, of which the views know nothing, whatever the Machine was used for before.
func TestViewOfEarlierText(t *testing.T) {
	var m Machine
	other, err := Compile(`x(?:a|b)*y(?:c|d)+z`, 0)
	if err != nil {
		t.Fatal(err)
	}
	other.searchViewed(&m, []byte(strings.Repeat("xabyc", 20)), 0)
	re, err := Compile(`(?<=ab|cd)(?:e|f)+`, 0)
	if err != nil {
		t.Fatal(err)
	}
	re.searchViewed(&m, []byte("nothing of it stands here"), 0)
	var n Machine
	for _, text := range []string{"abef", "cdef", "xxef"} {
		got, res := re.searchViewed(&m, []byte(text), 2)
		want, wantRes := re.SearchSlow(&n, []byte(text), 2)
		if res != wantRes || !slices.Equal(got, want) {
			t.Errorf("%q from 2: viewed %v %v, slow %v %v", text, res, got, wantRes, want)
		}
	}
}
