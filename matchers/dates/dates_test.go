package dates

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// TestTimeOfLine pins the date's text, and the moment with its fraction.
func TestTimeOfLine(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	f := func(patterns []string, zone, line, wantText, wantTime string) {
		t.Helper()
		d := must(t, Setting{Patterns: patterns, Zone: zone, Location: berlin})
		var m regex.Machine
		found, ok := d.Find(&m, NewOrder(d), []byte(line))
		if !ok {
			if wantText != "none" {
				t.Errorf("%q: no date", line)
			}
			return
		}
		if got := line[found.Start:found.End]; got != wantText {
			t.Errorf("%q: text %q, want %q", line, got, wantText)
		}
		got := "invalid"
		if at, ok := d.Time(&found, []byte(line), testNow); ok {
			got = time.Unix(0, at).UTC().Format(time.RFC3339Nano)
		} else if d.Fatal(&found, testNow) {
			got = "fatal"
		}
		if got != wantTime {
			t.Errorf("%q: time %s, want %s", line, got, wantTime)
		}
	}
	f(nil, "", "2026-11-22T13:19:17.085231Z host", "2026-11-22T13:19:17.085231Z", "2026-11-22T13:19:17.085231Z")
	f(nil, "", "2026-11-22 13:19:17,5 x", "2026-11-22 13:19:17,5", "2026-11-22T12:19:17.5Z")
	f(nil, "UTC-0430", "2026-11-22 13:19:17 x", "2026-11-22 13:19:17", "2026-11-22T17:49:17Z")
	f(nil, "UTC", "2026-11-22 13:19:17 +0100 x", "2026-11-22 13:19:17 +0100", "2026-11-22T12:19:17Z")
	f(nil, "", "[1795353557.085] x", "1795353557.085", "2026-11-22T13:19:17.085Z")
	f(nil, "", "@400000006b02ebd50510ff40 x", "@400000006b02ebd50510ff40", "2026-11-22T13:19:17.085Z")
	f(nil, "", "Nov 22 14:19:17 x", "Nov 22 14:19:17", "2026-11-22T13:19:17Z")
	f(nil, "", "Nov 24 14:19:17 x", "Nov 24 14:19:17", "2025-11-24T13:19:17Z")
	f(nil, "", "14:19:18 x", "14:19:18", "2026-11-21T13:19:18Z")
	f(nil, "", "2026-10-25 02:30:00 x", "2026-10-25 02:30:00", "2026-10-25T00:30:00Z") // the first of two
	f(nil, "", "2026-03-29 02:30:00 x", "2026-03-29 02:30:00", "2026-03-29T01:30:00Z") // does not exist
	f(nil, "", "2026-02-30 02:30:00 x", "2026-02-30 02:30:00", "invalid")
	f(nil, "", "2026-12-31 23:59:60 x", "2026-12-31 23:59:60", "invalid")
	f(nil, "", "NOPE Nov 22 14:19:17 x", "NOPE Nov 22 14:19:17", "fatal")
	f(nil, "", "99999999999 x", "99999999999", "2106-02-07T06:28:16Z") // kept within reach of now
	f([]string{"^%Y-%m-%d"}, "", "0001-01-01", "0001-01-01", "1833-11-24T17:31:44Z")
	f([]string{"{NONE}"}, "", "2026-11-22 13:19:17", "", "2026-11-21T23:00:00Z")
	f([]string{`^I\(()**`}, "", "I(<0.1>) 13:19:17", "", "2026-11-21T23:00:00Z")
	f([]string{lineBeginMark}, "", "a 2026-11-22 13:19:17", "none", "")
	f([]string{lineBeginMark}, "", "(<2026-11-22 13:19:17", "2026-11-22 13:19:17", "2026-11-22T12:19:17Z")
	f([]string{`^[^\[]*\[({DATE})`}, "", "10.0.0.1 - - [22/Nov/2026:14:19:17 +0100] x", "22/Nov/2026:14:19:17 +0100", "2026-11-22T13:19:17Z")
}

// TestNewErrors: an error names the pattern and what is wrong with it.
func TestNewErrors(t *testing.T) {
	f := func(s Setting, wants ...string) {
		t.Helper()
		_, err := New(s, testNow)
		if err == nil {
			t.Errorf("%v: no error", s)
			return
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: error %q lacks %q", s, err, want)
			}
		}
	}
	f(Setting{Patterns: []string{"^%Y-%Q"}}, `"^%Y-%Q"`, `unknown token "%Q"`)
	f(Setting{Patterns: []string{"100% %d"}}, `"% "`)
	f(Setting{Patterns: []string{"%Y %"}}, `"%"`)
	f(Setting{Patterns: []string{"(%ExY%Exm%Exd"}}, "(ExYearExMonthExDay", "expression")
	f(Setting{Patterns: []string{"%Y-%m %Y"}}, "Year-Month Year")
	f(Setting{Patterns: []string{"^%Y", "^%Y"}}, "of this name already")
	f(Setting{Patterns: []string{`\{DATE}`}}, "of this name already")
	f(Setting{Zone: "Europe/Berlin"}, `"Europe/Berlin"`, "abbreviation")
	f(Setting{Zone: "ABC"}, `"ABC"`, "unknown abbreviation")
}

// TestShown pins what a client is shown of a datepattern.
func TestShown(t *testing.T) {
	f := func(patterns []string, wantPattern string, wantHas bool, wantName string) {
		t.Helper()
		pattern, has, name := must(t, Setting{Patterns: patterns}).Shown()
		if pattern != wantPattern || has != wantHas || name != wantName {
			t.Errorf("%q: %q %v %q", patterns, pattern, has, name)
		}
	}
	f(nil, "", false, "Default Detectors")
	f([]string{"{DEFAULT}"}, "", false, "Default Detectors")
	f([]string{"{^LN-BEG}%Y-%m-%d"}, "{^LN-BEG}%Y-%m-%d", true, "{^LN-BEG}Year-Month-Day")
	f([]string{"%d %%", "{DEFAULT}"}, "%d %%", true, "Day %")
	f([]string{"epoch"}, "", false, "Epoch")
	f([]string{"{^LN-BEG}Tai64n"}, "", false, "{^LN-BEG}TAI64N")
	f([]string{"x{LEPOCH}"}, "", false, "x{LEPOCH}")
	f([]string{"{none}"}, "{UNB}^", true, "^")
}

// TestExactYear pins the years of %ExY through the centuries.
func TestExactYear(t *testing.T) {
	f := func(year int, want string) {
		t.Helper()
		if got := exactYear(year).regex; got != `(?P<Y>`+want+`\d)` {
			t.Errorf("%d: %s", year, got)
		}
	}
	f(2005, "200")
	f(2026, "20[012]")
	f(2027, "20[0123]")
	f(2096, "20[0123456789]")
	f(2097, "2(?:00|01|02|03|04|05|06|07|08|09|10)")
	f(1999, "(?:199|200)")
}

// TestHostileLines gives long lines without a date, made to be tried at every
// place, to the defaults: ten times the line must not cost a hundred times. (The
// margin is for a busy machine; quadratic cost would be seconds.)
func TestHostileLines(t *testing.T) {
	d := must(t, Setting{})
	for _, part := range []string{"2", "1:", "20", "Nov ", "1:1", "22/Nov/", "2026-11-22 ", "audit(", "@4", "é", "\xff", "12/12/", "Sun Nov  2 ", "20261122"} {
		cost := func(size int) time.Duration {
			line := bytes.Repeat([]byte(part), size/len(part))
			var m regex.Machine
			o := NewOrder(d)
			best := time.Hour
			for range 3 {
				begin := time.Now()
				d.Find(&m, o, line)
				best = min(best, time.Since(begin))
			}
			return best
		}
		if short, long := cost(6<<10), cost(60<<10); long > 40*short+300*time.Millisecond {
			t.Errorf("%q: %v for 6 KiB, %v for 60 KiB", part, short, long)
		} else {
			t.Logf("%q: %v for 60 KiB", part, long)
		}
	}
}

// TestCharacters pins how text that is no UTF-8 is counted, as Python does.
func TestCharacters(t *testing.T) {
	f := func(text string, want int) {
		t.Helper()
		if got := runeCount([]byte(text)); got != want {
			t.Errorf("%q: %d characters, want %d", text, got, want)
		}
	}
	f("aé€😀", 4)
	f("\xe2\x82c", 2)
	f("\xf0\x9f\x98", 1)
	f("\xed\xa0\x80", 3)
	f("\xe2\x28\xa1", 3)
	f("\xf4\x90\x80\x80", 4)
	f("\xc0\x80", 2)
}
