package sinks

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// model is what is wanted, in the plainest form: who is banned until when.
type model map[netip.Prefix]int64

// until is when an address is free; 0: it is.
func (m model) until(a netip.Addr) (latest int64) {
	for bits := range a.BitLen() + 1 {
		latest = max(latest, m[netip.PrefixFrom(a, bits).Masked()])
	}
	return latest
}

// randomPrefix picks from a small world, so that bans meet: single addresses,
// networks around them and networks in those.
func randomPrefix(r *rand.Rand) netip.Prefix {
	if r.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte{198, 51, byte(r.IntN(2)), byte(r.IntN(256))})
		bits := 32
		if r.IntN(3) == 0 {
			bits = 22 + r.IntN(11)
		}
		return netip.PrefixFrom(a, bits).Masked()
	}
	a := netip.AddrFrom16([16]byte{0x20, 1, 5: byte(r.IntN(2)), 7: byte(r.IntN(4)), 15: byte(r.IntN(64))})
	bits := []int{128, 128, 64, 64, 48, 56, 120, 126}[r.IntN(8)]
	return netip.PrefixFrom(a, bits).Masked()
}

// steps is how many random steps a model test takes; make soak takes 10,000.
func steps() int {
	switch {
	case os.Getenv("F2BPIPE_SOAK") == "1":
		return 10_000
	case testing.Short():
		return 100
	}
	return 600
}

// TestModel takes random steps (bans, unbans, prolongations, of addresses and
// of networks that overlap, in batches; restarts and foreign flushes) and
// compares the kernel with the model after each.
func TestModel(t *testing.T) {
	for _, layout := range []Layout{LayoutOwn, LayoutClassic} {
		t.Run(fmt.Sprint(layout), func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, uint64(layout)))
			k := newKernel(t, Config{Layout: layout})
			k.set("sshd", Action{})
			m := make(model)
			for step := range steps() {
				switch r.IntN(40) {
				case 0:
					k.nft("flush", "ruleset")
					k.Compare()
				case 1:
					k.reopen(Config{Layout: layout})
					k.set("sshd", Action{})
					k.apply(m.orders(k)...)
					if err := k.Reconcile(); err != nil {
						t.Fatal(err)
					}
				default:
					randomStep(k, m, r)
				}
				if err := m.compare(k, layout); err != nil {
					t.Fatalf("step %d: %v\n%s", step, err, k.nft("list", "ruleset"))
				}
			}
		})
	}
}

// randomStep applies a batch of random orders to the kernel and the model.
func randomStep(k *kernel, m model, r *rand.Rand) {
	k.t.Helper()
	var orders []pipeline.Order
	for range 1 + r.IntN(1+r.IntN(100)) {
		p := randomPrefix(r)
		verb := []pipeline.Verb{pipeline.VerbBan, pipeline.VerbProlong, pipeline.VerbUnban}[r.IntN(3)]
		if verb == pipeline.VerbUnban && r.IntN(2) == 0 && len(m) > 0 {
			for p = range m { // somebody who is banned
				break
			}
		}
		seconds := 1000 + 1000*r.IntN(100)
		if r.IntN(10) == 0 {
			seconds = -1
		}
		o := k.order(verb, "sshd", p.String(), seconds)
		orders = append(orders, o)
		if verb == pipeline.VerbUnban {
			delete(m, p)
		} else {
			m[p] = o.Ban.UntilNanos
		}
	}
	k.apply(orders...)
}

// orders bans all that is wanted, as after a restart.
func (m model) orders(k *kernel) (orders []pipeline.Order) {
	for p, untilNanos := range m {
		o := k.order(pipeline.VerbBan, "sshd", p.String(), 0)
		o.Ban.UntilNanos = untilNanos
		orders = append(orders, o)
	}
	return orders
}

// compare looks at every address where something begins or ends, and beside it.
func (m model) compare(k *kernel, layout Layout) error {
	elements, err := k.Elements("sshd")
	if err != nil {
		return err
	}
	var edges []netip.Addr
	for _, e := range elements {
		edges = append(edges, e.First.Prev(), e.First, e.Last, e.Last.Next())
	}
	for p := range m {
		last := network{first: keyOf(p.Addr()), bits: uint8(p.Bits())}.last(p.Addr().BitLen() / 8).addr(p.Addr().BitLen() / 8)
		edges = append(edges, p.Addr().Prev(), p.Addr(), last, last.Next())
	}
	slices.SortFunc(edges, netip.Addr.Compare)
	var around []Element // those that begin at or before a and do not end before it
	for _, a := range slices.Compact(edges) {
		if !a.IsValid() {
			continue
		}
		for len(elements) > 0 && elements[0].First.Compare(a) <= 0 {
			around, elements = append(around, elements[0]), elements[1:]
		}
		around = slices.DeleteFunc(around, func(e Element) bool { return e.Last.Compare(a) < 0 })
		if err := same(a, m.until(a), k.now, around, layout); err != nil {
			return err
		}
	}
	return nil
}

// same compares what the model and the kernel say of one address.
func same(a netip.Addr, untilNanos, nowNanos int64, elements []Element, layout Layout) error {
	banned, permanent, left := false, false, time.Duration(0)
	for _, e := range elements {
		if e.First.Compare(a) <= 0 && a.Compare(e.Last) <= 0 {
			banned, permanent, left = true, permanent || e.Left == 0, max(left, e.Left)
		}
	}
	want := time.Duration(untilNanos - nowNanos)
	switch {
	case banned != (untilNanos != 0):
		return fmt.Errorf("%v: kernel has it %v, wanted until %d", a, banned, untilNanos)
	case !banned || layout == LayoutClassic:
		return nil
	case permanent != (untilNanos == pipeline.Permanent):
		return fmt.Errorf("%v: permanent in the kernel: %v", a, permanent)
	case !permanent && (left > want+time.Second || left < want-5*time.Minute):
		return fmt.Errorf("%v: %v left, want %v", a, left, want)
	}
	return nil
}

// TestModelExpiry: the model's clock is the kernel's: short bans end while
// others are made, and both agree on who is left.
func TestModelExpiry(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	k := newKernel(t, Config{Now: time.Now})
	k.set("sshd", Action{})
	m := make(model)
	length := 4 * time.Second
	if testing.Short() {
		length = 1500 * time.Millisecond // bans of a second end within
	}
	began := time.Now()
	for time.Since(began) < length {
		k.now = time.Now().UnixNano()
		var orders []pipeline.Order
		for range 1 + r.IntN(20) {
			p := randomPrefix(r)
			o := k.order(pipeline.VerbBan, "sshd", p.String(), 1+r.IntN(2))
			orders = append(orders, o)
			m[p] = o.Ban.UntilNanos
		}
		k.apply(orders...)
		elements, err := k.Elements("sshd")
		if err != nil {
			t.Fatal(err)
		}
		// What ends about now may or may not be there.
		const slack = int64(50e6)
		now := time.Now().UnixNano()
		for range 50 {
			a := randomPrefix(r).Addr()
			untilNanos := m.until(a)
			banned := slices.ContainsFunc(elements, func(e Element) bool { return e.First.Compare(a) <= 0 && a.Compare(e.Last) <= 0 })
			if untilNanos > now+slack && !banned || untilNanos < k.now-slack && banned {
				t.Fatalf("%v: banned %v, wanted for %v", a, banned, time.Duration(untilNanos-now))
			}
		}
	}
}
