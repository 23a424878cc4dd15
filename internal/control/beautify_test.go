package control

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestBeautifyRandom compares our texts with those of fail2ban's Beautifier
// for commands with replies that fit them, nearly fit, or do not fit at all.
func TestBeautifyRandom(t *testing.T) {
	commands := []string{"ping", "version", "start sshd", "stop", "stop sshd", "add sshd", "flushlogs", "echo a", "status", "status sshd",
		"banned", "get loglevel", "get logtarget", "get syslogsocket", "get dbfile", "get dbpurgeage", "get sshd logpath", "get sshd ignoreip",
		"get sshd failregex", "get sshd logencoding", "get sshd journalmatch", "get sshd datepattern", "get sshd actions",
		"get sshd actionproperties a", "get sshd actionmethods a", "get sshd actionmethods", "get sshd banip", "get sshd banip ;", "get sshd banip --with-time",
		"set sshd banip 192.0.2.1", "get sshd bantime"}
	r := rand.New(rand.NewPCG(5, 6))
	var in bytes.Buffer
	type sample struct {
		words []string
		value any
	}
	var samples []sample
	for range 60 {
		for _, line := range commands {
			v := randomReply(r)
			if _, isTuple := v.(Tuple); line == "get dbpurgeage" && (v == true || isTuple) {
				continue // numbers to Python's %, and never sent
			}
			samples = append(samples, sample{strings.Fields(line), v})
			data, err := Encode(nil, Tuple{strings.Fields(line), v})
			if err != nil {
				t.Fatal(err)
			}
			in.WriteString(base64.StdEncoding.EncodeToString(data) + "\n")
		}
	}
	out := python(t, `
import sys, pickle, base64, logging
from fail2ban.client.beautifier import Beautifier
logging.disable(logging.CRITICAL)
for line in sys.stdin:
    cmd, value = pickle.loads(base64.b64decode(line))
    print(base64.b64encode(str(Beautifier(cmd).beautify(value)).encode()).decode() + ".")
`, in.Bytes())
	lines := strings.Fields(string(out))
	if len(lines) != len(samples) {
		t.Fatalf("%d answers for %d replies", len(lines), len(samples))
	}
	raw := 0
	for i, s := range samples {
		want, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(lines[i], "."))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Beautifier{}.Beautify(s.words, s.value)
		if got != string(want) {
			t.Errorf("%v with %s\n got %q, %v\nwant %q", s.words, Repr(s.value), got, err, want)
		}
		if err != nil {
			raw++
		}
	}
	t.Logf("%d texts compared, %d of replies that do not fit", len(samples), raw)
}

// randomReply returns what some command replies, or something like it.
func randomReply(r *rand.Rand) any {
	name := func() any {
		return []any{"a", "b c", "it's", int64(7), nil}[min(r.IntN(14), 8)%5]
	}
	names := func() []any {
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = name()
		}
		return list
	}
	switch r.IntN(12) {
	case 0, 1:
		return name()
	case 2:
		return []any{nil, true, int64(20), int64(-3), 2.5, "text", "", "INFO"}[r.IntN(8)]
	case 3, 4:
		return names()
	case 5:
		return Tuple(names())
	case 6:
		return []any{names(), names()}
	case 7:
		return Tuple{name(), name()}
	case 8:
		return Dict{{"k", names()}}
	case 9:
		return []any{Tuple{"Number of jail", int64(1)}, Tuple{"Jail list", name()}}
	case 10:
		return []any{Tuple{"Filter", []any{Tuple{"Total", int64(1)}, Tuple{"File list", names()}}}, Tuple{name(), []any{Tuple{"x", names()}, names()}}}
	}
	return randomItems(r, 2)
}

func TestExceptionTexts(t *testing.T) {
	f := func(e *Exception, text, stdout, line string) {
		t.Helper()
		if e.Text() != text || BeautifyError(e) != stdout || ErrorLine(e) != line {
			t.Errorf("got %q, %q, %q", e.Text(), BeautifyError(e), ErrorLine(e))
		}
	}
	f(ErrorUnknownJail("x"), "no such jail: x", "Sorry but the jail 'x' does not exist", "NOK: ('x',)")
	f(ErrorDuplicateJail("x"), "jail exists: x", "The jail 'x' already exists", "NOK: ('x',)")
	f(errorIndex(), "list index out of range", "Sorry but the command is invalid", "NOK: ('list index out of range',)")
	f(ErrorUnknownAction("a"), "Invalid Action name: a", "'Invalid Action name: a'", "NOK: ('Invalid Action name: a',)")
	f(plainException.with("a", int64(1)), "a, 1", "('a', 1)", "NOK: ('a', 1)")
	f(plainException.with(), "", "", "NOK: ()")
	// Python 2's name of the module.
	f(&Exception{"exceptions", "IndexError", []any{"x"}}, "x", "Sorry but the command is invalid", "NOK: ('x',)")
}

// TestNotOffered returns for what the service lacks what fail2ban says of a
// command that does not exist.
func TestNotOffered(t *testing.T) {
	d := &Dispatcher{Verbs: lacking{goldenService(t)}}
	f := func(want string, words ...any) {
		t.Helper()
		_, err := d.Handle(t.Context(), words)
		var e *Exception
		if !errors.As(err, &e) || Repr(e) != want {
			t.Errorf("%v: got %v, want %s", words, err, want)
		}
	}
	f("Exception(\"Invalid command 'maxlines' (no set action or not yet implemented)\")", "set", "sshd", "maxlines", "1")
	f("Exception('Invalid command (no get action or not yet implemented)')", "get", "sshd", "maxlines")
	f("Exception('Invalid command')", "add", "x", "polling")
	f("Exception('Invalid command')", int64(1))
	f("Exception('Invalid command (no status)')", "status", "sshd", "short", "more")
}

// TestLevelName compares the names of the levels of logging.
func TestLevelName(t *testing.T) {
	out := python(t, `
import logging, fail2ban
for n in range(-1, 60): print(logging.getLevelName(n))
`, nil)
	for i, want := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		got, err := Beautifier{}.Beautify([]string{"get", "loglevel"}, int64(i-1))
		if err != nil || got != "Current logging level is '"+want+"'" {
			t.Errorf("%d: %s, %v; want %s", i-1, got, err, want)
		}
	}
}
