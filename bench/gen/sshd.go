package main

import (
	"fmt"
	"time"
)

var (
	people  = []string{"alice", "bob", "carol", "dave", "erin", "frank", "deploy", "backup"}
	guesses = []string{"admin", "test", "oracle", "postgres", "ubuntu", "pi", "ftpuser", "guest", "user",
		"minecraft", "hadoop", "jenkins", "steam", "git", "nagios", "es", "support", "dev"}
)

func (g *generator) sshd() string { return fmt.Sprintf("sshd[%d]", g.pid()) }

// sshLogin is a person who comes in with a key and leaves again.
func (g *generator) sshLogin(user, addr string) {
	tag, port := g.sshd(), g.port()
	g.syslog(0, tag, "Accepted publickey for %s from %s port %d ssh2: ED25519 SHA256:%s", user, addr, port, g.text(43, base64Digits))
	g.syslog(g.ms(1, 9), tag, "pam_unix(sshd:session): session opened for user %s(uid=%d) by (uid=0)", user, 1000+len(user))
	g.syslog(g.ms(10, 30), "systemd-logind[612]", "New session %d of user %s.", g.IntN(9999), user)
	stay := g.ms(20_000, 1_500_000)
	g.syslog(stay, tag, "Received disconnect from %s port %d:11: disconnected by user", addr, port)
	g.syslog(stay+g.ms(1, 5), tag, "Disconnected from user %s %s port %d", user, addr, port)
	g.syslog(stay+g.ms(6, 20), tag, "pam_unix(sshd:session): session closed for user %s", user)
}

// sshTypo is a person who mistypes the password once and then has it.
func (g *generator) sshTypo(user, addr string) {
	tag, port := g.sshd(), g.port()
	g.pamFailure(0, tag, addr, user)
	g.syslog(g.ms(1500, 2500), tag, "Failed password for %s from %s port %d ssh2", user, addr, port)
	in := g.ms(4000, 9000)
	g.syslog(in, tag, "Accepted password for %s from %s port %d ssh2", user, addr, port)
	g.syslog(in+g.ms(1, 9), tag, "pam_unix(sshd:session): session opened for user %s(uid=%d) by (uid=0)", user, 1000+len(user))
}

func (g *generator) pamFailure(after time.Duration, tag, addr, user string) {
	if user != "" {
		user = "  user=" + user
	}
	g.syslog(after, tag, "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=%s%s", addr, user)
}

// sshGuess is one wrong password for an account that exists.
func (g *generator) sshGuess(user, addr string) {
	tag, port := g.sshd(), g.port()
	g.pamFailure(0, tag, addr, user)
	g.syslog(g.ms(1500, 2500), tag, "Failed password for %s from %s port %d ssh2", user, addr, port)
	end := g.ms(2600, 3000)
	if g.IntN(2) == 0 {
		g.syslog(end, tag, "Received disconnect from %s port %d:11: Bye Bye [preauth]", addr, port)
		g.syslog(end+50*time.Microsecond, tag, "Disconnected from authenticating user %s %s port %d [preauth]", user, addr, port)
		return
	}
	g.syslog(end, tag, "Connection closed by authenticating user %s %s port %d [preauth]", user, addr, port)
}

// sshInvalid is one wrong password for an account that does not exist.
func (g *generator) sshInvalid(user, addr string) {
	tag, port := g.sshd(), g.port()
	g.syslog(0, tag, "Invalid user %s from %s port %d", user, addr, port)
	g.syslog(g.ms(5, 40), tag, "pam_unix(sshd:auth): check pass; user unknown")
	g.pamFailure(g.ms(41, 42), tag, addr, "")
	g.syslog(g.ms(1500, 2500), tag, "Failed password for invalid user %s from %s port %d ssh2", user, addr, port)
	g.syslog(g.ms(2600, 3000), tag, "Connection closed by invalid user %s %s port %d [preauth]", user, addr, port)
}

// sshFlood is a session that tries until the server has had enough.
func (g *generator) sshFlood(user, addr string) {
	tag, port := g.sshd(), g.port()
	for i := range 6 {
		g.syslog(time.Duration(i)*g.ms(1900, 2000), tag, "Failed password for %s from %s port %d ssh2", user, addr, port)
	}
	end := g.ms(12_000, 12_500)
	g.syslog(end, tag, "error: maximum authentication attempts exceeded for %s from %s port %d ssh2 [preauth]", user, addr, port)
	g.syslog(end+40*time.Microsecond, tag, "Disconnecting authenticating user %s %s port %d: Too many authentication failures [preauth]", user, addr, port)
}

// sshScan is a machine that looks who answers.
func (g *generator) sshScan(addr string) {
	tag, port := g.sshd(), g.port()
	switch g.IntN(5) {
	case 0:
		g.syslog(0, tag, "error: kex_exchange_identification: Connection closed by remote host")
		g.syslog(30*time.Microsecond, tag, "Connection closed by %s port %d", addr, port)
	case 1:
		g.syslog(0, tag, "error: kex_exchange_identification: client sent invalid protocol identifier \"GET / HTTP/1.1\"")
		g.syslog(30*time.Microsecond, tag, "banner exchange: Connection from %s port %d: invalid format", addr, port)
	case 2:
		g.syslog(0, tag, "Unable to negotiate with %s port %d: no matching host key type found. Their offer: ssh-rsa,ssh-dss [preauth]", addr, port)
	case 3:
		g.syslog(0, tag, "Did not receive identification string from %s port %d", addr, port)
	default:
		g.syslog(0, tag, "Connection reset by %s port %d [preauth]", addr, port)
	}
}

// sshInject writes another address into the user name, to have it banned.
func (g *generator) sshInject(victim, addr string) {
	tag, port := g.sshd(), g.port()
	user := one(g, "root from %s port 22", "x rhost=%s", "x [%s] ssh2", "admin from %s port 22 ssh2: RSA")
	user = fmt.Sprintf(user, victim)
	g.syslog(0, tag, "Invalid user %s from %s port %d", user, addr, port)
	g.pamFailure(g.ms(5, 40), tag, addr, user)
	g.syslog(g.ms(1500, 2500), tag, "Failed password for invalid user %s from %s port %d ssh2", user, addr, port)
	g.syslog(g.ms(2600, 3000), tag, "Connection closed by invalid user %s %s port %d [preauth]", user, addr, port)
}

// chores is what else a machine writes into auth.log.
func (g *generator) chores() {
	pid := g.pid()
	switch g.IntN(3) {
	case 0, 1:
		g.syslog(0, fmt.Sprintf("CRON[%d]", pid), "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)")
		g.syslog(g.ms(20, 900), fmt.Sprintf("CRON[%d]", pid), "pam_unix(cron:session): session closed for user root")
	default:
		user := one(g, people...)
		g.syslog(0, "sudo", " %s : TTY=pts/%d ; PWD=/home/%s ; USER=root ; COMMAND=/usr/bin/systemctl status nginx", user, g.IntN(9), user)
		g.syslog(g.ms(1, 3), "sudo", "pam_unix(sudo:session): session opened for user root(uid=0) by %s(uid=%d)", user, 1000+len(user))
		g.syslog(g.ms(50, 4000), "sudo", "pam_unix(sudo:session): session closed for user root")
	}
}
