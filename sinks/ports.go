package sinks

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// PortRange is the ports from First to Last, both included.
type PortRange struct {
	First, Last uint16
}

// String returns the range as nft prints it: "22" or "1000-2000".
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// ParsePorts reads a jail's port option: numbers, names of services and ranges
// ("1000:2000" or "1000-2000"), separated by commas or blanks. The result is
// sorted and overlapping ranges are joined. "all", "any", "0:65535" and the
// empty text mean every port: the result is nil. Names are looked up in a
// built-in table of the services that mail and web servers have, then in
// /etc/services.
func ParsePorts(s string) ([]PortRange, error) {
	var ranges []PortRange
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		switch strings.ToLower(word) {
		case "all", "any":
			return nil, nil
		}
		r, err := parsePortRange(word)
		if err != nil {
			return nil, fmt.Errorf("read port %q: %w", s, err)
		}
		ranges = append(ranges, r)
	}
	ranges = joinPorts(ranges)
	if len(ranges) == 1 && ranges[0].First <= 1 && ranges[0].Last == 65535 {
		return nil, nil
	}
	return ranges, nil
}

// parsePortRange reads one port or range. The name of a service may hold a
// minus ("ms-sql-s"), so that a minus only separates what does not name one.
func parsePortRange(word string) (PortRange, error) {
	if first, last, ok := strings.Cut(word, ":"); ok {
		return portsBetween(first, last)
	}
	port, err := parsePort(word)
	if err == nil {
		return PortRange{port, port}, nil
	}
	if first, last, ok := strings.Cut(word, "-"); ok && first != "" && last != "" {
		if r, rangeErr := portsBetween(first, last); rangeErr == nil {
			return r, nil
		}
	}
	return PortRange{}, err
}

// portsBetween reads the two ends of a range; an empty end is the first or last port.
func portsBetween(first, last string) (PortRange, error) {
	r := PortRange{0, 65535}
	var err error
	if first != "" {
		if r.First, err = parsePort(first); err != nil {
			return r, err
		}
	}
	if last != "" {
		if r.Last, err = parsePort(last); err != nil {
			return r, err
		}
	}
	if r.First > r.Last {
		return r, fmt.Errorf("range %s:%s ends before it starts", first, last)
	}
	return r, nil
}

// parsePort reads a number or the name of a service.
func parsePort(s string) (uint16, error) {
	if n, err := strconv.ParseUint(s, 10, 16); err == nil {
		return uint16(n), nil
	}
	if port, ok := knownServices[strings.ToLower(s)]; ok {
		return port, nil
	}
	if port, ok := systemServices()[s]; ok {
		return port, nil
	}
	return 0, fmt.Errorf("%q is neither a port nor a known service", s)
}

// joinPorts sorts the ranges and joins those that overlap or touch, because an
// interval set refuses overlaps.
func joinPorts(ranges []PortRange) []PortRange {
	slices.SortFunc(ranges, func(a, b PortRange) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	var joined []PortRange
	for _, r := range ranges {
		if n := len(joined); n > 0 && r.First <= joined[n-1].Last {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// knownServices are the services of jails in common use (IANA's registry), so
// that a container without /etc/services understands its jail.local.
var knownServices = map[string]uint16{
	"ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "http": 80, "www": 80,
	"kerberos": 88, "pop3": 110, "pop-3": 110, "sunrpc": 111, "ntp": 123, "imap2": 143, "imap": 143,
	"snmp": 161, "ldap": 389, "https": 443, "microsoft-ds": 445, "submissions": 465, "ssmtp": 465,
	"smtps": 465, "urd": 465, "submission": 587, "ldaps": 636, "rsync": 873, "ftps-data": 989, "ftps": 990,
	"telnets": 992, "imaps": 993, "pop3s": 995, "socks": 1080, "openvpn": 1194, "ms-sql-s": 1433,
	"radius": 1812, "nfs": 2049, "mysql": 3306, "ms-wbt-server": 3389, "sieve": 4190,
	"sip": 5060, "sip-tls": 5061, "xmpp-client": 5222, "xmpp-server": 5269, "postgresql": 5432,
	"amqp": 5672, "redis": 6379, "http-alt": 8080, "webmin": 10000,
}

// systemServices reads /etc/services once: the first port of each name and alias.
var systemServices = sync.OnceValue(func() map[string]uint16 {
	services := make(map[string]uint16)
	file, err := os.Open("/etc/services")
	if err != nil {
		return services
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		number, _, _ := strings.Cut(words[1], "/")
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			continue
		}
		for i, name := range words {
			if _, known := services[name]; i != 1 && !known {
				services[name] = uint16(port)
			}
		}
	}
	return services
})
