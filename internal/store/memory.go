package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"math"
	"net/netip"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// What window and matchers remember is written as a log: each checkpoint adds
// a row with what has changed, and one that has everything takes the place of
// all rows. A row an address, updated in place, cost 15 µs and a page for each
// that fails; so it is some 40 bytes.
const (
	memoryVersion = 1
	maxRow        = 256 << 10 // bytes of a row, but for its last record
	maxRecord     = 64 << 10  // bytes of one ID's times, or of one thing that a matcher remembers
	maxCounts     = 1 << 20   // that are read
	maxMemory     = 1 << 17   // things of one input that are read
)

// Kinds of IDs in a row.
const (
	idText0 = iota // as written
	idV4
	idV6
)

// counts adds the window's changes, or writes all of them anew.
func (w *writer) counts(ctx context.Context, counts []pipeline.Count, all bool) error {
	if all {
		if _, err := w.exec(ctx, `DELETE FROM f2bpipe_counts`); err != nil {
			return err
		}
	}
	for len(counts) > 0 {
		var row []byte
		row, counts = appendCounts(w.row[:0], counts)
		w.row = row
		if _, err := w.exec(ctx, `INSERT INTO f2bpipe_counts(data) VALUES(?)`, row); err != nil {
			return err
		}
	}
	return nil
}

// appendCounts makes a row of counts, and returns those that it has no room for.
func appendCounts(b []byte, counts []pipeline.Count) (row []byte, rest []pipeline.Count) {
	b = append(b, memoryVersion)
	var jail *pipeline.Jail
	for i := range counts {
		if len(b) >= maxRow {
			return b, counts[i:]
		}
		c := &counts[i]
		// The jail's name stands where it changes.
		if c.Jail != jail {
			jail = c.Jail
			b = appendText(append(b, 1), validText(jail.Name))
		} else {
			b = append(b, 0)
		}
		if a, single := c.ID.Addr(); !single {
			b = appendText(append(b, idText0), idText(c.ID))
		} else if a.Is4() {
			v4 := a.As4()
			b = append(append(b, idV4), v4[:]...)
		} else {
			v6 := a.As16()
			b = append(append(b, idV6), v6[:]...)
		}
		b = binary.AppendUvarint(b, uint64(max(c.Failures, 0)))
		if c.Failures <= 0 {
			continue
		}
		b = binary.AppendVarint(b, c.FirstNanos)
		b = binary.AppendUvarint(b, uint64(max(c.LastNanos-c.FirstNanos, 0)))
		times := packTimes(c.Times)
		if len(times) > maxRecord {
			times = nil
		}
		b = appendText(b, string(times))
	}
	return b, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// rowReader reads a row. After something that cannot be, everything is zero
// and bad is true.
type rowReader struct {
	b   []byte
	bad bool
}

func (r *rowReader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *rowReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *rowReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *rowReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *rowReader) text(most uint64) []byte {
	n := r.uvarint()
	if n > most {
		r.bad = true
	}
	return r.take(n)
}

func (r *rowReader) id() pipeline.ID {
	switch r.byte() {
	case idV4:
		if b := r.take(4); b != nil {
			return pipeline.AddrID(netip.AddrFrom4([4]byte(b)))
		}
	case idV6:
		if b := r.take(16); b != nil {
			return pipeline.AddrID(netip.AddrFrom16([16]byte(b)))
		}
	case idText0:
		if b := r.text(maxName); len(b) > 0 {
			return pipeline.ParseID(string(b))
		}
	}
	r.bad = true
	return pipeline.ID{}
}

// counter is what a count is known by.
type counter struct {
	jail *pipeline.Jail
	id   pipeline.ID
}

// readCounts carries a row's changes out on counts. What follows something that
// cannot be is left out.
func readCounts(row []byte, jail func(string) *pipeline.Jail, counts map[counter]pipeline.Count) {
	r := rowReader{b: row}
	if r.byte() != memoryVersion {
		return
	}
	var j *pipeline.Jail
	for len(r.b) > 0 && !r.bad {
		if r.byte() != 0 {
			j = jail(string(r.text(maxName)))
		}
		c := pipeline.Count{Jail: j, ID: r.id()}
		c.Failures = int(min(r.uvarint(), maxFailures))
		ok := true
		if c.Failures > 0 {
			c.FirstNanos = r.varint()
			span := r.uvarint()
			c.LastNanos = c.FirstNanos + int64(min(span, math.MaxInt64))
			c.Times, ok = unpackTimes(r.text(maxRecord))
			ok = ok && c.LastNanos >= c.FirstNanos
		}
		k := counter{j, c.ID}
		switch {
		case r.bad:
			return
		case j == nil:
		case c.Failures == 0 || !ok:
			delete(counts, k)
		case len(counts) < maxCounts:
			counts[k] = c
		}
	}
}

// Counts returns what the window had counted, for Window.Restore. jail returns
// the jail of a name, or nil. After fail2ban there is nothing.
func (s *Store) Counts(ctx context.Context, jail func(name string) *pipeline.Jail) ([]pipeline.Count, error) {
	var counts map[counter]pipeline.Count
	err := s.own(ctx, "f2bpipe_counts", func() { counts = map[counter]pipeline.Count{} }, func(rows *sql.Rows) error {
		var row sql.RawBytes
		var seq any
		if err := rows.Scan(&seq, &row); err != nil {
			return err
		}
		readCounts(row, jail, counts)
		return nil
	})
	list := make([]pipeline.Count, 0, len(counts))
	for _, c := range counts {
		list = append(list, c)
	}
	return list, err
}

// memory adds what the matcher of an input remembers now, or writes it anew.
func (w *writer) memory(ctx context.Context, in *pipeline.InputEnd) error {
	name := validText(in.Input.Name)
	if in.AllMemory {
		if _, err := w.exec(ctx, `DELETE FROM f2bpipe_memory WHERE input = ?`, name); err != nil {
			return err
		}
	}
	for list := in.Memory; len(list) > 0; {
		b := append(w.row[:0], memoryVersion)
		for len(list) > 0 && len(b) < maxRow {
			m := &list[0]
			list = list[1:]
			if len(m.Key) > maxRecord || len(m.Value) > maxRecord {
				continue
			}
			b = appendText(appendText(b, validText(m.Jail)), m.Key)
			if m.Value == nil {
				b = append(b, 0)
			} else {
				b = appendText(append(b, 1), string(m.Value))
			}
		}
		w.row = b
		if _, err := w.exec(ctx, `INSERT INTO f2bpipe_memory(input, data) VALUES(?, ?)`, name, b); err != nil {
			return err
		}
	}
	return nil
}

// memoryKey is what a thing that a matcher remembers is known by.
type memoryKey struct{ jail, key string }

// readMemory carries a row's changes out on memory.
func readMemory(row []byte, memory map[memoryKey][]byte) {
	r := rowReader{b: row}
	if r.byte() != memoryVersion {
		return
	}
	for len(r.b) > 0 && !r.bad {
		k := memoryKey{string(r.text(maxName)), string(r.text(maxRecord))}
		var value []byte
		if r.byte() != 0 {
			value = append([]byte{}, r.text(maxRecord)...)
		}
		switch {
		case r.bad:
			return
		case value == nil:
			delete(memory, k)
		case len(memory) < maxMemory:
			memory[k] = value
		}
	}
}

// Memory returns what the matchers remembered, by the name of their input.
// After fail2ban there is nothing.
func (s *Store) Memory(ctx context.Context) (map[string][]pipeline.Memory, error) {
	var inputs map[string]map[memoryKey][]byte
	err := s.own(ctx, "f2bpipe_memory", func() { inputs = map[string]map[memoryKey][]byte{} }, func(rows *sql.Rows) error {
		var seq any
		var input, row sql.RawBytes
		if err := rows.Scan(&seq, &input, &row); err != nil {
			return err
		}
		m := inputs[string(input)]
		if m == nil {
			m = map[memoryKey][]byte{}
			inputs[string(input)] = m
		}
		readMemory(row, m)
		return nil
	})
	out := make(map[string][]pipeline.Memory, len(inputs))
	for name, m := range inputs {
		for k, v := range m {
			out[name] = append(out[name], pipeline.Memory{Jail: k.jail, Key: k.key, Value: v})
		}
	}
	return out, err
}
