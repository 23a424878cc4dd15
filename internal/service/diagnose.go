package service

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"

	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// diagnose says what lets somebody in whose ban is in the kernel, as far as the
// kernel's lists tell: a port that is not among the action's, a connection that
// was open, a flowtable or a container that our chain does not stand before; or
// nobody of that address, which is a proxy.
func (s *Service) diagnose(j *jail, id pipeline.ID) string {
	if j.drop == nil {
		return "no action of the jail drops packets"
	}
	if why := s.otherProtocol(j); why != "" {
		return why
	}
	from, ok := id.Prefix()
	if !ok {
		return fmt.Sprintf("%q is no address: the kernel cannot drop it", id.String())
	}
	sockets, err := tcpSockets(s.cfg.NetNS, 0xFFF&^(1<<tcpListen|1<<tcpTimeWait))
	if err != nil {
		return "not known: " + err.Error()
	}
	var others []uint16
	open := uint16(0)
	for _, c := range sockets {
		switch port := c.local.Port(); {
		case !from.Contains(c.remote.Addr()):
		case hasPort(j.drop.Ports, port):
			open = port
		case !slices.Contains(others, port):
			others = append(others, port)
		}
	}
	switch {
	case len(others) > 0:
		slices.Sort(others)
		return fmt.Sprintf("it is connected to port %s, which is not among those of the action (%s): add it to the jail's port, or take banaction_allports",
			joinPorts(others), portsText(j.drop))
	case open > 0:
		return fmt.Sprintf("its connection to port %d was open before: its packets are refused, and what the service logs is its end (kill-sockets = yes ends it at once)", open)
	}
	if why := s.forwarded(j, from); why != "" {
		return why
	}
	if why := s.offloaded(); why != "" {
		return why
	}
	if family := s.noListener(j, from.Addr().Is4()); family != "" {
		return family
	}
	return "no connection of it reaches this host: the log has the address of a proxy's client (X-Forwarded-For, PROXY protocol, a CDN), " +
		"and its packets come from the proxy: ban it there"
}

// forwarded says what becomes of connections that this host only hands on, to a
// container or to another host.
func (s *Service) forwarded(j *jail, from netip.Prefix) string {
	flows, err := flowsOf(s.cfg.NetNS, from)
	if err != nil {
		return ""
	}
	for _, f := range flows {
		translated := f.answers.IsValid() && f.answers != f.to.Addr()
		port := f.to.Port()
		switch c := j.drop.Classic; {
		case !translated && s.wards.owns(f.to.Addr()):
		case s.classic() && orElse(c.Hook, "input") == "input":
			return fmt.Sprintf("its connection to port %d is handed on to %s, such as a container: chain %s of hook input, priority %s, does not see what is forwarded "+
				"(take our own layout, or chain_hook=prerouting)", port, f.answers, orElse(c.Chain, "f2b-chain"), orElse(c.Priority, "-1"))
		case !hasPort(j.drop.Ports, port):
			return fmt.Sprintf("its connection to port %d is handed on to %s, and that port is not among those of the action (%s)", port, f.answers, portsText(j.drop))
		case !translated && j.drop.Scope != sinks.ScopeAll:
			return fmt.Sprintf("its connection to %s is neither for this host nor translated by it: scope = all refuses that too", f.to)
		}
	}
	return ""
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// otherProtocol says that the action drops no TCP: then the sockets tell nothing.
func (s *Service) otherProtocol(j *jail) string {
	p := j.drop.Protocols
	if len(p) == 0 || slices.Contains(p, "tcp") || slices.Contains(p, "all") {
		return ""
	}
	return "the action drops " + strings.Join(p, ", ") + " only: if it comes by another protocol, add that to the jail's protocol"
}

func hasPort(ranges []sinks.PortRange, port uint16) bool {
	return len(ranges) == 0 || slices.ContainsFunc(ranges, func(r sinks.PortRange) bool { return r.First <= port && port <= r.Last })
}

func joinPorts(ports []uint16) string {
	var out []string
	for _, p := range ports[:min(len(ports), 8)] {
		out = append(out, fmt.Sprint(p))
	}
	return strings.Join(out, ", ")
}

func portsText(a *sinks.Action) string {
	var out []string
	for _, r := range a.Ports {
		out = append(out, r.String())
	}
	return strings.Join(out, ", ")
}

// noListener says that the service of the jail's ports listens on the other
// family alone: an address of this one stands in the log for somebody else.
func (s *Service) noListener(j *jail, v4 bool) string {
	list, err := tcpSockets(s.cfg.NetNS, 1<<tcpListen)
	if err != nil || len(j.drop.Ports) == 0 {
		return ""
	}
	same, other := false, uint16(0)
	for _, l := range list {
		if !hasPort(j.drop.Ports, l.local.Port()) {
			continue
		}
		// A listener on :: takes IPv4 too, on most systems.
		if a := l.local.Addr(); a.Is4() == v4 || a.IsUnspecified() {
			same = true
		} else {
			other = l.local.Port()
		}
	}
	if same || other == 0 {
		return ""
	}
	return fmt.Sprintf("what listens on port %d listens on the other family of addresses alone: the log's address is another host's, such as a proxy's client", other)
}

// offloaded names a flowtable: what it hands on comes by no chain.
func (s *Service) offloaded() string {
	conn, err := nftables.New(nftables.WithNetNSFd(s.cfg.NetNS))
	if err != nil {
		return ""
	}
	tables, err := conn.ListTables()
	if err != nil {
		return ""
	}
	for _, t := range tables {
		flows, err := conn.ListFlowtables(t)
		if err != nil || len(flows) == 0 {
			continue
		}
		return fmt.Sprintf("flowtable %s of table %s (hook ingress, priority %d) hands on the packets of forwarded connections that it knows before our chain sees them",
			flows[0].Name, t.Name, *flows[0].Priority)
	}
	return ""
}
