package ignore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// nobody is a DNS in which nothing exists.
type nobody struct{}

func (nobody) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

func (nobody) LookupAddr(context.Context, string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

func noAddrs() ([]netip.Addr, error) { return nil, nil }

// zone is a DNS whose answers are given; what is not in it has a temporary error.
type zone struct {
	mu    sync.Mutex
	addrs map[string][]netip.Addr
	names map[string][]string
	asked []string
}

func (z *zone) set(name string, addrs ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.addrs == nil {
		z.addrs = map[string][]netip.Addr{}
	}
	z.addrs[name] = nil
	for _, a := range addrs {
		z.addrs[name] = append(z.addrs[name], netip.MustParseAddr(a))
	}
}

func (z *zone) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, name)
	if a, ok := z.addrs[name]; ok {
		return a, nil
	}
	return nil, errors.New("server misbehaving")
}

func (z *zone) LookupAddr(_ context.Context, a string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if n, ok := z.names[a]; ok {
		return n, nil
	}
	return nil, errors.New("server misbehaving")
}

// seen collects what the observer is told.
type seen struct {
	mu   sync.Mutex
	list []string
}

func (s *seen) observe(j *pipeline.Jail, id pipeline.ID, by Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, fmt.Sprintf("[%s] Ignore %s by %s", j.Name, id, by))
}

func (s *seen) want(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.list, want) {
		t.Errorf("observed %q, want %q", s.list, want)
	}
	s.list = nil
}

// bench is a guard with a jail.
type bench struct {
	*Guard
	jail *pipeline.Jail
	seen seen
}

func newBench(cfg Config, r Rules) *bench {
	b := &bench{jail: pipeline.NewJail("sshd", pipeline.Policy{MaxRetry: 5, FindTime: time.Minute, BanTime: time.Hour})}
	if cfg.Own == nil {
		cfg.Own = noAddrs
	}
	cfg.Observer = b.seen.observe
	b.Guard = New(cfg)
	b.host = ""
	b.set(r)
	return b
}

// set gives the jail its rules.
func (b *bench) set(r Rules) { b.SetJails(map[*pipeline.Jail]Rules{b.jail: r}) }

// run runs the guard until the test ends.
func (b *bench) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { b.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
}

func (b *bench) failure(id string) *pipeline.Failure {
	return &pipeline.Failure{Jail: b.jail, ID: pipeline.ParseID(id), AtNanos: time.Now().UnixNano(), Count: 1}
}

// judge asks about a ban and returns the channel of the answer: "ban", "free".
func (b *bench) judge(f *pipeline.Failure) chan string {
	out := make(chan string, 2)
	text := map[bool]string{true: "ban", false: "free"}
	ban := pipeline.Ban{Jail: f.Jail, ID: f.ID, AtNanos: f.AtNanos, UntilNanos: f.AtNanos + int64(time.Hour), Failures: 5}
	switch b.Judge(f, ban, func(ban bool) { out <- text[ban] }) {
	case pipeline.JudgeBan:
		out <- "ban at once"
	case pipeline.JudgeFree:
		out <- "free at once"
	}
	return out
}

func TestOrder(t *testing.T) {
	z := &zone{}
	z.set("gw.example.net", "192.0.2.1", "192.0.2.9", "203.0.113.5")
	synctest.Test(t, func(t *testing.T) {
		own := func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil }
		b := newBench(Config{Lookup: z, Own: own}, Rules{Self: true, Items: []string{"203.0.113.5", "gw.example.net", "192.0.2.0/28", "192.0.2.1"}})
		b.run(t)
		synctest.Wait()
		for _, a := range []string{"192.0.2.1", "192.0.2.9", "192.0.2.10", "203.0.113.5", "203.0.113.6"} {
			if got, want := b.Ignores(b.failure(a)), a != "203.0.113.6"; got != want {
				t.Errorf("%s ignored: %v", a, got)
			}
		}
		b.seen.want(t, "[sshd] Ignore 192.0.2.1 by ignoreself rule", "[sshd] Ignore 192.0.2.9 by dns",
			"[sshd] Ignore 192.0.2.10 by ip", "[sshd] Ignore 203.0.113.5 by ip")
		if c := b.Counts(b.jail); c != (Counts{Self: 1, IP: 2, DNS: 1}) {
			t.Errorf("counts %+v", c)
		}
		// A reload replaces the rules at once, and the name's answer stays known.
		b.set(Rules{Items: []string{"gw.example.net"}})
		if !b.Ignores(b.failure("192.0.2.9")) || b.Ignores(b.failure("192.0.2.10")) {
			t.Error("rules are not replaced")
		}
		b.SetJails(nil)
		if b.Ignores(b.failure("192.0.2.9")) || len(b.names.all) != 0 {
			t.Error("a removed jail still ignores")
		}
	})
}

func TestWaitForName(t *testing.T) {
	t.Run("resolved", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			z := &zone{}
			b := newBench(Config{Lookup: z}, Rules{Items: []string{"gw.example.net"}})
			b.run(t)
			start := time.Now()
			own, other := b.judge(b.failure("192.0.2.9")), b.judge(b.failure("192.0.2.10"))
			time.Sleep(11 * time.Second)
			if len(own) > 0 || b.Ignores(b.failure("192.0.2.9")) {
				t.Fatal("answer without DNS")
			}
			z.set("gw.example.net", "192.0.2.9")
			if got := <-own; got != "free" {
				t.Errorf("the name's own address: %s", got)
			}
			if got := <-other; got != "ban" {
				t.Errorf("another address: %s", got)
			}
			// Tries at 0, 1, 3, 7, 12 s.
			if d := time.Since(start); d != 12*time.Second {
				t.Errorf("waited %s", d)
			}
			b.seen.want(t, "[sshd] Ignore 192.0.2.9 by dns")
			if got := <-b.judge(b.failure("192.0.2.11")); got != "ban at once" {
				t.Errorf("after the answer: %s", got)
			}
		})
	})
	t.Run("never", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(Config{Lookup: &zone{}}, Rules{Items: []string{"gw.example.net"}})
			b.run(t)
			for range 2 {
				start := time.Now()
				first := b.judge(b.failure("192.0.2.10"))
				time.Sleep(10 * time.Second)
				second := b.judge(b.failure("192.0.2.11"))
				if got := <-first; got != "ban" || time.Since(start) != 30*time.Second {
					t.Errorf("%s after %s", got, time.Since(start))
				}
				if got := <-second; got != "ban" || time.Since(start) != 40*time.Second {
					t.Errorf("%s after %s", got, time.Since(start))
				}
			}
		})
	})
	t.Run("not there", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(Config{Lookup: nobody{}}, Rules{Items: []string{"joe"}})
			b.run(t)
			start := time.Now()
			if got := <-b.judge(b.failure("192.0.2.10")); got != "ban" || time.Since(start) != 0 {
				t.Errorf("%s after %s", got, time.Since(start))
			}
		})
	})
	t.Run("jail goes away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(Config{Lookup: &zone{}}, Rules{Items: []string{"gw.example.net"}})
			b.run(t)
			held := b.judge(b.failure("192.0.2.10"))
			b.SetJails(nil)
			if got := <-held; got != "free" {
				t.Error(got)
			}
		})
	})
}

func TestLastGoodAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		var many []string
		for i := range 12 {
			many = append(many, fmt.Sprintf("192.0.2.%d", i))
		}
		z.set("gw.example.net", many...)
		b := newBench(Config{Lookup: z}, Rules{Items: []string{"gw.example.net."}})
		b.run(t)
		synctest.Wait()
		if !b.Ignores(b.failure("192.0.2.7")) || b.Ignores(b.failure("192.0.2.8")) {
			t.Error("not the first eight addresses")
		}
		z.mu.Lock()
		delete(z.addrs, "gw.example.net")
		z.mu.Unlock()
		time.Sleep(6 * time.Minute)
		if !b.Ignores(b.failure("192.0.2.7")) {
			t.Error("the last good answer is gone")
		}
		z.set("gw.example.net", "198.51.100.1")
		time.Sleep(5 * time.Minute)
		if !b.Ignores(b.failure("198.51.100.1")) || b.Ignores(b.failure("192.0.2.7")) {
			t.Error("the new answer is not in force")
		}
	})
}

func TestStoredAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		z.set("gw.example.net", "192.0.2.9")
		first := newBench(Config{Lookup: z}, Rules{Items: []string{"gw.example.net", "other.example.net"}})
		first.run(t)
		synctest.Wait()
		stored := first.Answers()
		if len(stored) != 1 || fmt.Sprint(stored["gw.example.net"]) != "[192.0.2.9]" {
			t.Fatalf("answers %v", stored)
		}
		second := newBench(Config{Lookup: &zone{}, Answers: stored}, Rules{Items: []string{"gw.example.net"}})
		if !second.Ignores(second.failure("192.0.2.9")) {
			t.Error("a stored answer is not in force")
		}
		if got := <-second.judge(second.failure("192.0.2.10")); got != "ban at once" {
			t.Errorf("with a stored answer: %s", got)
		}
	})
}

func TestOwnAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		own := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		z := &zone{}
		b := newBench(Config{Lookup: z, Own: func() ([]netip.Addr, error) {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(own), nil
		}}, Rules{})
		b.host = "box.example.net"
		b.set(Rules{Self: true})
		b.run(t)
		if !b.Ignores(b.failure("192.0.2.1")) || b.Ignores(b.failure("192.0.2.2")) {
			t.Error("own address is not known at the start")
		}
		// The host's name holds up nobody.
		if got := <-b.judge(b.failure("192.0.2.2")); got != "ban at once" {
			t.Error(got)
		}
		z.set("box.example.net", "203.0.113.80")
		mu.Lock()
		own[0] = netip.MustParseAddr("fe80::1%eth0")
		mu.Unlock()
		time.Sleep(5*time.Second + 1)
		synctest.Wait()
		for a, want := range map[string]bool{"192.0.2.1": false, "fe80::1": true, "203.0.113.80": true} {
			if got := b.Ignores(b.failure(a)); got != want {
				t.Errorf("%s ignored: %v", a, got)
			}
		}
	})
}

func TestFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "list")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		z := &zone{}
		z.set("gw.example.net", "203.0.113.5")
		var log strings.Builder
		b := newBench(Config{Lookup: z, Log: slog.New(slog.NewTextHandler(&log, nil))}, Rules{Items: []string{"file:" + path}})
		b.run(t)
		f := func(id string, want bool) {
			t.Helper()
			if got := b.Ignores(b.failure(id)); got != want {
				t.Errorf("%s ignored: %v", id, got)
			}
		}
		f("192.0.2.1", false)
		f("192.0.2.1", false)
		if n := strings.Count(log.String(), "no such file"); n != 1 {
			t.Errorf("told %d times of a missing file: %s", n, log.String())
		}
		write("# office\r\n192.0.2.1, 192.0.2.2 ; 192.0.2.3\n10.0.0.0/8 #198.51.100.1\n\n gw.example.net\nfile:/etc/passwd\n")
		f("192.0.2.1", false) // looked at within this second
		time.Sleep(time.Second)
		f("192.0.2.1", true)
		f("192.0.2.2", true)
		f("10.9.9.9", true)
		f("192.0.2.3", false)
		f("198.51.100.1", false)
		synctest.Wait() // the name is looked up from now on
		f("203.0.113.5", true)
		write("192.0.2.3\n")
		time.Sleep(time.Second)
		f("192.0.2.1", false)
		f("192.0.2.3", true)
		synctest.Wait()
		f("203.0.113.5", false)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		f("192.0.2.3", true) // what it held before
		b.seen.list = nil
	})
}

func TestGooglebot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{names: map[string][]string{
			"192.0.2.1": {"Crawl-1.googlebot.com."}, "192.0.2.2": {"crawl-1.googlebot.com."}, "192.0.2.3": {"evilgooglebot.com."},
			"192.0.2.4": {"geo.google.com.evil.example."}, "192.0.2.5": {"other.example.", "x.google.com."},
		}}
		z.set("crawl-1.googlebot.com", "192.0.2.1")
		z.set("evilgooglebot.com", "192.0.2.3")
		z.set("geo.google.com.evil.example", "192.0.2.4")
		z.set("x.google.com", "192.0.2.5", "2001:db8::1")
		b := newBench(Config{Lookup: z}, Rules{Command: "/etc/fail2ban/filter.d/ignorecommands/apache-fakegooglebot <ip>"})
		b.run(t)
		for a, want := range map[string]string{
			"192.0.2.1": "free", "192.0.2.2": "ban", "192.0.2.3": "ban", "192.0.2.4": "ban", "192.0.2.5": "free", "192.0.2.6": "ban", "joe": "ban",
		} {
			if got := <-b.judge(b.failure(a)); got != want {
				t.Errorf("%s: %s", a, got)
			}
		}
	})
	f := func(command string, want bool) {
		t.Helper()
		if got := parseCommand(command).google; got != want {
			t.Errorf("%q is the stock script: %v", command, got)
		}
	}
	f("/usr/share/x/apache-fakegooglebot <ip>", true)
	f("/usr/share/x/apache-fakegooglebot <ip> 5", true)
	f("/usr/share/x/apache-fakegooglebot <fid>", false)
	f("/usr/share/x/my-apache-fakegooglebot <ip>", false)
	f("/usr/share/x/apache-fakegooglebot <ip> || true x", false)
}
