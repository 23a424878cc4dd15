package regex

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// FuzzParse: no pattern makes the parser or the compiler panic or allocate
// without bound, and each mistake has its place.
func FuzzParse(f *testing.F) {
	for _, p := range mistakes {
		f.Add(p, uint16(0))
	}
	f.Add("((((a{9}){9}){9}){9}){9}", uint16(0))
	f.Add("(?:a{65535}|b){2}", uint16(IgnoreCase))
	f.Add("(?:(a)|(b)|(c))*(?:x(?(1)(?:y|z(?(2)u*|v))|(?(3)w|t{2}))){1,9}", uint16(0))
	f.Add("(a)?(b)?(c)?(?:(?(1)x|y)(?(2)x|y)(?(3)x|y)){1,30}(?(1)x|y)(?(2)x|y)(?(3)x|y)", uint16(0))
	f.Fuzz(func(t *testing.T, pattern string, flags uint16) {
		re, err := Compile(pattern, Flags(flags)&(IgnoreCase|Multiline|DotAll|Verbose|ASCII))
		if err == nil {
			most := atMost(re.Syntax().Root)
			if re.program() == nil {
				t.Errorf("no program of %d instructions at most", most)
			} else if n := len(re.program().insts); n > min(most, maxInsts) {
				t.Errorf("%d instructions, %d at most", n, most)
			}
			if len(re.Names()) != re.Groups()+1 {
				t.Errorf("%d groups, names %q", re.Groups(), re.Names())
			}
			return
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("error %v is no *Error", err)
		}
		if e.Pattern != pattern || e.Msg == "" || e.Pos > len(pattern) || e.Pos < -1 {
			t.Errorf("%+v", e)
		}
	})
}

// machinesDiffer compares the machines on one text from at on.
func machinesDiffer(t *testing.T, re *Regexp, text string, at int) {
	t.Helper()
	var m, n Machine
	got, res := re.Search(&m, []byte(text), at)
	want, wantRes := re.SearchSlow(&n, []byte(text), at)
	var o Machine // that was used before, on another text
	before := []byte(text)
	slices.Reverse(before)
	re.searchViewed(&o, bytes.ToValidUTF8(before, []byte("?")), 0)
	viewed, viewedRes := re.searchViewed(&o, []byte(text), at)
	if wantRes == TooComplex || res == TooComplex || viewedRes == TooComplex {
		return
	}
	if viewedRes != wantRes || !slices.Equal(viewed, want) {
		t.Errorf("%q on %q from %d: viewed %v %v, slow %v %v", re, text, at, viewedRes, viewed, wantRes, want)
	}
	if res != wantRes || !slices.Equal(got, want) {
		t.Errorf("%q on %q from %d: fast %v %v, slow %v %v", re, text, at, res, got, wantRes, want)
	}
	if res == Match && (got[0] < int32(at) || got[1] < got[0] || int(got[1]) > len(text)) {
		t.Errorf("%q on %q from %d: %v", re, text, at, got)
	}
}

// FuzzMachines: both machines find the same.
func FuzzMachines(f *testing.F) {
	add := func(pattern, text string) { f.Add(pattern, uint16(0), text, uint16(0)) }
	add(`^(a+)+$`, "aaab\n")
	add(`(|a)*`, "aa")
	add(`(a|)*?b`, "aab")
	add(`(?:a?){0,3}`, "aa")
	add(`(?:(?=(a))a|b)*`, "aab")
	add(`(?P<i>x)?(?P<u>(?P<c>\S+)|(?(i)(?:(?! f ).)*?|[^:]+)) f (?(c): |$)`, "xab f : f ")
	add(`(.+?)(?:, s=(\S+))?\s*$`, "a b, s=c  \n\u0085\n")
	add(`(?>a|ab)(?:c|d)*+`, "abcd")
	add(`(?i)[^k]\bſ`, "sK\u212a ſ")
	add(`(?:(?! x ).)*?( x |$)`, "a x b x ")
	add(`(?<=é.)\W{1,2}?(a)*`, "éb\xff\xfe a")
	add(`|01*0`, "0")
	add(`é+(?!x)é*x`, "ééx")
	add(`\d+\b\d*(?:a|\s*$)`, "12٣ \u2003")
	add(`(?:a|b )?(?: port \d+)?(?: ssh\d*)?(?:,|\s*$)`, "b  port 1 ssh2 \n")
	add(`(?P<u>.*) from (?P<a>(?:\d{1,3}\.){3}\d{1,3}|[\w.]*\w)\]?(?: x)?$`, "a from b from 1.22.٣.4] x\n")
	add(`\s+(?:c\s+)?\s*(?:ab)?\s*:b+?cd`, "   c  ab : bbcd")
	add(`^(?:(?P<c>\S+)|[^:]+) to \S+ (?:at \d+ )?by \w+(?(c): |$)`, "ab c to d at 1 by e")
	f.Add(`(?<=ab|cd)(?:e|f)+`, uint16(0), "cdefxx", uint16(2))
	f.Fuzz(func(t *testing.T, pattern string, flags uint16, text string, at uint16) {
		if len(pattern) > 200 || len(text) > 300 || int(at) > len(text) {
			return
		}
		re, err := Compile(pattern, Flags(flags)&(IgnoreCase|Multiline|DotAll|Verbose|ASCII))
		if err != nil {
			return
		}
		if strings.ToValidUTF8(text, "") != text {
			// What a match of broken text is, is not promised; only that it ends.
			var m Machine
			re.Search(&m, []byte(text), int(at))
			re.SearchSlow(&m, []byte(text), int(at))
			re.searchViewed(&m, []byte(text), int(at))
			return
		}
		machinesDiffer(t, re, text, int(at))
	})
}

// TestGeneratedMachines: both machines find the same, on more patterns than
// the oracle has time for, and from later starts.
func TestGeneratedMachines(t *testing.T) {
	rng := newRand(7)
	g := &generator{rng: rng}
	for range pick(soak(), 20_000, 2_000) {
		pattern := g.pattern()
		re, err := Compile(pattern, Flags(rng.IntN(32)))
		if err != nil {
			continue
		}
		for _, text := range soakTexts(rng, re.Syntax(), nil) {
			machinesDiffer(t, re, text, rng.IntN(len(text)+1))
		}
	}
}
