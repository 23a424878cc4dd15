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
// stay, and with them counts, bans, sessions and positions. What fail2ban's
// clients set, or stream, makes drafts of the jails' configuration that are
// compiled and carried out in the same way: there is no other way to change one.
//
// A service that waits for its configuration (Config.Await) opens its socket
// first, and the stages when a client has sent it.
//
// Pipe is the same over stdin or files to their end. Where a Service answers on
// the socket already, a Pipe gives its decisions to that one: only one process
// owns the table.
//
// An action of a jail is carried out by our sink where it only drops packets and
// its commands are those of a release (action.go, released.go), else by its
// commands through a runner.Runner (actions.go): each with a flusher of its own,
// which nobody waits for. A reload keeps the actions that are the same.
package service
