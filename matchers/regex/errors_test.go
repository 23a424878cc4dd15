package regex

import (
	"slices"
	"testing"
)

// mistakes are patterns that Python refuses, or takes in a way of its own.
var mistakes = []string{"(", "a**", "[z-a]", "(?P<1>a)", `\8`, "(?P=x)", "(?x", "(a(?i)b)", ")", "a{3,1}", `\q`, "(?<a)",
	"(?<=a+)", "[", "(?(1)", "(?(2)a)", "a{99999999999}", "(?i-i:a)", "(?-u:a)", `\x1`, `[\x1`, "(?L)a", `\`,
	"(?P<a>x)(?P<a>y)", "(?#", "(?P>", `\U00110000`, `[\d-a]`, "(?(1)a|b|c)", "x{4294967295}", "*", "^*", "a|*", "(?:*)",
	"(?i:a*)*", "a*+*", "a*?*", "a{,3}{2}", "a{", "a{}", "a{,}", "a{1", "a{1,", "x{,5}", "(?P<a", "(?P<>x)", "(?P<a>x", "(?P=a",
	"(?P=)", "(?()a)", "(?(a)b)", "(?(0)a)", "(?(-1)a)", "(?(a-b)c)", "(?P<a>(?P=a))", `(\1)`, `(?<=(a)\1)`, `(a)(?<=\1)`,
	`(?<!a|bc)`, "(?<=a|b)", "(?<=(?:ab){2}c)", "(?ia)x", "(?au)x", "(?a)(?u)x", "(?i", "(?i-", "(?i-)", "(?-:a)", "(?i-s:a)",
	"(?-i", "(?-i)", "(?iZ)", "(?i%)", "(?Z)", "(?é)", "(?", "(?P", "(?PX", "(?<", "(?<x", `(?\d)`, `(?P\d)`, "[a", "[a-", `[a-\d]`, `[\d-]`,
	"[]", "[^]", "[]]", "[^]]", "[]-a]", "[a-]", "[-a]", `[\b]`, `[\A]`, `[\8]`, `[\08]`, `[\777]`, `\777`, `\400`, `\07`, `\078`, `\0`,
	`\123`, `(a)\12`, `\xg0`, `\u12`, `\U0000`, `\u0041`, `(?<=(?(1)a|b))`, `(a)(?<=(?(1)a|b))`, `(?<=(?(1)a|bb))(a)`, "(?i)a|(?i)b", " (?i)a", "(?#x)(?i)a",
	"a\n(", "\n\n  )", "(?x) a b # c\n d", "(?x)[a b]", "(?x)(? i)", "(?x)a #)\n(", `(?x)\ a`, "(?s-i:.)", "(?x-s:a b)", "(?m)^a$",
	"(?:a", "(?=a", "(?!", "(?<=a", "(?>a", "(?>a)+", "a++", "a*+", "a?+", "a{1,2}+", "()*", "(?:)*", "(?=a)*", `\b+`, "$?", "a|b|", "|", "",
	"(?P<ä>x)(?P=ä)", "(?P<a b>x)", "x{0}", "(?:a{0,2}){3}", "(?(1)a)", "(a)?(?(1)b|c)", "(?(1)b|c)(a)", "(a(?(1)b|c))*"}

// named are patterns with a name of a character, each of which takes a look
// through all names.
var named = []string{`a\N{DIGIT ONE}`, `[\N{digit one}-\N{DIGIT THREE}]b`, `\N{LATIN SMALL LETTER A WITH ACUTE}+`, `\N{CJK UNIFIED IDEOGRAPH-4E00}`,
	`\N{CJK UNIFIED IDEOGRAPH-41}`, `\N{CJK UNIFIED IDEOGRAPH-}`, `x\N{NOPE}`, `[a\N{NO'PE}]`, `\N{<control>}`, `\N{ DIGIT ONE}`, `\N{}`, `\N`, `\N{`, `\N{DIGIT ONE`, `\N{TAG SPACE}`}

func TestErrorsAgainstPython(t *testing.T) {
	o := newOracle(t)
	var m Machine
	var count tally
	f := func(pattern string) {
		t.Helper()
		for _, flags := range []string{"", "i", "x", "a", "ms"} {
			for _, d := range o.compare(t, &m, pattern, flags, []string{"", "a", "ab", "aab\n", "[]", "x{,5}", "a1", "2b", "áá", "一"}, &count) {
				t.Error(d)
			}
		}
	}
	for _, p := range slices.Concat(mistakes, named) {
		f(p)
	}
	rng := newRand(3)
	for range 3000 {
		f(mutate(rng, mutate(rng, mistakes[rng.IntN(len(mistakes))])))
	}
	t.Logf("%+v", count)
}
