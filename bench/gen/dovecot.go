package main

import "time"

// dovecot23 and dovecot24 write the two forms of Dovecot's log.
type (
	dovecot23 struct{ g *generator }
	dovecot24 struct{ g *generator }
)

func (g *generator) session() string { return g.text(16, base64Digits) }

// loginService returns the program that a guesser talks to.
func (g *generator) loginService() string { return one(g, "imap-login", "imap-login", "pop3-login") }

// session is a person who reads mail.
func (d dovecot23) session(box, addr string) { d.g.readMail(box, addr, "Login") }

// session is a person who reads mail.
func (d dovecot24) session(box, addr string) { d.g.readMail(box, addr, "Logged in") }

func (g *generator) readMail(box, addr, word string) {
	id, pid := g.session(), g.pid()
	g.syslog(0, "dovecot", "imap-login: %s: user=<%s>, method=PLAIN, rip=%s, lip=10.0.0.2, mpid=%d, TLS, session=<%s>", word, box, addr, pid, id)
	g.syslog(g.ms(2000, 600_000), "dovecot", "imap(%s)<%d><%s>: Disconnected: Logged out in=%d out=%d deleted=0 expunged=0 trashed=0 hdr_count=0 hdr_bytes=0 body_count=0 body_bytes=0", box, pid, id, 50+g.IntN(9000), 500+g.IntN(90_000))
}

// authFailure is what the auth process says of a wrong password.
func (d dovecot23) authFailure(after time.Duration, box, addr string) {
	d.mismatch(after, box, addr, d.g.session())
}

func (d dovecot23) mismatch(after time.Duration, box, addr, id string) {
	g := d.g
	if g.IntN(3) == 0 {
		g.syslog(after, "dovecot", "auth: passwd-file(%s,%s,<%s>): unknown user (SHA1 of given password: %s)", box, addr, id, g.text(6, "0123456789abcdef"))
		return
	}
	g.syslog(after, "dovecot", "auth: passwd-file(%s,%s,<%s>): Password mismatch (SHA1 of given password: %s)", box, addr, id, g.text(6, "0123456789abcdef"))
}

// failure is a login that fails.
func (d dovecot23) failure(box, addr string) {
	g, id := d.g, d.g.session()
	d.mismatch(g.ms(5, 90), box, addr, id)
	reason := one(g, "Disconnected: Aborted login by logging out", "Disconnected: Connection closed", "Aborted login")
	g.syslog(g.ms(2000, 4000), "dovecot", "%s: %s (auth failed, 1 attempts in 2 secs): user=<%s>, method=PLAIN, rip=%s, lip=10.0.0.2, TLS, session=<%s>", g.loginService(), reason, box, addr, id)
}

// authFailure is what the auth process says of a wrong password.
func (d dovecot24) authFailure(after time.Duration, box, addr string) {
	g := d.g
	g.syslog(after, "dovecot", "auth(%s,%s,sasl:plain): passdb-default: %s (SHA1 of given password: %s)", box, addr, one(g, "Password mismatch", "unknown user"), g.text(6, "0123456789abcdef"))
}

// failure is a login that fails.
func (d dovecot24) failure(box, addr string) {
	g, id := d.g, d.g.session()
	g.syslog(g.ms(5, 90), "dovecot", "auth(%s,%s,sasl:plain)<%s>: passdb-default: %s (SHA1 of given password: %s)", box, addr, id, one(g, "Password mismatch", "unknown user"), g.text(6, "0123456789abcdef"))
	g.syslog(g.ms(2000, 4000), "dovecot", "%s: Login aborted: %s (auth failed, 1 attempts in 2 secs) (auth_failed): user=<%s>, method=PLAIN, rip=%s, lip=10.0.0.2, TLS, session=<%s>", g.loginService(), one(g, "Logged out", "Connection closed"), box, addr, id)
}
