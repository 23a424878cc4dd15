package service

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/runner"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// By what an action is carried out.
const (
	byNFTables = "nftables" // our sink
	byCommands = "command"  // its own commands
	byPython   = "python3"
)

// Which actions our sink stands for: the option native-actions.
const (
	nativeAll      = "yes"
	nativeNFTables = "nftables" // those that are nftables' already: under fail2ban's names
	nativeNone     = "no"
)

// An action is one that is carried out beside the jail's drop: by its commands,
// or by our sink where it drops by other ports, or in another way.
type action struct {
	name    string
	by      string
	note    string // why not by our sink, although it drops; empty: there is nothing to say
	digest  string // of the definition; empty: our sink carries it out
	program *runner.Program
	drop    *sinks.Action // nil: commands carry it out
	wants   map[sinks.Phase][]string
}

// same says whether two actions are carried out alike.
func (a *action) same(b *action) bool {
	return a.name == b.name && a.by == b.by && a.digest == b.digest && (a.drop == nil) == (b.drop == nil) && (a.drop == nil || sameDrop(a.drop, b.drop))
}

// addAction decides how an action is carried out.
func (k *compiler) addAction(j *jail, a *config.Action) error {
	if a.Python != "" {
		return j.addCommands(a, "")
	}
	drop, note, err := k.nativeAction(j, a)
	switch {
	case err != nil:
		v := paramOf(a, "port")
		if own := j.config.Options["port"]; own.Text == v.Text {
			v = own // port="%(port)s" stands in jail.conf, what is wrong with it in the jail
		}
		return wrongOption(j.config, "port", v, fmt.Errorf("action %s: %w", a.Name, err))
	case drop == nil:
		return j.addCommands(a, note)
	case j.drop == nil:
		j.drop, j.dropBy = drop, []string{a.ActName}
	case joins(j.drop, drop):
		for _, p := range drop.Protocols {
			if !slices.Contains(j.drop.Protocols, p) {
				j.drop.Protocols = append(j.drop.Protocols, p)
			}
		}
		j.dropBy = append(j.dropBy, a.ActName)
	default:
		j.actions = append(j.actions, &action{name: a.ActName, by: byNFTables, drop: drop})
	}
	return nil
}

// addCommands has an action carried out by its own commands.
func (j *jail) addCommands(a *config.Action, note string) error {
	d := runner.Define(j.config.Name, a)
	p, err := runner.Compile(d)
	if err != nil {
		return wrongOption(j.config, "action", a.At, err)
	}
	out := &action{name: a.ActName, by: byCommands, note: note, digest: d.Digest(), program: p}
	if a.Python != "" {
		out.by = byPython
		if _, err := runner.FindPython(); err != nil {
			j.other = append(j.other, omitted{a.ActName, err.Error()})
			return nil
		}
		if _, err := os.Stat(a.Python); err != nil {
			j.other = append(j.other, omitted{a.ActName, fmt.Sprintf("it cannot be read: %v", err)})
			return nil
		}
	}
	out.wants = wantedTags(p)
	j.actions = append(j.actions, out)
	return nil
}

// banPhases are the phases that are told of a ban.
var banPhases = []sinks.Phase{sinks.PhaseBan, sinks.PhaseReban, sinks.PhaseUnban, sinks.PhaseProlong}

// pythonTags are what an action in Python is told: it does not say what it wants.
var pythonTags = []string{
	"ip", "fid", "family", "ip-rev", "failures", "time", "bantime", "bancount", "restored", "matches", "raw-ticket",
	"ipmatches", "ipjailmatches", "ipfailures", "ipjailfailures", "jail.banned", "jail.banned_total", "jail.found", "jail.found_total",
}

// wantedTags are the tags of the commands that are told of a ban.
func wantedTags(p *runner.Program) map[sinks.Phase][]string {
	out := map[sinks.Phase][]string{}
	for _, phase := range banPhases {
		out[phase] = pythonTags
		if p.Python == "" {
			// What the engine adds (<ip-host>) it knows by the address.
			out[phase] = append(p.Tags(runner.Phase(phase)), "ip")
		}
	}
	return out
}

// wantsFields says whether an action needs the named groups of the filter.
func (j *jail) wantsFields() bool {
	return slices.ContainsFunc(j.actions, func(a *action) bool {
		if a.by == byPython {
			return true
		}
		for _, tags := range a.wants {
			if slices.ContainsFunc(tags, func(t string) bool { _, ok := runner.Capture(t); return ok }) {
				return true
			}
		}
		return false
	})
}

// nativeOf returns which actions of a jail our sink stands for.
func nativeOf(c *config.Jail) string {
	switch strings.ToLower(strings.TrimSpace(c.Options["native-actions"].Text)) {
	case "no", "off", "false", "0":
		return nativeNone
	case nativeNFTables:
		return nativeNFTables
	}
	return nativeAll
}

// nativeAction returns how our sink drops in an action's place: nil where it
// does not, with the reason where one would have thought so. The error is the ports'.
func (k *compiler) nativeAction(j *jail, a *config.Action) (drop *sinks.Action, note string, err error) {
	if !config.IsDropper(a.Name) || slices.Contains(noDroppers, a.Name) {
		return nil, "", nil
	}
	native := nativeOf(j.config)
	switch isNFT := a.Name == "nftables" || strings.HasPrefix(a.Name, "nftables-"); {
	case native == nativeNone:
		return nil, "native-actions = no", nil
	case native == nativeNFTables && !isNFT:
		return nil, "", nil
	case !k.released(a):
		return nil, "its commands are not those of a fail2ban release: they run as they are written", nil
	}
	drop, err = dropAction(a)
	if err != nil {
		return nil, "", err
	}
	if chain, ok := knownChains(a, drop); !ok {
		return nil, fmt.Sprintf("chain %s may see other packets than those that come in", chain), nil
	}
	if err := drop.Check(); err != nil {
		return nil, err.Error(), nil
	}
	return drop, "", nil
}

// knownChains says whether an action refuses packets where they come in, as our
// sink does; the chain that it is called from otherwise.
func knownChains(a *config.Action, drop *sinks.Action) (chain string, ok bool) {
	if strings.HasPrefix(a.Name, "nftables") {
		switch hook := drop.Classic.Hook; hook {
		case "", "input", "prerouting":
			return "", true
		case "forward":
			drop.Scope = sinks.ScopeAll
			return "", true
		default:
			return hook, false
		}
	}
	for _, chain := range words(paramOf(a, "chain").Text) {
		switch strings.TrimSuffix(chain, "_direct") {
		case "INPUT", "DOCKER-USER": // published ports are seen where packets come in
		case "FORWARD":
			drop.Scope = sinks.ScopeAll
		default:
			return chain, false
		}
	}
	return "", true
}

// joins says whether two drop actions differ in their protocols alone, as
// fail2ban's jails write it for TCP and UDP.
func joins(a, b *sinks.Action) bool {
	return slices.Equal(a.Ports, b.Ports) && a.Block == b.Block && a.Scope == b.Scope && a.Classic.AllPorts == b.Classic.AllPorts &&
		len(a.Protocols) > 0 && len(b.Protocols) > 0
}

// sameDrop says whether two drops are one.
func sameDrop(a, b *sinks.Action) bool {
	return slices.Equal(a.Ports, b.Ports) && slices.Equal(a.Protocols, b.Protocols) && a.Block == b.Block && a.Scope == b.Scope &&
		a.KillSockets == b.KillSockets && a.Classic == b.Classic
}

// scope puts the jail's own options into its drops.
func (j *jail) scope() {
	drops := []*sinks.Action{j.drop}
	for _, a := range j.actions {
		drops = append(drops, a.drop)
	}
	for _, d := range drops {
		if d != nil {
			d.Scope, d.KillSockets = max(d.Scope, j.kernel.scope), j.kernel.killSockets
		}
	}
}

// paramOf returns a parameter of the action, or what its [Init] has for it.
// <known/NAME> in it, which jail.conf gives every action for chain, is filled in.
func paramOf(a *config.Action, name string) config.Value {
	// Parameters come before [Init] in the list, and the first of a name holds.
	for _, params := range [][]config.Param{a.Params, a.Init} {
		for _, p := range params {
			if p.Name != name {
				continue
			}
			v := p.Value
			for _, known := range a.Known {
				v.Text = strings.ReplaceAll(v.Text, "<known/"+known.Name+">", known.Value.Text)
			}
			return v
		}
	}
	return config.Value{}
}

// dropAction returns how a stock drop action drops. The error is the ports'.
func dropAction(a *config.Action) (*sinks.Action, error) {
	param := func(name string) string { return paramOf(a, name).Text }
	out := &sinks.Action{Protocols: words(param("protocol")), Block: blockType(param("blocktype"))}
	if strings.HasPrefix(a.Name, "nftables") {
		out.Classic = classicOf(a)
	}
	out.Classic.AllPorts = strings.HasSuffix(a.Name, "-allports") || param("type") == "allports" || strings.Contains(param("actiontype"), "allports")
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
