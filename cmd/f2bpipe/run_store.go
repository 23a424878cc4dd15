package main

import (
	"strconv"

	"github.com/f2bpipe/f2bpipe/internal/config"
)

// storeFlags are fail2ban.conf's options of the database, and how failures are
// counted. They win over the files.
type storeFlags struct {
	DBFile       string `name:"dbfile" placeholder:"PATH" help:"Database of bans, history and log positions, fail2ban's; None keeps nothing, :memory: nothing beyond the process (default: the configuration's)."`
	DBPurgeAge   string `name:"dbpurgeage" placeholder:"TIME" help:"Bans older than this are removed from the database, as 1d or 2w."`
	DBMaxMatches *int   `name:"dbmaxmatches" placeholder:"N" help:"Log lines that are kept with a ban in the database."`
	Counter      string `enum:",fail2ban,exact" default:"" placeholder:"fail2ban|exact" help:"How failures are counted: fail2ban's estimate (fail2ban, the default), or those within findtime alone (exact)."`
}

// over returns the options with the flags that were given.
func (f *storeFlags) over(o config.Options) config.Options {
	set := func(m *map[string]string, option, value string) {
		if value != "" {
			if *m == nil {
				*m = map[string]string{}
			}
			(*m)[option] = value
		}
	}
	set(&o.Overrides.Main, "dbfile", f.DBFile)
	set(&o.Overrides.Main, "dbpurgeage", f.DBPurgeAge)
	if f.DBMaxMatches != nil {
		set(&o.Overrides.Main, "dbmaxmatches", strconv.Itoa(*f.DBMaxMatches))
	}
	set(&o.Overrides.Jail, "counter", f.Counter)
	return o
}
