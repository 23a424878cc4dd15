package control

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// python runs a script of Debian's python with stdin and returns its stdout.
func python(t testing.TB, script string, stdin []byte) []byte {
	t.Helper()
	cmd := exec.Command(testenv.Python(t), "-c", script)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, stderr.Bytes())
	}
	return out
}

// randomValue returns a nested value of every kind that travels.
func randomValue(r *rand.Rand, depth int) any {
	kinds := 14
	if depth == 0 {
		kinds = 9
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return int64(r.IntN(600) - 300)
	case 3:
		return int64(r.Uint64())
	case 4:
		return int64(r.Uint64()) >> r.IntN(64)
	case 5:
		return math.Float64frombits(r.Uint64()&^(0x7ff<<52) | uint64(1023-60+r.IntN(120))<<52)
	case 6, 7, 8:
		return randomText(r)
	case 9, 10:
		return randomItems(r, depth)
	case 11:
		return Tuple(randomItems(r, depth))
	case 12:
		d := make(Dict, r.IntN(4))
		for i := range d {
			d[i] = Pair{fmt.Sprintf("%d%s", i, randomText(r)), randomValue(r, depth-1)}
		}
		return d
	}
	return Tuple{randomItems(r, depth), Tuple{}, []any{}, Dict{}}
}

func randomItems(r *rand.Rand, depth int) []any {
	items := make([]any, r.IntN(5))
	for i := range items {
		items[i] = randomValue(r, depth-1)
	}
	return items
}

func randomText(r *rand.Rand) string {
	alphabet := []rune("abcXYZ019 .-_'\"\\\n\r\t\x00\x1a\x7f\u00e4\u00ad\u20ac\u3042\u2028\U0001f600\ufffd<>u")
	n := r.IntN(12)
	if r.IntN(20) == 0 {
		n = 300
	}
	var b strings.Builder
	for range n {
		b.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

// TestDecodePython reads what python's pickle writes of random values, in all
// protocols, and compares with the values' repr in python.
func TestDecodePython(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var source bytes.Buffer
	var want []any
	for range 400 {
		v := randomValue(r, 5)
		want = append(want, v)
		source.WriteString(base64.StdEncoding.EncodeToString([]byte(Repr(v))) + "\n")
	}
	out := python(t, `
import sys, pickle, base64
for line in sys.stdin:
    v = eval(base64.b64decode(line).decode())
    print(base64.b64encode(repr(v).encode()).decode(), *[base64.b64encode(pickle.dumps(v, p)).decode() for p in range(6)])
`, source.Bytes())
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d answers for %d values", len(lines), len(want))
	}
	for i, line := range lines {
		words := strings.Fields(line)
		repr, _ := base64.StdEncoding.DecodeString(words[0])
		if got := Repr(want[i]); got != string(repr) {
			t.Fatalf("repr\n got %s\nwant %s", got, repr)
		}
		for protocol, word := range words[1:] {
			data, _ := base64.StdEncoding.DecodeString(word)
			got, err := Decode(data, Limits{})
			if err != nil {
				t.Fatalf("protocol %d: %v\n%s", protocol, err, repr)
			}
			if !reflect.DeepEqual(got, want[i]) {
				t.Fatalf("protocol %d\n got %s\nwant %s", protocol, Repr(got), repr)
			}
		}
	}
}

// TestEncodePython lets python's pickle read what Encode writes.
func TestEncodePython(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var in bytes.Buffer
	var want []string
	add := func(v any) {
		data, err := Encode(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeReply(data, Limits{})
		if err != nil || Repr(back) != Repr(v) {
			t.Fatalf("our own reader: %v\n got %s\nwant %s", err, Repr(back), Repr(v))
		}
		in.WriteString(base64.StdEncoding.EncodeToString(data) + "\n")
		want = append(want, Repr(v))
	}
	for range 400 {
		add(Tuple{0, randomValue(r, 5)})
	}
	for _, n := range []int64{0, 255, 256, 65535, 65536, math.MaxInt32, math.MaxInt32 + 1, -1, math.MinInt32, math.MinInt32 - 1, math.MaxInt64, math.MinInt64} {
		add(n)
	}
	add([]string{"a", "", "ä"})
	add(Set{int64(1)})
	add("before " + frameEnd + " \\ \n \U0001f600 after")
	for _, e := range []*Exception{
		ErrorUnknownJail("no'jail"), ErrorDuplicateJail("x"), ErrorValue("v %d", 1), ErrorName("n"),
		ErrorUnknownAction("a"), ErrorPlain("p"), errorIndex(), plainException.with(), keyError.with(int64(1), "b"),
	} {
		add(Tuple{1, e})
	}
	out := python(t, `
import sys, pickle, base64
for line in sys.stdin:
    data = base64.b64decode(line)
    assert b"<F2B_END_COMMAND>" not in data
    print(base64.b64encode(repr(pickle.loads(data)).encode()).decode())
`, in.Bytes())
	lines := strings.Fields(string(out))
	if len(lines) != len(want) {
		t.Fatalf("%d answers for %d values", len(lines), len(want))
	}
	for i, line := range lines {
		if got, _ := base64.StdEncoding.DecodeString(line); string(got) != want[i] {
			t.Errorf("\n got %s\nwant %s", got, want[i])
		}
	}
}

// TestDecodeReplyPython reads what fail2ban's server puts into replies.
func TestDecodeReplyPython(t *testing.T) {
	out := python(t, `
import pickle, base64, json
from fail2ban.exceptions import UnknownJailException, DuplicateJailException
from fail2ban.server.ipdns import IPAddr
err = None
try: json.loads("{")
except Exception as e: err = e
extra = ValueError("with attributes"); extra.note = [1]
for v in [(1, UnknownJailException("x")), (1, DuplicateJailException("x")), (1, KeyError("k")), (1, PermissionError(13, "no", "/f")),
          (1, err), (1, extra), (0, [IPAddr("192.0.2.1"), IPAddr("2001:db8::/32")]), (0, {3})]:
    print(*[base64.b64encode(pickle.dumps(v, p)).decode() for p in range(6)])
`, nil)
	want := []any{
		Tuple{int64(1), ErrorUnknownJail("x")},
		Tuple{int64(1), ErrorDuplicateJail("x")},
		Tuple{int64(1), keyError.with("k")},
		Tuple{int64(1), class{"builtins", "OSError"}.with(int64(13), "no", "/f")},
		Tuple{int64(1), class{"json.decoder", "JSONDecodeError"}.with("Expecting property name enclosed in double quotes", "{", int64(1))},
		Tuple{int64(1), ErrorValue("with attributes")},
		Tuple{int64(0), []any{"192.0.2.1", "2001:db8::/32"}},
		Tuple{int64(0), Set{int64(3)}},
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d answers for %d values", len(lines), len(want))
	}
	for i, line := range lines {
		for protocol, word := range strings.Fields(line) {
			data, _ := base64.StdEncoding.DecodeString(word)
			got, err := DecodeReply(data, Limits{})
			if err != nil {
				t.Fatalf("%d, protocol %d: %v", i, protocol, err)
			}
			if strings.Replace(Repr(got), "PermissionError", "OSError", 1) != Repr(want[i]) {
				t.Errorf("protocol %d\n got %s\nwant %s", protocol, Repr(got), Repr(want[i]))
			}
			// A request may hold none of them, but the set of protocol 4.
			if _, err := Decode(data, Limits{}); err == nil && !(i == 7 && protocol >= 4) {
				t.Errorf("%d, protocol %d: accepted in a request", i, protocol)
			}
		}
	}
}

func TestDecode(t *testing.T) {
	good := func(data, want string) {
		t.Helper()
		v, err := Decode([]byte(data), Limits{})
		if err != nil || Repr(v) != want {
			t.Errorf("%q: %s, %v; want %s", data, Repr(v), err, want)
		}
	}
	bad := func(data string, want error) {
		t.Helper()
		if v, err := Decode([]byte(data), Limits{Values: 1000}); !errors.Is(err, ErrPickle) || !errors.Is(err, want) {
			t.Errorf("%q: %s, %v; want %v", data, Repr(v), err, want)
		}
	}
	good("\x80\x05\x95\x0b\x00\x00\x00\x00\x00\x00\x00]\x94\x8c\x04ping\x94a.", "['ping']")
	good("\x80\x02](U\x06statusU\x04sshde.", "['status', 'sshd']") // byte strings of Python 2
	good("(lp0\nS'ping'\np1\na.", "['ping']")
	good(`S'a\'\x41\n'`+"\n.", `"a'A\n"`)
	good("\x80\x02X\x03\x00\x00\x00\xed\xb3\xbf.", `'\udcff'`) // a byte of a command line that is no UTF-8
	good("\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.", "'\ufffd'")
	good("I01\n.", "True")
	good("N.trailing", "None")

	bad("", io.ErrUnexpectedEOF)
	bad("\x80\x02]", io.ErrUnexpectedEOF)
	bad("\x8c\xffshort", io.ErrUnexpectedEOF)
	bad("\x8d\xff\xff\xff\xff\xff\xff\xff\xffx.", io.ErrUnexpectedEOF)
	bad("\x80\x06N.", ErrPickle)
	bad(".", ErrPickle)
	bad("(.", ErrPickle)
	bad("NN.", ErrPickle)
	bad("h\x00.", ErrPickle)
	bad("(a.", ErrPickle)
	bad("NNa.", ErrPickle)
	bad("}]Ns.", ErrPickle) // a list as a key
	bad("}(Nu.", ErrPickle)
	bad("\x8a\x09123456789.", ErrPickle)
	bad("L123456789012345678901234567890L\n.", ErrPickle)
	bad("X\x01\x00\x00\x00\xff.", ErrPickle)
	bad("U\x01\xff.", ErrPickle)
	bad("cos\nsystem\n(S'true'\ntR.", ErrPickle)
	bad("\x8c\x02os\x8c\x06system\x93.", ErrPickle)
	bad("]\x94h\x00a.", ErrPickleLimit)                                        // a list in itself
	bad(strings.Repeat("]", 400)+strings.Repeat("a", 399)+".", ErrPickleLimit) // deep
	bad(strings.Repeat("]", 2000)+".", ErrPickleLimit)
	// Each list holds the one before ten times: 10^9 values in 250 bytes.
	bomb := "N\x94"
	for i := range 9 {
		bomb += "0(" + strings.Repeat("h"+string(rune(i)), 10) + "l\x94"
	}
	bad(bomb+".", ErrPickleLimit)
	// One long text, 500 times.
	bad("X\x00\x00\x01\x00"+strings.Repeat("x", 1<<16)+"\x940("+strings.Repeat("h\x00", 500)+"l.", ErrPickleLimit)
}

func TestRepr(t *testing.T) {
	f := func(v any, want string) {
		t.Helper()
		if got := Repr(v); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(1.0, "1.0")
	f(1e16, "1e+16")
	f(123456789012345.6, "123456789012345.6")
	f(0.0001, "0.0001")
	f(0.00001, "1e-05")
	f(math.Inf(-1), "-inf")
	f(Tuple{1}, "(1,)")
	f(Tuple{}, "()")
	f(Set{}, "set()")
	f(Dict{{"a", nil}, {int64(1), true}}, "{'a': None, 1: True}")
	f(`it's`, `"it's"`)
	f(`it's "x"`, `'it\'s "x"'`)
	f("\x1b[31m\u202e\u00a0", `'\x1b[31m\u202e\xa0'`)
	f("a\xffb", `'a\udcffb'`)
	f(ErrorValue("x"), "ValueError('x')")
}
