package service

import (
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
)

// OtherDir is a configuration directory that holds jails and is not read.
type OtherDir struct {
	Dir     string `json:"dir"`
	Enabled int    `json:"enabled"` // how many of its jails are enabled
}

// otherDir counts the enabled jails of a directory that is not read; nil for "".
func otherDir(o config.Options, dir string) *OtherDir {
	if dir == "" {
		return nil
	}
	o.Dir, o.Enable, o.Make, o.Only = dir, nil, false, ""
	tree, _ := config.Load(o)
	out := &OtherDir{Dir: dir}
	for i := range tree.Jails {
		if tree.Jails[i].Enabled {
			out.Enabled++
		}
	}
	return out
}

// logDirs says which directory was read, which was not, and which of its files
// were not taken.
func (s *Service) logDirs(replaced []config.Replaced) {
	s.log.Info("configuration read", "dir", s.cfg.Options.Dir)
	if s.other = otherDir(s.cfg.Options, s.cfg.Other); s.other != nil {
		s.log.Warn("another configuration directory holds jails and is not read", "dir", s.other.Dir, "enabled", s.other.Enabled)
	}
	for _, r := range replaced {
		s.log.Info("filter is replaced: this release of it misses what is logged today (stockfilters = disk keeps it)", "file", r.Disk, "by", r.Stock)
	}
}

// filterFile returns the file that the jail's filter was taken from, not those
// that it includes or that overlay it; empty where the jail has none.
func filterFile(c *config.Jail) string {
	if c.Filter == nil {
		return ""
	}
	return definingFile(c.Filter.Files, "filter.d/", c.Filter.Name)
}

// definingFile returns NAME.conf among the files that a filter or action was
// read from; where there is none (a .local alone), the last.
func definingFile(files []string, folder, name string) string {
	for _, f := range files {
		if path := strings.TrimPrefix(f, config.StockPrefix); path == folder+name+".conf" || path == name+".conf" || strings.HasSuffix(path, "/"+folder+name+".conf") {
			return f
		}
	}
	if len(files) == 0 {
		return ""
	}
	return files[len(files)-1]
}
