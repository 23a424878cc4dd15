package matchers_test

import (
	"errors"
	"testing"

	"github.com/f2bpipe/f2bpipe/matchers"
)

func TestRegexErrorShowsThePlace(t *testing.T) {
	f := func(pattern, want string) {
		t.Helper()
		_, err := matchers.CompileFilter(matchers.FilterConfig{
			Name: "web", Failregex: []matchers.Regex{{Text: pattern, Where: "web.conf:3"}},
		})
		var wrong *matchers.RegexError
		if !errors.As(err, &wrong) {
			t.Fatalf("%q: %v is no RegexError", pattern, err)
		}
		if got := err.Error(); got != want {
			t.Errorf("%q:\n got %s\nwant %s", pattern, got, want)
		}
	}
	const head = "web.conf:3: filter web: failregex 0: "
	f(`from (<HOST>`, head+"missing ), unterminated subpattern at position 5\n  from (<HOST>\n       ^")
	// The place that Python names is behind what a tag stands for: it is shown where it was written.
	f(`<HOST> a**`, head+"multiple repeat at position 147\n  <HOST> a**\n           ^")
	f("<F-USER>x</F-USER> é [\t<ADDR>", head+"unbalanced parenthesis at position 101\n  <F-USER>x</F-USER> é [ <ADDR>\n                         ^")
	// A long pattern is cut around it.
	long := "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff"
	f(long+long+`*+*`+long+`<HOST>`, head+"multiple repeat at position 122\n  …"+long[2:]+"*+*"+long[:39]+"…\n   "+
		"                                                            ^")
	f(`no address`, head+matchers.ErrNoFailureID.Error())
	f(` `, head+"the regular expression is empty")
}
