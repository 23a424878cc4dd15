package sinks

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// freshOrders makes orders for addresses that no order has named yet.
func (k *kernel) freshOrders(dst []pipeline.Order, from int) {
	jail := k.order(pipeline.VerbBan, "sshd", "192.0.2.1", 3600)
	for i := range dst {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 1<<24+uint32(from+i))
		dst[i] = jail
		dst[i].Ban.ID = pipeline.AddrID(netip.AddrFrom4(a))
	}
}

// BenchmarkBan bans addresses of IPv4 that are not banned yet, so many a transaction:
//
//	go test -run '^$' -bench BenchmarkBan ./sinks
func BenchmarkBan(b *testing.B) {
	for _, batch := range []int{1, 10, 100, 1000, 4096} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			k := newKernel(b, Config{})
			k.set("sshd", Action{})
			k.ban("sshd", "192.0.2.1")
			orders := make([]pipeline.Order, batch)
			b.ReportAllocs()
			from := 0
			for b.Loop() {
				k.freshOrders(orders, from)
				from += batch
				k.Apply(b.Context(), k.now, orders)
				if orders[0].Err != nil {
					b.Fatal(orders[0].Err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(from), "ns/ban")
		})
	}
}

// BenchmarkProlong prolongs bans in force.
func BenchmarkProlong(b *testing.B) {
	for _, batch := range []int{1, 4096} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			k := newKernel(b, Config{})
			k.set("sshd", Action{})
			orders := make([]pipeline.Order, batch)
			total := 0
			for b.Loop() {
				k.now += 1e9
				k.freshOrders(orders, 0)
				k.Apply(b.Context(), k.now, orders)
				if orders[0].Err != nil {
					b.Fatal(orders[0].Err)
				}
				total += batch
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/ban")
		})
	}
}

// BenchmarkHundredThousand puts 100,000 bans into the kernel, and lets nft do
// the same from one file:
//
//	go test -run '^$' -bench BenchmarkHundredThousand -benchtime 3x ./sinks
func BenchmarkHundredThousand(b *testing.B) {
	const n = 100_000
	b.Run("by=f2bpipe", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			k := newKernel(b, Config{})
			k.set("sshd", Action{})
			orders := make([]pipeline.Order, n)
			k.freshOrders(orders, 0)
			b.StartTimer()
			k.apply(orders...)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/ban")
	})
	b.Run("by=nft", func(b *testing.B) {
		file := filepath.Join(b.TempDir(), "bans.nft")
		var text strings.Builder
		text.WriteString("table inet f2bpipe {\nset addr4-sshd { type ipv4_addr; flags timeout; elements = {\n")
		k := newKernel(b, Config{})
		orders := make([]pipeline.Order, n)
		k.freshOrders(orders, 0)
		for _, o := range orders {
			fmt.Fprintf(&text, "%v timeout 1h,\n", o.Ban.ID)
		}
		text.WriteString("}\n}\nchain prerouting { type filter hook prerouting priority -150;\nip saddr @addr4-sshd drop\n}\n}\n")
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			b.StopTimer()
			k.nft("flush", "ruleset")
			b.StartTimer()
			if out, err := exec.Command("nft", "-f", file).CombinedOutput(); err != nil {
				b.Fatalf("nft: %v: %s", err, out)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/ban")
	})
}

// BenchmarkLatency is the time of one Apply of one order, paced a millisecond apart.
func BenchmarkLatency(b *testing.B) {
	k := newKernel(b, Config{})
	k.set("sshd", Action{})
	k.ban("sshd", "192.0.2.1")
	orders := make([]pipeline.Order, 1)
	var times []time.Duration
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for b.Loop() {
		<-pace.C
		k.freshOrders(orders, len(times))
		began := time.Now()
		k.Apply(b.Context(), k.now, orders)
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "ns-p50")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "ns-p99")
}
