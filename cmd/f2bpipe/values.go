package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
)

// seconds are nanoseconds since the epoch that JSON shows as epoch seconds, to
// the microsecond.
type seconds int64

// MarshalJSON writes a plain decimal number, never with an exponent.
func (s seconds) MarshalJSON() ([]byte, error) { return appendSeconds(nil, int64(s)), nil }

func appendSeconds(dst []byte, nanos int64) []byte {
	micros := nanos / 1000
	if micros < 0 {
		dst, micros = append(dst, '-'), -micros
	}
	dst = strconv.AppendInt(dst, micros/1e6, 10)
	if rest := micros % 1e6; rest != 0 {
		digits := fmt.Sprintf(".%06d", rest)
		dst = append(dst, strings.TrimRight(digits, "0")...)
	} else {
		dst = append(dst, ".0"...)
	}
	return dst
}

// nowFlag is a time on the command line: epoch seconds or RFC 3339.
type nowFlag struct{ time.Time }

// Decode implements kong.MapperValue.
func (n *nowFlag) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("time", &text); err != nil {
		return err
	}
	if whole, fraction, _ := strings.Cut(text, "."); whole != "" && strings.Trim(whole+fraction, "0123456789") == "" {
		sec, err := strconv.ParseInt(whole, 10, 64)
		if err != nil {
			return fmt.Errorf("read time %q: %w", text, err)
		}
		nanos, err := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
		n.Time = time.Unix(sec, nanos)
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("read time %q: expected epoch seconds or RFC 3339 such as 2026-11-22T13:00:00+01:00", text)
	}
	n.Time = t
	return nil
}

// printable returns text of a log as a terminal may see it: what could move a
// cursor or change a colour is escaped.
func printable(b []byte) string {
	s := string(b)
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
