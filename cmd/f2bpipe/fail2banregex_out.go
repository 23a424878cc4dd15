package main

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/matchers/dates"
)

// outputOf returns what prints failures as --out has it.
func (t *regexTest) outputOf(token string) func([]regexFound) {
	each := func(text func(regexFound) string) func([]regexFound) {
		return func(found []regexFound) {
			for _, f := range found {
				fmt.Fprintln(t.w, text(f))
			}
		}
	}
	switch {
	case token == "id" || token == "fid":
		return each(func(f regexFound) string { return idText(f.failure.ID) })
	case token == "ip":
		return each(regexFound.address)
	case token == "msg":
		return each(func(f regexFound) string { return strings.Join(f.match.Lines, "\n") })
	case token == "row":
		return each(regexFound.row)
	case strings.Contains(token, "<"):
		return func(found []regexFound) { t.outputTags(token, found) }
	}
	return each(func(f regexFound) string { return f.field(token) })
}

// ip returns the address that was captured beside an ID that is another.
func (f regexFound) ip() (string, bool) {
	fid, ip := "", ""
	for _, field := range f.match.Fields {
		switch {
		case field.Unset:
		case field.Name == "fid":
			fid = field.Value
		case field.Name == "ip4" || field.Name == "ip6":
			ip = field.Value
		}
	}
	if fid == "" || ip == "" || fid == ip {
		return "", false
	}
	if addr, err := netip.ParseAddr(ip); err == nil {
		ip = addr.String()
	}
	return ip, true
}

func (f regexFound) address() string {
	if ip, ok := f.ip(); ok {
		return ip
	}
	return idText(f.failure.ID)
}

// row shows a failure as Python shows a list of its ID, its time and its fields.
func (f regexFound) row() string {
	var more []string
	if ip, ok := f.ip(); ok {
		more = []string{"'ip': " + config.Repr(ip)}
	}
	id := config.Repr(idText(f.failure.ID))
	for _, field := range f.match.Fields {
		if field.Name == "fid" && field.Tuple {
			id = field.Value
		}
	}
	return fmt.Sprintf("[%s,\t%s,\t%s],", id, f.time(), fieldsOf(f.match.Fields, f.match.Users, more...))
}

// time is the failure's time as Python prints the number that fail2ban has for
// it; None without one.
func (f regexFound) time() string {
	if f.failure.AtNanos == matchers.NoTime {
		return "None"
	}
	at := time.Unix(0, f.failure.AtNanos)
	switch f.match.Form {
	case dates.IntForm:
		return strconv.FormatInt(at.Unix(), 10)
	case dates.FractionForm:
		return floatText(at)
	}
	return strconv.FormatInt(at.Unix(), 10) + ".0"
}

// floatText shows a time in seconds as Python shows a float.
func floatText(at time.Time) string {
	decimal := fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond())
	seconds, err := strconv.ParseFloat(decimal, 64)
	if err != nil {
		return decimal // cannot be
	}
	text := strconv.FormatFloat(seconds, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// field is the value of a captured field.
func (f regexFound) field(name string) string {
	if name == "matches" {
		return config.Repr(f.match.Lines)
	}
	if ip, ok := f.ip(); ok && name == "ip" {
		return ip
	}
	for _, field := range f.match.Fields {
		switch {
		case field.Name != name:
		case field.Unset || field.Tuple || name == "users":
			return fieldRepr(field, f.match.Users)
		default:
			return field.Value
		}
	}
	return "None"
}

// tagSyntax is a tag of an action or of a captured field.
var tagSyntax = regexp.MustCompile(`<([^ <>]+)>`)

// outputTags prints a text with its <tags> filled in, once a failure; with
// <msg>, once a line of it, where it has several.
func (t *regexTest) outputTags(text string, found []regexFound) {
	for _, f := range found {
		messages := f.match.Lines
		if len(messages) <= 1 || !strings.Contains(text, "<msg>") {
			messages = []string{strings.Join(messages, "\n")}
		}
		for _, msg := range messages {
			fmt.Fprintln(t.w, tagSyntax.ReplaceAllStringFunc(text, func(tag string) string {
				if tag == "<msg>" {
					return msg
				}
				return strings.ReplaceAll(f.tag(tag), "\x00", `\x00`)
			}))
		}
	}
}

// tag returns what stands for a tag; one that is not known stays.
func (f regexFound) tag(tag string) string {
	switch name := tag[1 : len(tag)-1]; name {
	case "ip":
		return f.address()
	case "fid":
		return idText(f.failure.ID)
	case "family":
		return f.family()
	case "ip-rev":
		return f.reversed()
	case "time":
		if f.failure.AtNanos == matchers.NoTime {
			return floatText(time.Now())
		}
		return f.time()
	case "failures", "ipfailures", "ipjailfailures", "bancount", "restored":
		return "0" // there is no ban, so nothing was counted
	case "matches", "ipmatches", "ipjailmatches":
		return strings.Join(f.match.Lines, "\n")
	case "br":
		return "\n"
	case "sp":
		return " "
	default:
		if field, ok := strings.CutPrefix(name, "F-"); ok && field == strings.ToUpper(field) {
			return f.captured(field)
		}
	}
	return tag
}

// captured is the value of the field that <F-NAME> stands for, nothing where
// there is none.
func (f regexFound) captured(name string) string {
	switch name = strings.ToLower(name); name {
	case "id":
		name = "fid"
	case "port":
		name = "fport"
	}
	if v := f.field(name); v != "None" {
		return v
	}
	return ""
}

// network is the address or network that stands for <ip>.
func (f regexFound) network() (netip.Prefix, bool) {
	if ip, ok := f.ip(); ok {
		addr, err := netip.ParseAddr(ip)
		return netip.PrefixFrom(addr, addr.BitLen()), err == nil
	}
	return f.failure.ID.Prefix()
}

func (f regexFound) family() string {
	net, ok := f.network()
	switch {
	case !ok:
		return "None"
	case net.Addr().Is4():
		return "inet4"
	}
	return "inet6"
}

// reversed is the address as its name in the DNS has it, without the zone; of
// an IPv4 network with its length where Python leaves it.
func (f regexFound) reversed() string {
	net, ok := f.network()
	if !ok {
		return ""
	}
	var out strings.Builder
	if addr := net.Addr(); addr.Is6() {
		digits := strings.ReplaceAll(addr.StringExpanded(), ":", "")
		for i := len(digits) - 1; i >= 0; i-- {
			out.WriteString(digits[i:i+1] + ".")
		}
		return out.String()
	}
	text := net.Addr().String()
	if !net.IsSingleIP() {
		text = net.String()
	}
	parts := strings.Split(text, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		out.WriteString(parts[i] + ".")
	}
	return out.String()
}
