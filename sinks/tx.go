package sinks

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// genHeader is the size of struct nfgenmsg, which follows every netlink header.
	genHeader = 4
	// Messages that golang.org/x/sys does not know (linux/netfilter/nf_tables.h, 6.3).
	msgDestroyTable   = 26
	msgDestroySetElem = 30
	// maxElements is the largest list of elements in one message, in bytes: an
	// attribute's length has 16 bits.
	maxElements = 65535 - 1024
)

// table is where a layout lives.
type table struct {
	family nftables.TableFamily
	name   string
}

// String names the table as nft does.
func (t table) String() string {
	switch t.family {
	case nftables.TableFamilyIPv4:
		return "ip " + t.name
	case nftables.TableFamilyIPv6:
		return "ip6 " + t.name
	}
	return "inet " + t.name
}

// hook is where a base chain is called.
type hook struct {
	kind     string // filter, nat, route
	number   uint32
	priority int32
}

// tx is a transaction: messages that the kernel carries out all or none. The
// zero tx is empty and ready.
type tx struct {
	owner  *set // whose the messages are that are added next; nil: everybody's
	msgs   []netlink.Message
	steps  []step // what each message does, for errors
	setIDs uint32
	rules  map[string]int // how many are added to each chain
}

// step is what a message does and for which set.
type step struct {
	verb  string // "add chain"; empty: the transaction itself
	tb    table
	name  string // of the chain or set; empty: the table's
	owner *set
}

func (s step) String() string {
	switch {
	case s.verb == "":
		return "change nf_tables"
	case s.name == "":
		return fmt.Sprintf("%s %v", s.verb, s.tb)
	}
	return fmt.Sprintf("%s %v %s", s.verb, s.tb, s.name)
}

// batch returns the messages between those that begin and end a transaction.
// Only the last asks for an answer; errors are always reported.
func (t *tx) batch() []netlink.Message {
	envelope := func(kind netlink.HeaderType, sequence int) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: kind, Flags: netlink.Request, Sequence: uint32(sequence)},
			Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES},
		}
	}
	batch := make([]netlink.Message, 0, len(t.msgs)+2)
	batch = append(batch, envelope(unix.NFNL_MSG_BATCH_BEGIN, len(t.msgs)+1))
	for i, m := range t.msgs {
		m.Header.Sequence = uint32(i + 1)
		if i == len(t.msgs)-1 {
			m.Header.Flags |= netlink.Acknowledge
		}
		batch = append(batch, m)
	}
	return append(batch, envelope(unix.NFNL_MSG_BATCH_END, len(t.msgs)+2))
}

// step is what the message with a sequence number does; the zero step is the envelope's.
func (t *tx) step(sequence uint32) step {
	if sequence < 1 || int(sequence) > len(t.steps) {
		return step{}
	}
	return t.steps[sequence-1]
}

// message starts a message's data.
func message(tb table) []byte {
	return []byte{byte(tb.family), unix.NFNETLINK_V0, 0, 0}
}

func (t *tx) add(kind uint16, flags netlink.HeaderFlags, data []byte, verb string, tb table, name string) {
	t.msgs = append(t.msgs, netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | flags},
		Data:   data,
	})
	t.steps = append(t.steps, step{verb, tb, name, t.owner})
}

// addTable creates the table or finds it there.
func (t *tx) addTable(tb table) {
	b := appendName(message(tb), unix.NFTA_TABLE_NAME, tb.name)
	b = appendUint32(b, unix.NFTA_TABLE_FLAGS, 0)
	t.add(unix.NFT_MSG_NEWTABLE, netlink.Create, b, "add table", tb, "")
}

// delTable deletes the table and all that is in it; it must be there.
func (t *tx) delTable(tb table) {
	b := appendName(message(tb), unix.NFTA_TABLE_NAME, tb.name)
	t.add(unix.NFT_MSG_DELTABLE, 0, b, "delete table", tb, "")
}

// destroyTable deletes the table if it is there; Linux 6.3.
func (t *tx) destroyTable(tb table) {
	t.add(msgDestroyTable, 0, appendName(message(tb), unix.NFTA_TABLE_NAME, tb.name), "destroy table", tb, "")
}

// addChain creates a chain or finds it there; h is nil for one that is only jumped to.
func (t *tx) addChain(tb table, name string, h *hook) {
	b := appendName(message(tb), unix.NFTA_CHAIN_TABLE, tb.name)
	b = appendName(b, unix.NFTA_CHAIN_NAME, name)
	if h != nil {
		start := len(b)
		b = openNest(b, unix.NFTA_CHAIN_HOOK)
		b = appendUint32(b, unix.NFTA_HOOK_HOOKNUM, h.number)
		b = appendUint32(b, unix.NFTA_HOOK_PRIORITY, uint32(h.priority))
		b = closeNest(b, start)
		b = appendName(b, unix.NFTA_CHAIN_TYPE, h.kind)
		b = appendUint32(b, unix.NFTA_CHAIN_POLICY, 1) // NF_ACCEPT
	}
	t.add(unix.NFT_MSG_NEWCHAIN, netlink.Create, b, "add chain", tb, name)
}

// delChain deletes a chain, which must be empty and not jumped to.
func (t *tx) delChain(tb table, name string) {
	b := appendName(message(tb), unix.NFTA_CHAIN_TABLE, tb.name)
	b = appendName(b, unix.NFTA_CHAIN_NAME, name)
	t.add(unix.NFT_MSG_DELCHAIN, 0, b, "delete chain", tb, name)
}

// flushChain deletes the rules of a chain.
func (t *tx) flushChain(tb table, name string) {
	b := appendName(message(tb), unix.NFTA_RULE_TABLE, tb.name)
	b = appendName(b, unix.NFTA_RULE_CHAIN, name)
	t.add(unix.NFT_MSG_DELRULE, 0, b, "flush chain", tb, name)
}

// addRule appends a rule.
func (t *tx) addRule(tb table, chain string, exprs []expr.Any) error {
	b := appendName(message(tb), unix.NFTA_RULE_TABLE, tb.name)
	b = appendName(b, unix.NFTA_RULE_CHAIN, chain)
	start := len(b)
	b = openNest(b, unix.NFTA_RULE_EXPRESSIONS)
	for _, e := range exprs {
		encoded, err := expr.Marshal(byte(tb.family), e)
		if err != nil {
			return fmt.Errorf("encode a rule of %s: %w", chain, err)
		}
		b = appendAttr(b, unix.NFTA_LIST_ELEM|attrNested, encoded)
	}
	b = closeNest(b, start)
	if t.rules == nil {
		t.rules = make(map[string]int)
	}
	t.rules[chain]++
	t.add(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, b, "add rule to chain", tb, chain)
	return nil
}

// delRule deletes the rule with a handle.
func (t *tx) delRule(tb table, chain string, handle uint64) {
	b := appendName(message(tb), unix.NFTA_RULE_TABLE, tb.name)
	b = appendName(b, unix.NFTA_RULE_CHAIN, chain)
	b = appendUint64(b, unix.NFTA_RULE_HANDLE, handle)
	t.add(unix.NFT_MSG_DELRULE, 0, b, "delete rule of chain", tb, chain)
}

// addSet creates a set or finds it there, and returns its number within the transaction.
func (t *tx) addSet(tb table, name string, flags uint32, key nftables.SetDatatype) uint32 {
	t.setIDs++
	b := appendName(message(tb), unix.NFTA_SET_TABLE, tb.name)
	b = appendName(b, unix.NFTA_SET_NAME, name)
	b = appendUint32(b, unix.NFTA_SET_ID, t.setIDs)
	b = appendUint32(b, unix.NFTA_SET_FLAGS, flags)
	b = appendUint32(b, unix.NFTA_SET_KEY_TYPE, key.GetNFTMagic()) // so that nft prints addresses, not hex
	b = appendUint32(b, unix.NFTA_SET_KEY_LEN, key.Bytes)
	t.add(unix.NFT_MSG_NEWSET, netlink.Create, b, "add set", tb, name)
	return t.setIDs
}

// delSet deletes a set, which no rule may use.
func (t *tx) delSet(tb table, name string) {
	b := appendName(message(tb), unix.NFTA_SET_TABLE, tb.name)
	b = appendName(b, unix.NFTA_SET_NAME, name)
	t.add(unix.NFT_MSG_DELSET, 0, b, "delete set", tb, name)
}

// flushSet deletes the elements of a set.
func (t *tx) flushSet(tb table, name string) {
	b := appendName(message(tb), unix.NFTA_SET_ELEM_LIST_TABLE, tb.name)
	b = appendName(b, unix.NFTA_SET_ELEM_LIST_SET, name)
	t.add(unix.NFT_MSG_DELSETELEM, 0, b, "flush set", tb, name)
}
