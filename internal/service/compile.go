package service

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// A jail is a configured jail, compiled: everything that can be wrong with it
// has been found.
type jail struct {
	config    *config.Jail
	identity  *pipeline.Jail
	matcher   matchers.JailFilter
	drop      *sinks.Action // how its addresses are dropped; nil: no action of it drops
	dropBy    []string      // the actions that drop is made of
	actions   []*action     // its other actions
	other     []omitted
	blind     time.Duration // blindalarm
	kernel    kernelOptions
	net       netOptions
	idle      bool        // a command put it to rest: its logs are not looked at
	stopped   bool        // a client has made it and not started it yet: the same
	journal   *journalUse // nil: it reads files
	increment *increment  // bantime.increment; nil: bans do not grow
}

// reads says whether the jail's logs are looked at.
func (j *jail) reads() bool { return !j.idle && !j.stopped }

// omitted is an action that is not carried out, and why.
type omitted struct{ action, reason string }

// policyOf is how a configured jail counts and bans.
func policyOf(c *config.Jail) pipeline.Policy {
	nets, _ := netOptionsOf(c) // what is wrong with them compile says
	return pipeline.Policy{
		MaxRetry: max(c.MaxRetry, 1), FindTime: c.FindTime, BanTime: c.BanTime,
		Exact: c.Counter == config.CounterExact, MaxMatches: max(c.MaxMatches, 0),
		Prefix6: nets.prefix6, Subnet: nets.subnet,
	}
}

// compile compiles a jail. The error joins everything that is wrong.
func compile(c *config.Jail) (*jail, error) { return new(compiler).jail(c) }

// compiler compiles any number of jails, on any number of goroutines.
type compiler struct {
	// good are the date patterns, time zones and encodings that matchers.Check
	// took, joined: most jails have the same, and to check the default patterns
	// costs more than all else of a jail.
	good sync.Map
	// judged says of canonical actions whether released knows them: a jail.conf has
	// few, each of its jails one.
	judged sync.Map
}

// released is released, asked once for each canonical action.
func (k *compiler) released(a *config.Action) bool {
	if known, ok := k.judged.Load(a.Canonical); ok {
		return known.(bool)
	}
	yes := released(a)
	k.judged.Store(a.Canonical, yes)
	return yes
}

func (k *compiler) jail(c *config.Jail) (*jail, error) {
	j := &jail{config: c, identity: pipeline.NewJail(c.Name, policyOf(c))}
	name := c.Name
	if c.Filter != nil {
		name = c.Filter.Name
	}
	filter, err := compileRules(name, &c.Rules)
	errs := []error{err}
	j.matcher = matchers.JailFilter{
		Jail: j.identity, Filter: filter, Dates: texts(c.Datepattern),
		TimeZone: c.Logtimezone.Text, Encoding: c.Logencoding.Text,
	}
	reading := strings.Join(append([]string{j.matcher.TimeZone, j.matcher.Encoding}, j.matcher.Dates...), "\x00")
	if _, ok := k.good.Load(reading); !ok {
		wrong := checkReading(c, j.matcher)
		for _, p := range wrong {
			errs = append(errs, p)
		}
		if len(wrong) == 0 {
			k.good.Store(reading, true)
		}
	}
	if j.blind, err = blindAlarm(c); err != nil {
		errs = append(errs, err)
	}
	if j.increment, err = newIncrement(&c.Increment); err != nil {
		errs = append(errs, err)
	}
	kernel, wrong := kernelOptionsOf(c)
	j.kernel, errs = kernel, append(errs, wrong...)
	if j.journal, err = journalUseOf(c); err != nil {
		errs = append(errs, err)
	}
	j.net, wrong = netOptionsOf(c)
	errs = append(errs, wrong...)
	for i := range c.Actions {
		if err := k.addAction(j, &c.Actions[i]); err != nil {
			errs = append(errs, err)
		}
	}
	j.scope()
	return j, errors.Join(errs...)
}

// compileRules compiles the regular expressions of a filter or jail.
func compileRules(name string, r *config.Rules) (*matchers.Filter, error) {
	dns, err := matchers.ParseUseDNS(r.Usedns.Text)
	if err != nil {
		err = config.Problem{Severity: config.Error, File: r.Usedns.File, Line: r.Usedns.Line, Option: "usedns", Text: r.Usedns.Text, Message: "expected yes, warn, no or raw"}
	}
	f, compileErr := matchers.CompileFilter(matchers.FilterConfig{
		Name: name, Prefregex: regexOf(r.Prefregex), Failregex: regexesOf(r.Failregex), Ignoreregex: regexesOf(r.Ignoreregex),
		MaxLines: r.Maxlines, UseDNS: dns,
	})
	return f, errors.Join(err, compileErr)
}

func regexOf(v config.Value) matchers.Regex {
	r := matchers.Regex{Text: v.Text}
	if v.IsSet() {
		r.Where = v.Place()
	}
	return r
}

func regexesOf(vs []config.Value) []matchers.Regex {
	out := make([]matchers.Regex, len(vs))
	for i, v := range vs {
		out[i] = regexOf(v)
	}
	return out
}

func texts(vs []config.Value) []string {
	var out []string
	for _, v := range vs {
		out = append(out, v.Text)
	}
	return out
}
