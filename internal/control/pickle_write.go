package control

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// Encode appends the pickle of a plain value to dst, in protocol 2, which
// every client of fail2ban reads. Bytes in a string that are no UTF-8 become
// U+FFFD: a client prints what it gets, and Python's print would fail on a
// surrogate. A value of another type, or one deeper than Decode accepts, is an
// error; dst is then returned as it was.
func Encode(dst []byte, v any) ([]byte, error) {
	out := append(dst, opProto, 2)
	out, err := appendValue(out, v, 0)
	if err != nil {
		return dst, err
	}
	return append(out, opStop), nil
}

func appendValue(b []byte, v any, depth int) ([]byte, error) {
	if depth > defaultDepth {
		return nil, ErrPickleLimit
	}
	switch v := v.(type) {
	case nil:
		return append(b, opNone), nil
	case bool:
		if v {
			return append(b, opNewTrue), nil
		}
		return append(b, opNewFalse), nil
	case int:
		return appendInt(b, int64(v)), nil
	case int64:
		return appendInt(b, v), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, opBinFloat), math.Float64bits(v)), nil
	case string:
		return appendString(b, v)
	case []any:
		return appendItems(append(b, opEmptyList), v, opAppends, depth)
	case []string:
		b = append(b, opEmptyList, opMark)
		for _, s := range v {
			var err error
			if b, err = appendString(b, s); err != nil {
				return nil, err
			}
		}
		return append(b, opAppends), nil
	case Tuple:
		return appendItems(b, v, opTuple, depth)
	case Set:
		b = appendClass(b, class{"__builtin__", "set"})
		b, err := appendItems(append(b, opEmptyList), v, opAppends, depth)
		return append(b, opTuple1, opReduce), err
	case Dict:
		return appendDict(b, v, depth)
	case *Exception:
		b = appendClass(b, class{v.Module, v.Name})
		b, err := appendItems(b, v.Args, opTuple, depth)
		return append(b, opReduce), err
	}
	return nil, fmt.Errorf("%w: no value of Python: %T", ErrPickle, v)
}

func appendItems(b []byte, items []any, end byte, depth int) ([]byte, error) {
	b = append(b, opMark)
	for _, v := range items {
		var err error
		if b, err = appendValue(b, v, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, end), nil
}

func appendDict(b []byte, d Dict, depth int) ([]byte, error) {
	b = append(b, opEmptyDict, opMark)
	for _, p := range d {
		var err error
		if b, err = appendValue(b, p.Key, depth+1); err != nil {
			return nil, err
		}
		if b, err = appendValue(b, p.Value, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, opSetItems), nil
}

func appendInt(b []byte, v int64) []byte {
	switch {
	case v >= 0 && v <= math.MaxUint8:
		return append(b, opBinInt1, byte(v))
	case v >= 0 && v <= math.MaxUint16:
		return binary.LittleEndian.AppendUint16(append(b, opBinInt2), uint16(v))
	case v >= math.MinInt32 && v <= math.MaxInt32:
		return binary.LittleEndian.AppendUint32(append(b, opBinInt), uint32(v))
	}
	return binary.LittleEndian.AppendUint64(append(b, opLong1, 8), uint64(v))
}

func appendString(b []byte, s string) ([]byte, error) {
	s = strings.ToValidUTF8(s, "\ufffd")
	if uint64(len(s)) > math.MaxUint32 {
		return nil, ErrPickleLimit
	}
	if strings.Contains(s, frameEnd) {
		return appendEscaped(b, s), nil
	}
	b = binary.LittleEndian.AppendUint32(append(b, opBinUnicode), uint32(len(s)))
	return append(b, s...), nil
}

// appendEscaped writes a text in the form of protocol 0, in which no byte of the
// text need stand as it is: in any other the frame would end within it.
func appendEscaped(b []byte, s string) []byte {
	b = append(b, opUnicode)
	for _, r := range s {
		if r > 0xffff {
			b = fmt.Appendf(b, `\U%08x`, r)
		} else {
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '\n')
}

func appendClass(b []byte, c class) []byte {
	b = append(append(b, opGlobal), c.module...)
	b = append(append(b, '\n'), c.name...)
	return append(b, '\n')
}
