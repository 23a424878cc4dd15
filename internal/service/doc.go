// Package service puts the stages together: it compiles the plain values that
// internal/config read with matchers, sources and sinks, owns the jails that
// run, and implements the verbs that internal/control dispatches.
//
// A Service is made by New, which reads, compiles and reports; nothing is
// touched before Run. Run owns the socket, the pipeline and the sink, and
// returns when ctx is done and everything has drained.
//
// The jails that run are a slice that is only ever replaced: by Reload, which
// reads and compiles everything before it changes anything. Their identities
// stay, and with them counts, bans, sessions and positions.
//
// Pipe is the same over stdin or files to their end. Where a Service answers on
// the socket already, a Pipe gives its decisions to that one: only one process
// owns the table.
package service
