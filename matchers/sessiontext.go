package matchers

import (
	"encoding/binary"
	"slices"
)

// A record is a value in a session's text: its field and its size, then itself.
const (
	recordHead = 8
	recordUser = 1<<32 - 1 // field of the first user that was tried
	recordDead = 1<<32 - 2 // field of what is no value any more
)

// record returns what stands in the text at a place, and the place behind it.
func (sess *session) record(at int) (field uint32, value []byte, next int) {
	field, size := binary.LittleEndian.Uint32(sess.text[at:]), int(binary.LittleEndian.Uint32(sess.text[at+4:]))
	next = at + recordHead + size
	return field, sess.text[at+recordHead : next : next], next
}

// find returns the place and the text of a value; -1 and nil where there is none.
func (sess *session) find(field uint32) (at int, value []byte) {
	for at := 0; at < len(sess.text); {
		f, value, next := sess.record(at)
		if f == field {
			return at, value
		}
		at = next
	}
	return -1, nil
}

// set sets a value.
func (sess *session) set(field uint32, text []byte) {
	at, old := sess.find(field)
	if at >= 0 && len(old) == len(text) {
		copy(old, text)
		return
	}
	sess.drop(at)
	sess.append(field, text)
}

// append adds a value to those that there are.
func (sess *session) append(field uint32, text []byte) {
	sess.text = binary.LittleEndian.AppendUint32(sess.text, field)
	sess.text = binary.LittleEndian.AppendUint32(sess.text, uint32(len(text)))
	sess.text = append(sess.text, text...)
}

// drop forgets the value at a place, if that is one.
func (sess *session) drop(at int) {
	if at < 0 {
		return
	}
	_, _, next := sess.record(at)
	binary.LittleEndian.PutUint32(sess.text[at:], recordDead)
	sess.dead += int32(next - at)
}

// unset forgets a value.
func (sess *session) unset(field uint32) {
	at, _ := sess.find(field)
	sess.drop(at)
}

// has says whether the session has a value that is not empty.
func (sess *session) has(field uint32) bool {
	_, value := sess.find(field)
	return len(value) > 0
}

// id returns the session's <F-MLFID>, its first record.
func (sess *session) id() []byte {
	_, id, _ := sess.record(0)
	return id
}

// compact takes out of a session's text what is no value any more.
func (sess *session) compact() {
	left := sess.text[:0]
	for at := 0; at < len(sess.text); {
		field, _, next := sess.record(at)
		if field != recordDead {
			left = append(left, sess.text[at:next]...)
		}
		at = next
	}
	sess.text, sess.dead = left, 0
}

// rename gives the values of some fields to those of the same names.
func (sess *session) rename(before, fields []string) {
	for at := 0; at < len(sess.text); {
		field, _, next := sess.record(at)
		if int64(field) < int64(len(before)) {
			if to := slices.Index(fields, before[field]); to >= 0 {
				binary.LittleEndian.PutUint32(sess.text[at:], uint32(to))
			} else {
				sess.drop(at)
			}
		}
		at = next
	}
}

// fill sets the values that only the session knows.
func (sess *session) fill(values [][]byte) {
	for at := 0; at < len(sess.text); {
		field, value, next := sess.record(at)
		if uint64(field) < uint64(len(values)) && values[field] == nil {
			values[field] = value
		}
		at = next
	}
}
