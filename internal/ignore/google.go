package ignore

import (
	"context"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"
)

// googlebotTimeout is the time that the check for false Googlebots has: who
// answers for the reverse zone is the client's provider.
const googlebotTimeout = 10 * time.Second

// isGooglebotScript says whether an ignorecommand is the stock one of
// apache-fakegooglebot, wherever it is installed: SCRIPT <ip> [TIMEOUT].
func isGooglebotScript(text string) bool {
	words := strings.Fields(text)
	return (len(words) == 2 || len(words) == 3) && strings.HasSuffix(words[0], "/apache-fakegooglebot") &&
		path.IsAbs(words[0]) && words[1] == "<ip>"
}

// isGooglebot says whether an address is Google's crawler, as Google says to
// tell it: its name ends in googlebot.com or google.com, and that name has this
// address. No name, or no answer, is no.
func isGooglebot(ctx context.Context, l Lookup, a netip.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, googlebotTimeout)
	defer cancel()
	names, err := l.LookupAddr(ctx, a.String())
	if err != nil {
		return false
	}
	for _, name := range names[:min(len(names), maxAddrs)] {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if !strings.HasSuffix(name, ".googlebot.com") && !strings.HasSuffix(name, ".google.com") {
			continue
		}
		addrs, err := l.LookupNetIP(ctx, "ip", name)
		if err == nil && slices.ContainsFunc(addrs, func(b netip.Addr) bool { return b.Unmap() == a }) {
			return true
		}
	}
	return false
}

// hostOf returns the name of an address, or nothing.
func hostOf(ctx context.Context, l Lookup, a netip.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	names, err := l.LookupAddr(ctx, a.String())
	if err != nil || len(names) == 0 {
		return ""
	}
	return strings.TrimSuffix(names[0], ".")
}
