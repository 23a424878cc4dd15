package matchers

import (
	"bytes"
	"time"

	"github.com/f2bpipe/f2bpipe/matchers/dates"
	"github.com/f2bpipe/f2bpipe/matchers/literal"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// A view is a line as all jails with one date setting and encoding see it.
type view struct {
	detector *dates.Detector
	order    *dates.Order
	decoder  *decoder
	decoded  []byte // memory
	cut      []byte // memory

	scouting bool // nothing is learnt from a line

	ready   bool
	start   int    // of the line in the batch
	text    []byte // the line, valid UTF-8, without its end
	date    []byte // what was cut out of it
	pre     []byte // text before and after the date
	post    []byte
	buf     []byte // pre, post and a newline: what filters search
	inBatch bool   // buf stands in the batch
	found   dates.Found
	dated   bool // a date was found, maybe an empty one

	at     int64 // its time, once asked
	form   dates.Form
	atOK   bool
	atDone bool

	// The last date: that of lastText where it is set, else lastAt.
	lastAt    int64
	lastForm  dates.Form
	lastText  []byte // in the batch
	lastFound dates.Found
	hasLast   bool
	seen      int64  // the last line with a date stands before this place of the input
	begin     int64  // the place of the batch
	back      []byte // memory
}

func newView(j JailFilter, loc *time.Location, now int64) (*view, error) {
	// The years that %ExY takes reach to the later of both clocks: a log of today
	// is understood under a clock that was set back.
	d, err := dates.New(dates.Setting{Patterns: j.Dates, Zone: j.TimeZone, Location: loc}, max(now, time.Now().UnixNano()))
	if err != nil {
		return nil, err
	}
	dec, err := newDecoder(j.Encoding)
	if err != nil {
		return nil, err
	}
	return &view{detector: d, order: dates.NewOrder(d), decoder: dec}, nil
}

// read makes the view one of the given line: decoded, its date found and cut out.
// ascii says that the line is known to be ASCII.
func (v *view) read(m *regex.Machine, l *line, now int64, ascii bool) {
	v.ready, v.atDone, v.dated = true, false, false
	v.start = l.start
	valid := true
	if ascii && v.decoder.keepsASCII() {
		v.text = l.raw
	} else if v.text, valid = v.decoder.decode(v.decoded[:0], l.raw); !valid {
		v.decoded = v.text[:0]
	}
	v.pre, v.date, v.post = nil, nil, v.text
	if !l.stamped {
		if v.found, v.dated = v.detector.Find(m, v.order, v.text); v.dated {
			v.pre, v.date, v.post = v.text[:v.found.Start], v.text[v.found.Start:v.found.End], v.text[v.found.End:]
			if !v.scouting {
				v.order.Hit(v.found, v.text, now)
				v.noteLast(valid, now)
			}
		}
	} else if !v.scouting {
		v.noteStamp(l.stamp)
	}
	// Where the rest of the line is searched as it stands in the batch, its
	// newline is there already.
	if n := len(l.whole) - len(v.post) - 1; valid && len(v.pre) == 0 && len(v.text)+1 == len(l.whole) && sameArray(v.text, l.whole) {
		v.buf, v.inBatch = l.whole[n:], true
		return
	}
	v.inBatch = false
	v.cut = append(append(append(v.cut[:0], v.pre...), v.post...), '\n')
	v.buf = v.cut
}

// recall makes the view the one that a scout had of a line: its text, which
// stays as it is until the batch ends where lasting is set, and the date in it,
// nil where it has none.
func (v *view) recall(l *line, text []byte, date *dates.Found, lasting bool, now int64) {
	if v.ready && v.start == l.start {
		return // another filter matched the line too
	}
	v.ready, v.atDone, v.start = true, false, l.start
	v.text, v.date, v.dated = text, nil, date != nil
	switch {
	case l.stamped:
		v.noteStamp(l.stamp)
	case v.dated:
		v.found = *date
		v.date = v.text[v.found.Start:v.found.End]
		v.order.Hit(v.found, v.text, now)
		v.noteLast(lasting, now)
	}
}

// foundDate is the date that was found in the line, nil for none.
func (v *view) foundDate() *dates.Found {
	if !v.dated {
		return nil
	}
	return &v.found
}

func sameArray(a, b []byte) bool { return len(a) > 0 && len(b) > 0 && &a[0] == &b[0] }

// time returns the time of the line, by rule:  the entry's, the date's, for an
// optional date that is empty the last one or the clock's.
func (v *view) time(l *line, now int64) (at int64, ok bool) {
	if !v.atDone {
		v.atDone = true
		switch {
		case l.stamped:
			v.at, v.form, v.atOK = l.stamp, dates.FractionForm, true
		case v.dated && len(v.date) > 0:
			v.at, v.atOK = v.detector.Time(&v.found, v.text, now)
			v.form = v.detector.Form(&v.found)
		case v.dated:
			v.at, v.form, v.atOK = now, dates.FractionForm, true
			if last, ok := v.recent(now); ok {
				v.at, v.form = last, v.lastForm
			}
		default:
			v.at, v.atOK = 0, false
		}
	}
	return v.at, v.atOK
}

// noteStamp remembers the time that the line came with as the last date.
func (v *view) noteStamp(at int64) {
	v.lastAt, v.lastForm, v.lastText, v.hasLast = at, dates.FractionForm, nil, true
}

// noteLast remembers the line as the last one with a date. Its time is only
// worked out when a line without a date asks for it, or the batch ends.
func (v *view) noteLast(inBatch bool, now int64) {
	if len(v.date) == 0 {
		return
	}
	v.lastText, v.lastFound, v.seen = v.text, v.found, v.begin+int64(v.start)+1
	if !inBatch {
		v.keepLast(now)
	}
}

// lookBack makes the last date that of the last line of data that has one, and
// says whether there is one: lines that are no candidates were not looked at. data
// ends at the place end of the input; what was seen before is not looked at again.
// ascii says that it is known to be ASCII.
func (v *view) lookBack(m *regex.Machine, data []byte, end, now int64, ascii bool) bool {
	begin := end - int64(len(data))
	for at := len(data); at > 0; {
		start := literal.LastNewline(data, at-1) + 1
		if begin+int64(start) < v.seen {
			break // the line that was seen itself
		}
		text := v.decode(&v.back, trimCR(bytes.TrimSuffix(data[start:at], newline)), ascii)
		if found, ok := v.detector.Find(m, v.order, text); ok && found.Start < found.End {
			v.lastText, v.lastFound = text, found
			v.keepLast(now)
			v.seen = max(v.seen, end)
			return true
		}
		at = start
	}
	return false
}

// decode returns a line as the view sees it, if need be in memory, which it keeps.
func (v *view) decode(memory *[]byte, raw []byte, ascii bool) []byte {
	if ascii && v.decoder.keepsASCII() {
		return raw
	}
	text, valid := v.decoder.decode((*memory)[:0], raw)
	if !valid {
		*memory = text[:0]
	}
	return text
}

// cutOut returns a line of which nothing is learnt without its date and with it.
func (v *view) cutOut(m *regex.Machine, raw string) (text, full string) {
	decoded := v.decode(&v.back, []byte(raw), false)
	full = string(decoded)
	if found, ok := v.detector.Find(m, v.order, decoded); ok {
		return full[:found.Start] + full[found.End:], full
	}
	return full, full
}

// keepLast works out the last date while its text is still there.
func (v *view) keepLast(now int64) {
	if v.lastText == nil {
		return
	}
	if at, ok := v.detector.Time(&v.lastFound, v.lastText, now); ok {
		v.lastAt, v.lastForm, v.hasLast = at, v.detector.Form(&v.lastFound), true
	}
	v.lastText = nil
}

// last returns the last date that a line had.
func (v *view) last(now int64) (at int64, ok bool) {
	v.keepLast(now)
	return v.lastAt, v.hasLast
}

// recent returns the last date where it is less than a minute old.
func (v *view) recent(now int64) (at int64, ok bool) {
	at, ok = v.last(now)
	return at, ok && at > now-minute
}

// timeOf is the time in a text, apart from the line that is being looked at.
func (v *view) timeOf(m *regex.Machine, text []byte, now int64) (int64, bool) {
	decoded, _ := v.decoder.decode(nil, text)
	var found dates.Found
	found, ok := v.detector.Find(m, v.order, decoded)
	if !ok || found.Start == found.End {
		return 0, false
	}
	return v.detector.Time(&found, decoded, now)
}
