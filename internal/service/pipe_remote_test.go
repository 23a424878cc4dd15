package service

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// TestPipeGivesItsBansToTheService: where a service answers on the socket, the
// bans of a pipe are that one's, as they were decided; a filter that no jail of
// it is named after bans in the jail for bans by command.
func TestPipeGivesItsBansToTheService(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", "[DEFAULT]\nbantime = 1h\n"+jailText("web"))
	s := tr.start()
	const n = 300
	at := time.Now().Add(-10 * time.Second).Truncate(time.Second)
	var in strings.Builder
	for i := range n {
		for range 2 {
			fmt.Fprintf(&in, "%s login failed from 203.0.113.%d\n", at.Format(time.DateTime), i%200+1)
			fmt.Fprintf(&in, "%s login failed from 2001:db8:%x::1\n", at.Format(time.DateTime), i+1)
		}
	}
	pipe := func(name string) *Piped {
		t.Helper()
		p := Pipe{
			Config: Config{Options: config.Options{Dir: tr.dir}, Socket: s.socket, Log: slog.New(slog.DiscardHandler)},
			Names:  []string{name}, In: strings.NewReader(in.String()), Overrides: map[string]string{"maxretry": "2", "bantime": "1h"},
		}
		out, err := p.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if out.Bans < n || out.NotEnforced != 0 {
			t.Errorf("%s: %+v", name, out)
		}
		return out
	}
	for _, c := range []struct{ name, jail string }{{"web", "web"}, {"login", Manual}} {
		pipe(c.name)
		for _, id := range []string{"203.0.113.7", "2001:db8:12c::1"} {
			b, banned := s.ledger.Lookup(s.jail(c.jail).identity, pipeline.ParseID(id))
			if !banned || !b.Enforced || b.AtNanos != at.UnixNano() || b.UntilNanos != at.Add(time.Hour).UnixNano() || b.Failures != 2 {
				t.Errorf("%s in %s: %v, %+v", id, c.jail, banned, b)
			}
		}
		if got := s.ledger.Totals(s.jail(c.jail).identity).Current; got != 200+n {
			t.Errorf("%s has %d bans, want %d", c.jail, got, 200+n)
		}
	}
}
