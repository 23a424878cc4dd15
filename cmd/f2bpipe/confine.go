package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/internal/sandbox"
	"github.com/f2bpipe/f2bpipe/internal/service"
)

// openerName is the argument under which this program opens a log for itself.
const openerName = "log-opener"

// restartStatus is the exit status of a process in a sandbox that is to be begun
// anew, outside of it, by the systemd that has started it (EX_TEMPFAIL).
const restartStatus = 75

// sandboxFlag says whether the service locks itself in.
type sandboxFlag struct {
	Sandbox string `enum:",yes,no" default:"" placeholder:"yes|no" help:"Lock the service in when everything is open: it can then write its database, sockets and log alone (default: fail2ban.conf's sandbox, or yes)."`
}

// confinement is a sandbox that is to be entered, or was. Nil: none.
type confinement struct {
	state  sandbox.State
	inside bool
	opener *sandbox.Opener // of the log; nil: it is no file
}

// confined returns the sandbox that a service is to live in, or nil. What the
// flag says counts, then F2BPIPE_SANDBOX (a unit's), fail2ban.conf, the default.
func confined(o config.Options, flag string, byDefault bool) (*confinement, error) {
	text, from := flag, "--sandbox"
	if text == "" {
		text, from = os.Getenv("F2BPIPE_SANDBOX"), "F2BPIPE_SANDBOX"
	}
	if text == "" {
		v := service.MainOf(o).Options["sandbox"]
		text, from = v.Text, v.Place()
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "":
		if !byDefault {
			return nil, nil
		}
	case "no", "false", "off", "0":
		return nil, nil
	case "yes", "true", "on", "1":
	default:
		return nil, usageError{fmt.Errorf("%s: sandbox is yes or no, not %q", from, text)}
	}
	c := &confinement{}
	c.state, c.inside = sandbox.Inside()
	return c, nil
}

// log makes the log's file be opened from outside of the sandbox: a rotated log
// is a new file.
func (c *confinement) log(cfg *logtarget.Config) error {
	path := logtarget.File(cfg.Target)
	if c == nil || path == "" {
		return nil
	}
	if c.opener = sandbox.Kept(); c.opener == nil || c.opener.Path != path {
		cmd := exec.Command(selfExe, openerName, path)
		cmd.Args[0] = "f2bpipe"
		opener, err := sandbox.StartOpener(path, cmd)
		if err != nil {
			return err
		}
		c.opener = opener
	}
	cfg.Open = func(name string) (*os.File, error) {
		if name == c.opener.Path {
			return c.opener.Open()
		}
		return nil, fmt.Errorf("open %s: the sandbox forbids it: set it as logtarget in fail2ban.conf and restart", name)
	}
	return nil
}

// over has the service enter the sandbox, once.
func (c *confinement) over(cfg *service.Config) {
	if c == nil {
		return
	}
	cfg.Confine = func(paths sandbox.Config) (sandbox.State, error) {
		if c.inside {
			return c.state, nil
		}
		state, err := sandbox.Enter(paths)
		c.state, c.inside = state, err == nil
		return state, err
	}
}

// environ is the environment for this process begun anew.
func (c *confinement) environ() []string {
	if c == nil || !c.inside {
		return os.Environ()
	}
	environ := c.state.Environ(os.Environ())
	if c.opener != nil {
		environ = c.opener.Keep(environ)
	}
	return environ
}

// underSystemd says whether systemd has started this process and begins it anew
// when it fails, outside of the sandbox.
func underSystemd() bool { return os.Getenv("INVOCATION_ID") != "" && os.Getenv("NOTIFY_SOCKET") != "" }
