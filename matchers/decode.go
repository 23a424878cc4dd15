package matchers

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
)

// A decoder turns the bytes of a line into UTF-8, as Python does with
// errors='replace'. It is stateless and shared.
type decoder struct {
	name   string
	table  *encoding.Decoder // nil: UTF-8 or ASCII
	ascii  bool
	single bool // one byte a character
}

// newDecoder returns the decoder of a logencoding; "" and "auto" are UTF-8.
func newDecoder(name string) (*decoder, error) {
	switch n := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "_", "-"); n {
	case "", "auto", "utf-8", "utf8", "utf-8-sig", "u8":
		return &decoder{name: "UTF-8"}, nil
	case "ascii", "us-ascii", "646", "ansi-x3.4-1968":
		return &decoder{name: "ASCII", ascii: true}, nil
	case "latin-1", "latin1", "iso-8859-1", "iso8859-1", "8859", "cp819", "l1":
		// By its own name the index would give Windows-1252.
		return &decoder{name: name, table: charmap.ISO8859_1.NewDecoder(), single: true}, nil
	case "utf-16", "utf-16le", "utf-16-le", "utf-16be", "utf-16-be", "utf-32":
		return nil, fmt.Errorf("logencoding = %q: a line's end is not one byte in it; convert the log to UTF-8", name)
	default:
		if strings.HasPrefix(n, "cp125") {
			n = "windows-" + n[2:]
		}
		if strings.HasPrefix(n, "iso8859") {
			n = "iso-" + n[3:]
		}
		enc, err := htmlindex.Get(n)
		if err != nil {
			return nil, fmt.Errorf("logencoding = %q is not known; expected auto, UTF-8, ascii, latin-1 or another name that IANA lists", name)
		}
		_, single := enc.(*charmap.Charmap)
		return &decoder{name: name, table: enc.NewDecoder(), single: single}, nil
	}
}

// decode returns the line as valid UTF-8: the line itself where it is that
// already, else written to dst's memory. valid is false where bytes had to be
// replaced by U+FFFD.
func (d *decoder) decode(dst, line []byte) (out []byte, valid bool) {
	switch {
	case d.table != nil:
		out, err := d.table.Bytes(line)
		return out, err == nil
	case d.ascii:
		if isASCII(line) {
			return line, true
		}
		for _, c := range line {
			if c < utf8.RuneSelf {
				dst = append(dst, c)
			} else {
				dst = utf8.AppendRune(dst, utf8.RuneError)
			}
		}
		return dst, false
	case utf8.Valid(line):
		return line, true
	}
	return appendReplaced(dst, line), false
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendReplaced appends b with one U+FFFD for every maximal subpart of an
// ill-formed sequence, as Python and the Unicode standard (3.9, U+FFFD
// Substitution of Maximal Subparts) have it. Go's own conversions write one a byte.
func appendReplaced(dst, b []byte) []byte {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n <= 1 {
			n = maximalSubpart(b)
			dst = utf8.AppendRune(dst, utf8.RuneError)
		} else {
			dst = append(dst, b[:n]...)
		}
		b = b[n:]
	}
	return dst
}

// maximalSubpart returns how many bytes of the ill-formed b begin a
// well-formed sequence, at least 1.
func maximalSubpart(b []byte) int {
	lo, hi, need := byte(0x80), byte(0xbf), 0
	switch c := b[0]; {
	case c >= 0xc2 && c <= 0xdf:
		need = 1
	case c >= 0xe0 && c <= 0xef:
		need = 2
		if c == 0xe0 {
			lo = 0xa0
		} else if c == 0xed {
			hi = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		need = 3
		if c == 0xf0 {
			lo = 0x90
		} else if c == 0xf4 {
			hi = 0x8f
		}
	}
	n := 1
	for n <= need && n < len(b) && b[n] >= lo && b[n] <= hi {
		n++
		lo, hi = 0x80, 0xbf
	}
	return n
}

// keepsASCII says whether ASCII text in the decoded line is there byte for
// byte in the log: not so where characters of several bytes have such bytes.
func (d *decoder) keepsASCII() bool { return d.table == nil || d.single }

// countInvalid returns how many lines of a block are not valid. Encodings with a
// table are taken as valid: a line of theirs is only decoded where it matters.
func (d *decoder) countInvalid(data []byte) (n int64) {
	valid := utf8.Valid
	switch {
	case d.table != nil:
		return 0
	case d.ascii:
		valid = isASCII
	}
	if valid(data) {
		return 0
	}
	for line := range bytes.Lines(data) {
		if !valid(line) {
			n++
		}
	}
	return n
}
