package main

import "fmt"

var pages = []string{"/", "/index.html", "/favicon.ico", "/robots.txt", "/static/app.js", "/static/main.css", "/img/logo.png",
	"/api/v1/items?page=2", "/blog/how-to", "/login", "/feed/", "/mail/?_task=mail&_mbox=INBOX"}

var probes = []string{"/wp-login.php", "/phpmyadmin/index.php", "/cgi-bin/luci", "/roundcube/", "/pma/scripts/setup.php", "/wp-admin.php"}

var browsers = []string{
	"Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)",
	"curl/8.5.0",
}

// access emits a line of nginx's combined access log.
func (g *generator) access(addr, user, method, page string, status int, agent string) {
	g.push(g.now, fmt.Sprintf("%s - %s [%s] \"%s %s HTTP/1.1\" %d %d \"-\" \"%s\"",
		addr, user, g.now.Format("02/Jan/2006:15:04:05 -0700"), method, page, status, 120+g.IntN(90_000), agent))
}

// nginxError emits a line of nginx's error log.
func (g *generator) nginxError(level, addr, page, format string, args ...any) {
	g.push(g.now, fmt.Sprintf("%s [%s] 811#811: *%d %s, client: %s, server: www.example.org, request: \"GET %s HTTP/1.1\", host: \"www.example.org\"",
		g.now.Format("2006/01/02 15:04:05"), level, g.IntN(99_999_999), fmt.Sprintf(format, args...), addr, page))
}

// webVisit is somebody who reads a page.
func (g *generator) webVisit() {
	addr, page := g.visitor(), one(g, pages...)
	switch g.IntN(25) {
	case 0:
		g.nginxError("error", addr, page, "open() \"/var/www/html%s\" failed (2: No such file or directory)", page)
	case 1:
		g.access(addr, one(g, people...), "GET", "/private/", 200, one(g, browsers...))
	default:
		g.access(addr, "-", one(g, "GET", "GET", "GET", "POST"), page, one(g, 200, 200, 200, 200, 301, 304, 404), one(g, browsers...))
	}
}

// webAttack is a guessed password or a probe for a known hole.
func (g *generator) webAttack() {
	addr := g.attacker()
	switch g.IntN(10) {
	case 0, 1, 2, 3, 4:
		g.nginxError("error", addr, "/private/", "user %q was not found in \"/etc/nginx/.htpasswd\"", one(g, guesses...))
	case 5, 6:
		g.nginxError("error", addr, "/private/", "user %q: password mismatch", one(g, people...))
	default:
		g.access(addr, "-", "GET", one(g, probes...), 404, "Mozilla/5.0 zgrab/0.x")
	}
}

// kernel is what is neither asked for nor watched.
func (g *generator) kernel() {
	g.syslog(0, "kernel", "[%d.%06d] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:12:34:56 SRC=%s DST=10.0.0.2 LEN=40 TTL=243 ID=%d PROTO=TCP SPT=%d DPT=%d WINDOW=1024 SYN",
		g.IntN(999_999), g.IntN(999_999), g.attacker(), g.IntN(65536), g.port(), g.IntN(65536))
}
