package service

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// subnetDefaults are what subnet-ban = yes means.
var subnetDefaults = pipeline.Subnet{Members: 10, Window: 24 * time.Hour, Bits4: 24, Bits6: 56, Most: 100}

// netOptions are a jail's own options for networks and for whom it never bans.
type netOptions struct {
	prefix6 pipeline.Prefix6
	subnet  pipeline.Subnet
	guard   bool
}

// netOptionsOf reads a jail's options ipv6-prefix, subnet-ban and guard. The
// errors are config.Problems.
func netOptionsOf(c *config.Jail) (o netOptions, errs []error) {
	o = netOptions{prefix6: pipeline.Prefix6Auto, guard: true}
	read := func(option string, parse func(text string) error) {
		v, ok := c.Options[option]
		text := strings.ToLower(strings.TrimSpace(v.Text))
		if !ok || text == "" {
			return
		}
		if err := parse(text); err != nil {
			errs = append(errs, wrongOption(c, option, v, err))
		}
	}
	read("ipv6-prefix", func(text string) error {
		switch text {
		case "auto":
		case "128":
			o.prefix6 = pipeline.Prefix6Single
		case "64":
			o.prefix6 = pipeline.Prefix6Group
		default:
			return fmt.Errorf("%q is none of auto, 128, 64", text)
		}
		return nil
	})
	read("subnet-ban", func(text string) (err error) {
		o.subnet, err = parseSubnet(text)
		return err
	})
	read("guard", func(text string) (err error) {
		o.guard, err = yesOrNo(text)
		return err
	})
	return o, errs
}

func yesOrNo(text string) (bool, error) {
	switch text {
	case "yes", "true", "on", "1":
		return true, nil
	case "no", "false", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is none of yes, no", text)
}

var subnetSyntax = regexp.MustCompile(`^(\w+)\s*(?:\[([^\[\]]*)\])?$`)

// parseSubnet reads `yes[members=10, window=1d, ipv4=24, ipv6=56, most=100]`,
// each of them with its default, or no.
func parseSubnet(text string) (pipeline.Subnet, error) {
	m := subnetSyntax.FindStringSubmatch(text)
	if m == nil {
		return pipeline.Subnet{}, fmt.Errorf("%q: expected yes[members=10, window=1d, ipv4=24, ipv6=56, most=100] or no", text)
	}
	if yes, err := yesOrNo(m[1]); err != nil || !yes {
		return pipeline.Subnet{}, err
	}
	s := subnetDefaults
	for item := range strings.SplitSeq(m[2], ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		if name == "" {
			continue
		}
		if name == "window" {
			d, err := config.ParseDuration(value)
			if err != nil || d <= 0 {
				return pipeline.Subnet{}, fmt.Errorf("window=%s: expected a time such as 1h or 1d", value)
			}
			s.Window = d
			continue
		}
		bound, known := map[string]struct {
			to       *int
			min, max int
		}{"members": {&s.Members, 2, 256}, "ipv4": {&s.Bits4, 16, 30}, "ipv6": {&s.Bits6, 48, 64}, "most": {&s.Most, 1, 10_000}}[name]
		if !known {
			return pipeline.Subnet{}, fmt.Errorf("%s is not known: expected members, window, ipv4, ipv6 or most", name)
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < bound.min || n > bound.max {
			return pipeline.Subnet{}, fmt.Errorf("%s=%s: expected a number from %d to %d", name, value, bound.min, bound.max)
		}
		*bound.to = n
	}
	return s, nil
}

// newNetworks returns the stage that bans networks; nil in fail2ban's layout,
// where every address is banned by itself.
func (s *Service) newNetworks() *pipeline.Networks {
	if s.classic() {
		return nil
	}
	return pipeline.NewNetworks(pipeline.NetworksConfig{Spared: s.sparesNetwork})
}

// sparesNetwork says whether somebody is in a network whom the jail does not
// count, or whom the guard knows.
func (s *Service) sparesNetwork(j *pipeline.Jail, network netip.Prefix) bool {
	return s.guard.Overlaps(j, network) || s.wards.inside(network)
}
