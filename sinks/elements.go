package sinks

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// minTimeout is the shortest life that an element is given: the kernel takes a
// timeout under a millisecond for none, and a ban would become permanent.
const minTimeout = time.Second

// element is one element of a set on its way into the kernel.
type element struct {
	key     [16]byte // an IPv4 address stands in the first four
	timeout time.Duration
	end     bool // of a range: the first address after it
}

// largestElement is the size of an element's attributes with an IPv6 key, and more.
const largestElement = 64

// elementList writes elements into as many messages as they need.
type elementList struct {
	t      *tx
	tb     table
	set    string
	setID  uint32 // of an anonymous set in this transaction, else 0
	kind   uint16 // NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM or msgDestroySetElem
	keyLen int
	more   int // elements that are still to come, as far as is known
	data   []byte
	list   int // where the list of elements starts in data
}

// add appends one element; a message that is full is closed and another begun.
func (l *elementList) add(e element) {
	if l.data != nil && len(l.data)-l.list > maxElements-largestElement {
		l.close()
	}
	if l.data == nil {
		l.open()
	}
	b := l.data
	start := len(b)
	b = openNest(b, unix.NFTA_LIST_ELEM)
	key := len(b)
	b = openNest(b, unix.NFTA_SET_ELEM_KEY)
	b = appendAttr(b, unix.NFTA_DATA_VALUE, e.key[:l.keyLen])
	b = closeNest(b, key)
	if e.end {
		b = appendUint32(b, unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	} else if e.timeout > 0 && l.kind == unix.NFT_MSG_NEWSETELEM {
		b = appendUint64(b, unix.NFTA_SET_ELEM_TIMEOUT, uint64(e.timeout.Milliseconds()))
	}
	l.data = closeNest(b, start)
	l.more--
}

func (l *elementList) open() {
	room := 128 + 2*len(l.set) + min(max(l.more, 1)*(24+l.keyLen), maxElements)
	b := appendName(append(make([]byte, 0, room), message(l.tb)...), unix.NFTA_SET_ELEM_LIST_TABLE, l.tb.name)
	b = appendName(b, unix.NFTA_SET_ELEM_LIST_SET, l.set)
	if l.setID != 0 {
		b = appendUint32(b, unix.NFTA_SET_ELEM_LIST_SET_ID, l.setID)
	}
	l.list = len(b)
	l.data = openNest(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
}

// close ends the list; without an element it leaves no message.
func (l *elementList) close() {
	if l.data == nil {
		return
	}
	verb, flags := "delete elements of set", netlink.HeaderFlags(0)
	if l.kind == unix.NFT_MSG_NEWSETELEM {
		verb, flags = "add elements to set", netlink.Create
	}
	l.t.add(l.kind, flags, closeNest(l.data, l.list), verb, l.tb, l.set)
	l.data = nil
}

// Element is an address or a range of addresses that stands in the kernel.
type Element struct {
	First, Last netip.Addr
	Left        time.Duration // until the kernel drops it; 0: it does not
}

// rawElement is an element as it is read back.
type rawElement struct {
	key  [16]byte
	left time.Duration
	end  bool
}

// parseElements appends the elements of one reply to a listing.
func parseElements(dst []rawElement, attributes []byte) []rawElement {
	for _, item := range attrs(attr(attributes, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
		var e rawElement
		for kind, value := range attrs(item) {
			switch kind {
			case unix.NFTA_SET_ELEM_KEY:
				copy(e.key[:], attr(value, unix.NFTA_DATA_VALUE))
			case unix.NFTA_SET_ELEM_FLAGS:
				e.end = len(value) == 4 && binary.BigEndian.Uint32(value)&unix.NFT_SET_ELEM_INTERVAL_END != 0
			case unix.NFTA_SET_ELEM_EXPIRATION:
				if len(value) == 8 {
					e.left = time.Duration(binary.BigEndian.Uint64(value)) * time.Millisecond
				}
			}
		}
		dst = append(dst, e)
	}
	return dst
}

// list reads all elements of a set, sorted. Where the set changed meanwhile, or
// the kernel's hash table grew in the background, which makes it list some
// elements twice and leave as many out, the set is read again.
func (l *link) list(tb table, set string) ([]rawElement, error) {
	b := appendName(message(tb), unix.NFTA_SET_ELEM_LIST_TABLE, tb.name)
	b = appendName(b, unix.NFTA_SET_ELEM_LIST_SET, set)
	request := netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM},
		Data:   b,
	}
	var elements []rawElement
	err := errInterrupted
	for try := 0; try < 20 && err == errInterrupted; try++ {
		elements = elements[:0]
		err = l.dump(request, func(attributes []byte) { elements = parseElements(elements, attributes) })
		sortRaw(elements)
		for i := 1; i < len(elements) && err == nil; i++ {
			if a, b := elements[i-1], elements[i]; a.key == b.key && a.end == b.end {
				err = errInterrupted
			}
		}
	}
	return elements, err
}

// sortRaw sorts by key; where a range ends as the next begins, the end comes first.
func sortRaw(raw []rawElement) {
	slices.SortFunc(raw, func(a, b rawElement) int {
		order := bytes.Compare(a.key[:], b.key[:])
		if order == 0 && a.end != b.end {
			if a.end {
				return -1
			}
			return 1
		}
		return order
	})
}
