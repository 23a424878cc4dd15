package sinks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// What stands in the kernel besides elements, read over our own connection:
// google/nftables' panics where its descriptor is beyond 1,023.

// dumpOf asks for all objects of a kind, narrowed by attributes, again where
// the ruleset changed meanwhile. A table that is not there has none.
func (l *link) dumpOf(kind uint16, request []byte, reset func(), each func(attributes []byte)) error {
	m := netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind)},
		Data:   request,
	}
	err := errInterrupted
	for try := 0; try < 20 && err == errInterrupted; try++ {
		reset()
		err = l.dump(m, each)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func text(attribute []byte) string { return strings.TrimRight(string(attribute), "\x00") }

func number32(attribute []byte) uint32 {
	if len(attribute) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(attribute)
}

func number64(attribute []byte) uint64 {
	if len(attribute) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(attribute)
}

// setInfo is how a set in the kernel is made.
type setInfo struct {
	flags, keyType uint32
}

// like says whether it is made as s is.
func (i setInfo) like(s *set) bool {
	return i == setInfo{s.flags(), s.keyNumber()}
}

// sets returns the sets of a table that have a name, by it.
func (l *link) sets(tb table) (map[string]setInfo, error) {
	found := make(map[string]setInfo)
	request := appendName(message(tb), unix.NFTA_SET_TABLE, tb.name)
	err := l.dumpOf(unix.NFT_MSG_GETSET, request, func() { clear(found) }, func(b []byte) {
		const kept = unix.NFT_SET_INTERVAL | unix.NFT_SET_TIMEOUT | unix.NFT_SET_MAP | unix.NFT_SET_EVAL
		flags := number32(attr(b, unix.NFTA_SET_FLAGS))
		if flags&unix.NFT_SET_ANONYMOUS == 0 {
			found[text(attr(b, unix.NFTA_SET_NAME))] = setInfo{flags & kept, number32(attr(b, unix.NFTA_SET_KEY_TYPE))}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list sets of table %v: %w", tb, err)
	}
	return found, nil
}

// chains returns the names of the chains of a table.
func (l *link) chains(tb table) (names []string, err error) {
	err = l.dumpOf(unix.NFT_MSG_GETCHAIN, message(tb), func() { names = names[:0] }, func(b []byte) {
		if text(attr(b, unix.NFTA_CHAIN_TABLE)) == tb.name {
			names = append(names, text(attr(b, unix.NFTA_CHAIN_NAME)))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list chains of table %v: %w", tb, err)
	}
	return names, nil
}

// ruleInfo is what we want to know of a rule.
type ruleInfo struct {
	handle uint64
	sets   []string // that it looks up
	counts counts
}

// rules returns the rules of a chain in their order; a chain that is not there has none.
func (l *link) rules(tb table, chain string) (found []ruleInfo, err error) {
	request := appendName(message(tb), unix.NFTA_RULE_TABLE, tb.name)
	request = appendName(request, unix.NFTA_RULE_CHAIN, chain)
	err = l.dumpOf(unix.NFT_MSG_GETRULE, request, func() { found = found[:0] }, func(b []byte) {
		// Kernels before 5.1 take no notice of the chain asked for.
		if text(attr(b, unix.NFTA_RULE_TABLE)) == tb.name && text(attr(b, unix.NFTA_RULE_CHAIN)) == chain {
			found = append(found, parseRule(b))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list chain %v %s: %w", tb, chain, err)
	}
	return found, nil
}

func parseRule(b []byte) (r ruleInfo) {
	r.handle = number64(attr(b, unix.NFTA_RULE_HANDLE))
	for _, expression := range attrs(attr(b, unix.NFTA_RULE_EXPRESSIONS)) {
		data := attr(expression, unix.NFTA_EXPR_DATA)
		switch text(attr(expression, unix.NFTA_EXPR_NAME)) {
		case "lookup":
			r.sets = append(r.sets, text(attr(data, unix.NFTA_LOOKUP_SET)))
		case "counter":
			r.counts.packets += number64(attr(data, unix.NFTA_COUNTER_PACKETS))
			r.counts.bytes += number64(attr(data, unix.NFTA_COUNTER_BYTES))
		}
	}
	return r
}
