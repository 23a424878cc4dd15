package main

import "fmt"

// events returns the ordinary and the hostile events of a service. Hostile
// events are such that fail2ban's stock filters sshd, postfix[mode=extra],
// dovecot, nginx-http-auth, nginx-botsearch and recidive find failures in them.
func events(g *generator, service string) (ordinary, hostile weighted, err error) {
	old, new := dovecot23{g}, dovecot24{g}
	sshd := weighted{
		{6, func() { g.sshLogin(one(g, people...), g.visitor()) }},
		{4, g.chores},
	}
	sshdBad := weighted{
		{5, func() { g.sshInvalid(one(g, guesses...), g.attacker()) }},
		{4, func() { g.sshGuess("root", g.attacker()) }},
		{1, func() { g.sshFlood("root", g.attacker()) }},
		{1, func() { g.sshInject(g.visitor(), g.attacker()) }},
	}
	postfix := weighted{
		{5, func() { g.mailIn(g.visitor()) }},
		{2, func() { g.mailOut(g.mailbox(), g.visitor()) }},
		{1, func() { g.mailGreylisted(g.visitor()) }},
	}
	postfixBad := weighted{
		{5, func() { g.saslFailure(nil, g.guessedBox(), g.attacker()) }},
		{4, func() { g.rejected(g.attacker()) }},
	}
	dovecot := weighted{
		{1, func() { old.session(g.mailbox(), g.visitor()) }},
		{1, func() { new.session(g.mailbox(), g.visitor()) }},
	}
	dovecotBad := weighted{
		{2, func() { old.failure(g.guessedBox(), g.attacker()) }},
		{1, func() { new.failure(g.guessedBox(), g.attacker()) }},
	}
	nginx := weighted{{1, g.webVisit}}
	nginxBad := weighted{{1, g.webAttack}}

	switch service {
	case "sshd":
		return sshd, sshdBad, nil
	case "postfix":
		return postfix, postfixBad, nil
	case "dovecot":
		return dovecot, dovecotBad, nil
	case "nginx":
		return nginx, nginxBad, nil
	case "all":
	default:
		return nil, nil, fmt.Errorf("unknown service %q", service)
	}
	draw := func(w weighted) func() { return func() { w.pick(g)() } }
	ordinary = weighted{
		{12, draw(sshd)}, {18, draw(postfix)}, {22, draw(dovecot)}, {80, draw(nginx)}, {10, g.kernel},
		{3, func() { g.fail2ban("filter", "INFO", "Found", g.attacker()) }},
		{1, func() { g.fail2ban("actions", "NOTICE", "Unban", g.attacker()) }},
	}
	hostile = weighted{
		{4, draw(sshdBad)}, {3, draw(postfixBad)}, {2, draw(dovecotBad)}, {6, draw(nginxBad)},
		{2, func() { g.fail2ban("actions", "NOTICE", "Ban", g.attacker()) }},
	}
	return ordinary, hostile, nil
}

// fail2ban emits a line of the ban log, which recidive reads.
func (g *generator) fail2ban(logger, level, what, addr string) {
	stamp := g.now.Format("2006-01-02 15:04:05") + fmt.Sprintf(",%03d", g.now.Nanosecond()/1e6)
	name := fmt.Sprintf("%-24s", "fail2ban."+logger)
	g.push(g.now, fmt.Sprintf("%s%s[700]: %-7s [%s] %s %s", stamp+" ", name, level, one(g, "sshd", "postfix", "dovecot"), what, addr))
}
