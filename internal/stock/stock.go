package stock

import (
	"embed"
	"io/fs"
)

// The folders are named, not globbed: go:embed leaves names that begin with
// "." or "_" out of a folder, and there are none.
//
//go:embed config
var tree embed.FS

// FS returns the stock configuration, rooted where /etc/fail2ban is: jail.conf,
// fail2ban.conf, paths-*.conf, filter.d/NAME.conf and action.d/NAME.conf.
func FS() fs.FS {
	sub, err := fs.Sub(tree, "config")
	if err != nil {
		panic(err) // the name is constant and valid
	}
	return sub
}
