// Package seen measures how long it takes until a log line is seen: from its
// write to a file, or its datagram to a journald, to the Found in the log of
// f2bpipe and of Debian's fail2ban, in one run on one machine.
//
//	go test -run '^$' -bench Seen -benchtime 200x ./bench/seen
//
// It needs root. Debian's fail2ban reads the journal with python3-systemd, and
// files without delay with python3-pyinotify; without them it polls files, and
// its journal is left out.
package seen
