module github.com/f2bpipe/f2bpipe

go 1.26.0

require (
	github.com/alecthomas/kong v1.17.0
	github.com/coreos/go-systemd/v22 v22.7.0
	github.com/elastic/go-seccomp-bpf v1.6.0 // the service's own sandbox
	github.com/fsnotify/fsnotify v1.10.1 // a peer in tests of following files
	github.com/google/nftables v0.3.1-0.20251119083706-1db35da82052
	github.com/hashicorp/golang-lru/v2 v2.0.7
	github.com/landlock-lsm/go-landlock v0.11.0 // the service's own sandbox
	github.com/mdlayher/netlink v1.11.2 // messages that google/nftables lacks
	github.com/nxadm/tail v1.4.11 // a peer in tests of following files
	github.com/rogpeppe/go-internal v1.16.0 // testscript
	golang.org/x/sys v0.49.0 // inotify, namespaces, CPU features
	golang.org/x/text v0.43.0 // the tables of logencoding
	gopkg.in/tomb.v1 v1.0.0-20141024135613-dd632973f1e7 // nxadm/tail's, in tests
	modernc.org/sqlite v1.61.1
)

require (
	github.com/BurntSushi/toml v1.4.1-0.20240526193622-a339e1f7089c // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/godbus/dbus/v5 v5.1.0 // asks systemd whether the unit stops or restarts
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/mdlayher/socket v0.6.0 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/tools v0.52.0 // indirect
	honnef.co/go/tools v0.8.2 // indirect
	kernel.org/pub/linux/libs/security/libcap/psx v1.2.77 // indirect
	modernc.org/libc v1.79.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)

tool honnef.co/go/tools/cmd/staticcheck
