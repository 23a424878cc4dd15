package matchers

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"unsafe"
)

// The table against a map, with hashes that are near to each other.
func TestSessionTable(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var table sessionTable
	model := map[link]uint64{}
	for range 200_000 {
		l := link(1 + r.IntN(500))
		if hash, has := model[l]; has {
			table.remove(hash, l)
			delete(model, l)
		} else {
			hash := r.Uint64N(6)<<61 | r.Uint64N(3)<<linkBits | r.Uint64N(1<<linkBits)
			table.add(hash, l)
			model[l] = hash
		}
		if table.count != len(model) {
			t.Fatalf("%d sessions, want %d", table.count, len(model))
		}
		hash := model[l]
		var got, want []link
		for l, next := table.find(hash, 0); l > 0; l, next = table.find(hash, next) {
			got = append(got, l)
		}
		for l, h := range model {
			if h>>linkBits == hash>>linkBits {
				want = append(want, l)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("hash %x: %v, want %v", hash, got, want)
		}
	}
}

// Sessions against maps: values come, change their size and go, and sessions do.
func TestSessionIsMap(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	s := newSessions()
	type known map[int]string
	model := map[string]known{}
	const fields = fixedFields + 5
	for n := range 100_000 {
		id := fmt.Sprint("sshd[", r.IntN(300), "]")
		values := make([][]byte, fields)
		values[fieldMLFID] = []byte(id)
		for range r.IntN(4) {
			i := fixedFields + r.IntN(5)
			values[i] = bytes.Repeat([]byte{'a' + byte(n%26)}, r.IntN(1<<r.IntN(9)))
		}
		if r.IntN(20) == 0 {
			values[fieldForget] = []byte("x")
		}
		forget := values[fieldForget] != nil
		want := model[id]
		if want == nil {
			want = known{}
		}
		has := model[id] != nil
		for i := fixedFields; i < fields; i++ {
			if values[i] != nil {
				want[i] = string(values[i])
			}
		}
		if !forget {
			model[id] = want
		} else {
			delete(model, id)
		}
		sess, _, _ := s.merge(values, s.expect([]byte(id)), 1, 0)
		if (sess != nil) != (has || !forget) {
			t.Fatalf("%d: session %v", n, sess)
		}
		for i := fixedFields; i < fields && sess != nil; i++ {
			if text, ok := want[i]; ok != (values[i] != nil) || text != string(values[i]) {
				t.Fatalf("%d: field %d is %q, want %q", n, i, values[i], text)
			}
		}
		if s.count != len(model) {
			t.Fatalf("%d: %d sessions, want %d", n, s.count, len(model))
		}
	}
	bytes := 0
	for l := s.oldest; l != 0; l = s.at(l).newer {
		delete(model, string(s.at(l).id()))
		bytes += s.at(l).size()
	}
	if len(model) > 0 || bytes != s.bytes {
		t.Errorf("lost: %v; %d bytes, want %d", slices.Collect(maps.Keys(model)), s.bytes, bytes)
	}
}

// As many sessions as there may be: the oldest go, and no memory is taken any more.
func TestManySessions(t *testing.T) {
	s := newSessions()
	values := make([][]byte, fixedFields)
	var id []byte
	open := func(n int) {
		clear(values)
		id = strconv.AppendInt(append(id[:0], "host sshd "...), int64(n), 10)
		values[fieldMLFID], values[fieldUser] = id, id[:4]
		s.merge(values, s.expect(id), 1, 0)
	}
	for n := range 2 * maxSessions {
		open(n)
	}
	if s.count != maxSessions || s.lost != maxSessions || len(s.slabs) != maxSessions/slabSize {
		t.Errorf("%d sessions, %d lost, %d slabs", s.count, s.lost, len(s.slabs))
	}
	if got := string(s.at(s.oldest).id()); got != fmt.Sprint("host sshd ", maxSessions) {
		t.Errorf("the oldest is %q", got)
	}
	if n := unsafe.Sizeof(session{}); n != 256 {
		t.Errorf("a session has %d bytes", n)
	}
	n := 2 * maxSessions
	if allocs := testing.AllocsPerRun(1000, func() { open(n); n++ }); allocs != 0 {
		t.Errorf("%v allocations a session", allocs)
	}
}

// A reload may change a filter's fields: values go with their names.
func TestSessionsFollowFields(t *testing.T) {
	names := func(more ...string) []string { return append(slices.Clone(fixedNames[:]), more...) }
	s := newSessions()
	s.follow(names("x", "y", "z"))
	values := make([][]byte, fixedFields+3)
	values[fieldMLFID], values[fieldUser] = []byte("sshd[7]"), []byte("joe")
	values[fixedFields], values[fixedFields+1], values[fixedFields+2] = []byte("1"), []byte("2"), []byte("3")
	s.merge(values, s.expect(values[fieldMLFID]), 1, 1)
	s.follow(names("z", "new", "x"))
	got := make([][]byte, fixedFields+3)
	got[fieldMLFID] = []byte("sshd[7]")
	s.merge(got, s.expect(got[fieldMLFID]), 1, 1)
	if string(bytes.Join(got[fixedFields:], []byte(","))) != "3,,1" || string(got[fieldUser]) != "joe" {
		t.Errorf("%q", got)
	}
}
