package pipeline

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// failManager is Debian's FailManager in a child process.
const failManager = `
import sys
from fail2ban.server.failmanager import FailManager
from fail2ban.server.ticket import FailTicket
from fail2ban.server.ipdns import IPAddr
fm = None
def count(ip):
    t = fm._FailManager__failList.get(IPAddr(ip))
    return 0 if t is None else t.getRetry()
for line in sys.stdin:
    a = line.split()
    if a[0] == "new":
        fm = FailManager(); fm.setMaxRetry(int(a[1])); fm.setMaxTime(float(a[2]))
        continue
    if a[0] == "clean":
        fm.cleanup(float(a[1]))
        print(fm.size(), flush=True)
        continue
    n = fm.addFailure(FailTicket(a[1], float(a[2]), data={}), int(a[3]))
    ban = "-"
    if n >= fm.getMaxRetry():
        t = fm.toBan(IPAddr(a[1]))
        ban = "%.2f/%d" % (t.getTime(), t.getRetry())
    print(count(a[1]), ban, fm.size(), flush=True)
`

type oracle struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func newOracle(t *testing.T) *oracle {
	cmd := exec.Command(testenv.Python(t), "-u", "-c", failManager)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("python: %v: %s", err, stderr.String())
		}
	})
	return &oracle{t, in, bufio.NewScanner(out)}
}

// ask sends commands and returns a line for each but "new".
func (o *oracle) ask(commands []string) []string {
	o.t.Helper()
	go io.WriteString(o.in, strings.Join(commands, "\n")+"\n")
	var replies []string
	for _, c := range commands {
		if strings.HasPrefix(c, "new") {
			continue
		}
		if !o.out.Scan() {
			o.t.Fatalf("no reply to %q", c)
		}
		replies = append(replies, o.out.Text())
	}
	return replies
}

// sequence is a random story of a few addresses, with times around findtime,
// bursts, lines out of order, and cleanups.
func sequence(r *rand.Rand, now float64) (p Policy, commands []string) {
	findtime := 20 + r.IntN(600)
	p = Policy{MaxRetry: 1 + r.IntN(8), FindTime: time.Duration(findtime) * time.Second, BanTime: time.Minute}
	commands = append(commands, fmt.Sprintf("new %d %d", p.MaxRetry, findtime))
	// Quarters are exact in binary: fail2ban's floats hide nothing.
	step := func(max float64) float64 { return float64(int(4*r.Float64()*max)) / 4 }
	for range 60 {
		switch r.IntN(12) {
		case 0:
			now += step(float64(findtime) * 1.5)
		case 1:
			commands = append(commands, fmt.Sprintf("clean %.2f", now))
			continue
		case 2, 3, 4:
			now += step(float64(findtime) / 3)
		default:
			now += step(3)
		}
		at, n := now, 1
		if r.IntN(5) == 0 {
			at -= step(float64(findtime) * 1.2)
		}
		if r.IntN(10) == 0 {
			n += r.IntN(4)
		}
		commands = append(commands, fmt.Sprintf("add 192.0.2.%d %.2f %d", r.IntN(4), at, n))
	}
	return p, commands
}

// nanos turns fail2ban's seconds (quarters of them) into ours.
func nanos(seconds float64) int64 { return int64(seconds*4) * int64(time.Second/4) }

// play runs a sequence through a window and returns what the oracle would print.
func play(t *testing.T, p Policy, commands []string) []string {
	t.Helper()
	w, j := NewWindow(WindowConfig{Entries: 1000}), NewJail("sshd", p)
	var replies []string
	for _, c := range commands[1:] {
		var ip string
		var at float64
		var n int
		if _, err := fmt.Sscanf(c, "clean %f", &at); err == nil {
			w.Expire(nanos(at))
			current, _ := w.Failing(j)
			replies = append(replies, fmt.Sprint(current))
			continue
		}
		if _, err := fmt.Sscanf(c, "add %s %f %d", &ip, &at, &n); err != nil {
			t.Fatal(err)
		}
		id := AddrID(netip.MustParseAddr(ip))
		ban, ok := w.Add(&Failure{Jail: j, ID: id, AtNanos: nanos(at), Count: n})
		verdict := "-"
		if ok {
			verdict = fmt.Sprintf("%.2f/%d", float64(ban.AtNanos)/1e9, ban.Failures)
			if want := ban.AtNanos + int64(p.BanTime); ban.UntilNanos != want || ban.ID != id || ban.Jail != j {
				t.Errorf("%s: ban %+v", c, ban)
			}
		}
		current, _ := w.Failing(j)
		replies = append(replies, fmt.Sprintf("%d %s %d", w.Count(j, id), verdict, current))
	}
	return replies
}

// After every step the counts and bans are those of Debian's FailManager.
func TestEstimateIsFail2bans(t *testing.T) {
	o := newOracle(t)
	steps, bans := 0, 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		p, commands := sequence(r, 1.7e9+float64(r.IntN(1e6)))
		want, got := o.ask(commands), play(t, p, commands)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("seed %d, %s, step %d %q: %q, fail2ban %q\n%s", seed, commands[0], i, commands[i+1], got[i], want[i],
					strings.Join(commands[:i+2], "\n"))
			}
			steps++
			if strings.Contains(want[i], "/") {
				bans++
			}
		}
	}
	if bans < 100 {
		t.Errorf("only %d bans in %d steps: the sequences test nothing", bans, steps)
	}
}

// The rates that were measured on fail2ban: four failures and one a second after
// findtime ban; one failure every 151 s bans, one every 200 s does not.
func TestEstimateMeasured(t *testing.T) {
	f := func(want string, times ...int64) {
		t.Helper()
		w := NewWindow(WindowConfig{})
		j := NewJail("sshd", Policy{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: -1})
		var got []string
		for _, at := range times {
			b, ok := w.Add(&Failure{Jail: j, ID: ParseID("192.0.2.1"), AtNanos: at * 1e9, Count: 1})
			n := w.Count(j, ParseID("192.0.2.1"))
			if ok {
				n = b.Failures
				if b.UntilNanos != Permanent {
					t.Errorf("until %d, want permanent", b.UntilNanos)
				}
			}
			got = append(got, fmt.Sprint(n))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%v: %s, want %s", times, s, want)
		}
	}
	f("1 2 3 4 5", 0, 0, 0, 0, 601)
	f("1 2 3 4 5", 0, 151, 302, 453, 604)
	f("1 2 3 4 4 4 4", 0, 200, 400, 600, 800, 1000, 1200)
}

// naive is the exact window in its plainest form: all failures ever, newest time known.
type naive struct {
	times  []int64
	newest int64
	late   int
}

func (n *naive) add(p Policy, at int64, count int) (int, bool) {
	if len(n.times) == 0 && n.newest == 0 {
		n.newest = at
	}
	n.newest = max(n.newest, at)
	if at < n.newest-int64(p.FindTime) {
		n.late++
	} else {
		for range count {
			n.times = append(n.times, at)
		}
	}
	in := 0
	for _, t := range n.times {
		if t >= n.newest-int64(p.FindTime) {
			in++
		}
	}
	if in >= p.MaxRetry {
		*n = naive{late: n.late}
		return in, true
	}
	return in, false
}

func TestExactIsNaive(t *testing.T) {
	bans, late := 0, 0
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		p, commands := sequence(r, 1.7e9)
		p.Exact = true
		w, j := NewWindow(WindowConfig{Entries: 100}), NewJail("sshd", p)
		model := map[string]*naive{}
		for i, c := range commands[1:] {
			var ip string
			var at float64
			var n int
			if k, _ := fmt.Sscanf(c, "add %s %f %d", &ip, &at, &n); k != 3 {
				continue
			}
			if model[ip] == nil {
				model[ip] = &naive{}
			}
			want, wantBan := model[ip].add(p, nanos(at), n)
			id := ParseID(ip)
			b, ban := w.Add(&Failure{Jail: j, ID: id, AtNanos: nanos(at), Count: n})
			got := w.Count(j, id)
			if ban {
				got, bans = want, bans+1
				if b.Failures < p.MaxRetry {
					t.Fatalf("seed %d: ban on %d failures", seed, b.Failures)
				}
			}
			if got != want || ban != wantBan {
				t.Fatalf("seed %d, %s, step %d %q: %d %v, want %d %v", seed, commands[0], i, c, got, ban, want, wantBan)
			}
		}
		lateHere := 0
		for _, m := range model {
			lateHere += m.late
		}
		if got := w.Stats().Late; got != int64(lateHere) {
			t.Fatalf("seed %d: late %d, want %d", seed, got, lateHere)
		}
		late += lateHere
	}
	if bans < 100 || late < 50 {
		t.Errorf("%d bans, %d late: the sequences test nothing", bans, late)
	}
}

func TestSnapshotRestore(t *testing.T) {
	est := NewJail("estimate", Policy{MaxRetry: 6, FindTime: time.Minute, BanTime: time.Minute})
	exact := NewJail("exact", Policy{MaxRetry: 6, FindTime: time.Minute, BanTime: time.Minute, Exact: true})
	w := NewWindow(WindowConfig{})
	ids := []ID{ParseID("192.0.2.1"), ParseID("2001:db8::/64"), TextID("user@example.org"), ParseID("2001:db8::1")}
	for i, id := range ids {
		for n := range i + 2 {
			w.Add(&Failure{Jail: est, ID: id, AtNanos: int64(n) * 10e9, Count: 1})
			w.Add(&Failure{Jail: exact, ID: id, AtNanos: int64(n) * 10e9, Count: 1})
		}
	}
	v := NewWindow(WindowConfig{})
	v.Restore(w.Snapshot(nil))
	sorted := func(w *Window) []string {
		var s []string
		for _, c := range w.Snapshot(nil) {
			s = append(s, fmt.Sprint(c.Jail.Name, c.ID, c.FirstNanos, c.LastNanos, c.Failures, c.Times))
		}
		slices.Sort(s)
		return s
	}
	if a, b := sorted(w), sorted(v); !slices.Equal(a, b) || len(a) != 8 {
		t.Errorf("restored\n%s\nfrom\n%s", b, a)
	}
	for _, id := range ids {
		for _, j := range []*Jail{est, exact} {
			f := Failure{Jail: j, ID: id, AtNanos: 65e9, Count: 1}
			_, a := w.Add(&f)
			_, b := v.Add(&f)
			if a != b || w.Count(j, id) != v.Count(j, id) {
				t.Errorf("%s %s goes on with %d %v, want %d %v", j.Name, id, v.Count(j, id), b, w.Count(j, id), a)
			}
		}
	}
}
