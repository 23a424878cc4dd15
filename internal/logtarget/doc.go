// Package logtarget writes the service's log as fail2ban writes its own: to the
// same targets with the same options, in the same line format, so that
// recidive, logwatch and people's greps read it.
//
//	2026-11-22 13:19:17,085 fail2ban.actions        [560]: NOTICE  [sshd] Ban 192.0.2.10
//
// A [Log] never makes its callers wait: they put lines into a queue, and a
// goroutine of the log's writes them. Lines that may be lost ([Lossy]) are
// dropped and counted when the queue is long; the others are kept while a
// target does not take them, up to MaxKept bytes. A target that fails (a full
// disk, a missing folder) is tried again every two seconds; [Log.Trouble] says
// what is wrong with it.
//
// # Text from outside
//
// An ID may be any text that stood in somebody's log, and the name of a jail or
// a path may hold anything too. [ID] and [Jail] write them so that they can
// neither end the line nor look like another part of it: no line but that of a
// ban says "] Ban ADDRESS". Messages that come through the [slog.Handler] have
// their values quoted.
package logtarget
