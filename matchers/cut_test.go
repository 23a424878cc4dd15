package matchers

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/f2bpipe/f2bpipe/matchers/dates"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// TestCutPlace pins what is known of where the dates of a pattern stand.
func TestCutPlace(t *testing.T) {
	for _, c := range []struct {
		patterns          string
		anywhere, wordEnd bool
	}{
		{"", true, true},
		{"{^LN-BEG}", false, true},
		{`^[^\[]*\[({DATE})`, false, false}, // <%m/%d/%Exy@%H:%M:%S>
		{`{UNB}%Y-%m-%d`, true, false},
		{`%Y-%m-%d\s*`, true, false},
		{`%Y-%m-%d %H:%M:%S`, true, true},
		{`(%Y-%m-%d)T%H:%M:%S`, true, false},
		{"%Y-%m-%d\n<%m/%d/%y>", true, false},
		{"%Y-%m-%d\n^<%m/%d/%y>", true, true},
	} {
		if got := (cutPlaces{}).of(detectorOf(t, c.patterns)); got.anywhere != c.anywhere || got.wordEnd != c.wordEnd {
			t.Errorf("%q: %+v, want anywhere %v, wordEnd %v", c.patterns, got, c.anywhere, c.wordEnd)
		}
	}
}

func detectorOf(t *testing.T, patterns string) *dates.Detector {
	t.Helper()
	var setting dates.Setting
	if patterns != "" {
		setting.Patterns = strings.Split(patterns, "\n")
	}
	d, err := dates.New(setting, cutNow.UnixNano())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var cutNow = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// TestWordEnd puts dates into words: none that a detector with wordEnd finds has a
// word's character behind it, which the texts that the prefilter looks for rely on.
func TestWordEnd(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	layouts := []string{
		"2006-01-02T15:04:05.000000Z07:00", "2006/01/02 15:04:05", "2006-01-02 15:04:05,000 -0700", "Jan _2 15:04:05", "Mon Jan 02 15:04:05 2006",
		"02/Jan/2006:15:04:05 -0700", "_2/Jan/2006:15:04:05", "01-02-2006 15:04:05.000", "15:04:05", "<01/02/06@15:04:05>", "060102 15:04:05",
		"Jan 2, 2006 3:04:05 PM", "Jan-02-06 15:04:05", "20060102T150405", "MST Jan 02 15:04:05", "1764504000.123", "@400000006b02ebd50510ff40",
	}
	const around = "clientdenied 0123456789[](){}<>:.,;-_\"'/\\\t\u00e9\u0663"
	runes := []rune(around)
	var m regex.Machine
	found := 0
	for _, patterns := range []string{"", "{DATE}", `%Y-%m-%d %H:%M:%S`, "EPOCH", "%Y-%m-%d\n^<%m/%d/%y@%H:%M:%S>"} {
		d := detectorOf(t, patterns)
		if place := (cutPlaces{}).of(d); !place.anywhere || !place.wordEnd {
			t.Fatalf("%q: %+v", patterns, place)
		}
		order := dates.NewOrder(d)
		for range 20_000 {
			at := cutNow.Add(-time.Duration(random.Int64N(int64(1000 * time.Hour))))
			var line strings.Builder
			for range random.IntN(8) {
				line.WriteRune(runes[random.IntN(len(runes))])
			}
			line.WriteString(at.Format(layouts[random.IntN(len(layouts))]))
			for range random.IntN(8) {
				line.WriteRune(runes[random.IntN(len(runes))])
			}
			text := []byte(line.String())
			f, ok := d.Find(&m, order, text)
			if !ok || f.Start == f.End {
				continue
			}
			found++
			order.Hit(f, text, cutNow.UnixNano())
			if next, _ := utf8.DecodeRune(text[f.End:]); f.End < len(text) && f.Start > 0 && inWord(next) {
				t.Fatalf("%q: %q is cut out of %q", patterns, text[f.Start:f.End], text)
			}
		}
	}
	if found < 15_000 {
		t.Errorf("only %d dates were found", found)
	}
}
