// Package sandbox locks this process in, once everything that it will need is
// open: what parses bytes that an attacker wrote can from then on read what it
// could read before, and write what the service keeps and nothing else.
//
//	Landlock           files are written, made, renamed and removed in the given
//	                   folders and nowhere else; no device is commanded
//	seccomp            no mounts, no kernel modules, no BPF, no tracing, no
//	                   namespaces, no files by handle, no other clock: EPERM
//	no-new-privileges  a program that is executed gains nothing
//
// What is enforced lasts until the process ends; every thread, and every process
// that is started afterwards (the journal's reader, an ignorecommand), is in it,
// and a process that executes itself anew stays in it. What was open stays open.
// Descriptors, sockets, netlink and the network are not restricted.
//
// A kernel without Landlock (before 5.13, or where it is not among the lsm=)
// enforces the rest: [State] says what is in force.
//
// A log that somebody rotates is a new file, where Landlock would need leave to
// write every file of /var/log. An [Opener] is a process from before the sandbox
// that opens that one path on request, and nothing else.
package sandbox
