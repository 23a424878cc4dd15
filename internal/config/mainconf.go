package config

import (
	"strings"
	"time"
)

// Main is fail2ban.conf.
type Main struct {
	LogLevel, LogTarget, SyslogSocket Value
	Socket, PidFile                   Value
	AllowIPv6                         Value // auto, or a yes or no; as written
	DBFile                            Value // a path, None or :memory:
	DBPurgeAge                        time.Duration
	DBMaxMatches                      int   // −1: not set
	StackSize                         Value // of [Thread]; not set: none
	// Options are all options of [Definition] and [DEFAULT], by name.
	Options map[string]Value
	Files   []string

	purgeAge Value
}

// mainDefaults are what the client has where no file says otherwise.
var mainDefaults = []struct{ name, value string }{
	{"loglevel", "INFO"},
	{"logtarget", "/var/log/fail2ban.log"},
	{"syslogsocket", "auto"},
	{"socket", "/var/run/fail2ban/fail2ban.sock"},
	{"pidfile", "/var/run/fail2ban/fail2ban.pid"},
	{"allowipv6", "auto"},
	{"dbfile", "/var/lib/fail2ban/fail2ban.sqlite3"},
	{"dbpurgeage", "1d"},
}

// mainOptions are all options of fail2ban.conf.
var mainOptions = []string{
	"loglevel", "logtarget", "syslogsocket", "socket", "pidfile", "allowipv6", "dbfile", "dbpurgeage", "dbmaxmatches",
	"stacksize", "stockfilters", "expiry", "statussocket", "statusgroup", "sandbox",
}

var logLevels = []string{
	"CRITICAL", "FATAL", "ERROR", "WARNING", "WARN", "NOTICE", "INFO", "MSG", "DEBUG", "TRACEDEBUG", "HEAVYDEBUG", "NOTSET",
}

// main reads fail2ban.conf and its kin. Without any, the defaults hold.
func (l *loader) main() Main {
	p := l.parser("fail2ban", false).fork(newSection())
	m := Main{Options: map[string]Value{}, Files: p.files, DBMaxMatches: -1}
	l.reportFaults(p, "")
	definition := p.section("Definition")
	for name, v := range l.opt.Overrides.Main {
		definition.set(strings.ToLower(name), written(v, pos{file: CommandLine}))
	}
	for _, d := range mainDefaults {
		m.Options[d.name] = Value{Text: d.value}
	}
	for _, s := range []*section{p.defaults, definition} {
		for _, name := range s.keys {
			v, _, err := p.get("Definition", name, nil)
			if err != nil {
				l.reportWrong(Error, "", name, err)
				continue
			}
			m.Options[name] = v.value()
			l.unknownMain(name, v)
		}
	}
	m.LogLevel, m.LogTarget, m.SyslogSocket = m.Options["loglevel"], m.Options["logtarget"], m.Options["syslogsocket"]
	m.Socket, m.PidFile = m.Options["socket"], m.Options["pidfile"]
	m.AllowIPv6, m.DBFile = m.Options["allowipv6"], m.Options["dbfile"]
	if p.lookup("Thread") != nil {
		if v, ok, err := p.get("Thread", "stacksize", nil); err != nil {
			l.reportWrong(Error, "", "stacksize", err)
		} else if ok {
			m.StackSize = v.value()
		}
	}
	if strings.EqualFold(m.Options["stockfilters"].Text, "disk") {
		l.opt.Superseded = nil
	}
	l.judgeMain(&m)
	return m
}

func (l *loader) unknownMain(name string, v text) {
	at := v.at(0)
	if contains(mainOptions, name) || strings.HasPrefix(at.file, StockPrefix) || at.file == CommandLine {
		return
	}
	// An option that resembles none may well be somebody's variable.
	if hint := didYouMean(name, mainOptions); hint != "" {
		l.report(Problem{Severity: Warning, File: at.file, Line: at.line, Option: name, Text: v.s, Message: "unknown option: nothing reads it", Hint: hint})
	}
}

func (l *loader) judgeMain(m *Main) {
	report := func(s Severity, name string, v Value, msg, hint string) {
		l.report(Problem{Severity: s, File: v.File, Line: v.Line, Option: name, Text: v.Text, Message: msg, Hint: hint})
	}
	if v := m.LogLevel; !contains(logLevels, strings.ToUpper(v.Text)) {
		if n, err := parseInt(v.Text); err != nil || n < 0 {
			report(Error, "loglevel", v, "expected a number or one of "+strings.Join(logLevels, ", "), didYouMean(strings.ToUpper(v.Text), logLevels))
		}
	}
	if v, ok := m.Options["dbmaxmatches"]; ok {
		n, err := parseInt(v.Text)
		if err != nil || n < 0 {
			report(Error, "dbmaxmatches", v, "expected a whole number, at least 0", "")
		} else {
			m.DBMaxMatches = int(n)
		}
	}
	m.purgeAge = m.Options["dbpurgeage"]
	d, err := ParseDuration(m.purgeAge.Text)
	if err != nil || d < 0 {
		report(Error, "dbpurgeage", m.purgeAge, "expected a time such as 86400 or 1d", "")
		d = 24 * time.Hour
	}
	m.DBPurgeAge = d
	// Every docker-mailserver says "auto;".
	if v := m.AllowIPv6; !strings.EqualFold(strings.Trim(v.Text, "; \t"), "auto") {
		if _, known := parseBool(v.Text); !known {
			report(Warning, "allowipv6", v, "expected auto, yes or no", "")
		}
	}
	if v := m.StackSize; v.IsSet() {
		if n, err := parseInt(v.Text); err != nil || n < 0 {
			report(Error, "stacksize", v, "expected a number of KiB, at least 0", "")
		}
	}
}

// IPv6 returns whether allowipv6 says yes or no; auto where it leaves that to
// the machine, also when a stray ";" stands after the word.
func (m *Main) IPv6() (allowed, auto bool) {
	s := strings.Trim(m.AllowIPv6.Text, "; \t")
	yes, known := parseBool(s)
	return yes, strings.EqualFold(s, "auto") || !known
}

// commands returns what the client streams for fail2ban.conf.
func (m *Main) commands() []Command {
	var out []Command
	if v := m.StackSize; v.IsSet() {
		if n, err := parseInt(v.Text); err == nil {
			out = append(out, Command{"set", "thread", map[string]any{"stacksize": n}})
		}
	}
	for _, o := range []struct {
		name string
		v    Value
	}{
		{"syslogsocket", m.SyslogSocket}, {"loglevel", m.LogLevel}, {"logtarget", m.LogTarget},
		{"allowipv6", m.AllowIPv6}, {"dbfile", m.DBFile},
	} {
		out = append(out, Command{"set", o.name, o.v.Text})
	}
	if m.DBMaxMatches >= 0 {
		out = append(out, Command{"set", "dbmaxmatches", int64(m.DBMaxMatches)})
	}
	return append(out, Command{"set", "dbpurgeage", m.purgeAge.Text})
}
