package sinks

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// DryRun prints what it is ordered to do and does nothing. It is a
// pipeline.Sink; each Apply writes its lines together.
type DryRun struct {
	W io.Writer
	// JSON prints an object a line, with these keys in this order:
	//
	//	{"action":"ban","jail":"sshd","ip":"192.0.2.1","time":1754042400.5,"until":1754043000.5,"failures":5}
	//
	// action is ban or unban (a prolonged ban is a ban with its new end), time
	// and until are epoch seconds to the microsecond, until is null where the
	// ban does not end. Without it the lines are for people, in local time.
	JSON bool

	mu  sync.Mutex
	out *bufio.Writer
	row []byte
}

var _ pipeline.Sink = (*DryRun)(nil)

// Apply implements pipeline.Sink. A line that could not be written is its
// order's error, and every following one's.
func (d *DryRun) Apply(ctx context.Context, _ int64, orders []pipeline.Order) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out == nil {
		d.out = bufio.NewWriterSize(d.W, 64<<10)
	}
	for i := range orders {
		o := &orders[i]
		if o.Err = ctx.Err(); o.Err != nil {
			continue
		}
		if d.JSON {
			d.row = appendDecision(d.row[:0], o)
		} else {
			d.row = appendSentence(d.row[:0], o)
		}
		_, o.Err = d.out.Write(d.row)
	}
	if err := d.out.Flush(); err != nil {
		for i := range orders {
			if orders[i].Err == nil {
				orders[i].Err = err
			}
		}
	}
}

// action is the word for a verb in decisions.
func action(v pipeline.Verb) string {
	if v == pipeline.VerbUnban {
		return "unban"
	}
	return "ban"
}

func jailName(o *pipeline.Order) string {
	if o.Ban.Jail == nil {
		return ""
	}
	return o.Ban.Jail.Name
}

// appendDecision appends an order as a line of JSON.
func appendDecision(b []byte, o *pipeline.Order) []byte {
	b = append(b, `{"action":"`...)
	b = append(b, action(o.Verb)...)
	b = append(b, `","jail":`...)
	b = appendQuoted(b, jailName(o))
	b = append(b, `,"ip":`...)
	b = appendQuoted(b, o.Ban.ID.String())
	b = append(b, `,"time":`...)
	b = AppendSeconds(b, o.Ban.AtNanos)
	b = append(b, `,"until":`...)
	b = AppendSeconds(b, o.Ban.UntilNanos)
	b = append(b, `,"failures":`...)
	b = strconv.AppendInt(b, int64(o.Ban.Failures), 10)
	return append(b, "}\n"...)
}

// appendQuoted appends a JSON string; jails and IDs may hold any bytes.
func appendQuoted(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // a string always has a form in JSON
		panic(err)
	}
	return append(b, quoted...)
}

// AppendSeconds appends a time as JSON has it: seconds since the epoch with as
// many of six decimals as it needs, "null" for pipeline.Permanent.
func AppendSeconds(b []byte, nanos int64) []byte {
	if nanos == pipeline.Permanent {
		return append(b, "null"...)
	}
	micros := nanos / 1000
	if nanos%1000 < 0 {
		micros--
	}
	if micros < 0 {
		b = append(b, '-')
		micros = -micros
	}
	b = strconv.AppendInt(b, micros/1e6, 10)
	rest := micros % 1e6
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	for unit := int64(1e5); rest > 0; unit /= 10 {
		b = append(b, byte('0'+rest/unit))
		rest %= unit
	}
	return b
}

// appendSentence appends an order as a line for people.
func appendSentence(b []byte, o *pipeline.Order) []byte {
	const form = "2006-01-02 15:04:05"
	b = time.Unix(0, o.Ban.AtNanos).AppendFormat(b, form)
	b = append(b, " ["...)
	b = append(b, jailName(o)...)
	b = append(b, "] "...)
	b = append(b, o.Verb.String()...)
	b = append(b, ' ')
	b = appendVisible(b, o.Ban.ID.String())
	if o.Verb != pipeline.VerbUnban {
		if o.Ban.UntilNanos == pipeline.Permanent {
			b = append(b, " for ever"...)
		} else {
			b = append(b, " until "...)
			b = time.Unix(0, o.Ban.UntilNanos).AppendFormat(b, form)
		}
		if o.Ban.Failures > 0 {
			b = append(b, " after "...)
			b = strconv.AppendInt(b, int64(o.Ban.Failures), 10)
			b = append(b, " failures"...)
		}
	}
	return append(b, '\n')
}

// appendVisible appends a text that a log line may have brought: quoted where
// it holds what a terminal would not show as it is.
func appendVisible(b []byte, s string) []byte {
	for _, r := range s {
		if r == utf8.RuneError || r == '"' || !unicode.IsGraphic(r) {
			return strconv.AppendQuote(b, s)
		}
	}
	return append(b, s...)
}
