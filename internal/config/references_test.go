package config

import "testing"

func TestSectionReferences(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		got := []string{}
		for sec, opt := range sectionReferences(in) {
			got = append(got, sec+" "+opt)
		}
		expect(t, in, got, append([]string{}, want...))
	}
	f("a / b %(c)s")
	f("%(a/b)s", "a b")
	f("x%(a-1_ä/b/c?)s%(ü/d)s%(", "a-1_ä b/c?", "ü d")
	f("%(/b)s %(a/)s %(a b/c)s %(a/b)x %(a/b")
	f("%(x%(a/b)s", "a b")
	f("%(a/b%(c/d)s%(e/f)s", "a b%(c/d", "e f")
}
