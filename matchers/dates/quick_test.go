package dates

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// testNow is the time of the tests that do not set one.
var testNow = time.Date(2026, 11, 22, 13, 19, 17, 0, time.UTC).UnixNano()

// must returns the detector of some patterns.
func must(t testing.TB, s Setting) *Detector {
	t.Helper()
	if s.Location == nil {
		s.Location = time.UTC
	}
	d, err := New(s, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// plain returns the detector without its hand-written matchers.
func (d *Detector) plain() *Detector {
	p := *d
	p.templates, p.begins = nil, nil
	for _, t := range d.templates {
		c := &template{name: t.name, pattern: t.pattern, source: t.source, kind: t.kind, flags: t.flags, weight: t.weight, value: t.value}
		p.templates = append(p.templates, c)
	}
	return &p
}

// quickSettings have every form at every place.
var quickSettings = [][]string{
	nil,
	{lineBeginMark},
	{"^{DATE}"},
	{`^[^\[]*\[({DATE})`},
	{`^[^\[]*(\[{DATE}\s*\])`, lineBeginMark},
	{"^<W>{DATE}", `^L %d/%m/%Y - %H:%M:%S`},
	{"{DATE}"},
	{`%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`},
	{`{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`, "%b-%d-%Exy %k:%M:%S", "<%m/%d/%Exy@%H:%M:%S>"},
	{"EPOCH"},
	{"TAI64N"},
}

// sameMatch compares the hand-written matcher of each template with its
// expression: on the line from its begin, and on the part from at to end. It
// returns how many of the answers were sure.
func sameMatch(t *testing.T, d *Detector, m *regex.Machine, line []byte, at, end int) (sure int) {
	t.Helper()
	for i, template := range d.templates {
		if template.quick.form == noForm {
			continue
		}
		r := rank{template: template, number: i}
		for _, part := range []struct {
			text []byte
			at   int
		}{{line, 0}, {line[:end], at}} {
			if part.at > 0 && r.onLine() {
				continue // these are tried on whole lines only
			}
			var got, want Found
			answer := r.quick.search(&view{text: part.text, at: part.at, wholeList: part.at == 0}, &got)
			if answer == unsure {
				continue
			}
			sure++
			found := r.searchRegex(m, part.text, part.at, &want)
			if found != (answer == match) || found && got != want {
				t.Fatalf("%s on %q from %d: %v\n got %+v\nwant %v %+v", template.name, part.text, part.at, answer, got, found, want)
			}
		}
	}
	return sure
}

// sameFind runs lines through a detector with hand-written matchers and one
// without; each date and each order must be equal.
func sameFind(t *testing.T, d, plain *Detector, m *regex.Machine, lines [][]byte) {
	t.Helper()
	o, p := NewOrder(d), NewOrder(plain)
	for i, line := range lines {
		got, ok := d.Find(m, o, line)
		want, found := plain.Find(m, p, line)
		if got != want || ok != found {
			t.Fatalf("line %d %q:\n got %v %+v\nwant %v %+v", i, line, ok, got, found, want)
		}
		if ok {
			now := testNow + int64(i)*50e9
			o.Hit(got, line, now)
			p.Hit(want, line, now)
		}
	}
}

// dateTexts are dates in every form, with what may follow the seconds.
func dateTexts(at time.Time) []string {
	var texts []string
	for _, layout := range []string{
		"2006-01-02T15:04:05", "2006/01/02 15:04:05", "2006.01.02  15:04:05", "2006-1-2 15:4:5", "2006-01-_2T15:04:05",
		"Jan _2 15:04:05", "Jan 02 15:04:05", "Mon Jan _2 15:04:05", "Mon Jan 02 15:04:05 2006", "Mon Jan 2 2006 15:04:05", "Jan _2 2006  15:04:05",
		"02/Jan/2006:15:04:05", "02-Jan-2006 15:04:05", " 2/Jan/200615:04:05", "2-jan-2006 15:04:05",
		"02/01/2006  15:04:05", "02-01-06 15:04:05", "01/02/2006:15:04:05", "01-02-2006 15:04:05", "15:04:05",
		"<01/02/06@15:04:05>", "060102 15:04:05", "060102  15:04:05", "Jan 2, 2006 3:04:05 PM", "Jan-02-06 15:04:05",
		"20060102T150405", "20060102 15:04:05", "20060102-150405", "MST Jan 02 15:04:05", "+01:00 Jan _2 15:04:05", "UTC Mon Jan _2 15:04:05",
	} {
		texts = append(texts, at.Format(layout))
	}
	seconds := fmt.Sprint(at.Unix())
	return append(texts, seconds, seconds+".123", seconds+".123456", "["+seconds+".12]", "audit("+seconds+".555:101)",
		fmt.Sprintf("@4%015x%08x", at.Unix(), at.Nanosecond()))
}

// dateTails may follow the seconds.
var dateTails = []string{"", " ", "]", " \t]", " +0000]", "Z]", "\u00a0]", " 2026]", ".1", ".123", ",123456", ".1234567", ".123Z", "Z", " Z", "\tUTC", " GMT", "+0100", "-05:30", " +01", " +0", " +01:0x",
	" 2026", " 2026x", " 1999", ".5 2026", " +0200x", " utc", ".é", "é", "x", "_", " é", ":", "٣", ".123 ٣", " +0٣", "\u00a0Z", " 2٣23"}

// dateHeads may stand before the date.
var dateHeads = []string{"", " ", "[", "((", "((( ", "x", "_", "é", "host ", "host: ", "<12>", "audit(", "xaudit(", "éaudit(", "Sun ", "PDT ", "ſun ",
	`192.0.2.1 - - [`, `[a] [`, "<W>", "L ", "2026 ", "20", "error ", "2026-11-22 13:19:17 ", "1:2:3 "}

// randomLine returns a line with a date or two, hurt in places.
func randomLine(random *rand.Rand) []byte {
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	at := time.Date(1998+random.IntN(34), time.Month(1+random.IntN(12)), 1+random.IntN(31), random.IntN(24), random.IntN(60), random.IntN(60), 0, time.UTC)
	var b strings.Builder
	for range 1 + random.IntN(2) {
		b.WriteString(pick(dateHeads))
		b.WriteString(pick(dateTexts(at)))
		b.WriteString(pick(dateTails))
	}
	b.WriteString(pick([]string{"", " sshd[1]: x", "] y", "\" 200", "ä"}))
	line := []byte(b.String())
	for range max(0, random.IntN(5)-2) {
		const bytes = "0123456789 :-/.,TZ[]@+Nn\x80\xc3\t\x1c_"
		i := random.IntN(len(line))
		switch random.IntN(3) {
		case 0:
			line[i] = bytes[random.IntN(len(bytes))]
		case 1:
			line = append(line[:i], line[i+1:]...)
		default:
			line = append(line[:i], append([]byte{bytes[random.IntN(len(bytes))]}, line[i:]...)...)
		}
		if len(line) == 0 {
			line = []byte("x")
		}
	}
	return line
}

// TestQuickEqualsRegex compares the hand-written matchers with the
// expressions, and whole detectors with ones that have the expressions only.
func TestQuickEqualsRegex(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var m regex.Machine
	sure := 0
	for _, patterns := range quickSettings {
		d := must(t, Setting{Patterns: patterns})
		var lines [][]byte
		for range 250 * effort {
			line := randomLine(random)
			end := random.IntN(len(line) + 1)
			sure += sameMatch(t, d, &m, line, random.IntN(end+1), end)
			for range 1 + random.IntN(4) {
				lines = append(lines, line)
			}
		}
		sameFind(t, d, d.plain(), &m, lines)
	}
	t.Logf("%d answers by hand", sure)
	if sure < 20_000*effort {
		t.Error("the hand-written matchers hardly ever answer")
	}
}

// TestQuickForms pins which templates are written by hand.
func TestQuickForms(t *testing.T) {
	f := func(pattern string, want ...form) {
		t.Helper()
		d := must(t, Setting{Patterns: []string{pattern}})
		for i, template := range d.templates {
			if template.quick.form != want[i] {
				t.Errorf("%s: form %d, want %d", template.name, template.quick.form, want[i])
			}
		}
	}
	f(lineBeginMark, formISO, formSyslog, formAsctime, formNumeric, formAccess, formNumeric, formNumeric, formEpoch,
		formMySQL, formTomcat, formCompact, formZoned, formZoned, formTAI64N, formClock, formAngle, formASSP)
	f(`{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`, formISOTight)
	f("EPOCH", formEpoch)
	f("LEPOCH", noForm)
	f("^%Y-%m-%d", noForm)
	f(`^[^\[]*(\[%ExY(?P<_sep>[-/.])%m(?P=_sep)%d(?:T|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?\s*\])`, formISO)
}

// FuzzFind feeds lines, split at newlines, to detectors with and without
// hand-written matchers: no panic, equal answers, a place inside of the line.
func FuzzFind(f *testing.F) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 40 {
		f.Add([]byte(string(randomLine(random))+"\n"+string(randomLine(random))), uint8(random.IntN(20)), uint8(random.IntN(60)))
	}
	var detectors, plains []*Detector
	for _, patterns := range quickSettings {
		d := must(f, Setting{Patterns: patterns})
		detectors, plains = append(detectors, d), append(plains, d.plain())
	}
	f.Fuzz(func(t *testing.T, text []byte, at, end uint8) {
		var m regex.Machine
		var lines [][]byte
		for line := range strings.SplitSeq(string(text[:min(len(text), 2000)]), "\n") {
			lines = append(lines, []byte(line))
		}
		for i, d := range detectors {
			for _, line := range lines {
				end := min(int(end), len(line))
				sameMatch(t, d, &m, line, min(int(at), end), end)
				if found, ok := d.Find(&m, NewOrder(d), line); ok {
					if found.Start < 0 || found.End < found.Start || found.End > len(line) {
						t.Fatalf("%q: %d-%d", line, found.Start, found.End)
					}
					d.Time(&found, line, testNow)
				}
			}
			sameFind(t, d, plains[i], &m, lines)
		}
	})
}
