// Package sinks carries out what the ledger orders: nftables over netlink, and
// a dry run that only prints.
//
// NFTables keeps what is wanted (addresses and networks with their ends, per
// jail) beside what it knows of the kernel, and brings the second to the first
// in transactions of at most 4,096 orders. Two layouts say where sets and rules
// stand: ours and fail2ban's. It writes and reads its own netlink messages over
// mdlayher/netlink, so that a table, its chains, its rules and its first
// elements come back in one transaction; the rules' expressions and the keys'
// types are google/nftables'.
//
//	Apply ──changes──▶ commit ──▶ try: layout.install + set.write ──▶ link.transact
//	                     │ refused: bisect          │ vanished, lost right: record
//	Run: notifications, retries, comparison ──▶ resync: layout.restore + every element
package sinks
