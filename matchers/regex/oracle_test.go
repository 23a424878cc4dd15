package regex

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// oracle is CPython's re in a child process.
type oracle struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// newOracle starts the child; it ends with the test.
func newOracle(t testing.TB) *oracle {
	t.Helper()
	cmd := exec.Command(testenv.Python(t), "testdata/oracle.py")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("oracle: %v", err)
		}
	})
	return &oracle{in, bufio.NewReader(out)}
}

// verdict is what the oracle says of one text.
type verdict struct {
	timeout bool
	spans   []int32 // nil: no match
}

// UnmarshalJSON reads null, "timeout" or the spans.
func (v *verdict) UnmarshalJSON(b []byte) error {
	if string(b) == `"timeout"` {
		v.timeout = true
		return nil
	}
	return json.Unmarshal(b, &v.spans)
}

// ask returns Python's error text, or its verdict on each text.
func (o *oracle) ask(pattern, flags string, at int, texts []string) (string, []verdict, error) {
	q, err := json.Marshal(map[string]any{"p": pattern, "f": flags, "t": texts, "at": at})
	if err != nil {
		return "", nil, err
	}
	q = append(binary.BigEndian.AppendUint32(nil, uint32(len(q))), q...)
	if _, err := o.in.Write(q); err != nil {
		return "", nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(o.out, head[:]); err != nil {
		return "", nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(o.out, reply); err != nil {
		return "", nil, err
	}
	var a struct {
		E *string
		R []verdict
	}
	if err := json.Unmarshal(reply, &a); err != nil {
		return "", nil, err
	}
	if a.E != nil {
		return *a.E, nil, nil
	}
	return "", a.R, nil
}

// flagsOf reads flag letters.
func flagsOf(letters string) (f Flags) {
	for i, c := range "imsxa" {
		if strings.ContainsRune(letters, c) {
			f |= 1 << i
		}
	}
	return f
}

// refusedOnPurpose says that an error is one of those that the package doc
// lists: what Python may take, or mistakes that it would find later.
func refusedOnPurpose(msg string) bool {
	return strings.Contains(msg, " not supported at ") || strings.HasPrefix(msg, "lone surrogate ") ||
		strings.HasPrefix(msg, "repeat counts multiply")
}

// tally counts what was compared.
type tally struct{ cases, matches, timeouts, complex int }

// compare holds both machines against the oracle on texts and counts the
// cases. It returns the differences in words.
func (o *oracle) compare(t testing.TB, m *Machine, pattern, flags string, texts []string, count *tally) (diffs []string) {
	t.Helper()
	pyErr, want, err := o.ask(pattern, flags, 0, texts)
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	re, err := Compile(pattern, flagsOf(flags))
	if err != nil || pyErr != "" {
		if got := fmt.Sprint(err); (err == nil || got != pyErr) && !refusedOnPurpose(got) {
			diffs = append(diffs, fmt.Sprintf("pattern %q flags %q: error %q, python %q", pattern, flags, got, pyErr))
		}
		return diffs
	}
	for k, text := range texts {
		if want[k].timeout {
			count.timeouts++
			continue
		}
		count.cases++
		if want[k].spans != nil {
			count.matches++
		}
		for name, search := range map[string]func(*Machine, []byte, int) ([]int32, Result){"fast": re.Search, "slow": re.SearchSlow, "viewed": re.searchViewed} {
			got, res := search(m, []byte(text), 0)
			switch {
			case res == TooComplex:
				count.complex++
				t.Logf("too complex: pattern %q flags %q text %q", pattern, flags, text)
			case !slices.Equal(got, want[k].spans) || (res == Match) != (want[k].spans != nil):
				diffs = append(diffs, fmt.Sprintf("pattern %q flags %q text %q: %s %v, python %v", pattern, flags, text, name, got, want[k].spans))
			}
		}
	}
	return diffs
}
