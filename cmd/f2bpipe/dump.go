package main

import (
	"fmt"

	"github.com/f2bpipe/f2bpipe/internal/config"
)

type dumpCmd struct {
	configFlag
	All    bool `help:"Dump every jail, as if it were enabled."`
	Pretty bool `name:"dp" aliases:"dump-pretty" help:"Lay the commands out to be read, as fail2ban-client --dp does."`
}

// Run prints the commands, one a line as Python prints them, and what is wrong
// on stderr.
func (c *dumpCmd) Run(s *streams) error {
	o := c.options()
	if c.All {
		o.Enable = []string{config.AllJails}
	}
	tree, problems := config.Load(o)
	for _, command := range tree.Dump() {
		text := config.Repr(command)
		if c.Pretty {
			text = pretty([]any(command))
		}
		fmt.Fprintln(s.buffered, text)
	}
	return problems.Err()
}
