package regex

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// show writes a result as the texts of the groups: "ab|a|-".
func show(text string, caps []int32) string {
	if caps == nil {
		return "no"
	}
	var parts []string
	for i := 0; i < len(caps); i += 2 {
		if caps[i] < 0 {
			parts = append(parts, "-")
		} else {
			parts = append(parts, text[caps[i]:caps[i+1]])
		}
	}
	return strings.Join(parts, "|")
}

// TestConstructs has each construct with what CPython 3.11 finds.
func TestConstructs(t *testing.T) {
	var m Machine
	f := func(pattern, text, want string) {
		t.Helper()
		re := mustCompile(t, pattern, 0)
		for name, search := range map[string]func(*Machine, []byte, int) ([]int32, Result){"fast": re.Search, "slow": re.SearchSlow} {
			caps, _ := search(&m, []byte(text), 0)
			if got := show(text, caps); got != want {
				t.Errorf("%q on %q: %s %q, want %q", pattern, text, name, got, want)
			}
		}
	}
	// Leftmost, alternatives in order, lazy and greedy.
	f(`a|ab`, "xab", "a")
	f(`(?:|a)b`, "ab", "ab")
	f(`a*?b`, "aab", "aab")
	f(`<.+?>`, "<a><b>", "<a>")
	f(`<.+>`, "<a><b>", "<a><b>")
	f(`a{,2}`, "aaa", "aa")
	f(`a{2,}?`, "aaa", "aa")
	f(`a{,`, "a{,", "a{,")
	// Groups in loops keep the last round; empty rounds end a loop.
	f(`(?:(a)|b)*`, "ab", "ab|a")
	f(`(|a)*`, "aa", "|")
	f(`(a|)*?b`, "aab", "aab|a")
	f(`(a*)*`, "b", "|")
	f(`(?:|a){2,3}`, "aa", "")
	f(`(?:a?){0,3}x`, "aax", "aax")
	// White space, words and digits are Unicode's; 0x1c is space.
	f(`\s+`, "a\x1c\u0085\u2003b", "\x1c\u0085\u2003")
	f(`(?a)\s+`, "\x1c \u0085", " ")
	f(`\d+`, "x٣4", "٣4")
	f(`(?a:\d+)`, "٣4", "4")
	f(`\w+`, "-é_ß-", "é_ß")
	f(`\bé`, "aé é", "é")
	f(`\W`, "aé\ufffd", "\ufffd")
	f(`\B`, "", "no")
	// The dot leaves out the newline alone; sets take it.
	f(`.+`, "a\r\u0085\u2028b\nc", "a\r\u0085\u2028b")
	f(`(?s).+`, "a\nb", "a\nb")
	f(`[^x]+`, "a\nbx", "a\nb")
	// Ends.
	f(`a$`, "a\n", "a")
	f(`a\Z`, "a\n", "no")
	f(`(.+?)\s*$`, "a b \n", "a b \n|a b")
	f(`(?m)^b$`, "a\nb\nc", "b")
	f(`^b`, "a\nb", "no")
	// Case.
	f(`(?i)KIS`, "\u212a\u0130\u017f", "\u212a\u0130\u017f")
	f(`(?i)[i-k]+`, "\u0131IJ\u212a", "\u0131IJ\u212a")
	f(`(?i)[^k]`, "K\u212akx", "x")
	f(`(?ia)k+`, "\u212aKk", "Kk")
	f(`(?i:a)b`, "AB Ab", "Ab")
	f(`(?i)a(?-i:b)`, "AB Ab", "Ab")
	f(`(?i)straße`, "STRAẞE", "STRAẞE")
	// Lookarounds, with groups inside.
	f(`a(?=b(c))`, "abc", "a|c")
	f(`(?!(a)b)ac`, "ac", "ac|-")
	f(`(?<=:)x`, "x:x", "x")
	f(`(?<!é)x`, "éxx", "x")
	f(`(?<=a.)b`, "aéb", "b")
	f(`(?:(?=(a))a|b)*`, "aab", "aab|a")
	f(`(?:(?! from ).)*`, "a fro from b", "a fro")
	f(`((?:(?! x ).)*?) x `, "ab x x ", "ab x |ab")
	// Conditionals, backreferences.
	f(`(a)?(?(1)b|c)`, "ab", "ab|a")
	f(`^(a)?(?(1)b|c)`, "c", "c|-")
	f(`(?P<q>["'])(.*?)(?P=q)`, `"a'b"`, `"a'b"|"|a'b`)
	f(`(?i)(a)\1`, "aA", "aA|a")
	f(`(?:(a)|b)\1`, "b", "no")
	// Atomic and possessive.
	f(`(?>a|ab)c`, "abc", "no")
	f(`a++a`, "aaa", "no")
	f(`(?:ab)*+a`, "ababa", "ababa")
	f(`a?+a`, "a", "no")
	f(`a{1,2}+a`, "aaa", "aaa")
	f(`(?>(a+))b`, "aab", "aab|aa")
	// Verbose mode, comments, escapes.
	f("(?x) a b # c\n \\  [ #]", "ab #", "ab #")
	f(`a(?#b)c`, "ac", "ac")
	f(`ab(?#c)+d`, "abbd", "abbd")
	f(`ab(?#c){2}?`, "abab", "no")
	f(`\x61\u00e9\U0001f600\141\0`, "aé😀a\x00", "aé😀a\x00")
	f(`[\]\-\b]+`, "]-\b", "]-\b")
	f(`[]a]+`, "]a", "]a")
	f(`x{0}y`, "xy", "y")
}

func TestSearchFrom(t *testing.T) {
	var m Machine
	f := func(pattern, text string, at int, want string) {
		t.Helper()
		re := mustCompile(t, pattern, 0)
		caps, res := re.Search(&m, []byte(text), at)
		if got := show(text, caps); got != want || (res == Match) != (want != "no") {
			t.Errorf("%q on %q from %d: %q %v, want %q", pattern, text, at, got, res, want)
		}
	}
	f(`a`, "aba", 1, "a")
	f(`^a`, "aa", 1, "no")
	f(`(?m)^a`, "a\na", 1, "a")
	f(`(?<=a)b`, "ab", 1, "b")
	f(`\bb`, "ab", 1, "no")
	f(`$`, "ab", 2, "")
	f(`a`, "a", 2, "no")
	f(`a`, "a", -1, "no")
}

func TestNames(t *testing.T) {
	re := mustCompile(t, `(?P<host>a)(b)(?P<user>c)`, 0)
	if got := fmt.Sprint(re.Groups(), re.Names(), re.Group("user"), re.Group("x"), re.Group("")); got != "3 [ host  user] 3 -1 -1" {
		t.Error(got)
	}
	if re.String() != re.Syntax().Pattern || re.TooComplexCount() != 0 {
		t.Errorf("%q %d", re, re.TooComplexCount())
	}
}

func TestOwnRefusals(t *testing.T) {
	f := func(pattern, want string) {
		t.Helper()
		if _, err := Compile(pattern, 0); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %q", pattern, err, want)
		}
	}
	f("\xff", "pattern is not valid UTF-8")
	f(`a\N{LINE FEED}`, "undefined character name 'LINE FEED' at position 1")
	f(`[\ud800]`, `lone surrogate \ud800 at position 1`)
	f(`(?t)a`, "inline flag 't' is not supported at position 3")
	f(strings.Repeat("(", 300), "groups are nested too deeply at position 201")
	f(`(?:(?:(?:ab|c){100}){100}){100}`, "repeat counts multiply to more than 65536 instructions")
	f(`(?:ab|c){1,70000}`, "repeat counts multiply to more than 65536 instructions")
	f(strings.Repeat("é", 65537), "pattern is longer than 65536 characters")
	f(`(?:ab|c){70000}`, "repeat counts multiply to more than 65536 instructions")
}

// TestLargeCounts: counts over one code point cost nothing.
func TestLargeCounts(t *testing.T) {
	re := mustCompile(t, `^(?:x{1000}y?){3}$`, 0)
	var m Machine
	if _, res := re.Search(&m, []byte(strings.Repeat("x", 3000)), 0); res != Match || len(re.program().insts) > 40 {
		t.Errorf("%v, %d instructions", res, len(re.program().insts))
	}
	if _, res := re.Search(&m, []byte(strings.Repeat("x", 2999)), 0); res != NoMatch {
		t.Error(res)
	}
}

// TestTree shows how a pattern is parsed.
func TestTree(t *testing.T) {
	f := func(pattern, want string) {
		t.Helper()
		syn, err := Parse(pattern, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := tree(syn.Root); got != want {
			t.Errorf("%q: %s, want %s", pattern, got, want)
		}
	}
	f(`abc`, `"abc"`)
	f(`ab*`, `cat("a" rep{0,-1}("b"))`)
	f(`(?:ab)(?:c|d)`, `cat("ab" alt("c" "d"))`)
	f(`(?P<x>a)|`, `alt(group1x("a") empty)`)
	f(`(?i)a1`, `cat("a"/1 "1")`)
	f(`[ab]?+`, `rep{0,1}+(class[97 98])`)
	f(`(?<!ab)\b$`, `cat(look<!2("ab") assert5 assert3)`)
	f(`(a)(?(1)b)\1`, `cat(group1("a") cond1("b" empty) ref1)`)
	f(`(?>a)`, `atomic("a")`)
}

// tree writes a node in short.
func tree(n *Node) string {
	subs := func() string {
		var parts []string
		for _, s := range n.Subs {
			parts = append(parts, tree(s))
		}
		return "(" + strings.Join(parts, " ") + ")"
	}
	switch n.Kind {
	case KindEmpty:
		return "empty"
	case KindLiteral:
		return fmt.Sprintf("%q", string(n.Runes)) + pick(n.Fold != FoldNone, fmt.Sprintf("/%d", n.Fold), "")
	case KindClass:
		return "class" + strings.NewReplacer("{", "", "}", "").Replace(fmt.Sprint(n.Class.Ranges))
	case KindConcat:
		return "cat" + subs()
	case KindAlternate:
		return "alt" + subs()
	case KindRepeat:
		return fmt.Sprintf("rep{%d,%d}%s%s", n.Min, n.Max, []string{"", "?", "+"}[n.Mode], subs())
	case KindGroup:
		return fmt.Sprintf("group%d%s%s", n.Index, n.Name, subs())
	case KindAtomic:
		return "atomic" + subs()
	case KindAssert:
		return fmt.Sprintf("assert%d", n.Assert)
	case KindLook:
		return "look" + pick(n.Behind, "<", "") + pick(n.Negate, "!", "=") + fmt.Sprint(n.Width) + subs()
	case KindCond:
		return fmt.Sprintf("cond%d%s", n.Index, subs())
	}
	return fmt.Sprintf("ref%d", n.Index)
}

// TestCategoriesAgainstPython holds every code point of the classes and of case
// folding against CPython's tables.
func TestCategoriesAgainstPython(t *testing.T) {
	o := newOracle(t)
	var m Machine
	var count tally
	diffs := 0
	for lo := rune(1); lo < newInUnicode15 && diffs < 10; lo += 256 {
		texts := []string{}
		for r := lo; r < lo+256; r++ {
			if (r < 0xd800 || r > 0xdfff) && r < newInUnicode15 {
				texts = append(texts, string(r))
			}
		}
		for _, class := range []string{`\d`, `\w`, `\s`, `.`, `(?i)[a-zß-ÿα-ωа-я]`, `(?i)[^ks]`} {
			for _, d := range o.compare(t, &m, class, "", texts, &count) {
				diffs++
				t.Error(d)
			}
		}
	}
	t.Logf("%+v", count)
}

func TestSpellings(t *testing.T) {
	for r := rune(0); r < 0x250; r++ {
		for _, fold := range []Fold{FoldNone, FoldUnicode, FoldASCII} {
			if got, want := folds(r, fold), len(FoldRunes(r, fold)) > 1; got != want {
				t.Errorf("%q folds: %v, want %v", r, got, want)
			}
		}
		if l := lower(r, FoldUnicode); l < 0x80 && !slices.Equal(asciiSpellings(l), spellings(l)) {
			t.Errorf("%q: %q, want %q", l, asciiSpellings(l), spellings(l))
		}
	}
}

// The program is made for the first search, which may be several at once.
func TestFirstSearches(t *testing.T) {
	re, err := Compile(`^(?:a|b)+ from (\S+)$`, 0)
	if err != nil {
		t.Fatal(err)
	}
	re.Trim()
	if re.fast.Load() != nil {
		t.Error("compiled before the first search")
	}
	var searches sync.WaitGroup
	for range 8 {
		searches.Go(func() {
			var m Machine
			if caps, res := re.Search(&m, []byte("abba from home"), 0); res != Match || caps[2] != 10 {
				t.Errorf("%v %v", res, caps)
			}
		})
	}
	searches.Wait()
}
