package matchers

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The groups that fail2ban's host tags stand for. The names are the
// documented interface of filters: captured text is found by them.
const (
	ip4Text = `(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})`
	// The colon after the last group need not be checked for the one before it:
	// each step of the loop ends in one.
	ip6Text  = `(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|:){1,7}(?:[0-9a-fA-F]{1,4}|:))`
	dnsText  = `(?P<dns>[\w\-.^_]*\w)`
	cidrText = `(?P<cidr>\d+)`
	addrText = `\[?(?:` + ip4Text + `|` + ip6Text + `)\]?`
	hostText = `(?:` + addrText + `|` + dnsText + `)`
	netText  = `\[?(?:` + ip4Text + `|` + ip6Text + `)(?:/` + cidrText + `)?\]?`
)

var tagTexts = map[string]string{
	"IP4": ip4Text, "F-IP4/": ip4Text,
	"IP6": ip6Text, "F-IP6/": ip6Text,
	"ADDR": addrText, "F-ADDR/": addrText,
	"CIDR": cidrText, "F-CIDR/": cidrText,
	"SUBNET": netText, "F-SUBNET/": netText,
	"DNS": dnsText, "F-DNS/": dnsText,
	"F-ID/": `(?P<fid>\S+)`, "F-PORT/": `(?P<fport>\w+)`,
}

var (
	tagRE    = regexp.MustCompile(`</?[\pL\pN_\-]+/?>`)
	customRE = regexp.MustCompile(`^(/?)F-([A-Z0-9_\-]+)$`)
	// A group whose first thing is a global flag, which Python from 3.11 on
	// refuses in the middle of a pattern: fail2ban makes it a scoped flag. The
	// byte before is part of the match since RE2 cannot look behind.
	globalFlagRE = regexp.MustCompile(`(^|[^\\])\((?:\?:)?(\(\?[a-z]+)\)`)
)

// groupName is the name of the group that the tag <F-NAME> opens.
func groupName(tag string) string {
	switch name := strings.ToLower(tag); name {
	case "id":
		return "fid"
	case "port":
		return "fport"
	default:
		return name
	}
}

// ExpandTags replaces fail2ban's tags (<HOST>, <ADDR>, <F-USER>…</F-USER>,
// <SKIPLINES>) by the groups they stand for and scoped global flags by local
// ones, as fail2ban does before it compiles. Unknown tags stay. With usedns =
// no a <HOST> is only ever an address.
func ExpandTags(pattern string, dns UseDNS) string {
	open := map[string]bool{}
	skips := 0
	out := tagRE.ReplaceAllStringFunc(pattern, func(tag string) string {
		name := tag[1 : len(tag)-1]
		switch name {
		case "HOST":
			if dns == DNSNo {
				return addrText
			}
			return hostText
		case "SKIPLINES":
			skips++
			return `\n(?P<skiplines` + strconv.Itoa(skips-1) + `>(?:(?:.*\n)*?))`
		}
		if text, ok := tagTexts[name]; ok {
			return text
		}
		m := customRE.FindStringSubmatch(name)
		switch {
		case m == nil:
			return tag
		case m[1] == "":
			open[m[2]] = true
			return "(?P<" + groupName(m[2]) + ">"
		case open[m[2]]:
			return ")"
		}
		return tag
	})
	if !hasGlobalFlag(out) {
		return out // nearly always
	}
	// Twice: matches that share a byte are found one at a time.
	for range 2 {
		out = globalFlagRE.ReplaceAllString(out, "$1$2:")
	}
	return out
}

// hasGlobalFlag says whether (?letters) stands anywhere.
func hasGlobalFlag(pattern string) bool {
	for {
		i := strings.Index(pattern, "(?")
		if i < 0 {
			return false
		}
		pattern = pattern[i+2:]
		if rest := strings.TrimLeft(pattern, "abcdefghijklmnopqrstuvwxyz"); rest != pattern && strings.HasPrefix(rest, ")") {
			return true
		}
	}
}

// UseDNS is the jail option usedns: what becomes of a host that is a name.
type UseDNS uint8

// The values of usedns.
const (
	DNSWarn UseDNS = iota // resolve it and warn
	DNSYes                // resolve it
	DNSNo                 // a name is nobody
	DNSRaw                // the name itself is what is counted
)

// ParseUseDNS reads the option's value; empty is the default, warn.
func ParseUseDNS(s string) (UseDNS, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "", "warn":
		return DNSWarn, nil
	case "yes", "1", "on", "true":
		return DNSYes, nil
	case "no", "0", "off", "false":
		return DNSNo, nil
	case "raw":
		return DNSRaw, nil
	}
	return 0, fmt.Errorf("usedns = %q is none of yes, warn, no, raw", s)
}
