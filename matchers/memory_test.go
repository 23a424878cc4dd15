package matchers_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// A process that ends after any line, and another one that goes on with what it
// remembered, find what one alone finds.
func TestMemory(t *testing.T) {
	names := []string{"sshd[mode=aggressive]", "mongodb-auth", "postfix[mode=aggressive]"}
	var text []byte
	for _, log := range []string{"sshd", "mongodb-auth", "postfix"} {
		data, err := os.ReadFile(testenv.Shared(t, "fail2ban", "logs", log))
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, data...)
	}
	o := matchers.Options{Clock: matchers.ByLog, Fields: true}
	batches := blocks(text, 1)
	var want []string
	jails := stockJails(t, names...)
	whole := setOf(t, o, jails)
	for _, b := range batches {
		want = describe(want, whole.Match(nil, b))
	}
	if len(want) < 50 {
		t.Fatalf("only %d failures", len(want))
	}

	rnd := rand.New(rand.NewPCG(3, 4))
	kept := map[[2]string][]byte{}
	var got []string
	restarts, changes, all := 0, 0, 0
	set := setOf(t, o, jails)
	for _, b := range batches {
		got = describe(got, set.Match(nil, b))
		if rnd.IntN(3) == 0 {
			memory, whole := set.Memory(nil, rnd.IntN(10) == 0)
			if whole {
				clear(kept)
				all++
			}
			changes += len(memory)
			for _, m := range memory {
				if m.Value == nil {
					delete(kept, [2]string{m.Jail, m.Key})
				} else {
					kept[[2]string{m.Jail, m.Key}] = m.Value
				}
			}
			if rnd.IntN(2) == 0 {
				restarts++
				set = setOf(t, o, jails)
				var stored []pipeline.Memory
				for k, v := range maps.All(kept) {
					stored = append(stored, pipeline.Memory{Jail: k[0], Key: k[1], Value: v})
				}
				set.Restore(stored)
			}
		}
	}
	if restarts < 20 || changes == 0 || all < restarts {
		t.Errorf("%d restarts, %d changes, %d times all", restarts, changes, all)
	}
	if !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("failure %d:\n got %s\nwant %s", i, got[i], want[i])
			}
		}
		t.Fatalf("%d failures, want %d", len(got), len(want))
	}
}

// What is stored may be anything.
func FuzzMemory(f *testing.F) {
	f.Add("s123", []byte("\x01\x02\x01\x01\x01\x04user\x03joe"))
	f.Add("d", []byte{1, 2, 3})
	f.Add("l", []byte("\x01\x03abc\x03abc"))
	names := []string{"sshd[mode=aggressive]", "mongodb-auth"}
	set := stockSet(f, matchers.Options{Clock: matchers.ByLog}, names...)
	line := []byte("Jan  1 00:00:00 h sshd[1]: Connection closed by 192.0.2.1\n")
	f.Fuzz(func(_ *testing.T, key string, value []byte) {
		var stored []pipeline.Memory
		for _, jail := range names {
			stored = append(stored, pipeline.Memory{Jail: jail, Key: key, Value: value})
		}
		set.Restore(stored)
		set.Match(nil, &pipeline.Batch{Input: pipeline.NewInput("x", nil), Data: line, First: 1, Lines: 1})
		again, _ := set.Memory(nil, true)
		set.Restore(again)
	})
}
