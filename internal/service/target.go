package service

import (
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// parseTarget reads what a person wants banned: an address or a network. What
// is neither is refused: nothing could drop it.
func parseTarget(text string) (pipeline.ID, error) {
	id := pipeline.ParseID(text)
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
	if id := pipeline.ParseID(text); j.drop == nil && text != "" {
		if _, ok := id.Prefix(); !ok {
			return id, nil
		}
	}
	return parseTarget(text)
}

// guard leaves out what covers an address of this host: to ban oneself is
// mostly a slip.
func guard(texts []string) (rest []string, refused []Refusal) {
	own, _ := net.InterfaceAddrs() // without them nothing is guarded
	for _, text := range texts {
		id, err := parseTarget(text)
		p, _ := id.Prefix()
		if err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
			host, err := netip.ParsePrefix(a.String())
			return err == nil && p.Contains(host.Addr().Unmap())
		}) {
			refused = append(refused, Refusal{text, "covers an address of this host; --force bans it all the same"})
			continue
		}
		rest = append(rest, text)
	}
	return rest, refused
}

// SameID says whether two texts name the same address, network or ID.
func SameID(a, b string) bool { return pipeline.ParseID(a) == pipeline.ParseID(b) }

// Seconds reads a length of time as jail.conf has it; negative is permanent.
func Seconds(text string) (float64, error) {
	d, err := config.ParseDuration(text)
	return d.Seconds(), err
}
