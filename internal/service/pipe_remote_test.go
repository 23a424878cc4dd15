package service

import (
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
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

// TestPipeTellsWhatLedToItsBans: of a ban that a pipe hands over, an action and
// the database get the lines, the number of failures and the captured groups
// that they get of a ban by the same lines in the service's own log.
func TestPipeTellsWhatLedToItsBans(t *testing.T) {
	tr, start := keeper(t)
	tr.write("action.d/tell.conf", `[Definition]
actionban = printf '%%s|' "<ip> <failures> <F-USER> <F-PORT> <ipfailures>" "<matches>" >> DIR/<name>.out; echo >> DIR/<name>.out
actionunban =
`)
	tr.write("filter.d/named.conf", `[Definition]
failregex = ^ (?:no|bad) <F-USER>\S+</F-USER> from <HOST> port <F-PORT>\d+</F-PORT>
datepattern = {^LN-BEG}%%Y-%%m-%%d %%H:%%M:%%S
`)
	jail := func(name string) string {
		return jailText(name, "filter = named", "action = tell[name="+name+"]", "bantime = 1h", "maxmatches = 2", "maxretry = 3")
	}
	tr.write("jail.local", jail("bylog")+jail("bypipe"))
	s := start()
	lines := []string{"no root from 203.0.113.1 port 22", "bad \x80\xff from 203.0.113.1 port 23", "no 'x$(y)\" from 203.0.113.1 port 24"}
	tr.log("bylog.log", lines...)
	tr.has("bylog.out", "203.0.113.1")
	tr.log("piped", lines...)
	p := Pipe{
		Config: Config{Options: config.Options{Dir: tr.dir}, Socket: s.socket, Log: slog.New(slog.DiscardHandler)},
		Names:  []string{"bypipe"}, Files: []string{tr.path("piped")},
	}
	if out, err := p.Run(t.Context()); err != nil || out.Bans != 1 || out.NotEnforced != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	tr.has("bypipe.out", "203.0.113.1")
	read := func(name string) string {
		text, err := os.ReadFile(tr.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return stampPattern.ReplaceAllString(string(text), "TIME")
	}
	if want, got := read("bylog.out"), read("bypipe.out"); got != want || !strings.Contains(got, "203.0.113.1 3 root 22 3|") {
		t.Errorf("the action was told %q, want %q", got, want)
	}
	s.end(t)
	db, err := sql.Open("sqlite", tr.path("db/fail2ban.sqlite3"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	data := func(jail string) (out string) {
		t.Helper()
		if err := db.QueryRow("SELECT bancount || ' ' || data FROM bips WHERE jail = ?", jail).Scan(&out); err != nil {
			t.Fatal(err)
		}
		return stampPattern.ReplaceAllString(out, "TIME")
	}
	if want, got := data("bylog"), data("bypipe"); got != want || !strings.Contains(got, `"user": "root"`) {
		t.Errorf("stored is %s, want %s", got, want)
	}
}

// TestDecisionsInParts: what a pipe has to tell is never more than one command
// may carry.
func TestDecisionsInParts(t *testing.T) {
	tr := newSite(t)
	tr.write("jail.local", "[DEFAULT]\nbantime = 1h\n"+jailText("web", "maxmatches = 100"))
	s := tr.start()
	client, err := control.Dial(t.Context(), s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	now := s.clock.Now()
	ticket := &pipeline.Ticket{}
	for range 32 {
		ticket.Matches = append(ticket.Matches, strings.Repeat("x", 2<<10))
	}
	var orders []pipeline.Order
	for i := range 300 { // 20 MB
		orders = append(orders, pipeline.Order{Verb: pipeline.VerbBan, Ban: pipeline.Ban{
			Jail: s.jail("web").identity, ID: pipeline.ParseID(fmt.Sprintf("203.0.%d.%d", i/250, i%250+1)),
			AtNanos: now, UntilNanos: now + int64(time.Hour), Failures: 5, Ticket: ticket,
		}})
	}
	(&remote{client: client}).Apply(t.Context(), now, orders)
	for i := range orders {
		if orders[i].Err != nil {
			t.Fatal(orders[i].Err)
		}
	}
	if got := s.ledger.Totals(s.jail("web").identity).Current; got != len(orders) {
		t.Errorf("%d bans, want %d", got, len(orders))
	}
}
