package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config/formula"
)

// What fail2ban's server has for options that no file sets.
const (
	defaultMaxRetry   = 3
	defaultFindTime   = 600 * time.Second
	defaultBanTime    = 600 * time.Second
	defaultMaxMatches = 5
)

// FormulaNames are the variables of bantime.formula.
var FormulaNames = []string{"ban.Time", "ban.Count", "banFactor"}

// judge turns the options of the jail into values and reports what it cannot
// take for one.
func (r *jailReader) judge() {
	j := r.jail
	j.MaxRetry = int(r.integer("maxretry", defaultMaxRetry, math.MinInt32))
	if v := r.value("maxretry"); j.MaxRetry < 1 {
		r.wrongValue(Warning, v, "maxretry", "below 1: bans at the first failure, as 1 does")
	}
	j.MaxMatches = int(r.integer("maxmatches", defaultMaxMatches, 0))
	j.FindTime = r.duration("findtime", defaultFindTime)
	j.BanTime = r.duration("bantime", defaultBanTime)
	if v := r.value("findtime"); j.FindTime <= 0 {
		r.wrongValue(Error, v, "findtime", "expected a time above 0")
		j.FindTime = defaultFindTime
	}
	if v := r.value("bantime"); j.BanTime < 0 {
		if j.BanTime != -time.Second {
			r.wrongValue(Warning, v, "bantime", "negative: taken for permanent, which is written -1")
		}
		j.BanTime = -1
	}
	j.Logencoding, j.Logtimezone = r.value("logencoding"), r.value("logtimezone")
	j.SkipIfNoLogs = r.flag("skip_if_nologs", false)
	j.SystemdIfNoLogs = r.flag("systemd_if_nologs", true)
	r.backend()
	r.increment()
	r.ignore()
	r.counter()
	r.checkLogPaths()
	r.checkRules(r.name, &j.Rules)
	r.warnMatching()
	r.checkActions()
}

// value returns an option of the jail's as it was read last; not set where
// nobody wrote it.
func (r *jailReader) value(name string) Value {
	v, _ := r.opts.get(name)
	return v.value()
}

// wrongValue reports a value that cannot be, or is surely not meant.
func (r *jailReader) wrongValue(s Severity, v Value, option, msg string) {
	r.report(Problem{Severity: s, File: v.File, Line: v.Line, Jail: r.name, Option: option, Text: v.Text, Message: msg})
}

func (r *jailReader) integer(name string, otherwise, least int64) int64 {
	n, ok := r.typed[name].(int64)
	if !ok {
		return otherwise
	}
	if n < least {
		r.wrongValue(Error, r.value(name), name, "expected a whole number, at least "+formatInt(least))
		return otherwise
	}
	return n
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// duration returns a time option; what nobody wrote is otherwise.
func (r *jailReader) duration(name string, otherwise time.Duration) time.Duration {
	v := r.value(name)
	if !v.IsSet() || v.Text == "" && otherwise == 0 {
		return otherwise
	}
	d, err := ParseDuration(v.Text)
	if err != nil {
		r.wrongValue(Error, v, name, err.Error()+" (expected a time such as 600, 10m, 1d12h, 1y)")
		return otherwise
	}
	return d
}

// flag returns a yes or no of our own or of a later fail2ban than the client
// that jailOptions follows.
func (r *jailReader) flag(name string, otherwise bool) bool {
	v, ok := r.jail.Options[name]
	if !ok {
		return otherwise
	}
	yes, known := parseBool(v.Text)
	if !known {
		r.wrongValue(Warning, v, name, notBool)
	}
	return yes
}

var backends = []string{"auto", "polling", "pyinotify", "gamin", "systemd"}

func (r *jailReader) backend() {
	t, _ := r.opts.get("backend")
	b := &r.jail.Backend
	b.Value = t.value()
	s, err := splitSpec(t)
	if err != nil {
		r.wrongValue(Error, b.Value, "backend", err.Error()+" (expected NAME or NAME[option=value, …])")
		return
	}
	b.Name, b.Params = strings.ToLower(strings.TrimSpace(s.name)), s.list()
	if !contains(backends, b.Name) {
		r.report(Problem{Severity: Error, File: b.Value.File, Line: b.Value.Line, Jail: r.name, Option: "backend", Text: b.Value.Text,
			Message: "expected one of " + strings.Join(backends, ", "), Hint: didYouMean(b.Name, backends)})
	}
	if len(b.Params) > 0 && b.Name != "systemd" {
		r.wrongValue(Warning, b.Value, "backend", "only systemd has options")
		return
	}
	known := []string{"journalpath", "journalfiles", "journalflags", "namespace", "rotated"}
	for _, p := range b.Params {
		if !contains(known, p.Name) {
			r.report(Problem{Severity: Error, File: p.Value.File, Line: p.Value.Line, Jail: r.name, Option: "backend", Text: p.Name,
				Message: "unknown option of systemd", Hint: didYouMean(p.Name, known)})
		}
	}
}

// increment reads bantime.increment and its kin.
func (r *jailReader) increment() {
	inc := &r.jail.Increment
	inc.Enabled, _ = r.typed["bantime.increment"].(bool)
	inc.OverallJails, _ = r.typed["bantime.overalljails"].(bool)
	inc.MaxTime = r.duration("bantime.maxtime", 0)
	inc.RndTime = r.duration("bantime.rndtime", 0)
	for _, o := range []struct {
		name  string
		value *Value
		names []string
	}{
		{"bantime.factor", &inc.Factor, nil},
		{"bantime.formula", &inc.Formula, FormulaNames},
	} {
		v := r.value(o.name)
		if v.Text == "" {
			continue
		}
		expr, err := formula.Parse(v.Text, o.names...)
		if err == nil {
			// A formula that fails for the first ban fails for all.
			_, err = expr.Eval(map[string]formula.Number{"ban.Time": formula.Int(600), "ban.Count": formula.Int(1), "banFactor": formula.Int(1)})
		}
		if err != nil {
			r.wrongValue(Error, v, o.name, err.Error())
			continue
		}
		*o.value = v
	}
	v := r.value("bantime.multipliers")
	for _, word := range strings.Fields(v.Text) {
		n, err := parseInt(word)
		if err != nil {
			r.wrongValue(Error, v, "bantime.multipliers", strconv.Quote(word)+": expected whole numbers")
			break
		}
		inc.Multipliers = append(inc.Multipliers, n)
	}
}

// ignore reads ignoreip, ignoreself, ignorecommand and ignorecache.
func (r *jailReader) ignore() {
	ig := &r.jail.Ignore
	ig.Self = true
	if self, ok := r.typed["ignoreself"].(bool); ok {
		ig.Self = self
	}
	if v := r.value("ignorecommand"); v.Text != "" {
		ig.Command = v
	}
	t, _ := r.opts.get("ignoreip")
	for _, w := range splitWords(t) {
		item, msg := ParseIgnoreItem(w.value())
		if msg != "" {
			r.wrongValue(Warning, w.value(), "ignoreip", msg)
		}
		ig.List = append(ig.List, item)
	}
	if t, _ := r.opts.get("ignorecache"); t.s != "" {
		r.ignoreCache(t)
	}
}

// ParseIgnoreItem tells what one item of ignoreip is; msg warns of what surely was
// meant otherwise.
func ParseIgnoreItem(v Value) (item IgnoreItem, msg string) {
	item = IgnoreItem{Kind: IgnoreName, Value: v}
	if path, ok := strings.CutPrefix(v.Text, "file:"); ok {
		item.Kind, item.Value.Text = IgnoreFile, path
		if !strings.HasPrefix(path, "/") {
			msg = "the path of a file: item must begin with /"
		}
		return item, msg
	}
	host, mask, isNet := strings.Cut(v.Text, "/")
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	switch {
	case err == nil && !isNet:
		item.Kind = IgnoreAddress
	case err == nil && validMask(addr, mask):
		item.Kind = IgnoreNetwork
	case err == nil:
		msg = "/" + mask + " is no mask of this address: the item will match nobody"
	case strings.IndexFunc(v.Text, func(c rune) bool { return c > ' ' && c != '.' && (c < '0' || c > '9') && c != '/' }) < 0:
		msg = "no address, no network and no name: the item will match nobody"
	}
	return item, msg
}

// validMask says whether mask is a length or a netmask for the address.
func validMask(addr netip.Addr, mask string) bool {
	if n, err := strconv.Atoi(mask); err == nil {
		return n >= 0 && n <= addr.BitLen()
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || m.BitLen() != addr.BitLen() {
		return false
	}
	seenZero := false
	for _, b := range m.AsSlice() {
		for bit := 7; bit >= 0; bit-- {
			one := b>>bit&1 == 1
			if one && seenZero {
				return false
			}
			seenZero = seenZero || !one
		}
	}
	return true
}

func (r *jailReader) ignoreCache(t text) {
	s, err := splitSpec(joined(text{s: "cache["}, t, text{s: "]"}))
	if err != nil {
		r.wrongValue(Error, t.value(), "ignorecache", err.Error()+` (expected key="<ip>", max-count=100, max-time=5m)`)
		return
	}
	c := &IgnoreCache{MaxCount: 100, MaxTime: 5 * time.Minute}
	for _, p := range s.list() {
		switch p.Name {
		case "key":
			c.Key = p.Value
		case "max-count":
			n, err := parseInt(p.Value.Text)
			if err != nil || n < 1 {
				r.wrongValue(Error, p.Value, "ignorecache", "max-count: expected a whole number, at least 1")
				continue
			}
			c.MaxCount = int(n)
		case "max-time":
			if c.MaxTime, err = ParseDuration(p.Value.Text); err != nil {
				r.wrongValue(Error, p.Value, "ignorecache", "max-time: "+err.Error())
			}
		default:
			r.report(Problem{Severity: Error, File: p.Value.File, Line: p.Value.Line, Jail: r.name, Option: "ignorecache", Text: p.Name,
				Message: "unknown option", Hint: didYouMean(p.Name, []string{"key", "max-count", "max-time"})})
		}
	}
	if c.Key.Text == "" {
		r.wrongValue(Error, t.value(), "ignorecache", `key is missing (expected key="<ip>", max-count=100, max-time=5m)`)
		return
	}
	r.jail.Ignore.Cache = c
}

// joined puts texts one after the other.
func joined(parts ...text) text {
	var b textBuilder
	for _, p := range parts {
		b.add(p, 0, len(p.s))
	}
	return b.text()
}

func (r *jailReader) counter() {
	r.jail.Counter = CounterFail2ban
	v, ok := r.jail.Options["counter"]
	if !ok {
		return
	}
	switch c := Counter(v.Text); c {
	case CounterExact, CounterFail2ban:
		r.jail.Counter = c
	default:
		r.wrongValue(Error, v, "counter", "expected fail2ban or exact")
	}
}
