package main

import "time"

const day = 24 * time.Hour

// authCast is who appears in testdata/auth.log. By the defaults (5 failures in
// 10 minutes) the first group is banned; of the slow ones only those whose
// rate by fail2ban's estimate reaches 5 in 10 minutes.
func authCast(g *generator) []actor {
	const h, m, s = time.Hour, time.Minute, time.Second
	guess := func(addr string) func() {
		return func() {
			if g.IntN(3) == 0 {
				g.sshGuess("root", addr)
			} else {
				g.sshInvalid(one(g, guesses...), addr)
			}
		}
	}
	return []actor{
		// Ordinary use.
		{0, day, 5 * m, 0.3, g.chores},
		{6 * h, 20 * h, 8 * m, 0.8, func() { g.sshLogin(one(g, people...), g.visitor()) }},
		{7 * h, 19 * h, 97 * m, 0.5, func() { g.sshTypo(one(g, people...), g.visitor()) }},
		{0, day, 30 * m, 0, func() { g.sshLogin("backup", v6(0x900d, 1, 0x10)) }},
		// Fast attackers: banned.
		{1 * h, 1*h + 25*m, 7 * s, 0.3, guess("203.0.113.10")},
		{2*h + 10*m, 3*h + 30*m, 31 * s, 0.5, guess("203.0.113.77")},
		{4 * h, 4*h + 12*m, 12 * s, 0.2, guess(v6(0xbad, 1, 0x66))},
		{5 * h, 5*h + 2*m, 40 * s, 0, func() { g.sshFlood("root", "198.51.100.23") }},
		{11 * h, 11*h + 40*m, 23 * s, 0.9, guess("198.51.100.99")},
		{15 * h, 15*h + 20*m, 45 * s, 0.4, guess(v6(0xbad, 0x20, 0xcafe))},
		{21 * h, 22 * h, 58 * s, 0.6, func() { g.sshGuess(one(g, people...), "203.0.113.200") }},
		// One that returns after its ban.
		{8 * h, 8*h + 3*m, 10 * s, 0.1, guess("198.51.100.7")},
		{9 * h, 9*h + 3*m, 10 * s, 0.1, guess("198.51.100.7")},
		{17 * h, 17*h + 3*m, 10 * s, 0.1, guess("198.51.100.7")},
		// Slow ones, from just fast enough to much too slow.
		{1 * h, 6 * h, 151 * s, 0, func() { g.sshGuess("root", "203.0.113.151") }},
		{1 * h, 6 * h, 200 * s, 0, func() { g.sshGuess("root", "203.0.113.222") }},
		{0, day, 11 * m, 0.1, func() { g.sshGuess("root", "198.51.100.111") }},
		{30 * m, day, 23 * m, 0.2, func() { g.sshInvalid(one(g, guesses...), v6(0xbad, 0x510, 1)) }},
		// Many addresses of one botnet, a try each.
		{12 * h, 14 * h, 20 * s, 0.9, func() { g.sshInvalid(one(g, guesses...), g.attacker()) }},
		// Scanners; banned only by the stricter modes.
		{0, day, 19 * m, 0.9, func() { g.sshScan(g.attacker()) }},
		{18 * h, 18*h + 6*m, 20 * s, 0.2, func() { g.sshScan("203.0.113.88") }},
		// Somebody who wants 192.0.2.25 to be banned.
		{16 * h, 16*h + 5*m, 30 * s, 0.1, func() { g.sshInject("192.0.2.25", "198.51.100.166") }},
	}
}

// mailCast is who appears in testdata/mail.log. The morning's Dovecot is 2.3,
// at noon the machine is upgraded to 2.4 and Postfix 3.10.
func mailCast(g *generator) []actor {
	const h, m, s = time.Hour, time.Minute, time.Second
	const noon = 12 * h
	old, new := dovecot23{g}, dovecot24{g}
	return []actor{
		// Ordinary use.
		{0, day, 150 * s, 0.9, func() { g.mailIn(g.visitor()) }},
		{6 * h, 22 * h, 7 * m, 0.9, func() { g.mailOut(g.mailbox(), g.visitor()) }},
		{0, noon, 3 * m, 0.8, func() { old.session(g.mailbox(), g.visitor()) }},
		{noon, day, 3 * m, 0.8, func() { new.session(g.mailbox(), g.visitor()) }},
		{7 * h, noon, 80 * m, 0.5, func() { old.failure("alice@example.org", "192.0.2.31") }},
		{noon, 19 * h, 80 * m, 0.5, func() { new.failure("alice@example.org", "192.0.2.31") }},
		{0, day, 17 * m, 0.8, func() { g.mailGreylisted(g.visitor()) }},
		// Password guessing over IMAP and POP3: banned by dovecot.
		{2 * h, 2*h + 20*m, 14 * s, 0.4, func() { old.failure(g.guessedBox(), "203.0.113.50") }},
		{4 * h, 4*h + 15*m, 30 * s, 0.4, func() { old.failure(g.guessedBox(), v6(0xbad, 0x77, 2)) }},
		{14 * h, 14*h + 20*m, 17 * s, 0.4, func() { new.failure(g.guessedBox(), "203.0.113.51") }},
		{16 * h, 16*h + 12*m, 25 * s, 0.4, func() { new.failure(g.guessedBox(), v6(0xbad, 0x78, 2)) }},
		// Password guessing over SMTP: postfix[mode=auth or extra], and Dovecot's part of it.
		{3 * h, 3*h + 25*m, 20 * s, 0.5, func() { g.saslFailure(old.authFailure, g.guessedBox(), "198.51.100.40") }},
		{9 * h, 9*h + 9*m, 30 * s, 0.1, func() { g.saslFailure(old.authFailure, g.guessedBox(), v6(0xbad, 0x79, 3)) }},
		{18 * h, 18*h + 25*m, 26 * s, 0.5, func() { g.saslFailure(new.authFailure, g.guessedBox(), "198.51.100.41") }},
		// Relay attempts and spam: postfix.
		{1 * h, 1*h + 10*m, 20 * s, 0.3, func() { g.rejected("203.0.113.90") }},
		{13 * h, 13*h + 10*m, 20 * s, 0.3, func() { g.rejected(v6(0xbad, 0x7a, 1)) }},
		{0, day, 6 * m, 0.9, func() { g.rejected(g.attacker()) }},
		// Floods that the aggressive modes catch.
		{5 * h, 5*h + 8*m, 20 * s, 0.3, func() { g.smtpNoise("203.0.113.180", false) }},
		{20 * h, 20*h + 8*m, 20 * s, 0.3, func() { g.smtpNoise("203.0.113.181", true) }},
		// Slow ones: one just fast enough by fail2ban's estimate, the others not.
		{1 * h, 5 * h, 5 * m, 0.1, func() { old.failure("info@example.org", "198.51.100.210") }},
		{0, day, 13 * m, 0.2, func() { g.saslFailure(nil, g.guessedBox(), "198.51.100.211") }},
		{noon, day, 19 * m, 0.2, func() { new.failure("sales@example.org", v6(0xbad, 0x510, 5)) }},
		// Somebody who wants 192.0.2.25 to be banned.
		{10 * h, 10*h + 4*m, 30 * s, 0.1, func() { old.failure("x, rip=192.0.2.25, lip=10.0.0.2", "198.51.100.167") }},
		{15 * h, 15*h + 4*m, 30 * s, 0.1, func() { new.failure("x,192.0.2.25,sasl:plain)", "198.51.100.168") }},
	}
}
