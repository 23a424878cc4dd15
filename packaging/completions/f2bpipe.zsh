#compdef f2bpipe
# Written by: go test ./cmd/f2bpipe -run TestManual -update-manual
_f2bpipe_jails() { compadd -- ${(f)"$(f2bpipe status --json 2>/dev/null | sed 's/"sources":.*//' | grep -o '{"name":"[^"]*' | cut -d'"' -f4)"} }
_f2bpipe() {
	local -a commands
	commands=(
		'run:Run the service  all enabled jails, in the foreground'
		'pipe:Read a log on stdin (or files) to its end and ban by one filter or jail'
		'status:Show the services jails and their bans'
		'ban:Ban addresses, networks or IDs'
		'unban:End bans'
		'banned:List who is banned, or say in which jails an address is'
		'log:Show the last bans and unbans, or follow them'
		'reload:Read the configuration again and change what has changed'
		'pause:Take all bans out of the kernel for a while  for who is locked out'
		'stop:Stop the service and take its bans out of the kernel'
		'test:Try a filter on a log  what it finds, and nothing else'
		'check:Read and compile the configuration  what is wrong with it, and what each jail would do'
		'dump:Print the configuration as the commands that fail2ban-client -d prints'
		'config:Show the value of every option and the file and line it comes from'
		'version:Show the version'
	)
	if (( CURRENT == 2 )); then
		_describe command commands
		return
	fi
	local command=$words[2]
	shift words
	(( CURRENT-- ))
	case $command in
	run)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--socket=[Control socket (default  the configurations)]:file:_files' \
			'--dry-run[Ban nothing  print what would be done]' \
			'--json[With --dry-run  one JSON object a decision]' \
			'--pidfile=[Write the number of the process to this file]:file:_files' \
			'--status-socket=[A second socket, for who may only look (default  the configurations statussocket, or none)]:file:_files' \
			'--status-group=[The group that may connect to it (default  the configurations statusgroup, or root alone)]:group:' \
			'--expiry=[Who ends a ban in the kernel  its timeout (kernel, the default), or the services unban, in fail2bans nftables layout (daemon)]:kernel|daemon:' \
			'--scope=[Refuse what is for this host and its published ports (local, the default), or transit too (all)]:local|all:' \
			'--kill-sockets[End the open TCP sockets of an address at its ban]' \
			'--dbfile=[Database of bans, history and log positions, fail2bans; None keeps nothing,  memory  nothing beyond the process (default  the configurations)]:path:' \
			'--dbpurgeage=[Bans older than this are removed from the database, as 1d or 2w]:time:' \
			'--dbmaxmatches=[Log lines that are kept with a ban in the database]:n:' \
			'--counter=[How failures are counted  fail2bans estimate (fail2ban, the default), or those within findtime alone (exact)]:fail2ban|exact:' \
			'--logtarget=[Where the log goes, in fail2bans format  a file, STDOUT, STDERR, SYSLOG, SYSOUT or SYSTEMD-JOURNAL; config  what fail2ban.conf says]:target:' \
			'--loglevel=[What the log tells, from CRITICAL to HEAVYDEBUG (default  the configurations)]:level:' \
			'--sandbox=[Lock the service in when everything is open  it can then write its database, sockets and log alone (default  fail2ban.confs sandbox, or yes)]:yes|no:'
		;;
	pipe)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--filter=[One more filter or jail; repeatable]:f:' \
			'--maxretry=[Failures that ban (default  the jails)]:n:' \
			'--findtime=[Window in which they count (default  the jails)]:time:' \
			'--bantime=[Length of a ban; -1 is permanent (default  the jails)]:time:' \
			'--socket=[Control socket (default  the configurations)]:file:_files' \
			'--dry-run[Ban nothing  print what would be done]' \
			'--json[One JSON object a decision]' \
			'--failures[Print every failure too]' \
			'--count[Print the numbers of lines, failures and bans only]' \
			'--profile[Print, on stderr, what each jail and regular expression cost]' \
			'--now=[Set the clock  epoch seconds or RFC 3339]:time:' \
			'*:filter-or-jail:_files'
		;;
	status)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--socket=[Control socket (default  the configurations)]:file:_files' \
			'--json[Print JSON]' \
			'*:jail:_f2bpipe_jails'
		;;
	ban)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--socket=[Control socket (default  the configurations)]:file:_files' \
			'--json[Print JSON]' \
			'--jail=[Jail to ban in]:jail:_f2bpipe_jails' \
			'--time=[Length, such as 10m or 1d12h; -1 is permanent (default  the jails bantime)]:time:' \
			'--force[Ban even what is guarded]' \
			'*:addr:_files'
		;;
	unban)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--socket=[Control socket (default  the configurations)]:file:_files' \
			'--json[Print JSON]' \
			'--jail=[Jail to unban in (default  every jail)]:jail:_f2bpipe_jails' \
			'--all[End all bans]' \
			'*:addr:_files'
		;;
	banned)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--socket=[Control socket (default  the configurations)]:file:_files' \
			'--json[Print JSON]' \
			'*:addr:_files'
		;;
	log)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--socket=[Control socket (default  the configurations)]:file:_files' \
			'--json[Print JSON]' \
			'--follow[Go on with what is decided from now on, until it is interrupted]' \
			'--number=[Show this many of the last decisions; the service keeps 1000]:number:' \
			'*:jail:_f2bpipe_jails'
		;;
	reload)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--socket=[Control socket (default  the configurations)]:file:_files' \
			'--json[Print JSON]' \
			'*:jail:_f2bpipe_jails'
		;;
	pause)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--socket=[Control socket (default  the configurations)]:file:_files' \
			'--json[Print JSON]' \
			'--end[End the pause now]' \
			'*:time:_files'
		;;
	stop)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--socket=[Control socket (default  the configurations)]:file:_files' \
			'--json[Print JSON]'
		;;
	test)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--json[One JSON object a failure]' \
			'--all[Try every failregex on each line]' \
			'--journal[The lines come from a journal  no date in them, their time is that of the clock]' \
			'--count[Print the number of failures only]' \
			'--profile[With --json or --count  print, on stderr, how fast each regular expression ran]' \
			'--now=[Set the clock  epoch seconds or RFC 3339]:time:' \
			'*:log:_files'
		;;
	check)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--json[Print one JSON object]' \
			'--all[Check every jail, as if it were enabled]'
		;;
	dump)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--all[Dump every jail, as if it were enabled]' \
			'--dp[Lay the commands out to be read, as fail2ban-client --dp does]'
		;;
	config)
		_arguments \
			'--config=[Configuration directory (default  /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)]:file:_files' \
			'--json[Print one JSON object]' \
			'--all[Show every jail, as if it were enabled]' \
			'*:jail:_f2bpipe_jails'
		;;
	version)
		_arguments
		;;
	esac
}
_f2bpipe "$@"
