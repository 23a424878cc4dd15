package service

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
)

// serverSettings are the options of the service that fail2ban.conf has and
// clients read and change. Safe for concurrent use.
type serverSettings struct {
	changing sync.Mutex // one change at a time
	mu       sync.Mutex
	control.ServerSettings
	allowIPv6 string
}

// take takes the options of a configuration that was read. target is where the
// log goes, which may be otherwise than the configuration has it; empty: as
// configured.
func (s *serverSettings) take(m *config.Main, target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.LogLevel, s.LogTarget, s.SyslogSocket = strings.ToUpper(m.LogLevel.Text), m.LogTarget.Text, m.SyslogSocket.Text
	if target != "" {
		s.LogTarget = target
	}
	s.setFile(m.DBFile.Text)
	s.allowIPv6 = m.AllowIPv6.Text
	s.DBPurgeAge = m.DBPurgeAge
	if s.DBMaxMatches = m.DBMaxMatches; s.DBMaxMatches < 0 {
		s.DBMaxMatches = 10
	}
	s.StackSize, _ = strconv.Atoi(m.StackSize.Text) // it was judged when it was read
}

// keepIn names another database, before one is open.
func (s *Service) keepIn(file config.Value) {
	s.keep.file = file
	s.settings.mu.Lock()
	defer s.settings.mu.Unlock()
	s.settings.setFile(file.Text)
}

func (s *serverSettings) setFile(path string) {
	if s.DBFile = path; strings.EqualFold(path, "none") {
		s.DBFile = ""
	}
}

func (s *serverSettings) get() control.ServerSettings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ServerSettings
}

// ServerSettings implements control.Settings.
func (v verbs) ServerSettings(context.Context) (control.ServerSettings, error) {
	return v.settings.get(), nil
}

// ChangeServer implements control.Settings.
func (v verbs) ChangeServer(_ context.Context, option, value string) error {
	v.settings.changing.Lock()
	defer v.settings.changing.Unlock()
	now := v.settings.get()
	var err error
	switch option {
	case "loglevel":
		if v.out.SetLevel(value) != nil {
			err = control.ErrorValue("Invalid log level %s", control.Repr(strings.ToUpper(value)))
		}
		now.LogLevel = strings.ToUpper(strings.TrimSpace(value))
	case "logtarget":
		if err = v.setLogTarget(value); err == nil {
			now.LogTarget = v.out.Target()
		}
	case "syslogsocket":
		if v.out.SetSyslogSocket(value) != nil {
			err = control.ErrorPlain("Failed to change syslog socket")
		}
		now.SyslogSocket = value
	case "allowipv6":
		v.settings.mu.Lock()
		v.settings.allowIPv6 = value
		v.settings.mu.Unlock()
		return nil
	case "dbfile":
		err = v.keepsDatabase(now.DBFile, value)
	case "dbmaxmatches":
		if now.DBFile != "" {
			if now.DBMaxMatches, err = strconv.Atoi(value); err == nil {
				v.setMaxMatches(now.DBMaxMatches)
			}
		}
	case "dbpurgeage":
		if now.DBFile != "" {
			if now.DBPurgeAge, err = purgeAge(value); err == nil {
				v.setPurgeAge(now.DBPurgeAge)
			}
		}
	case "thread.stacksize":
		now.StackSize, err = strconv.Atoi(value)
	default:
		return control.ErrNotOffered
	}
	if err != nil {
		return err
	}
	v.settings.mu.Lock()
	v.settings.ServerSettings = now
	v.settings.mu.Unlock()
	return nil
}

func purgeAge(value string) (time.Duration, error) {
	d, err := config.ParseDuration(value)
	if err != nil || d < 0 {
		return 0, control.ErrorValue("dbpurgeage = %s: expected a time such as 86400 or 1d", value)
	}
	return d, nil
}

// keepsDatabase refuses another database than the one in use: bans and
// positions of the jails that run are in it.
func (v verbs) keepsDatabase(now, value string) error {
	if strings.EqualFold(now, value) || now == "" && strings.EqualFold(value, "none") {
		return nil
	}
	if len(v.jails()) == 0 {
		return control.ErrorValue("the database of a service that runs cannot be changed: name it in fail2ban.conf and restart")
	}
	return &control.Exception{Module: "builtins", Name: "RuntimeError", Args: []any{"Cannot change database when there are jails present"}}
}

// setLogTarget sends the log elsewhere.
func (s *Service) setLogTarget(target string) error {
	if target == s.settings.get().LogTarget {
		return nil
	}
	if err := s.out.SetTarget(target); err != nil {
		s.log.Error("log target is not changed", "problem", err)
		return control.ErrorPlain("Failed to change log target")
	}
	s.log.Info("log target is another one", "target", s.out.Target())
	return nil
}
