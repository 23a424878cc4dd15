# Written by: go test ./cmd/f2bpipe -run TestManual -update-manual
_f2bpipe() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} flags jails
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W '--help run pipe status ban unban banned log reload pause stop test check dump config version' -- "$current"))
		return
	fi
	case $command in
	run) flags='--help --config --socket --dry-run --json --pidfile --status-socket --status-group --expiry --scope --kill-sockets --dbfile --dbpurgeage --dbmaxmatches --counter --logtarget --loglevel --sandbox' ;;
	pipe) flags='--help --config --filter --maxretry --findtime --bantime --socket --dry-run --json --failures --count --profile --now' ;;
	status) flags='--help --config --socket --json' jails=1 ;;
	ban) flags='--help --config --socket --json --jail --time --force' ;;
	unban) flags='--help --config --socket --json --jail --all' ;;
	banned) flags='--help --config --socket --json' ;;
	log) flags='--help --config --socket --json --follow --number' jails=1 ;;
	reload) flags='--help --config --socket --json' jails=1 ;;
	pause) flags='--help --config --socket --json --end' ;;
	stop) flags='--help --config --socket --json' ;;
	test) flags='--help --config --json --all --journal --count --profile --now' ;;
	check) flags='--help --config --json --all' ;;
	dump) flags='--help --config --all --dp' ;;
	config) flags='--help --config --json --all' jails=1 ;;
	version) flags='--help' ;;
	*) return ;;
	esac
	if [ "$previous" = --jail ] || { [ -n "$jails" ] && [[ $current != -* ]]; }; then
		COMPREPLY=($(compgen -W "$(f2bpipe status --json 2>/dev/null | sed 's/"sources":.*//' | grep -o '{"name":"[^"]*' | cut -d'"' -f4)" -- "$current"))
	elif [[ $current == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$current"))
	fi
}
complete -o default -F _f2bpipe f2bpipe
