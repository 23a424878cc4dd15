package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// options are the flags: what is written, how much of it and from when.
type options struct {
	kind     string    // auth, mail, mixed, clean or attack
	service  string    // all, sshd, postfix, dovecot or nginx; mixed, clean and attack only
	lines    int       // number of lines; mixed, clean and attack only
	failures float64   // share of events that are an attacker's, 0 to 1; mixed only
	rate     float64   // lines a second by the log's own clock
	seed     uint64    // same seed, same bytes
	start    time.Time // time of the first event
}

func main() {
	var o options
	flag.StringVar(&o.kind, "kind", "mixed", "auth, mail, mixed, clean or attack")
	flag.StringVar(&o.service, "service", "all", "all, sshd, postfix, dovecot or nginx")
	flag.IntVar(&o.lines, "lines", 100_000, "number of lines")
	flag.Float64Var(&o.failures, "failures", 0.05, "share of events that are an attacker's (mixed)")
	flag.Float64Var(&o.rate, "rate", 150, "lines a second by the log's clock")
	flag.Uint64Var(&o.seed, "seed", 1, "same seed, same bytes")
	start := flag.String("start", "2026-11-20T00:00:00Z", "time of the first event, RFC 3339")
	flag.Parse()

	var err error
	if o.start, err = time.Parse(time.RFC3339, *start); err == nil {
		err = write(os.Stdout, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// write writes the log that o describes.
func write(w io.Writer, o options) error {
	if o.failures < 0 || o.failures > 1 || o.rate <= 0 || o.lines < 0 {
		return fmt.Errorf("failures must be 0 to 1, rate above 0, lines not negative")
	}
	out := bufio.NewWriterSize(w, 1<<20)
	g := newGenerator(out, o)
	switch o.kind {
	case "auth":
		g.play(authCast(g), "bastion")
	case "mail":
		g.play(mailCast(g), "mail")
	case "mixed", "clean", "attack":
		if err := g.draw(o); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown kind %q", o.kind)
	}
	return out.Flush()
}
