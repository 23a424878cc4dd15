// Package sinks carries out what the ledger orders: nftables over netlink, what
// else a kernel has where it lacks that, and a dry run that only prints.
//
// Kernel finds out at the first ban what there is. nf_tables is asked feature by
// feature (features.go), and what is missing is done without: timeouts,
// intervals, fib, connection tracking, reject in prerouting. Without nf_tables,
// or its tables of both families, coarse keeps the bans in ipset's sets and two
// rules of iptables, or in blackhole routes: every port, whatever a jail says.
// Where only the right is missing nothing is decided; it is tried again.
//
// NFTables keeps what is wanted (addresses and networks with their ends, per
// jail) beside what it knows of the kernel, and brings the second to the first
// in transactions of at most 4,096 orders. Two layouts say where sets and rules
// stand: ours and fail2ban's. It writes and reads its own netlink messages over
// mdlayher/netlink, so that a table, its chains, its rules and its first
// elements come back in one transaction; the rules' expressions and the keys'
// types are google/nftables'.
//
//	Kernel ─▶ NFTables, or coarse ─▶ ipset | routes
//
//	Apply ──changes──▶ commit ──▶ try: layout.install + set.write ──▶ link.transact
//	                     │ refused: bisect          │ vanished, lost right: record
//	Run: notifications, retries, comparison ──▶ resync: layout.restore + every element
//
// Command is the sink of one action that is carried out by commands, as
// fail2ban carries it out. It knows neither the commands nor who executes them:
// Commands does. What it cannot be told at once it defers, so that orders wait
// in their flusher, where a ban and its unban cancel each other.
package sinks
