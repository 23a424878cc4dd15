// Command f2bpipe reads logs with fail2ban's configuration and bans in
// nftables, in a stream. See `f2bpipe --help` and the README.
package main

import (
	"os"
)

// version is set by the linker.
var version = "devel"

func main() {
	os.Exit(run(os.Args, stdio{os.Stdin, os.Stdout, os.Stderr}))
}
