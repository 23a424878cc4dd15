package main

import (
	"fmt"
	"io"
	"strings"
)

// theirUsage says how the program is called.
func theirUsage(name string, out io.Writer) {
	fmt.Fprintf(out, "Usage: %s [OPTIONS] <COMMAND>\n\nFail2Ban v%s's command line, answered by f2bpipe %s.\n\nOptions:\n", name, theirVersion, version)
	for _, line := range []string{
		"-c, --conf DIR        directory of the configuration",
		"-s, --socket FILE     control socket",
		"-p, --pidfile FILE    file with the number of the server's process",
		"--pname NAME          taken, and not used",
		"--loglevel LEVEL      CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG …, or a number",
		"--logtarget TARGET    a file, STDOUT, STDERR, SYSLOG, SYSOUT or SYSTEMD-JOURNAL",
		"--syslogsocket FILE   socket of syslog, or auto",
		"-d                    print the configuration as the commands that make it",
		"--dp, --dump-pretty   the same, laid out to be read",
		"-t, --test            read and compile the configuration: is it right?",
		"-i                    ask for commands until exit",
		"-v, -q                say more, say less",
		"-x                    start although a socket is left of a server that has gone",
		"-b                    start in the background (the default)",
		"-f                    start in the foreground",
		"--async               start without jails, and wait for a client to send them",
		"--timeout TIME        how long a server may take to start or stop (30)",
		"--str2sec TIME        print a time such as 1d12h in seconds",
		"-h, --help            print this",
		"-V, --version         print the version, -V the number alone",
	} {
		fmt.Fprintf(out, "    %s\n", line)
	}
	if strings.HasSuffix(name, "server") {
		return
	}
	fmt.Fprint(out, "\nCommands (JAIL, ADDR, TIME, … stand for yours; several ADDR may follow each other):\n")
	for _, line := range theirCommands {
		fmt.Fprintf(out, "    %s\n", line)
	}
}

// theirCommands are the commands of the client, for people.
var theirCommands = []string{
	"start | stop | restart                   the server",
	"reload [--restart] [--unban] [--all]     read the configuration again",
	"reload [--restart] [--unban] [--if-exists] JAIL",
	"restart [--unban] [--if-exists] JAIL     the same as reload --restart JAIL",
	"status [--all] [FLAVOR]                  how the server is, or every jail",
	"status JAIL [basic|short|cymru|stats]    how a jail is",
	"stats                                    a table of the jails",
	"banned [ADDR]                            who is banned in which jail",
	"unban ADDR | unban --all                 end bans in every jail",
	"ping | version | echo WORD | flushlogs | help",
	"get|set loglevel|logtarget|syslogsocket|dbfile|dbmaxmatches|dbpurgeage [VALUE]",
	"add JAIL BACKEND | start JAIL | stop JAIL",
	"set JAIL banip ADDR | set JAIL unbanip [--report-absent] ADDR",
	"set JAIL attempt ADDR [LINE]             count a failure",
	"set JAIL idle on|off",
	"set JAIL bantime|findtime TIME | set JAIL maxretry|maxmatches|maxlines NUMBER",
	"set JAIL bantime.increment|factor|formula|multipliers|maxtime|rndtime|overalljails VALUE",
	"set JAIL addignoreip|delignoreip ADDR | set JAIL ignoreself|ignorecommand|ignorecache VALUE",
	"set JAIL addlogpath FILE [tail] | set JAIL dellogpath FILE | set JAIL logencoding|logtimezone VALUE",
	"set JAIL addjournalmatch|deljournalmatch MATCH",
	"set JAIL addfailregex|addignoreregex REGEX | set JAIL delfailregex|delignoreregex INDEX",
	"set JAIL prefregex|datepattern|usedns VALUE",
	"set JAIL addaction ACTION [FILE JSON] | set JAIL delaction ACTION",
	"set JAIL action ACTION PROPERTY VALUE | set JAIL action ACTION METHOD [JSON]",
	"get JAIL banned [ADDR] | get JAIL banip [SEPARATOR|--with-time]",
	"get JAIL OPTION                          any of the options above",
	"get JAIL actions | get JAIL actionproperties|actionmethods ACTION | get JAIL action ACTION PROPERTY",
}
