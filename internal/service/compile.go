package service

import (
	"errors"
	"fmt"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// A jail is a configured jail, compiled: everything that can be wrong with it
// has been found.
type jail struct {
	config   *config.Jail
	identity *pipeline.Jail
	matcher  matchers.JailFilter
	drop     *sinks.Action // how its addresses are dropped; nil: no action of it drops
	other    []string      // actions that are not carried out
}

// policyOf is how a configured jail counts and bans.
func policyOf(c *config.Jail) pipeline.Policy {
	return pipeline.Policy{
		MaxRetry: c.MaxRetry, FindTime: c.FindTime, BanTime: c.BanTime,
		Exact: c.Counter == config.CounterExact,
	}
}

// compile compiles a jail. The error joins everything that is wrong.
func compile(c *config.Jail) (*jail, error) {
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
	if err := matchers.Check(j.matcher); err != nil {
		errs = append(errs, fmt.Errorf("jail %s: %w", c.Name, err))
	}
	for i := range c.Actions {
		a := &c.Actions[i]
		drop, err := dropAction(a)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: jail %s: action %s: %w", a.At.Place(), c.Name, a.Name, err))
		case drop == nil:
			j.other = append(j.other, a.Name)
		case j.drop == nil:
			j.drop = drop
		}
	}
	return j, errors.Join(errs...)
}

// compileRules compiles the regular expressions of a filter or jail.
func compileRules(name string, r *config.Rules) (*matchers.Filter, error) {
	dns, err := matchers.ParseUseDNS(r.Usedns.Text)
	if err != nil {
		err = fmt.Errorf("%s: filter %s: %w", r.Usedns.Place(), name, err)
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

// droppers are the families of stock actions whose whole effect is to drop a
// source's packets: our own sink carries them out.
var droppers = []string{"nftables", "iptables", "firewallcmd"}

// dropAction returns how the action drops, nil where it is no stock drop action.
func dropAction(a *config.Action) (*sinks.Action, error) {
	family := ""
	for _, d := range droppers {
		if a.Name == d || strings.HasPrefix(a.Name, d+"-") {
			family = d
		}
	}
	if family == "" {
		return nil, nil
	}
	// Parameters come before [Init] in the list, and the first of a name holds.
	param := func(name string) string {
		for _, p := range a.Params {
			if p.Name == name {
				return p.Value.Text
			}
		}
		for _, p := range a.Init {
			if p.Name == name {
				return p.Value.Text
			}
		}
		return ""
	}
	out := &sinks.Action{Protocols: words(param("protocol")), Block: blockType(param("blocktype"))}
	out.Classic.AllPorts = strings.HasSuffix(a.Name, "-allports") || param("type") == "allports"
	if !out.Classic.AllPorts {
		ports, err := sinks.ParsePorts(param("port"))
		if err != nil {
			return nil, err
		}
		out.Ports = ports
	}
	return out, nil
}

// blockType turns an iptables target into the verdict that it stands for. What
// has tags in it (<rejecttype>) is a reject.
func blockType(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if strings.HasPrefix(s, "reject") && strings.ContainsAny(s, "<") {
		return "reject"
	}
	return s
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
}
