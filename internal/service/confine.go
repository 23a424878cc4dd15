package service

import (
	"path/filepath"
	"slices"

	"github.com/f2bpipe/f2bpipe/internal/sandbox"
	"github.com/f2bpipe/f2bpipe/internal/store"
)

// shared are folders that a sandbox must not open for a file that stands in
// them: others' files do too. A socket there cannot be removed in the end.
var shared = []string{"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/opt", "/root", "/run", "/sbin", "/srv", "/usr", "/usr/bin", "/usr/sbin",
	"/var", "/var/lib", "/var/log", "/var/mail", "/var/spool", "/etc/fail2ban", "/etc/f2bpipe"}

// confine locks the process in, where it is to be: the database, the sockets and
// the file with the process's number are all that it writes. The log it has open.
func (s *Service) confine() error {
	if s.cfg.Confine == nil {
		return nil
	}
	paths := []string{s.socket, s.cfg.PidFile, s.cfg.StatusSocket}
	if s.keep.store != nil && s.keep.file.Text != store.Memory {
		paths = append(paths, s.keep.file.Text)
	}
	var c sandbox.Config
	for _, path := range paths {
		if path == "" {
			continue
		}
		dirs := []string{filepath.Dir(path)}
		// A link leads to where the file is; SQLite makes its journal there.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
		for _, dir := range dirs {
			real, err := filepath.EvalSymlinks(dir)
			switch {
			case err != nil || slices.Contains(c.Dirs, real):
			case slices.Contains(shared, real):
				s.log.Warn("sandbox: a file stands in a folder that others use: it can be written, but nothing made or removed beside it", "path", path)
				if path == s.keep.file.Text {
					s.trouble.set("sandbox", "the database cannot be written in "+real+": give dbfile a folder of its own, or set sandbox = no")
				}
				c.Files = append(c.Files, path)
			default:
				c.Dirs = append(c.Dirs, real)
			}
		}
	}
	state, err := s.cfg.Confine(c)
	if err != nil {
		return err
	}
	if state.Missing != "" {
		s.log.Warn("sandbox: not all is in force", "missing", state.Missing)
		s.trouble.set("sandbox", "the sandbox is not whole: "+state.Missing)
		return nil
	}
	s.log.Info("sandbox entered", "by", state.String())
	return nil
}
