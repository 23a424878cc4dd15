package control

import (
	"context"
	"strings"
)

// status carries out "status" and "stats" with the words after them.
func (d *Dispatcher) status(ctx context.Context, name string, c command) (any, error) {
	if name != "status" {
		return d.stats(ctx)
	}
	if len(c) > 2 {
		return nil, ErrorPlain(invalidStatus)
	}
	flavor := "basic"
	if len(c) == 2 {
		flavor = configText(c[1])
	}
	if len(c) > 0 && !c.is(0, "--all") {
		return d.jailStatus(ctx, configText(c[0]), flavor)
	}
	jails, err := d.Verbs.JailNames(ctx)
	if err != nil {
		return nil, err
	}
	reply := []any{
		Tuple{"Number of jail", len(jails)},
		Tuple{"Jail list", strings.Join(pythonSorted(jails), ", ")},
	}
	if len(c) == 0 {
		return append(reply, notEnforced(d.Verbs.NotEnforced(ctx))...), nil
	}
	all := Dict{}
	for _, jail := range pythonSorted(jails) {
		s, err := d.jailStatus(ctx, jail, flavor)
		if vanished(err, jail) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Pair{jail, s})
	}
	return append(reply, all), nil
}

// notEnforced is a line that fail2ban's status does not have, behind those that
// it has: who looks for one of them, by its label or its place, finds it there.
func notEnforced(why string) []any {
	if why == "" {
		return nil
	}
	return []any{Tuple{"Not enforced", why}}
}

// vanished tells that a jail which was listed has been stopped since.
func vanished(err error, jail string) bool {
	e, ok := err.(*Exception)
	return ok && e.is(unknownJail) && len(e.Args) == 1 && e.Args[0] == jail
}

// jailStatus is the state of one jail in one of fail2ban's flavors; one that
// is not known is basic.
func (d *Dispatcher) jailStatus(ctx context.Context, jail, flavor string) (any, error) {
	detail := WithBans
	switch flavor {
	case "short", "stats":
		detail = Counts
	case "cymru":
		detail = WithOrigins
	}
	s, err := d.Verbs.JailStatus(ctx, jail, detail)
	if err != nil {
		return nil, err
	}
	if flavor == "stats" {
		return statsRow(s), nil
	}
	watched := Tuple{"File list", listOf(s.Files)}
	if s.Journal {
		watched = Tuple{"Journal matches", []any{journalText(s.JournalMatch)}}
	}
	actions := []any{
		Tuple{"Currently banned", s.BannedNow},
		Tuple{"Total banned", s.BannedTotal},
	}
	if detail >= WithBans {
		actions = append(actions, Tuple{"Banned IP list", listOf(s.Banned)})
	}
	if detail == WithOrigins {
		actions = append(actions, Tuple{"Banned ASN list", originList(s.ASNs)},
			Tuple{"Banned Country list", originList(s.Countries)}, Tuple{"Banned RIR list", originList(s.Registries)})
	}
	actions = append(actions, notEnforced(s.NotEnforced)...)
	return []any{
		Tuple{"Filter", []any{
			Tuple{"Currently failed", s.FailedNow},
			Tuple{"Total failed", s.FailedTotal},
			watched,
		}},
		Tuple{"Actions", actions},
	}, nil
}

func journalText(alternatives [][]string) string {
	texts := make([]string, len(alternatives))
	for i, matches := range alternatives {
		texts[i] = strings.Join(matches, " ")
	}
	return strings.Join(texts, " + ")
}

// originList is what fail2ban replies without its DNS library, too.
func originList(list []string) []any {
	if list == nil {
		return []any{"error"}
	}
	return listOf(list)
}

func statsRow(s JailStatus) []any {
	return []any{s.Backend, Tuple{s.FailedNow, s.FailedTotal}, Tuple{s.BannedNow, s.BannedTotal}}
}

// stats is the table of all jails, by name.
func (d *Dispatcher) stats(ctx context.Context) (any, error) {
	jails, err := d.Verbs.JailNames(ctx)
	if err != nil {
		return nil, err
	}
	table := Dict{}
	for _, jail := range pythonSorted(jails) {
		s, err := d.Verbs.JailStatus(ctx, jail, Counts)
		if vanished(err, jail) {
			continue
		}
		if err != nil {
			return nil, err
		}
		table = append(table, Pair{jail, statsRow(s)})
	}
	return table, nil
}

// bannedEverywhere lists the bans of every jail, or of each ID the jails that
// ban it.
func (d *Dispatcher) bannedEverywhere(ctx context.Context, ids []string) (any, error) {
	jails, err := d.Verbs.JailNames(ctx)
	if err != nil {
		return nil, err
	}
	if len(ids) > 0 {
		return d.jailsOf(ctx, jails, ids)
	}
	reply := []any{}
	for _, jail := range jails {
		list, err := d.bannedIDs(ctx, jail)
		if vanished(err, jail) {
			continue
		}
		if err != nil {
			return nil, err
		}
		reply = append(reply, Dict{{jail, list}})
	}
	return reply, nil
}

func (d *Dispatcher) jailsOf(ctx context.Context, jails, ids []string) (any, error) {
	reply := make([]any, len(ids))
	for i, id := range ids {
		in := []any{}
		for _, jail := range jails {
			banned, err := d.Verbs.IsBanned(ctx, jail, id)
			if vanished(err, jail) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if banned {
				in = append(in, jail)
			}
		}
		reply[i] = in
	}
	return reply, nil
}

// unban ends bans in all jails.
func (d *Dispatcher) unban(ctx context.Context, c command) (any, error) {
	switch {
	case len(c) == 1:
		return nil, ErrorPlain(invalidCommand)
	case len(c) == 2 && c.is(1, "--all"):
		n, err := d.Verbs.UnbanAll(ctx)
		return n, err
	}
	n, err := d.Verbs.UnbanEverywhere(ctx, c.texts(1))
	return n, err
}

// unbanJail carries out "JAIL unbanip [--report-absent] ID…".
func (d *Dispatcher) unbanJail(ctx context.Context, jail string, c command) (any, error) {
	if _, err := c.at(2); err != nil {
		return nil, err
	}
	report := c.is(2, "--report-absent")
	ids := c.texts(2)
	if report {
		ids = ids[1:]
	}
	n, absent, err := d.Verbs.Unban(ctx, jail, ids)
	if err != nil {
		return nil, err
	}
	if report && len(absent) > 0 {
		return nil, ErrorValue("not banned: %s", Repr(absent))
	}
	return n, nil
}
