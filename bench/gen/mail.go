package main

import (
	"fmt"
	"strings"
	"time"
)

var domains = []string{"example.org", "example.com", "example.net", "lists.example.com", "shop.example.net"}

func (g *generator) mailbox() string    { return one(g, people...) + "@example.org" }
func (g *generator) sender() string     { return one(g, people...) + "@" + one(g, domains...) }
func (g *generator) guessedBox() string { return one(g, guesses...) + "@example.org" }
func (g *generator) queueID() string    { return g.text(10, hexDigits) }
func (g *generator) tag(name string) string {
	return fmt.Sprintf("postfix/%s[%d]", name, g.pid())
}

// client returns Postfix's NAME[ADDRESS], the name being "unknown" half of the time.
func (g *generator) client(addr string) string {
	if g.IntN(2) == 0 {
		return "unknown[" + addr + "]"
	}
	name := strings.NewReplacer(".", "-", ":", "-").Replace(addr)
	return "host-" + name + "." + one(g, domains...) + "[" + addr + "]"
}

// mailIn is a message that is delivered.
func (g *generator) mailIn(addr string) {
	smtpd, client, id := g.tag("smtpd"), g.client(addr), g.queueID()
	from, to := g.sender(), g.mailbox()
	g.syslog(0, smtpd, "connect from %s", client)
	if g.IntN(2) == 0 {
		g.syslog(g.ms(20, 60), smtpd, "Anonymous TLS connection established from %s: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)", client)
	}
	g.syslog(g.ms(100, 200), smtpd, "%s: client=%s", id, client)
	g.syslog(g.ms(210, 300), g.tag("cleanup"), "%s: message-id=<%s.%s@%s>", id, g.text(8, hexDigits), g.text(12, hexDigits), one(g, domains...))
	g.syslog(g.ms(310, 400), "postfix/qmgr[801]", "%s: from=<%s>, size=%d, nrcpt=1 (queue active)", id, from, 800+g.IntN(200_000))
	g.syslog(g.ms(410, 450), smtpd, "disconnect from %s ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7", client)
	g.syslog(g.ms(460, 700), g.tag("lmtp"), "%s: to=<%s>, relay=%s[private/dovecot-lmtp], delay=0.%d, delays=0.1/0.01/0.02/0.1, dsn=2.0.0, status=sent (250 2.0.0 <%s> %s Saved)",
		id, to, g.host, 10+g.IntN(90), to, g.text(22, base64Digits))
	g.syslog(g.ms(460, 700), "dovecot", "lmtp(%s)<%d><%s>: sieve: msgid=<%s@%s>: stored mail into mailbox 'INBOX'", to, g.pid(), g.text(22, base64Digits), g.text(12, hexDigits), one(g, domains...))
	g.syslog(g.ms(701, 710), "postfix/qmgr[801]", "%s: removed", id)
}

// mailOut is a message that a user sends.
func (g *generator) mailOut(box, addr string) {
	smtpd, client, id := g.tag("submissions/smtpd"), g.client(addr), g.queueID()
	g.syslog(0, smtpd, "connect from %s", client)
	g.syslog(g.ms(100, 200), smtpd, "%s: client=%s, sasl_method=PLAIN, sasl_username=%s", id, client, box)
	g.syslog(g.ms(310, 400), "postfix/qmgr[801]", "%s: from=<%s>, size=%d, nrcpt=1 (queue active)", id, box, 800+g.IntN(20_000))
	g.syslog(g.ms(410, 450), smtpd, "disconnect from %s ehlo=1 auth=1 mail=1 rcpt=1 data=1 quit=1 commands=6", client)
	g.syslog(g.ms(900, 2000), g.tag("smtp"), "%s: to=<%s>, relay=mx1.example.net[192.0.2.240]:25, delay=1.2, delays=0.1/0.01/0.4/0.7, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as %s)", id, g.sender(), g.queueID())
	g.syslog(g.ms(2001, 2010), "postfix/qmgr[801]", "%s: removed", id)
}

// mailGreylisted is a good server that is asked to come back.
func (g *generator) mailGreylisted(addr string) {
	smtpd, client := g.tag("smtpd"), g.client(addr)
	from, to := g.sender(), g.mailbox()
	g.syslog(0, smtpd, "connect from %s", client)
	g.syslog(g.ms(100, 200), smtpd, "NOQUEUE: reject: RCPT from %s: 451 4.7.1 <%s>: Recipient address rejected: Greylisted, please try again; from=<%s> to=<%s> proto=ESMTP helo=<%s>", client, to, from, to, one(g, domains...))
	g.syslog(g.ms(210, 300), smtpd, "disconnect from %s ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4", client)
}

// saslFailure is a wrong password over SMTP; behind is the part of Dovecot, if any.
func (g *generator) saslFailure(behind func(after time.Duration, box, addr string), box, addr string) {
	smtpd, client := g.tag(one(g, "submission/smtpd", "submissions/smtpd", "smtpd")), g.client(addr)
	g.syslog(0, smtpd, "connect from %s", client)
	if behind != nil {
		behind(g.ms(100, 300), box, addr)
	}
	g.syslog(g.ms(2100, 2300), smtpd, "warning: %s: SASL %s authentication failed: (reason unavailable), sasl_username=%s", client, one(g, "PLAIN", "LOGIN"), box)
	g.syslog(g.ms(2310, 2500), smtpd, "disconnect from %s ehlo=1 auth=0/1 quit=1 commands=2/3", client)
}

// rejected is spam, or a try to relay it.
func (g *generator) rejected(addr string) {
	smtpd, client := g.tag("smtpd"), g.client(addr)
	from, to, helo := g.sender(), g.mailbox(), one(g, domains...)
	g.syslog(0, smtpd, "connect from %s", client)
	reason := one(g,
		fmt.Sprintf("554 5.7.1 Service unavailable; Client host [%s] blocked using zen.spamhaus.org", addr),
		fmt.Sprintf("554 5.7.1 <%s>: Relay access denied", to),
		fmt.Sprintf("550 5.1.1 <%s>: Recipient address rejected: User unknown in virtual mailbox table", to),
		fmt.Sprintf("450 4.7.1 <%s>: Helo command rejected: Host not found", helo),
		fmt.Sprintf("450 4.1.8 <%s>: Sender address rejected: Domain not found", from))
	g.syslog(g.ms(200, 400), smtpd, "NOQUEUE: reject: RCPT from %s: %s; from=<%s> to=<%s> proto=ESMTP helo=<%s>", client, reason, from, to, helo)
	g.syslog(g.ms(410, 500), smtpd, "disconnect from %s ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4", client)
}

// smtpNoise is a client that does not keep to the protocol; queued says that
// Postfix is 3.10, which writes NOQUEUE before more of its messages.
func (g *generator) smtpNoise(addr string, queued bool) {
	smtpd, client, noqueue := g.tag("smtpd"), g.client(addr), ""
	if queued {
		noqueue = "NOQUEUE: "
	}
	g.syslog(0, smtpd, "connect from %s", client)
	switch g.IntN(4) {
	case 0:
		g.syslog(g.ms(100, 900), smtpd, "%slost connection after AUTH from %s", noqueue, client)
		g.syslog(g.ms(901, 999), smtpd, "disconnect from %s ehlo=1 auth=0/1 commands=1/2", client)
	case 1:
		g.syslog(g.ms(100, 900), smtpd, "%stoo many errors after UNKNOWN from %s", noqueue, client)
		g.syslog(g.ms(901, 999), smtpd, "disconnect from %s unknown=0/20 commands=0/20", client)
	case 2:
		g.syslog(g.ms(100, 900), smtpd, "improper command pipelining after EHLO from %s: MAIL FROM:<a@example.com>\\r\\n", client)
		g.syslog(g.ms(901, 999), smtpd, "disconnect from %s ehlo=1 commands=1", client)
	default:
		g.syslog(0, g.tag("postscreen"), "PREGREET 16 after 0.02 from [%s]:%d: EHLO x.example\\r\\n", addr, g.port())
	}
}
