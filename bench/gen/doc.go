// Gen writes logs for tests and benchmarks: what sshd, Postfix, Dovecot and
// nginx write while people use them and attackers try them. All of it is
// invented, all addresses come from the documentation ranges (RFC 5737,
// RFC 3849), and the same flags always give the same bytes.
//
//	go run ./bench/gen -kind auth > testdata/auth.log
//	go run ./bench/gen -kind mail > testdata/mail.log
//	go run ./bench/gen -kind mixed -lines 1000000 -failures 0.05 > mixed.log
//
// The kinds auth and mail play a written cast of attackers, from fast to too
// slow to ban, among ordinary traffic over one day. The kinds mixed, clean and
// attack draw independent events until the number of lines is reached; -service
// confines them to one program.
package main
