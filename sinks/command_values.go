package sinks

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// banAddress returns the address that a ban is about, as the tag <ip>: what was
// banned itself or, where that is an ID of the filter's, the address that the
// filter found beside it, if any.
func banAddress(b *pipeline.Ban) (text string, p netip.Prefix) {
	if p, ok := b.ID.Prefix(); ok {
		return b.ID.String(), p
	}
	if b.Ticket != nil {
		for _, group := range []string{"ip4", "ip6", "ip"} {
			if a, err := netip.ParseAddr(b.Ticket.Fields[group]); err == nil {
				id := pipeline.AddrID(a)
				p, _ := id.Prefix()
				return id.String(), p
			}
		}
	}
	return b.ID.String(), netip.Prefix{}
}

// familyOf returns the family whose commands a ban goes by.
func familyOf(b *pipeline.Ban) AddressFamily {
	if _, p := banAddress(b); p.IsValid() && p.Addr().Is6() {
		return 1
	}
	return 0
}

// BanValue returns the value of a tag that the ban itself knows. A capture's name
// is F- and the group, in lower case.
func BanValue(tag string, b *pipeline.Ban) (value string, ok bool) {
	if group, ok := strings.CutPrefix(tag, "F-"); ok {
		if b.Ticket == nil {
			return "", true
		}
		return b.Ticket.Fields[group], true
	}
	switch tag {
	case "ip":
		text, _ := banAddress(b)
		return text, true
	case "fid":
		return b.ID.String(), true
	case "family":
		if _, p := banAddress(b); !p.IsValid() {
			return "", true
		}
		return [...]string{"inet4", "inet6"}[familyOf(b)], true
	case "ip-rev":
		_, p := banAddress(b)
		return reversed(p), true
	case "failures":
		return strconv.Itoa(b.Failures), true
	case "time":
		return banTime(b), true
	case "bantime":
		if b.UntilNanos == pipeline.Permanent {
			return "-1", true
		}
		return strconv.FormatInt((b.UntilNanos-b.AtNanos)/int64(time.Second), 10), true
	case "bancount":
		if b.Ticket != nil && b.Ticket.Count > 0 {
			return strconv.Itoa(b.Ticket.Count), true
		}
		return "1", true
	case "restored":
		if b.Restored {
			return "1", true
		}
		return "0", true
	case "matches":
		if b.Ticket == nil {
			return "", true
		}
		return strings.Join(b.Ticket.Matches, "\n"), true
	case "raw-ticket":
		return rawTicket(b), true
	}
	return "", false
}

// banTime returns when a ban began as fail2ban writes it: a float of seconds,
// and whole ones where the ban was restored.
func banTime(b *pipeline.Ban) string {
	if b.Restored {
		return strconv.FormatInt(b.AtNanos/int64(time.Second), 10)
	}
	s := strconv.FormatFloat(float64(b.AtNanos)/1e9, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// rawTicket returns a ban as fail2ban prints a ticket for debugging.
func rawTicket(b *pipeline.Ban) string {
	count, _ := BanValue("bancount", b)
	length := "None"
	if b.Restored {
		length, _ = BanValue("bantime", b)
	}
	var matches []string
	if b.Ticket != nil {
		for _, m := range b.Ticket.Matches {
			matches = append(matches, strconv.Quote(m))
		}
	}
	return fmt.Sprintf("BanTicket: ip=%s time=%s bantime=%s bancount=%s #attempts=%d matches=[%s]",
		b.ID, banTime(b), length, count, b.Failures, strings.Join(matches, ", "))
}

// reversed returns an address as the beginning of its name in DNS: "1.2.0.192.".
func reversed(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	if a := p.Addr(); a.Is6() {
		b := a.As16()
		var out []byte
		for i := 15; i >= 0; i-- {
			out = append(out, "0123456789abcdef"[b[i]&15], '.', "0123456789abcdef"[b[i]>>4], '.')
		}
		return string(out)
	}
	text := p.Addr().String()
	if !p.IsSingleIP() {
		text = p.String()
	}
	parts := strings.Split(text, ".")
	var out strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		out.WriteString(parts[i] + ".")
	}
	return out.String()
}
