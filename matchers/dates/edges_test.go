package dates

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// edgeZones are zones with daylight saving time on either half of the earth,
// with half an hour, with negative daylight saving time, and without any.
var edgeZones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Europe/Dublin"}

// edgeNows are moments at which dates without a year or a day are read.
func edgeNows() (nows []int64) {
	for _, at := range []string{
		"2027-01-01 00:00:00", "2027-01-01 00:30:10", "2026-12-31 23:59:59", "2026-12-30 12:00:00", "2028-02-28 23:00:00", "2028-02-29 12:00:00",
		"2028-03-01 00:00:01", "2027-02-28 23:59:59", "2027-03-01 03:00:00", "2026-03-29 01:30:00", "2026-10-25 00:30:00", "2026-11-22 13:19:17",
	} {
		t, err := time.Parse(time.DateTime, at)
		if err != nil {
			panic(err)
		}
		nows = append(nows, t.Unix())
	}
	return nows
}

// A wall is a date as a clock shows it; it need not be one.
type wall struct{ year, month, day, hour, minute, second int }

// edgeWalls are dates at the edges of a year, in leap years and others, in the
// hours that daylight saving time skips or repeats, and outside of calendar
// and clock.
var edgeWalls = []wall{
	{2026, 12, 31, 23, 59, 59}, {2027, 1, 1, 0, 0, 0}, {2027, 1, 2, 0, 30, 9}, {2026, 1, 1, 12, 0, 0}, {2026, 12, 30, 13, 0, 1},
	{2028, 2, 29, 12, 0, 0}, {2028, 2, 28, 23, 59, 59}, {2027, 2, 29, 0, 0, 0}, {2027, 3, 1, 0, 0, 0}, {2027, 2, 28, 11, 5, 6}, {2026, 2, 30, 1, 2, 3},
	{2026, 3, 29, 1, 59, 59}, {2026, 3, 29, 2, 0, 0}, {2026, 3, 29, 2, 30, 0}, {2026, 3, 29, 3, 0, 0},
	{2026, 10, 25, 1, 30, 0}, {2026, 10, 25, 2, 0, 0}, {2026, 10, 25, 2, 30, 0}, {2026, 10, 25, 3, 0, 0},
	{2027, 3, 14, 2, 30, 0}, {2026, 11, 1, 1, 30, 0}, {2026, 4, 5, 1, 45, 0}, {2026, 10, 4, 2, 15, 0}, {2026, 3, 29, 1, 30, 0}, {2026, 10, 25, 1, 0, 0},
	{2026, 11, 22, 13, 19, 17}, {2026, 11, 23, 13, 19, 18}, {2026, 11, 23, 13, 19, 17}, {2026, 11, 22, 13, 19, 60}, {2026, 11, 22, 13, 19, 61},
	{2026, 4, 31, 1, 1, 1}, {2026, 11, 22, 24, 0, 0}, {2026, 11, 22, 29, 0, 0}, {2005, 8, 14, 12, 0, 0}, {2029, 7, 4, 0, 0, 1},
}

// text writes a wall by a layout of the tokens below.
func (w wall) text(layout string) string {
	at := time.Date(w.year, time.Month(w.month), w.day, w.hour, w.minute, w.second, 0, time.UTC)
	month := time.Month(w.month).String()
	half := "AM"
	if w.hour >= 12 {
		half = "PM"
	}
	_, sundays := weeks(at)
	mondays, _ := weeks(at)
	return strings.NewReplacer(
		"%Y", fmt.Sprintf("%04d", w.year), "%y", fmt.Sprintf("%02d", w.year%100), "%m", fmt.Sprintf("%02d", w.month), "%d", fmt.Sprintf("%02d", w.day),
		"%e", fmt.Sprintf("%2d", w.day), "%H", fmt.Sprintf("%02d", w.hour), "%k", fmt.Sprintf("%2d", w.hour), "%M", fmt.Sprintf("%02d", w.minute),
		"%S", fmt.Sprintf("%02d", w.second), "%b", month[:3], "%B", month, "%a", at.Weekday().String()[:3], "%A", at.Weekday().String(),
		"%I", fmt.Sprint((w.hour+11)%12+1), "%p", half, "%j", fmt.Sprintf("%03d", at.YearDay()), "%s", fmt.Sprint(at.Unix()),
		"%W", fmt.Sprintf("%02d", mondays), "%U", fmt.Sprintf("%02d", sundays), "%w", fmt.Sprint(int(at.Weekday())), "%u", fmt.Sprint((int(at.Weekday())+6)%7+1),
		"%T", fmt.Sprintf("@4%015x%08x", at.Unix(), 250_000_000),
	).Replace(layout)
}

// weeks returns the number of the week of its year, for weeks that begin on
// Monday and on Sunday.
func weeks(at time.Time) (mondays, sundays int) {
	day := at.YearDay() + 6
	return (day - (int(at.Weekday())+6)%7) / 7, (day - int(at.Weekday())) / 7
}

// defaultLayouts make a text that each of the defaults finds, in their order.
var defaultLayouts = [][]string{
	{"%Y-%m-%d %H:%M:%S", "%Y/%m/%dT%H:%M:%S.25Z", "%Y.%m.%d  %H:%M:%S,123+0200", "%Y-%m-%dT%H:%M:%S-05:30"},
	{"%b %e %H:%M:%S", "%a %b %d %H:%M:%S.5 %Y", "%a %b %e %k:%M:%S"},
	{"%a %b %d %Y %H:%M:%S", "%b %d %Y %k:%M:%S.123"},
	{"%d/%m/%Y %H:%M:%S", "%d-%m-%y %k:%M:%S"},
	{"%d/%b/%Y:%H:%M:%S -0330", "%d-%b-%Y %H:%M:%S.252", "%d-%b-%Y %H:%M:%S +02"},
	{"%m/%d/%Y:%H:%M:%S"},
	{"%m-%d-%Y %H:%M:%S.252"},
	{"%s", "[%s.123]", "audit(%s.555:101)"},
	{"%H:%M:%S", "[%H:%M:%S]"},
	{"<%m/%d/%y@%H:%M:%S>"},
	{"%y%m%d %k:%M:%S"},
	{"%b %d, %Y %I:%M:%S %p"},
	{"%b-%d-%y %k:%M:%S"},
	{"%Y%m%dT%H%M%S", "%Y%m%d %H:%M:%S.5 Z", "%Y%m%d-%H%M%S"},
	{"PDT %b %e %H:%M:%S", "CEST %a %b %d %H:%M:%S %Y", "NOPE %b %d %H:%M:%S", "nope %b %d %H:%M:%S", "GMT %b %d %H:%M:%S"},
	{"+02:00 %b %e %H:%M:%S", "utc %b %d %H:%M:%S", "-0930 %a %b %d %H:%M:%S.5 %Y"},
	{"%T"},
}

// moreLayouts are patterns of users, with texts that they find: the tokens that
// neither the defaults nor fail2ban's filters have, and odd uses of them.
var moreLayouts = []struct {
	pattern string
	layouts []string
}{
	{"^%j %H:%M", []string{"%j %H:%M"}},
	{"^%Y %j", []string{"%Y %j"}},
	{"^%Y/%W/%a", []string{"%Y/%W/%a"}},
	{"^%Y/%U/%w %H", []string{"%Y/%U/%w %H"}},
	{"^%U/%A %H", []string{"%U/%A %H"}},
	{"^%Y %W %u", []string{"%Y %W %u"}},
	{"^%d %B %Y %l:%M:%S%p", []string{"%d %B %Y %I:%M:%S%p", "%d %B %Y %I:%M:%Spm"}},
	{"^%m/%d %I", []string{"%m/%d %I"}},
	{"^%Y-%m", []string{"%Y-%m"}},
	{"^%c", []string{"%a %b %e %H:%M:%S %Y"}},
	{"^%x %X", []string{"%m/%d/%y %H:%M:%S"}},
	{"%G-%V-%u x%% %d/%m", []string{"%Y-%W-%u x% %d/%m"}},
	{"^%ExY-%Exm-%Exd %ExH:%ExM:%ExS ?%Exz", []string{"%Y-%m-%d %H:%M:%S CET", "%Y-%m-%d %H:%M:%S CEST-01", "%Y-%m-%d %H:%M:%S +0930", "%Y-%m-%d %H:%M:%SZ", "%Y-%m-%d %H:%M:%S XYZ"}},
	{"^%Exk:%M:%S %ExZ %d %b", []string{"%H:%M:%S NZDT %d %b", "%k:%M:%S z %d %b"}},
	{"%Z %H:%M:%S", []string{"MSK %H:%M:%S", "ABC %H:%M:%S"}},
	{"^%H:%M:%S", []string{"%H:%M:%S"}},
	{"**%H:%M:%S**", []string{"x%H:%M:%Sx"}},
	{"{UNB}%H:%M:%S", []string{"x%H:%M:%S9"}},
	{"^(?P<Y>\\d+)!(?P<j>\\d+)", []string{"%Y!%j", "%Y!5000", "99999!1", "0!5", "9999!400"}},
	{"^(?P<H>\\S+) (?P<d>\\S+) %m", []string{"%H %d %m", "-1 %d %m", "1_2 %d %m", "x %d %m", "٢ ١٥ %m"}},
	{`(?<=\|\s){LEPOCH}(?=\s\|)`, []string{"a | %s | b", "a | %s123 | b", "a | %s123456 | b", "a | %s123.45 | b"}},
	{"LEPOCH", []string{"%s", "[%s123]", "%s123456", "audit(%s.5"}},
	{"^LEPOCH", []string{"%s123"}},
	{"at=({EPOCH});", []string{"at=%s.25;"}},
	{"(x)? {EPOCH}", []string{"x %s", "y %s"}},
	{"{NONE}", []string{"%H:%M:%S"}},
	{"^foo()**", []string{"foobar", "bar"}},
	{"^%d/%b[^/]*/%Y:%H:%M:%S %z$", []string{"%d/%B/%Y:%H:%M:%S +0100"}},
}

// edgeLines are the layouts at every edge, each read at some moments.
func edgeLines(random *rand.Rand, layouts []string, nows []int64) (lines []datedLine) {
	for _, layout := range layouts {
		for i, w := range edgeWalls {
			if i%(11-effort) != 0 {
				continue
			}
			text := w.text(layout)
			for _, at := range random.Perm(len(nows))[:2] {
				lines = append(lines, datedLine{text, nows[at]})
			}
		}
	}
	return lines
}

// TestOracleEdges asks for dates at the edges of the calendar: by each default
// pattern and by all, by each pattern of fail2ban's filters, and by others, in
// several zones and at several times.
func TestOracleEdges(t *testing.T) {
	filters := filterPatterns(t)
	for i, zone := range edgeZones {
		t.Run(strings.ReplaceAll(zone, "/", "_"), func(t *testing.T) {
			o := newOracle(t, zone)
			random := rand.New(rand.NewPCG(7, uint64(i)))
			nows := edgeNows()
			var every []datedLine
			for i, pattern := range defaultPatterns {
				lines := edgeLines(random, defaultLayouts[i], nows)
				every = append(every, lines...)
				before := o.dated
				o.compare(pattern, Setting{Patterns: []string{pattern}}, lines)
				if o.dated == before {
					t.Errorf("%s: no line had a date", pattern)
				}
			}
			o.compare("defaults", Setting{}, every)
			slices.Reverse(every)
			o.compare("defaults, logtimezone", Setting{Zone: "CET+0030"}, every)
			for _, more := range moreLayouts {
				lines := edgeLines(random, more.layouts, nows)
				o.compare(more.pattern, Setting{Patterns: []string{more.pattern}}, lines)
				o.compare(more.pattern, Setting{Patterns: []string{more.pattern}, Zone: "-0330"}, lines)
			}
			compareFilters(o, random, filters, nows)
			t.Logf("%d lines, %d with a valid date", o.asked, o.dated)
			if o.dated < 700*effort {
				t.Error("too few dates were compared")
			}
		})
	}
}

// filterLayouts make texts that the patterns of fail2ban's filters find.
var filterLayouts = []string{
	"%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M:%S", "L %d/%m/%Y - %H:%M:%S: x", "[%d/%b/%Y %H:%M:%S] x", "%Y:%m:%d-%H:%M:%S: x",
	"10.0.0.1 - - [%d/%b/%Y:%H:%M:%S +0100] x", "<W>%Y-%m-%d %H:%M:%S.5 x", `<co ts="%Y-%m-%dT%H:%M:%S.33" x`, "<13>1 %Y-%m-%dT%H:%M:%S.7Z x",
	"%m-%d-%H:%M:%S.12 x", "%Y-%m-%d-%H:%M:%S", "%m-%d %H:%M:%S.12 x", "[%Y%m%d-%H:%M:%S] x", "%b %d, %Y %I:%M:%S %p x", "%H:%M:%S.123 x", "WARNING: x",
	"I(<0.370.0>:x) x", "=INFO REPORT==== %Y-%m-%d %H:%M:%S === x", `{"timestamp":"%Y-%m-%dT%H:%M:%S.123Z","x":1}`, "t=%Y-%m-%dT%H:%M:%S+0200 x",
	"%d/%b.../%Y:%H:%M:%S -0500 x", "ab12 -- 10.0.0.1 -- - %Y-%m-%d %H:%M:%S x", "%T x", "[%s] x", "%s.123 x", "type=A msg=audit(%s.555:101): x", "%b-%d-%y %H:%M:%S x",
}

// compareFilters runs the texts through the patterns of each filter.
func compareFilters(o *oracle, random *rand.Rand, filters map[string][][]string, nows []int64) {
	o.t.Helper()
	lines := edgeLines(random, filterLayouts, nows)
	done := map[string]bool{}
	for name, sets := range filters {
		for _, patterns := range sets {
			key := strings.Join(patterns, "\n")
			if done[key] {
				continue
			}
			done[key] = true
			part := make([]datedLine, 0, len(lines)/3)
			for _, i := range random.Perm(len(lines))[:len(lines)/3] {
				part = append(part, lines[i])
			}
			o.compare(name, Setting{Patterns: patterns}, part)
		}
	}
}

// TestOracleRandom runs random lines, each some times in a row so that what is
// learnt from one is used for the next, through the defaults.
func TestOracleRandom(t *testing.T) {
	o := newOracle(t, "Europe/Berlin")
	random := rand.New(rand.NewPCG(9, 10))
	nows := edgeNows()
	for _, patterns := range quickSettings {
		for range effort {
			var lines []datedLine
			for range 100 {
				line := strings.ToValidUTF8(string(randomLine(random)), "?")
				now := nows[random.IntN(len(nows))]
				for range 1 + random.IntN(3) {
					lines = append(lines, datedLine{line, now})
				}
			}
			o.compare(fmt.Sprint(patterns), Setting{Patterns: patterns}, lines)
		}
	}
	t.Logf("%d lines, %d with a valid date", o.asked, o.dated)
	if o.dated < 300*effort {
		t.Error("too few dates were compared")
	}
}
