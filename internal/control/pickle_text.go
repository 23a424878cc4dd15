package control

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// textOp carries out the opcodes of protocol 0, whose argument is a line.
func (d *decoder) textOp(op byte) (done bool, err error) {
	switch op {
	case opInt, opLong, opFloat, opUnicode, opString:
	default:
		return false, nil
	}
	line, err := d.line()
	if err != nil {
		return true, err
	}
	switch op {
	case opInt:
		return true, d.textInt(line)
	case opLong:
		return true, d.textNumber(bytes.TrimSuffix(line, []byte("L")))
	case opFloat:
		f, err := strconv.ParseFloat(string(line), 64)
		if err != nil {
			return true, fmt.Errorf("%w: no float: %.40q", ErrPickle, line)
		}
		return true, d.push(f)
	case opUnicode:
		s, err := unescapeUnicode(line)
		if err != nil {
			return true, err
		}
		return true, d.push(s)
	}
	b, err := unquote(line)
	if err != nil {
		return true, err
	}
	return true, d.pushASCII(b)
}

// line returns the bytes up to the next newline and skips it.
func (d *decoder) line() ([]byte, error) {
	n := bytes.IndexByte(d.data[d.pos:], '\n')
	if n < 0 {
		return nil, fmt.Errorf("%w: %w", ErrPickle, io.ErrUnexpectedEOF)
	}
	b := d.data[d.pos : d.pos+n]
	d.pos += n + 1
	return b, nil
}

// lineIndex reads a memo index from a line.
func (d *decoder) lineIndex() (uint64, error) {
	line, err := d.line()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(line), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: no memo index: %.40q", ErrPickle, line)
	}
	return n, nil
}

// textInt reads an integer, or the two texts that stand for booleans.
func (d *decoder) textInt(line []byte) error {
	switch string(line) {
	case "00":
		return d.push(false)
	case "01":
		return d.push(true)
	}
	return d.textNumber(line)
}

func (d *decoder) textNumber(line []byte) error {
	n, err := strconv.ParseInt(string(line), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no integer of 64 bits: %.40q", ErrPickle, line)
	}
	return d.push(n)
}

// unescapeUnicode reads Python's raw-unicode-escape: Latin-1 in which \uXXXX
// and \UXXXXXXXX are code points. A backslash that follows a backslash begins
// no escape.
func unescapeUnicode(line []byte) (string, error) {
	var s strings.Builder
	s.Grow(len(line))
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c != '\\' || i+1 == len(line) {
			s.WriteRune(rune(c))
			continue
		}
		i++
		digits := map[byte]int{'u': 4, 'U': 8}[line[i]]
		if digits == 0 {
			s.WriteByte('\\')
			s.WriteRune(rune(line[i]))
			continue
		}
		if i+digits >= len(line) {
			return "", fmt.Errorf("%w: cut escape in text", ErrPickle)
		}
		n, err := strconv.ParseUint(string(line[i+1:i+1+digits]), 16, 32)
		if err != nil || n > utf8.MaxRune {
			return "", fmt.Errorf("%w: no code point: %q", ErrPickle, line[i+1:i+1+digits])
		}
		i += digits
		if r := rune(n); r >= 0xd800 && r <= 0xdfff {
			writeSurrogate(&s, r)
		} else {
			s.WriteRune(r)
		}
	}
	return s.String(), nil
}

// unquote reads a byte string as Python 2's repr writes it.
func unquote(line []byte) ([]byte, error) {
	if len(line) < 2 || line[0] != line[len(line)-1] || line[0] != '\'' && line[0] != '"' {
		return nil, fmt.Errorf("%w: byte string without quotes", ErrPickle)
	}
	line = line[1 : len(line)-1]
	out := make([]byte, 0, len(line))
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' {
			out = append(out, line[i])
			continue
		}
		i++
		if i == len(line) {
			return nil, fmt.Errorf("%w: cut escape in byte string", ErrPickle)
		}
		switch c := line[i]; c {
		case '\\', '\'', '"':
			out = append(out, c)
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'x':
			if i+2 >= len(line) {
				return nil, fmt.Errorf("%w: cut escape in byte string", ErrPickle)
			}
			n, err := strconv.ParseUint(string(line[i+1:i+3]), 16, 8)
			if err != nil {
				return nil, fmt.Errorf("%w: no byte: %q", ErrPickle, line[i+1:i+3])
			}
			out = append(out, byte(n))
			i += 2
		default:
			return nil, fmt.Errorf("%w: unknown escape \\%c in byte string", ErrPickle, c)
		}
	}
	return out, nil
}
