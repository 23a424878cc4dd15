// Package ignore knows whom a jail never counts: fail2ban's ignoreself,
// ignoreip, ignorecommand and ignorecache. A [Guard] does it for all jails and
// is the pipeline's Ignore.
//
// # The order
//
// As in fail2ban: the machine's own addresses, then single addresses and raw
// IDs, then networks and names in the order in which they are listed, then the
// command; the first that holds is the [Source] that the log names. Two things
// are otherwise, since nothing here may hold up a line: the command is not
// asked for each failure but when a ban is due, and ignorecache keeps the
// command's decisions alone, because the others cost nothing.
//
// # Names
//
// DNS names are looked up in the background, at once and every five minutes.
// At most eight addresses a name are taken, and the last good answer stays in
// force. While a name has no answer yet, each ban of a jail that lists it waits
// for the answer, 30 s at most, and is judged again then. That a name does not
// exist is an answer.
//
// # Goroutines
//
// [Guard.Run] starts all of them and waits for them: one that looks names up,
// with a bounded number of lookups beside it, one that follows the machine's
// addresses, and a fixed number that run commands. Ignores and Judge run in the
// pipeline's goroutines and take no lock on the way of an address; a file of
// addresses that has changed is read by the failure that notices it, at most
// once a second.
package ignore
