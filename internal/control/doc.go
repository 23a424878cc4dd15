// Package control is the socket: fail2ban's protocol, read and written so that
// the original fail2ban-client works against it, and our own commands on the
// same socket.
//
// A conversation is a sequence of frames on a unix stream socket. A frame is
// one pickled value followed by "<F2B_END_COMMAND>"; the payload is not
// escaped and has no length. A request is the list of a command's words; the
// reply is the tuple (0, value) or (1, exception).
//
//	bytes ──frame──▶ Decode ──[]any──▶ Handler ──any, error──▶ Encode ──frame──▶ bytes
//
// The pieces, from the wire upwards:
//
//   - Decode and Encode translate between pickle and plain Go values. Decode
//     carries out no code: what a pickle could import or call is refused, and
//     time and memory are bounded by Limits.
//   - Listen makes the socket without ever taking one from a live server, and
//     Server serves it: one goroutine a connection, a bounded number of them,
//     and a deadline for whatever a client starts but does not finish.
//   - Dispatcher is the Handler that knows fail2ban's commands. It checks and
//     converts their arguments, calls the small interfaces of Verbs and builds
//     replies and exceptions with the types that fail2ban's client expects.
//   - Client is the other end; Beautify and BeautifyError are the texts that
//     fail2ban-client prints, and Repr is Python's repr that they rest on.
//
// Our own commands are requests of three words, "f2bpipe", a verb and its
// arguments as JSON text; the reply's value is JSON text.
package control
