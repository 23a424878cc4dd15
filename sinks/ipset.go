package sinks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ipset bans by two hash:net sets with timeouts, one a family, and one rule of
// iptables and ip6tables each that drops whom they hold. A set holds networks
// that overlap, and a ban of any jail refuses every port.
type ipset struct {
	netns int
	conn  *netlink.Conn
	// broken is why a family's set or rule could not be made.
	broken [2]error
}

var ipsetNames = [2]string{"f2bpipe4", "f2bpipe6"}

// The messages and attributes of ipset (linux/netfilter/ipset/ip_set.h).
const (
	ipsetProtocol = 6

	ipsetCmdCreate  = 2
	ipsetCmdDestroy = 3
	ipsetCmdSwap    = 6
	ipsetCmdAdd     = 9
	ipsetCmdDel     = 10
	ipsetCmdHeader  = 12

	ipsetAttrProtocol = 1
	ipsetAttrSetName  = 2
	ipsetAttrTypeName = 3 // the other set's name, where sets are swapped
	ipsetAttrRevision = 4
	ipsetAttrFamily   = 5
	ipsetAttrData     = 7
	ipsetAttrADT      = 8
	ipsetAttrLine     = 9

	ipsetDataIP          = 1
	ipsetDataCIDR        = 3
	ipsetDataTimeout     = 6
	ipsetDataLine        = 9
	ipsetDataMaxElements = 19
	netByteOrder         = 1 << 14

	ipsetExists   = unix.Errno(4103) // an element that is, or is not, there
	ipsetFull     = unix.Errno(4352)
	ipsetNoType   = unix.Errno(4098)
	ipsetMismatch = unix.Errno(4102)

	ipsetRoom = 1 << 20
	// ipsetLongest is the longest timeout that a set takes, in seconds.
	ipsetLongest = 1<<32/2/1000 - 1
)

func newIPSet(netns int) (backend, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("connect to ipset: %w", err)
	}
	return &ipset{netns: netns, conn: conn}, nil
}

func (s *ipset) name() string { return "ipset" }

func (s *ipset) limits() string {
	return "nf_tables is missing: a ban refuses every port and protocol, by dropping, whatever the jail says"
}

// family is the index of an address's family.
func family(v4 bool) int {
	if v4 {
		return 0
	}
	return 1
}

// prepare makes the sets and rules that are not there. One family may be
// missing (IPv6 turned off): its bans then have its error.
func (s *ipset) prepare() error {
	for f := range ipsetNames {
		s.broken[f] = s.create(ipsetNames[f], f)
		if s.broken[f] == nil {
			s.broken[f] = s.rule(f)
		}
	}
	return s.broken[0]
}

func (s *ipset) create(set string, f int) error {
	b := ipsetMessage(set)
	b = appendName(b, ipsetAttrTypeName, "hash:net")
	b = appendAttr(b, ipsetAttrRevision, []byte{0})
	b = appendAttr(b, ipsetAttrFamily, []byte{[2]byte{unix.AF_INET, unix.AF_INET6}[f]})
	start := len(b)
	b = openNest(b, ipsetAttrData)
	b = appendUint32(b, ipsetDataTimeout|netByteOrder, 0) // an element has none but its own
	b = appendUint32(b, ipsetDataMaxElements|netByteOrder, ipsetRoom)
	b = closeNest(b, start)
	return s.do("create", set, ipsetCmdCreate, b)
}

// rule puts the rule where it is not: before destination translation, so that
// published ports are refused too, and after connection tracking, so that the
// answers to our own connections are not.
func (s *ipset) rule(f int) error {
	if s.iptables(f, "-C") == nil {
		return nil
	}
	return s.iptables(f, "-I")
}

// iptables looks for the rule of a family (-C), inserts it (-I) or deletes it
// (-D); what the program says is part of the error.
func (s *ipset) iptables(f int, verb string) (err error) {
	args := []string{
		"-w", "-t", "mangle", verb, "PREROUTING", "-m", "conntrack", "--ctdir", "ORIGINAL",
		"-m", "set", "--match-set", ipsetNames[f], "src", "-j", "DROP",
	}
	names := [2][]string{{"iptables", "iptables-legacy"}, {"ip6tables", "ip6tables-legacy"}}[f]
	for _, name := range names {
		var path string
		if path, err = exec.LookPath(name); err != nil {
			continue
		}
		var out []byte
		cmd := exec.Command(path, args...)
		inErr := inNetns(s.netns, func() { out, err = cmd.CombinedOutput() })
		if err = errors.Join(err, inErr); err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w: %s", name, err, firstLine(out))
	}
	return err
}

func firstLine(b []byte) string {
	if i := slices.Index(b, '\n'); i >= 0 {
		b = b[:i]
	}
	return string(b[:min(len(b), 200)])
}

// inNetns calls f on a thread in the network namespace; 0 is the calling thread's.
func inNetns(netns int, f func()) error {
	if netns == 0 {
		f()
		return nil
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		err := unix.Setns(netns, unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	return <-done
}

// apply adds, or renews, and removes; errs has the error of each edit.
func (s *ipset) apply(edits []coarseEdit, errs []error) {
	for i, e := range edits {
		f := family(e.prefix.Addr().Is4())
		if s.broken[f] != nil {
			errs[i] = s.broken[f]
			continue
		}
		errs[i] = s.element(ipsetNames[f], e)
	}
}

// element adds or removes one element.
func (s *ipset) element(set string, e coarseEdit) error {
	b := appendData(ipsetMessage(set), ipsetAttrData, e, 0)
	if e.remove {
		err := s.do("delete from", set, ipsetCmdDel, b)
		if errors.Is(err, ipsetExists) {
			err = nil
		}
		return err
	}
	return s.do("add to", set, ipsetCmdAdd, b)
}

// replace makes the sets hold just the additions: new sets are filled and take
// the place of the old ones, so that nobody is let in meanwhile.
func (s *ipset) replace(edits []coarseEdit, errs []error) error {
	if err := s.prepare(); err != nil {
		return err
	}
	slices.SortFunc(edits, func(a, b coarseEdit) int { return a.prefix.Addr().Compare(b.prefix.Addr()) })
	split := len(edits) // IPv4 comes first
	if i := slices.IndexFunc(edits, func(e coarseEdit) bool { return e.prefix.Addr().Is6() }); i >= 0 {
		split = i
	}
	for f, name := range ipsetNames {
		of, refused := edits[:split], errs[:split]
		if f == 1 {
			of, refused = edits[split:], errs[split:]
		}
		if s.broken[f] != nil {
			for i := range refused {
				refused[i] = s.broken[f]
			}
			continue
		}
		second := name + "-next"
		_ = s.do("destroy", second, ipsetCmdDestroy, ipsetMessage(second)) // of a process that was killed
		if err := s.create(second, f); err != nil {
			return err
		}
		s.fill(second, of, refused)
		if err := s.do("swap", name, ipsetCmdSwap, appendName(ipsetMessage(name), ipsetAttrTypeName, second)); err != nil {
			return err
		}
		if err := s.do("destroy", second, ipsetCmdDestroy, ipsetMessage(second)); err != nil {
			return err
		}
	}
	return nil
}

// fill adds many elements, a thousand by one message; those of a message that
// is refused one by one.
func (s *ipset) fill(set string, edits []coarseEdit, errs []error) {
	for from := 0; from < len(edits); from += 1000 {
		chunk := edits[from:min(from+1000, len(edits))]
		if s.addAll(set, chunk) == nil {
			continue
		}
		for i, e := range chunk {
			errs[from+i] = s.element(set, e)
		}
	}
}

func (s *ipset) addAll(set string, edits []coarseEdit) error {
	b := appendUint32(ipsetMessage(set), ipsetAttrLine, 0)
	start := len(b)
	b = openNest(b, ipsetAttrADT)
	for i, e := range edits {
		b = appendData(b, ipsetAttrData, e, uint32(i+1))
	}
	return s.do("add to", set, ipsetCmdAdd, closeNest(b, start))
}

// holds says whether sets and rules are there.
func (s *ipset) holds() bool {
	for f, name := range ipsetNames {
		if s.broken[f] != nil {
			continue
		}
		if s.do("look at", name, ipsetCmdHeader, ipsetMessage(name)) != nil {
			return false
		}
		if s.iptables(f, "-C") != nil {
			return false
		}
	}
	return true
}

// clear takes rules and sets away.
func (s *ipset) clear() error {
	var errs []error
	for f, name := range ipsetNames {
		if s.do("look at", name, ipsetCmdHeader, ipsetMessage(name)) != nil {
			continue // nothing of ours: no program need be asked
		}
		for s.iptables(f, "-D") == nil { // until there is none any more
		}
		errs = append(errs, s.do("destroy", name, ipsetCmdDestroy, ipsetMessage(name)))
	}
	return errors.Join(errs...)
}

// left looks for the sets. Where the kernel has not loaded ipset it is not asked:
// that would load it.
func (s *ipset) left() (bool, error) {
	if _, err := os.Stat("/sys/module"); err == nil {
		if _, err := os.Stat("/sys/module/ip_set"); err != nil {
			return false, nil
		}
	}
	for _, name := range ipsetNames {
		if s.do("look at", name, ipsetCmdHeader, ipsetMessage(name)) == nil {
			return true, nil
		}
	}
	return false, nil
}

func (s *ipset) lasts() bool { return true }

func (s *ipset) close() error { return s.conn.Close() }

// ipsetMessage starts a message about a set.
func ipsetMessage(set string) []byte {
	b := []byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0}
	b = appendAttr(b, ipsetAttrProtocol, []byte{ipsetProtocol})
	return appendName(b, ipsetAttrSetName, set)
}

// appendData appends an element; line is for the kernel's error, 0 for one alone.
func appendData(b []byte, kind uint16, e coarseEdit, line uint32) []byte {
	start := len(b)
	b = openNest(b, kind)
	ip := len(b)
	b = openNest(b, ipsetDataIP)
	address := e.prefix.Addr().AsSlice()
	which := uint16(1) // IPSET_ATTR_IPADDR_IPV4, then IPV6
	if len(address) == 16 {
		which = 2
	}
	b = closeNest(appendAttr(b, which|netByteOrder, address), ip)
	b = appendAttr(b, ipsetDataCIDR, []byte{byte(e.prefix.Bits())})
	if !e.remove {
		b = appendUint32(b, ipsetDataTimeout|netByteOrder, ipsetTimeout(e.timeout))
	}
	b = appendUint32(b, ipsetDataLine|netByteOrder, line)
	return closeNest(b, start)
}

// ipsetTimeout is a timeout in seconds; what a set cannot hold has none, and
// ends by the unban.
func ipsetTimeout(d time.Duration) uint32 {
	seconds := (d + time.Second - 1) / time.Second
	if d == 0 || seconds > ipsetLongest {
		return 0
	}
	return uint32(max(seconds, 1))
}

// do sends one message and waits for the answer. To add what is there renews it.
func (s *ipset) do(verb, set string, command uint16, data []byte) error {
	const ipsetSubsystem = 6 // NFNL_SUBSYS_IPSET
	flags := netlink.Request | netlink.Acknowledge
	if command == ipsetCmdHeader {
		flags = netlink.Request // it is answered anyhow
	}
	_, err := s.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(ipsetSubsystem<<8 | command), Flags: flags}, Data: data,
	})
	if err == nil {
		return nil
	}
	what := ""
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		what = "this kernel has no ipset"
	case errors.Is(err, ipsetNoType):
		what = "this kernel's ipset has no hash:net"
	case errors.Is(err, ipsetFull):
		what = "the set is full"
	case errors.Is(err, ipsetMismatch):
		what = "there is a set of that name with another type, which f2bpipe did not make"
	case refusedRight(err):
		what = "no right to change ipset (CAP_NET_ADMIN is missing)"
	}
	if what != "" {
		return fmt.Errorf("%s ipset %s: %s: %w", verb, set, what, err)
	}
	return fmt.Errorf("%s ipset %s: %w", verb, set, err)
}
