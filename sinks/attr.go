package sinks

import "encoding/binary"

// The netlink attributes of nf_tables: native-endian length and type, then the
// value, big-endian where it is a number, padded to four bytes
// (linux/netlink.h, linux/netfilter/nf_tables.h).

const (
	attrHeader = 4
	attrNested = 1 << 15
)

// appendAttr appends one attribute.
func appendAttr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeader+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

// appendName appends a name and the zero byte that ends it.
func appendName(b []byte, kind uint16, name string) []byte {
	start := len(b)
	b = openNest(b, kind)
	b = append(b, name...)
	b = append(b, 0)
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	binary.NativeEndian.PutUint16(b[start+2:], kind)
	return append(b, make([]byte, -len(b)&3)...)
}

// appendUint32 appends a number.
func appendUint32(b []byte, kind uint16, v uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, attrHeader+4)
	b = binary.NativeEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint32(b, v)
}

// appendUint64 appends a number.
func appendUint64(b []byte, kind uint16, v uint64) []byte {
	b = binary.NativeEndian.AppendUint16(b, attrHeader+8)
	b = binary.NativeEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint64(b, v)
}

// openNest appends the header of an attribute of attributes; closeNest, given
// the length that b had before, completes it.
func openNest(b []byte, kind uint16) []byte {
	b = binary.NativeEndian.AppendUint16(b, 0)
	return binary.NativeEndian.AppendUint16(b, kind|attrNested)
}

func closeNest(b []byte, start int) []byte {
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

// attrs yields the attributes of b: type without its flags, and value. It ends
// at the first that does not fit.
func attrs(b []byte) func(yield func(kind uint16, value []byte) bool) {
	return func(yield func(kind uint16, value []byte) bool) {
		for len(b) >= attrHeader {
			size := int(binary.NativeEndian.Uint16(b))
			if size < attrHeader || size > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (attrNested | 1<<14)
			if !yield(kind, b[attrHeader:size]) {
				return
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
}

// attr returns the first attribute of a type, nil where there is none.
func attr(b []byte, kind uint16) []byte {
	for k, value := range attrs(b) {
		if k == kind {
			return value
		}
	}
	return nil
}
