package ignore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// oracleCase is a configuration and who is asked about.
type oracleCase struct {
	Own     []string            `json:"own"`
	Self    bool                `json:"self"`
	Zone    map[string][]string `json:"zone"`
	Items   []string            `json:"items"`
	Command string              `json:"command"`
	IDs     []string            `json:"ids"`
}

func randomCase(r *rand.Rand) oracleCase {
	c := oracleCase{Self: r.IntN(2) == 0, Zone: map[string][]string{}}
	addrs := make([]netip.Addr, 12)
	for i := range addrs {
		addrs[i] = randomAddr(r)
	}
	pick := func() netip.Addr { return addrs[r.IntN(len(addrs))] }
	for i := range r.IntN(4) {
		name := fmt.Sprintf("host%d.example.net", i)
		c.Zone[name] = []string{}
		for range r.IntN(4) {
			c.Zone[name] = append(c.Zone[name], pick().String())
		}
		c.Items = append(c.Items, name)
	}
	for range r.IntN(6) {
		a := pick()
		item := a.String()
		switch r.IntN(5) {
		case 0:
			item = fmt.Sprintf("%s/%d", a, r.IntN(a.BitLen()+1))
		case 1:
			item = fmt.Sprintf("%s/%d", a, a.BitLen()-r.IntN(9))
		case 2:
			if a.Is4() {
				item += "/255.255.252.0"
			} else {
				item = "[" + item + "]"
			}
		case 3:
			if a.Is4() {
				item = "::ffff:" + item
			}
		}
		c.Items = append(c.Items, item)
	}
	r.Shuffle(len(c.Items), func(i, j int) { c.Items[i], c.Items[j] = c.Items[j], c.Items[i] })
	for range r.IntN(3) {
		c.Own = append(c.Own, pick().String())
	}
	if r.IntN(24) == 0 {
		c.Command = "case <ip> in *1*) exit 1;; esac"
	}
	for range 10 {
		c.IDs = append(c.IDs, pick().String())
	}
	return c
}

// answers are what a guard says, the command included, as fail2ban's log has it.
func answers(t *testing.T, c oracleCase) []string {
	z := &zone{}
	for name, addrs := range c.Zone {
		z.set(name, addrs...)
	}
	own := func() (out []netip.Addr, err error) {
		for _, a := range c.Own {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
	b := newBench(Config{Lookup: z, Own: own}, Rules{Self: c.Self, Items: c.Items, Command: c.Command})
	b.run(t)
	synctest.Wait()
	var out []string
	for _, id := range c.IDs {
		f := &pipeline.Failure{Jail: b.jail, ID: pipeline.ParseID(id)}
		if !b.Ignores(f) && c.Command != "" {
			<-b.judge(f)
		}
		out = append(out, "")
		if n := len(b.seen.list); n > 0 {
			out[len(out)-1], b.seen.list = b.seen.list[n-1], nil
		}
	}
	return out
}

func TestAgainstFail2ban(t *testing.T) {
	python := testenv.Python(t)
	r := rand.New(rand.NewPCG(3, 4))
	const count = 300
	cases := make([]oracleCase, count)
	var in bytes.Buffer
	for i := range cases {
		cases[i] = randomCase(r)
		if err := json.NewEncoder(&in).Encode(cases[i]); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(python, "testdata/ignore.py")
	cmd.Stdin = &in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	replies := json.NewDecoder(bytes.NewReader(out))
	kinds := map[string]int{}
	for i, c := range cases {
		var want []string
		if err := replies.Decode(&want); err != nil {
			t.Fatal(err)
		}
		var got []string
		synctest.Test(t, func(t *testing.T) { got = answers(t, c) })
		if !slices.Equal(got, want) {
			t.Fatalf("case %d %+v:\ngot  %q\nwant %q", i, c, got, want)
		}
		for _, text := range want {
			kinds[text[strings.LastIndexByte(text, ' ')+1:]]++
		}
	}
	for kind, least := range map[string]int{"": 500, "ip": 100, "dns": 100, "rule": 20, "command": 5} {
		if kinds[kind] < least {
			t.Errorf("only %d answers %q", kinds[kind], kind)
		}
	}
	t.Logf("%d answers: %v", count*10, kinds)
}
