package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// Who ends a ban in the kernel: the option expiry.
const (
	expiryKernel = "kernel" // our layout: an element's timeout, whether we live or not
	expiryDaemon = "daemon" // fail2ban's layout: an unban of ours
)

// kernelOptions are a jail's own options for the kernel's end.
type kernelOptions struct {
	daemon      bool // expiry = daemon
	scope       sinks.Scope
	killSockets bool
}

// kernelOptionsOf reads a jail's options expiry, scope and kill-sockets. The
// errors are config.Problems.
func kernelOptionsOf(c *config.Jail) (o kernelOptions, errs []error) {
	word := func(option string, words ...string) string {
		v, ok := c.Options[option]
		text := strings.ToLower(strings.TrimSpace(v.Text))
		if !ok || text == "" {
			return ""
		}
		for _, w := range words {
			if text == w {
				return w
			}
		}
		errs = append(errs, wrongOption(c, option, v, fmt.Errorf("%q is none of %s", v.Text, strings.Join(words, ", "))))
		return ""
	}
	o.daemon = word("expiry", expiryKernel, expiryDaemon) == expiryDaemon
	if word("scope", "local", "all") == "all" {
		o.scope = sinks.ScopeAll
	}
	switch word("kill-sockets", "yes", "true", "on", "1", "no", "false", "off", "0") {
	case "yes", "true", "on", "1":
		o.killSockets = true
	}
	return o, errs
}

// oneExpiry finds what is wrong with fail2ban.conf's expiry and the jails whose
// bans alone another is to end than the others': one process has one layout.
func oneExpiry(m *config.Main, jails []*jail) (problems config.Problems) {
	v := m.Options["expiry"]
	switch expiryText(v) {
	case "", expiryKernel:
	case expiryDaemon:
		return nil // all of them
	default:
		problems = append(problems, config.Problem{Severity: config.Error, File: v.File, Line: v.Line, Option: "expiry", Text: v.Text,
			Message: fmt.Sprintf("%q is none of kernel, daemon", v.Text)})
	}
	if !slices.ContainsFunc(jails, func(j *jail) bool { return !j.kernel.daemon }) {
		return problems
	}
	for _, j := range jails {
		if j.kernel.daemon {
			problems = append(problems, wrongOption(j.config, "expiry", j.config.Options["expiry"],
				errors.New("not of one jail: all stand in one layout, so that expiry = daemon belongs into [DEFAULT]")))
		}
	}
	return problems
}

// daemonExpiry says whether bans end by us alone, in fail2ban's layout. The
// jails agree.
func daemonExpiry(m *config.Main, jails []*jail) bool {
	return expiryText(m.Options["expiry"]) == expiryDaemon || len(jails) > 0 && jails[0].kernel.daemon
}

func expiryText(v config.Value) string { return strings.ToLower(strings.TrimSpace(v.Text)) }

// classicOf returns where fail2ban's nftables action puts its sets and rules.
// Empty fields are its defaults.
func classicOf(a *config.Action) sinks.Classic {
	param := func(name string) string {
		text := paramOf(a, name).Text
		text = strings.ReplaceAll(text, "<name>", paramOf(a, "name").Text)
		return strings.TrimSpace(strings.ReplaceAll(text, "<actname>", a.ActName))
	}
	return sinks.Classic{
		Table: param("table"), Family: param("table_family"), Chain: param("chain"), ChainType: param("chain_type"),
		Hook: param("chain_hook"), Priority: param("chain_priority"),
		Set4: param("addr_set"), Set6: param("addr_set?family=inet6"),
	}
}
