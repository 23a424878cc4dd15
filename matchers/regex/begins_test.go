package regex

import "testing"

func TestBegins(t *testing.T) {
	for _, c := range []struct {
		pattern, want string // the bytes of ASCII; "?": nothing is known
		high          bool   // and all from 0x80 on
	}{
		{`^(<W>\d)`, "<", false},
		{`(?iu)^(k|\[)`, "K[k", false},
		{`^(?:=[^=]+={3,} )?([0-2]\d{3})`, "012=", false},
		{`^(?:a|b*c)d`, "abc", false},
		{`^(?=x)y`, "y", false},
		{`^[^\x00-x]`, "yz{|}~\x7f", true},
		{`^a?`, "?", false},
		{`^(a)?\1b`, "?", false},
		{`a`, "?", false},
		{`^a|b`, "?", false},
		{`(?m)^a`, "?", false},
	} {
		s, err := Parse(c.pattern, 0)
		if err != nil {
			t.Fatal(err)
		}
		table, ok := s.Begins()
		got, high := "", 0
		for b, begins := range table {
			switch {
			case begins && b < 0x80:
				got += string(rune(b))
			case begins:
				high++
			}
		}
		if !ok {
			got = "?"
		}
		if got != c.want || ok && (high == 128) != c.high {
			t.Errorf("%s: %q and %d high ones, want %q", c.pattern, got, high, c.want)
		}
	}
}
