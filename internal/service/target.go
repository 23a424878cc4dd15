package service

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// commandID reads an ID as fail2ban reads that of a command: an address may stand
// in brackets, a network may have a netmask.
func commandID(text string) pipeline.ID {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		text = strings.Replace(rest, "]", "", 1)
	}
	if host, mask, ok := strings.Cut(text, "/"); ok && strings.ContainsAny(mask, ".:") {
		if bits := maskBits(mask); bits >= 0 {
			text = host + "/" + strconv.Itoa(bits)
		}
	}
	return pipeline.ParseID(text)
}

// parseTarget reads what a person wants banned: an address or a network. What
// is neither is refused: nothing could drop it.
func parseTarget(text string) (pipeline.ID, error) {
	id := commandID(text)
	p, ok := id.Prefix()
	switch {
	case !ok:
		return id, errors.New("no address or network")
	case p.Bits() == 0:
		return id, errors.New("this is everybody")
	case p.Addr().IsUnspecified() || p.Addr().IsMulticast() || p.Addr() == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return id, errors.New("no address that a packet comes from")
	}
	return id, nil
}

// target reads what is to be banned in a jail: what is no address only where no
// action of the jail drops packets.
func (j *jail) target(text string) (pipeline.ID, error) {
	if id := commandID(text); j.drop == nil && text != "" {
		if _, ok := id.Prefix(); !ok {
			return id, nil
		}
	}
	return parseTarget(text)
}

// guarded leaves out what covers an address of this host, a gateway, or
// somebody who is connected by ssh: peer, the one who asks (empty: not known),
// above all. To ban those is mostly a slip.
func (s *Service) guarded(texts []string, peer string) (rest []string, refused []Refusal) {
	now := s.clock.Now()
	s.wards.look(now)
	asks, _ := netip.ParseAddr(peer)
	asks = asks.Unmap().WithZone("")
	for _, text := range texts {
		id, err := parseTarget(text)
		if err != nil {
			rest = append(rest, text) // is refused where it is banned
			continue
		}
		p, _ := id.Prefix()
		why := map[wardKind]string{
			wardOwn: "covers an address of this host", wardGateway: "covers the default gateway", wardPeer: "covers somebody who is connected by ssh",
		}[s.wards.is(id, now)]
		if asks.IsValid() && p.Contains(asks) {
			why = "covers your own ssh connection, from " + asks.String()
		}
		if why == "" {
			rest = append(rest, text)
			continue
		}
		refused = append(refused, Refusal{text, why + "; --force bans it all the same"})
	}
	return rest, refused
}

// Covers says whether a ban of one ID is one of the other: the same address,
// network or ID, or a network that it is in.
func Covers(banned, id string) bool {
	a, b := pipeline.ParseID(banned), pipeline.ParseID(id)
	p, isNet := a.Prefix()
	q, inNet := b.Prefix()
	return a == b || isNet && inNet && p.Bits() <= q.Bits() && p.Contains(q.Addr())
}

// Seconds reads a length of time as jail.conf has it; negative is permanent.
func Seconds(text string) (float64, error) {
	d, err := config.ParseDuration(text)
	return d.Seconds(), err
}
