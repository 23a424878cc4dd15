package control

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// The opcodes of pickle that a request or a reply can contain: of protocols 0
// and 1 (letters), 2 (0x80 on), 4 and 5 (0x8c on).
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opFloat          = 'F'
	opInt            = 'I'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opLong           = 'L'
	opBinInt2        = 'M'
	opNone           = 'N'
	opReduce         = 'R'
	opString         = 'S'
	opBinString      = 'T'
	opShortBinString = 'U'
	opUnicode        = 'V'
	opBinUnicode     = 'X'
	opAppend         = 'a'
	opBuild          = 'b'
	opGlobal         = 'c'
	opDict           = 'd'
	opEmptyDict      = '}'
	opAppends        = 'e'
	opGet            = 'g'
	opBinGet         = 'h'
	opLongBinGet     = 'j'
	opList           = 'l'
	opEmptyList      = ']'
	opPut            = 'p'
	opBinPut         = 'q'
	opLongBinPut     = 'r'
	opSetItem        = 's'
	opTuple          = 't'
	opEmptyTuple     = ')'
	opSetItems       = 'u'
	opBinFloat       = 'G'

	opProto    = 0x80
	opTuple1   = 0x85
	opTuple2   = 0x86
	opTuple3   = 0x87
	opNewTrue  = 0x88
	opNewFalse = 0x89
	opLong1    = 0x8a

	opShortBinUnicode = 0x8c
	opBinUnicode8     = 0x8d
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95
)

// scalarOp carries out the opcodes that push one value, and those that only
// describe the pickle.
func (d *decoder) scalarOp(op byte) (done bool, err error) {
	switch op {
	case opProto:
		version, err := d.byte()
		if err == nil && version > 5 {
			err = fmt.Errorf("%w: protocol %d is not known", ErrPickle, version)
		}
		return true, err
	case opFrame:
		// The length only tells how much to read at once: everything is here.
		_, err = d.bytes(8)
	case opNone:
		err = d.push(nil)
	case opNewTrue:
		err = d.push(true)
	case opNewFalse:
		err = d.push(false)
	case opBinInt, opBinInt1, opBinInt2, opLong1:
		err = d.binInt(op)
	case opBinFloat:
		err = d.binFloat()
	case opShortBinUnicode, opBinUnicode, opBinUnicode8, opShortBinString, opBinString:
		err = d.binString(op)
	default:
		return false, nil
	}
	return true, err
}

func (d *decoder) binInt(op byte) error {
	var size int
	switch op {
	case opBinInt1:
		size = 1
	case opBinInt2:
		size = 2
	case opBinInt:
		v, err := d.uint(4)
		if err != nil {
			return err
		}
		return d.push(int64(int32(v)))
	case opLong1:
		return d.long1()
	}
	v, err := d.uint(size)
	if err != nil {
		return err
	}
	return d.push(int64(v))
}

// long1 reads a length and a two's complement number of that many bytes.
func (d *decoder) long1() error {
	n, err := d.byte()
	if err != nil {
		return err
	}
	if n > 8 {
		return fmt.Errorf("%w: integer of %d bytes", ErrPickle, n)
	}
	v, err := d.uint(int(n))
	if err != nil {
		return err
	}
	shift := 64 - 8*uint(n)
	return d.push(int64(v<<shift) >> shift)
}

// binFloat reads the one number of pickle that is big-endian.
func (d *decoder) binFloat() error {
	b, err := d.bytes(8)
	if err != nil {
		return err
	}
	var bits uint64
	for _, c := range b {
		bits = bits<<8 | uint64(c)
	}
	return d.push(math.Float64frombits(bits))
}

func (d *decoder) binString(op byte) error {
	size := 4
	switch op {
	case opShortBinUnicode, opShortBinString:
		size = 1
	case opBinUnicode8:
		size = 8
	}
	n, err := d.uint(size)
	if err != nil {
		return err
	}
	b, err := d.bytes(n)
	if err != nil {
		return err
	}
	if op == opBinString || op == opShortBinString {
		return d.pushASCII(b)
	}
	s, err := decodeUTF8(b)
	if err != nil {
		return err
	}
	return d.push(s)
}

// pushASCII pushes a byte string of Python 2, which some exporters still send.
// Python 3 takes them as text only while they are ASCII.
func (d *decoder) pushASCII(b []byte) error {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return fmt.Errorf("%w: byte string is not ASCII", ErrPickle)
		}
	}
	return d.push(string(b))
}

// decodeUTF8 reads UTF-8 in which surrogates are allowed (Python's
// "surrogatepass"). A surrogate that Python uses for an undecodable byte
// becomes that byte again, any other U+FFFD.
func decodeUTF8(b []byte) (string, error) {
	if utf8.Valid(b) {
		return string(b), nil
	}
	var s strings.Builder
	s.Grow(len(b))
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			if len(b) < 3 || b[0] != 0xed || b[1] < 0xa0 || b[1] > 0xbf || b[2]&0xc0 != 0x80 {
				return "", fmt.Errorf("%w: text is not UTF-8", ErrPickle)
			}
			writeSurrogate(&s, 0xd000|rune(b[1]&0x3f)<<6|rune(b[2]&0x3f))
			b = b[3:]
			continue
		}
		s.Write(b[:size])
		b = b[size:]
	}
	return s.String(), nil
}

func writeSurrogate(s *strings.Builder, r rune) {
	if r >= 0xdc80 && r <= 0xdcff {
		s.WriteByte(byte(r))
		return
	}
	s.WriteRune(utf8.RuneError)
}

// memoOp carries out the opcodes that remember a value or bring one back.
func (d *decoder) memoOp(op byte) (done bool, err error) {
	var index uint64
	switch op {
	case opMemoize:
		return true, d.memoize(uint64(len(d.memo)))
	case opBinPut, opBinGet:
		index, err = d.uint(1)
	case opLongBinPut, opLongBinGet:
		index, err = d.uint(4)
	case opPut, opGet:
		index, err = d.lineIndex()
	default:
		return false, nil
	}
	if err != nil {
		return true, err
	}
	switch op {
	case opBinPut, opLongBinPut, opPut:
		return true, d.memoize(index)
	}
	v, ok := d.memo[uint32(index)]
	if !ok {
		return true, fmt.Errorf("%w: memo %d is empty", ErrPickle, index)
	}
	return true, d.push(v)
}

func (d *decoder) memoize(index uint64) error {
	v, err := d.top()
	if err != nil {
		return err
	}
	if err := d.count(); err != nil {
		return err
	}
	if d.memo == nil {
		d.memo = map[uint32]any{}
	}
	d.memo[uint32(index)] = v
	return nil
}
