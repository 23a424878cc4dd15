package pipeline

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func said(j *Jail, id string, at int64, text string, fields ...string) *Failure {
	f := &Failure{Jail: j, ID: ParseID(id), AtNanos: at * 1e9, Count: 1, Text: []byte(text)}
	for i := 0; i < len(fields); i += 2 {
		f.Fields = append(f.Fields, Field{fields[i], []byte(fields[i+1])})
	}
	return f
}

// A ban has the last lines of its ID and what was captured in any of them.
func TestTickets(t *testing.T) {
	w := NewWindow(WindowConfig{})
	w.KeepMatches(DefaultMatchBytes)
	j := NewJail("sshd", Policy{MaxRetry: 4, FindTime: time.Minute, BanTime: time.Hour, MaxMatches: 2})
	add := func(f *Failure) *Ticket {
		b, _ := w.Add(f)
		clear(f.Text) // it was the batch's
		for _, v := range f.Fields {
			clear(v.Value)
		}
		return b.Ticket
	}
	add(said(j, "192.0.2.1", 100, "one", "user", "root", "f-rport", "22"))
	add(said(j, "192.0.2.2", 100, "another"))
	add(said(j, "192.0.2.1", 101, "two", "user", "joe"))
	add(said(j, "192.0.2.1", 102, "three", "user", "joe", "late", "x"))
	got := add(said(j, "192.0.2.1", 103, strings.Repeat("é", maxMatch)+"end"))
	want := &Ticket{Matches: []string{"three", strings.Repeat("é", maxMatch/2)}, Fields: map[string]string{"user": "root", "f-rport": "22", "late": "x"}, Count: 1}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ticket %+v, want %+v", got, want)
	}
	// The beat drops what was said with what was counted.
	add(said(j, "alice", 100, "old", "user", "old"))
	w.Expire(200 * 1e9)
	if s := w.Stats(); s.MatchBytes != 0 || s.LostMatches != 0 {
		t.Errorf("%+v", s)
	}
	for at := range int64(3) {
		add(said(j, "alice", 300+at, "new"))
	}
	if got := add(said(j, "alice", 304, "last")); !reflect.DeepEqual(got, &Ticket{Matches: []string{"new", "last"}, Count: 1}) {
		t.Errorf("ticket %+v", got)
	}
	if s := w.Stats(); s.MatchBytes != 0 {
		t.Errorf("%+v", s)
	}
	// Nothing is kept for a jail that wants nothing, or where nobody asked for it.
	j.SetPolicy(Policy{MaxRetry: 1, FindTime: time.Minute})
	if got := add(said(j, "192.0.2.9", 400, "x")); got != nil {
		t.Errorf("ticket %+v", got)
	}
	j.SetPolicy(Policy{MaxRetry: 1, FindTime: time.Minute, MaxMatches: 3})
	if b, _ := NewWindow(WindowConfig{}).Add(said(j, "192.0.2.9", 400, "x")); b.Ticket != nil {
		t.Errorf("ticket %+v", b.Ticket)
	}
}

// However many fail and however much they say, the room is not exceeded by more
// than one ID's lines a shard; and the window counts on.
func TestTicketsBounded(t *testing.T) {
	const room = 256 << 10
	w := NewWindow(WindowConfig{Entries: 10 * setSize})
	w.KeepMatches(room)
	j := NewJail("sshd", Policy{MaxRetry: 1000, FindTime: time.Hour, MaxMatches: 1000})
	line := strings.Repeat("x", 500)
	for i := range 20_000 {
		w.Add(said(j, fmt.Sprintf("10.0.%d.%d", i%2, i%250), 100+int64(i/100), line, "user", fmt.Sprint("u", i)))
	}
	s := w.Stats()
	if s.MatchBytes > room+10*(maxNote+noteCost) || s.LostMatches == 0 {
		t.Errorf("%d bytes of %d, %d lines lost", s.MatchBytes, room, s.LostMatches)
	}
	sum := 0
	for i := range w.shards {
		notes := w.shards[i].notes
		for _, k := range notes.Keys() {
			n, _ := notes.Peek(k)
			texts := 0
			for _, l := range n.lines {
				texts += len(l) + textCost
			}
			for _, f := range n.fields {
				texts += len(f.value) + 2*textCost
			}
			if texts != n.bytes || n.bytes > maxNote+maxMatch {
				t.Fatalf("a note of %d bytes says %d", texts, n.bytes)
			}
			sum += n.bytes + noteCost
		}
	}
	if sum != s.MatchBytes {
		t.Errorf("%d bytes are accounted for, there are %d", s.MatchBytes, sum)
	}
}
