package config

import "strings"

// fallsBack says whether the jail reads the journal for want of log files: it
// asks for neither, there is no log file now, and its filter, or itself, has a
// journalmatch.
func (r *jailReader) fallsBack(filter *section) bool {
	backend, _ := r.opts.get("backend")
	if !r.opt.Fallback || backend.s != "auto" || !r.flag("systemd_if_nologs", true) {
		return false
	}
	match, _ := filter.get("journalmatch")
	if strings.TrimSpace(match.s) == "" && strings.TrimSpace(r.effectively("journalmatch")) == "" {
		return false
	}
	for line := range strings.Lines(r.effectively("logpath")) {
		path := strings.TrimSpace(line)
		if i := strings.LastIndexByte(path, ' '); i >= 0 {
			path = path[:i]
		}
		if len((LogPath{Pattern: Value{Text: path}}).Expand()) > 0 {
			return false
		}
	}
	return true
}
