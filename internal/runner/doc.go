// Package runner runs the commands of actions, off the way of a ban and outside
// of the sandbox that the rest of the process may live in.
//
// A [Definition] is one action of one jail, as fail2ban's client would hand it
// to its server. Its [Definition.Digest] is its name from then on: whoever asks
// for a command says which definition, which [Phase], which family and with
// which values, and never what to execute. An [Engine] holds definitions and
// executes; it is the same in a process of its own ([Serve], behind [Supervise])
// and in ours.
//
//	service ── Client ══ socketpair ══ Supervise ── pipes ── Serve: Engine ── /bin/sh -c
//	                                   (starts Serve anew)               └── python3
//
// # Who may define
//
// An Engine with configuration options takes no definition from anybody: it
// reads the configuration itself, from the disk, and a definition that it does
// not find there it does not run. That holds for a parent that somebody has
// taken over, too. Without options (fail2ban's client may stream a configuration
// that no file has) it takes the definitions that it is sent.
//
// # Values
//
// Text of a log line is never part of a script. As in fail2ban, a value that
// has a character that means something to a shell is a positional argument of
// `sh -c`, and the script refers to it by a variable, f2bV_matches.
//
// # Order and bounds
//
// The commands of one action run one after the other, in the order in which they
// were asked for; those of different actions at once, up to MaxCommands. Each has a
// process group of its own, which is ended at the action's timeout. Output is
// kept to its first 4 KiB.
package runner
