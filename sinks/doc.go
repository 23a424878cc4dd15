// Package sinks carries out what the ledger orders: nftables over netlink, and
// a dry run that only prints.
//
// NFTables keeps what is wanted (addresses and networks with their ends, per
// jail) beside what it knows of the kernel, and brings the second to the first
// in transactions of at most 4,096 orders. It writes its own netlink messages
// over mdlayher/netlink, so that a table, its chains, its rules and its first
// elements come back in one transaction; expressions, key types and the
// reading of rules are google/nftables'.
package sinks
