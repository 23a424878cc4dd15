package main

import (
	"bufio"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"
)

// generator turns events into lines in the order of their times. An event is a
// call that emits the lines of one session, each with its delay.
type generator struct {
	*rand.Rand
	out   *bufio.Writer
	host  string    // the name in the syslog header
	now   time.Time // when the event that is being emitted began
	queue lineQueue // lines whose time has not come
	seq   int       // lines emitted, to order those of one microsecond
	limit int       // lines to write at most
	wrote int       // lines written
}

// line is a written line that waits for its time.
type line struct {
	at   time.Time
	seq  int
	text string
}

func newGenerator(out *bufio.Writer, o options) *generator {
	return &generator{
		Rand:  rand.New(rand.NewPCG(o.seed, 0x66326270697065)),
		out:   out,
		host:  "mail",
		now:   o.start,
		limit: 1 << 62,
	}
}

// syslog emits "TIME HOST tag: message" in RFC 3339, after microseconds.
func (g *generator) syslog(after time.Duration, tag, format string, args ...any) {
	at := g.now.Add(after).Truncate(time.Microsecond)
	stamp := at.Format("2006-01-02T15:04:05.000000-07:00")
	g.push(at, stamp+" "+g.host+" "+tag+": "+fmt.Sprintf(format, args...))
}

// push queues one line.
func (g *generator) push(at time.Time, text string) {
	g.seq++
	heap.Push(&g.queue, line{at, g.seq, text})
}

// drain writes the queued lines that are older than until.
func (g *generator) drain(until time.Time) {
	for len(g.queue) > 0 && g.queue[0].at.Before(until) {
		g.flushOne()
	}
}

func (g *generator) flushOne() {
	l := heap.Pop(&g.queue).(line)
	if g.wrote < g.limit {
		// An error stays in the writer and is returned by its Flush.
		g.out.WriteString(l.text)
		g.out.WriteByte('\n')
		g.wrote++
	}
}

// actor is somebody who does the same thing again and again: a person, a
// program, an attacker.
type actor struct {
	from, to time.Duration // since midnight
	every    time.Duration // mean distance of two deeds
	jitter   float64       // share of every by which the distance varies
	deed     func()
}

// play lets the actors do their deeds over one day and writes all lines.
func (g *generator) play(cast []actor, host string) {
	g.host = host
	midnight := g.now
	next := make([]time.Time, len(cast))
	for i, a := range cast {
		next[i] = midnight.Add(a.from)
	}
	for {
		first := -1
		for i, a := range cast {
			if next[i].Sub(midnight) <= a.to && (first < 0 || next[i].Before(next[first])) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		g.now = next[first]
		g.drain(g.now)
		cast[first].deed()
		a := cast[first]
		step := float64(a.every) * (1 + a.jitter*(2*g.Float64()-1))
		next[first] = g.now.Add(time.Duration(step))
	}
	for len(g.queue) > 0 {
		g.flushOne()
	}
}

// draw writes o.lines lines of independent events.
func (g *generator) draw(o options) error {
	ordinary, hostile, err := events(g, o.service)
	if err != nil {
		return err
	}
	share := map[string]float64{"mixed": o.failures, "clean": 0, "attack": 1}[o.kind]
	g.limit = o.lines
	begin := g.now
	for g.wrote < o.lines {
		if g.Float64() < share {
			hostile.pick(g)()
		} else {
			ordinary.pick(g)()
		}
		g.now = begin.Add(time.Duration(float64(g.seq) / o.rate * float64(time.Second)))
		g.drain(g.now)
	}
	return nil
}

// weighted are events to draw from.
type weighted []struct {
	weight int
	event  func()
}

func (w weighted) pick(g *generator) func() {
	total := 0
	for _, e := range w {
		total += e.weight
	}
	n := g.IntN(total)
	for _, e := range w {
		if n -= e.weight; n < 0 {
			return e.event
		}
	}
	return w[len(w)-1].event
}

// one returns one of the choices.
func one[T any](g *generator, choices ...T) T { return choices[g.IntN(len(choices))] }

// ms returns a duration between low and high milliseconds.
func (g *generator) ms(low, high int) time.Duration {
	return time.Duration(low*1000+g.IntN((high-low)*1000+1)) * time.Microsecond
}

func (g *generator) port() int { return 1024 + g.IntN(64000) }
func (g *generator) pid() int  { return 1000 + g.IntN(4_000_000) }

// text returns n characters of the alphabet.
func (g *generator) text(n int, alphabet string) string {
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[g.IntN(len(alphabet))])
	}
	return b.String()
}

const (
	hexDigits    = "0123456789ABCDEF"
	base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

// attacker returns an address out of about 600, one in twenty of them IPv6;
// 203.0.113.0/24 and 198.51.100.0/24 attack, 192.0.2.0/24 is at home here.
func (g *generator) attacker() string {
	n := min(g.IntN(600), g.IntN(600)) // some try more often than others
	if g.IntN(20) == 0 {
		return v6(0xbad, uint16(n), 1)
	}
	if n < 250 {
		return netip.AddrFrom4([4]byte{203, 0, 113, byte(n + 1)}).String()
	}
	return netip.AddrFrom4([4]byte{198, 51, 100, byte(n%250 + 1)}).String()
}

// visitor returns the address of somebody who may come in.
func (g *generator) visitor() string {
	n := g.IntN(200)
	if g.IntN(20) == 0 {
		return v6(0x900d, uint16(n), 0x10)
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(n + 20)}).String()
}

// v6 returns 2001:db8:NET:SUBNET::HOST.
func v6(net, subnet, host uint16) string {
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(net >> 8), byte(net), byte(subnet >> 8), byte(subnet)}
	a[14], a[15] = byte(host>>8), byte(host)
	return netip.AddrFrom16(a).String()
}

// lineQueue is a heap of lines by time, then by the order of their emission.
type lineQueue []line

func (q lineQueue) Len() int { return len(q) }
func (q lineQueue) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].seq < q[j].seq
	}
	return q[i].at.Before(q[j].at)
}
func (q lineQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *lineQueue) Push(x any)   { *q = append(*q, x.(line)) }
func (q *lineQueue) Pop() any {
	last := len(*q) - 1
	l := (*q)[last]
	*q = (*q)[:last]
	return l
}
